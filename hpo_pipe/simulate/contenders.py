"""What is compared: one study under several algorithms.

An algorithm is written ``NAME``, ``NAME(option=value, ...)``, or a scheduler and a searcher with a plus between them:
``bohb``, ``asha(eta=4)``, ``hyperband+kde``, ``asha(eta=4, brackets=2)+gp``. Options are those of ``[algorithm]`` in a
study file, in TOML's words; ``eta`` and ``min`` are those of ``[resource]``. ``study`` is the study's own algorithm.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from hpo_pipe import schedulers, searchers
from hpo_pipe.options import unknown_names
from hpo_pipe.registry import registered
from hpo_pipe.space import Space
from hpo_pipe.study_file.algorithm import read_algorithm
from hpo_pipe.study_file.combinations import AUTO, COMBINATIONS
from hpo_pipe.study_file.space import check_copes
from hpo_pipe.study_file.tables import ResourceTable
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError, UserError, nearest
from storage_schema.records import Limits, Study

OWN = "study"
DEFAULTS: dict[str, Json] = {"scheduler": "asha", "searcher": AUTO}
MAX_TEXT = 500
_PART = re.compile(r"\s*([A-Za-z][\w-]*)\s*(?:\(([^()]*)\))?\s*")
_RESOURCE = ("eta", "min")


@dataclass(frozen=True, slots=True)
class Contender:
    """One algorithm, and the study that it is to search; its seed is still to be set."""

    label: str
    study: Study


def contender(base: Study, text: str, limits: Limits | None = None) -> Contender:
    """Return the study `base` under another algorithm.

    Args:
        base: the study.
        text: the algorithm, as the module says.
        limits: instead of the study's own; None leaves those.

    Raises:
        UserError: not an algorithm, one that is not known, an option that it does not have, or one that does not cope
            with the space.
    """
    where = f"--algorithm {text}"
    limited = base if limits is None else replace(base, limits=limits)
    if text.strip() == OWN:
        return Contender(OWN, limited)
    chosen, options = _read(text, where)
    meant = DEFAULTS | (dict(COMBINATIONS[chosen["name"]]) if "name" in chosen else {})
    parts = {kind: meant[kind] for kind in DEFAULTS} if "name" in chosen else chosen
    known = {*_RESOURCE, *(name for kind, part in parts.items() for name in _options(kind, part))}
    if lines := unknown_names(options, sorted(known), where, ""):
        raise StudyFileError("\n".join(lines))
    resource = _resource(base, {name: options.pop(name) for name in _RESOURCE if name in options}, where)
    algorithm = read_algorithm({**chosen, **options}, resource, where)
    space = Space.from_json(base.space, constraints=base.constraints)
    for key, own, kind in zip(
        ("scheduler", "searcher"), (algorithm.scheduler, algorithm.searcher), algorithm.kinds, strict=True
    ):
        check_copes(key, own["name"], kind, space, where)
    study = replace(
        limited,
        scheduler=algorithm.scheduler,
        searcher=algorithm.searcher,
        resource=algorithm.resource,
        keep_checkpoints=algorithm.keep_checkpoints,
    )
    return Contender(text.strip(), study)


def _read(text: str, where: str) -> tuple[dict[str, str], dict[str, Json]]:
    """Return which scheduler and searcher are named, or a name for both, and the options."""
    chosen: dict[str, str] = {}
    options: dict[str, Json] = {}
    if len(text) > MAX_TEXT:
        raise UserError(f"--algorithm: {len(text)} characters, more than {MAX_TEXT}")
    parts = _parts(text)
    for part in parts:
        found = _PART.fullmatch(part)
        if not found:
            raise UserError(f"{where}: expected NAME, NAME(option=value, ...), or two of them with + between")
        together = len(parts) == 1 and found[1] in COMBINATIONS
        kind = "name" if together else _kind(found[1], where)
        if kind in chosen:
            raise UserError(f"{where}: {chosen[kind]} and {found[1]} are both {kind}s; expected one of each")
        chosen[kind] = found[1]
        try:
            options |= tomllib.loads(f"given = {{{found[2] or ''}}}")["given"]
        except tomllib.TOMLDecodeError as error:
            raise UserError(
                f"{where}: ({found[2]}): {error}; expected option=value, ... as in TOML"
            ) from None
    return chosen, options


def _parts(text: str) -> list[str]:
    """Split at each + that stands outside of brackets."""
    return re.split(r"\+(?![^(]*\))", text)


def _kind(name: str, where: str) -> str:
    known = registered(schedulers.GROUP, schedulers.SCHEDULERS)
    if name in known:
        return "scheduler"
    proposing = registered(searchers.GROUP, searchers.SEARCHERS)
    if name in proposing:
        return "searcher"
    guess = nearest(name, [*known, *proposing, *COMBINATIONS, OWN])
    raise UserError(
        f"{where}: {name} is not known{guess}; schedulers: {', '.join(known)}; searchers: {', '.join(proposing)}; "
        f"both together: {', '.join(COMBINATIONS)}; or {OWN}, for the study's own"
    )


def _options(kind: str, name: Json) -> set[str]:
    known: dict[Json, type[Any]] = dict(
        registered(schedulers.GROUP, schedulers.SCHEDULERS)
        if kind == "scheduler"
        else registered(searchers.GROUP, searchers.SEARCHERS)
    )
    return {f.name for f in fields(known[name].Options)}


def _resource(base: Study, given: Mapping[str, Json], where: str) -> ResourceTable | None:
    """Return the study's resource with another eta or min."""
    from hpo_pipe.options import read_options

    if base.resource is None:
        if given:
            raise UserError(f"{where}: {', '.join(given)}: the study has no [resource]")
        return None
    own = {
        "name": base.resource.name,
        "min": base.resource.min,
        "max": base.resource.max,
        "eta": eta_of(base),
    }
    return read_options(ResourceTable, own | dict(given), where, "")


def eta_of(study: Study) -> int:
    """Return the eta that a study was created with, as far as that can be told."""
    known = study.scheduler.get("eta") if isinstance(study.scheduler, Mapping) else None
    rungs = study.resource.rungs if study.resource else ()
    if isinstance(known, int):
        return known
    return max(2, rungs[1] // rungs[0]) if len(rungs) > 2 else 3
