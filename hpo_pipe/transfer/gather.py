"""Reading the studies that a new one starts from: once, when it is created."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlparse

from hpo_pipe.coordinator.log import Log, study_bytes
from hpo_pipe.rungs import ladder
from hpo_pipe.space import Space
from hpo_pipe.transfer.agreement import check_identical, check_metrics, counting
from hpo_pipe.transfer.choice import CAP, best_first, kept, thinned, to_try
from hpo_pipe.transfer.mapping import Mapped, mapped
from hpo_pipe.transfer.told import Account
from storage_schema.codec import encode, sha256
from storage_schema.errors import DamagedRecord, HpoPipeError, StoreUnavailable, UserError, nearest
from storage_schema.history import History
from storage_schema.keys import STUDY
from storage_schema.records import Curve, Study, WarmResult, WarmSource, WarmStart
from storage_schema.store import open_store
from storage_schema.trial_state import TrialState

MAX_BYTES = 2 * 1024 * 1024
"""Of all results together, within ``study.json``, which every process of the study reads at its start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What was taken over, and what is to be said about it."""

    warm_start: WarmStart
    lines: list[str]


@dataclass(slots=True)
class _Found:
    """One source."""

    source: WarmSource
    ranked: list[WarmResult]
    account: Account = field(default_factory=Account)


def taken_over(study: Study, urls: tuple[str, ...], mode: str, best: int, own_url: str, where: str) -> Taken:
    """Read other studies and return what the new one takes over of them.

    Args:
        study: the new one, without a warm start.
        urls: canonical study URLs of the others, which may be running or closed; they are only read.
        mode: ``transfer`` or ``identical``.
        best: how many of each one's best configurations are to be tried first.
        own_url: the new study's.
        where: the study file, for errors.

    Raises:
        UserError: no study there, or one whose results say nothing about this one; it names the study.
        StoreUnavailable: a store cannot be read now.
    """
    space = Space.from_json(study.space, constraints=study.constraints)
    found = []
    for place, url in enumerate(urls):
        try:
            if url == own_url:
                raise UserError("a study cannot start from itself")
            found.append(_read(study, space, url, mode))
        except HpoPipeError as error:
            raise _named(error, f"{where}: warm_start.studies[{place}]: {url}") from None
    cap = _cap(found)
    sources = []
    for each in found:
        first = to_try(study, space, each.source.rungs, each.ranked, best)
        results = kept(each.ranked, cap)
        stays = {result.trial for result in results}
        first = tuple(trial for trial in first if trial in stays)
        each.account.kept = len(results)
        sources.append(replace(each.source, first=first, results=results))
    lines = [line for each in found for line in each.account.lines(each.source.name)]
    total = sum(len(source.results) for source in sources)
    head = (
        f"{total} result{'s' * (total != 1)} of {len(sources)} {'study' if len(sources) == 1 else 'studies'}"
    )
    return Taken(
        warm_start=WarmStart(mode=mode, best_first=best, sources=tuple(sources)),
        lines=[f"warm start ({mode}): {head} taken over", *(f"  {line}" for line in lines)],
    )


def _read(study: Study, space: Space, url: str, mode: str) -> _Found:
    store = open_store(url)
    try:
        data = study_bytes(store)
        there = Study.from_bytes(data)
        check_metrics(there, study)
        if mode == "identical":
            check_identical(there, study)
        log = Log(store, there)
        log.follow()
    except DamagedRecord as error:
        raise UserError(f"it cannot be read: {error}") from None
    found = _Found(
        WarmSource(
            url=url,
            name=there.name,
            sha256=sha256(data),
            head=log.history.head,
            resource=there.resource.name if there.resource else "",
            rungs=there.resource.rungs if there.resource else (1,),
        ),
        [],
    )
    levels = _levels(study, log.history, mode)
    results = list(_results(study, space, log.history, levels, found.account))
    found.ranked = best_first(study, found.source.rungs, results)
    if not found.account.values:
        raise UserError(f"it has no value of {study.objective.name} yet: wait for some, or leave it out")
    if not results:
        raise UserError(f"none of its {found.account.read} results fits this space: {found.account.problem}")
    return found


def _results(
    study: Study, space: Space, history: History, levels: list[int], account: Account
) -> Iterator[WarmResult]:
    """Yield what a source's trials say here, mapped and counted."""
    for trial in history.trials:
        curves = _curves(study, history, trial, levels)
        if not curves.get(study.objective.name) and not trial.failed:
            continue
        account.read += 1
        values = (value for _, value in curves.get(study.objective.name, ()))
        account.values += any(value is not None for value in values)
        seen = mapped(space, trial.parameters)
        account.note(seen)
        if seen.parameters is not None:
            yield _result(trial, seen, curves)


def _result(trial: TrialState, seen: Mapped, curves: dict[str, Curve]) -> WarmResult:
    return WarmResult(
        trial=trial.number, parameters=seen.parameters or {}, curves=curves, failed=trial.failed
    )


def _levels(study: Study, history: History, mode: str) -> list[int]:
    """Return where curves are kept: at the source's rungs; of the same task, also where models look at curves."""
    looks = study.resource if mode == "identical" else None
    own = ladder(looks.max, looks.rungs) if looks else ()
    return sorted({*own, *(rung.level for rung in history.rungs)})


def _curves(study: Study, history: History, trial: TrialState, levels: list[int]) -> dict[str, Curve]:
    found = {}
    for metric in counting(study):
        curve = trial.curve(metric.name)
        if history.study.resource is None:
            curve = ((1, curve[-1][1]),) if curve else ()
        if curve := thinned(tuple(point for point in curve if point[0] >= 1), levels):
            found[metric.name] = curve
    return found


def _cap(found: list[_Found]) -> int:
    """Return how many results of each source fit in."""
    cap = CAP
    while True:
        size = sum(len(encode(_shape(result))) for each in found for result in kept(each.ranked, cap))
        if size <= MAX_BYTES or cap <= 1:
            return cap
        cap = max(1, min(cap - 1, int(cap * MAX_BYTES / size)))


def _shape(result: WarmResult) -> dict[str, object]:
    curves = {name: [list(point) for point in curve] for name, curve in result.curves.items()}
    return {"trial": result.trial, "parameters": result.parameters, "curves": curves, "failed": True}


def _named(error: HpoPipeError, where: str) -> HpoPipeError:
    if isinstance(error, StoreUnavailable):
        return type(error)(f"{where}: {error}")
    return UserError(f"{where}: {error}{_sibling(where.rpartition(': ')[2], error)}")


def _sibling(url: str, error: HpoPipeError) -> str:
    """Return a guess at the folder that was meant, where one beside it holds a study."""
    if type(error).__name__ != "StudyNotFound" or not url.startswith("file:"):
        return ""
    folder = Path(unquote(urlparse(url).path))
    try:
        others = [path.name for path in folder.parent.iterdir() if (path / STUDY).is_file()]
    except OSError:
        return ""
    return nearest(folder.name, others)
