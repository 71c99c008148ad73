"""Creating a study: once, in a proven store, and never over another one."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage_schema.clock import Clock, SystemClock
from storage_schema.codec import Json, sha256
from storage_schema.errors import DamagedRecord, UserError
from storage_schema.keys import STUDY
from storage_schema.records import Study, WarmStart
from storage_schema.store import Blob, Store, create_settled
from storage_schema.waiting import Patience

if TYPE_CHECKING:
    from hpo_pipe.study_file.draft import StudyDraft

WRITE_LIMIT_S = 30.0
_AUTHORS_OWN = ("token", "created_at", "proof", "check")
"""Fields that differ between two authors of the same study."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """A study that stands."""

    study: Study
    created: bool
    """False: it existed already, and is the same."""
    sha256: str
    """Of ``study.json``."""


def drafted(definition: str | Path | Mapping[str, Any]) -> StudyDraft:
    """Read a study file, or a mapping with what one would hold; raises StudyFileError."""
    from hpo_pipe import study_file

    if isinstance(definition, Mapping):
        return study_file.read_study_mapping(definition)
    return study_file.read_study_file(Path(definition))


def create(
    store: Store,
    draft: StudyDraft,
    *,
    seed: int | None = None,
    say: Callable[[str], object] = lambda _: None,
    clock: Clock | None = None,
) -> Creation:
    """Create the study of `draft` in `store`, or find that the same study stands there.

    Args:
        store: where it is to lie; proved before it is trusted.
        draft: the study file as read.
        seed: overrides the draft's; without either it is drawn.
        say: told the draft's notes.
        clock: this machine's clock if None.

    Raises:
        UserError: a different study stands there; the message names the differences. Or a study to start from is
            not there, or says nothing about this one.
        StoreRefused: the store does not keep a rule that safety rests on.
    """
    from hpo_pipe.study_file import default_timing

    clock = clock or SystemClock()
    draft = draft if seed is None else replace(draft, seed=seed)
    for note in draft.notes:
        say(f"note: {note}")
    found = store.get(STUDY)
    if isinstance(found, Blob):
        return _standing(store, found.data, draft)
    study = draft.study(
        token=secrets.token_hex(16),
        created_at=clock.now(),
        seed=secrets.randbelow(2**32),
        proof={},
        timing=default_timing(store.url),
    )
    study = with_sources(study, draft, store.url, say)
    study = replace(study, proof=_proof(store))
    patience = Patience(clock, random.Random(), limit_s=WRITE_LIMIT_S)  # noqa: S311 (jitter)
    settled = create_settled(store, STUDY, _readable(study), wait=patience)
    if not settled.mine:
        return _standing(store, settled.data, draft)
    return Creation(study=study, created=True, sha256=sha256(settled.data))


def with_sources(
    study: Study, draft: StudyDraft, url: str = "", say: Callable[[str], object] = lambda _: None
) -> Study:
    """Return a study with what it takes over from others, which are read now, and never again.

    Args:
        study: the new one.
        draft: names the others.
        url: where the new one is to lie.
        say: told what was taken over.

    Raises:
        UserError: one of them is not there, or says nothing about this study.
        StoreUnavailable: one of them cannot be read now.
    """
    asked = draft.warm_start
    if asked is None:
        return study
    from hpo_pipe.transfer.gather import taken_over

    taken = taken_over(study, asked.studies, asked.mode, asked.best_first, url, draft.where)
    for line in taken.lines:
        say(line)
    return replace(study, warm_start=taken.warm_start)


def _readable(study: Study) -> bytes:
    """Return the record's bytes; raises UserError where no reader would take them: it is written once and for all."""
    try:
        data = study.to_bytes()
        Study.from_bytes(data)
    except DamagedRecord as error:
        raise UserError(error.problem) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"this cannot be written down: {error}") from None
    return data


def _proof(store: Store) -> Json:
    from storage_schema.store.proof import prove

    proof = prove(store)
    proof.demand()
    found: Json = proof.to_json()
    return found


def _standing(store: Store, data: bytes, draft: StudyDraft) -> Creation:
    there = Study.from_bytes(data)
    wanted = draft.study(
        token=there.token,
        created_at=there.created_at,
        seed=there.seed,
        proof=there.proof,
        timing=there.timing,
    )
    bare = replace(there, warm_start=None)
    found = list(differences(json.loads(bare.to_bytes()), json.loads(wanted.to_bytes())))
    found += differences(_asked(there), _asked(draft), "warm_start")
    if found:
        lines = "\n".join(f"  {line}" for line in found)
        raise UserError(
            f"{store.url} holds a different study {there.name!r}:\n{lines}\n"
            f"  name another URL, or change limits with hpo-pipe limits {store.url}"
        )
    return Creation(study=there, created=False, sha256=sha256(data))


def _asked(study: Study | StudyDraft) -> Json:
    """Return what was asked of a warm start: what was found then is not looked for again."""
    warm = study.warm_start
    if warm is None:
        return None
    studies = [s.url for s in warm.sources] if isinstance(warm, WarmStart) else list(warm.studies)
    return {"studies": studies, "mode": warm.mode, "best_first": warm.best_first}


def differences(there: Json, here: Json, path: str = "") -> Iterator[str]:
    """Yield a line for each field that differs; `there` is the stored study, `here` the wanted one, as JSON."""
    if path in _AUTHORS_OWN:
        return
    there_map, here_map = _named(there), _named(here)
    if there_map is None or here_map is None:
        if there != here:
            yield f"{path}: {_shown(there)} there, {_shown(here)} in the study file"
        return
    for name in dict.fromkeys([*there_map, *here_map]):
        below = f"{path}.{name}" if path else str(name)
        yield from differences(there_map.get(name), here_map.get(name), below)


def _named(value: Json) -> Mapping[str, Json] | None:
    """Return an object, or a list of named objects, by name; None for what is compared whole."""
    if isinstance(value, dict):
        return value
    if (
        isinstance(value, list)
        and value
        and all(isinstance(v, dict) and isinstance(v.get("name"), str) for v in value)
    ):
        return {v["name"]: v for v in value}
    return None


def _shown(value: Json) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
