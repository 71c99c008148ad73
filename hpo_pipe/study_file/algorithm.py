"""``[algorithm]``: a scheduler, a searcher, and the options of both in one table; or one name for both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from hpo_pipe import schedulers, searchers
from hpo_pipe.options import Refused, mistake, read_options, unknown_names
from hpo_pipe.registry import find, registered
from hpo_pipe.study_file.combinations import AUTO, COMBINATIONS
from hpo_pipe.study_file.tables import ResourceTable
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError, nearest
from storage_schema.records import Resource

KEY = "algorithm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """What the table comes to, options written out, and the rungs that follow from it."""

    scheduler: Json
    searcher: Json
    resource: Resource | None
    finite: bool
    """Whether the searcher or the scheduler comes to an end by itself."""
    keep_checkpoints: str
    """``all`` where the scheduler starts trials from other ones' checkpoints, else ``newest``."""
    kinds: tuple[type[Any], type[Any]]
    """The classes of scheduler and searcher."""


def read_algorithm(found: Json, resource: ResourceTable | None, where: str) -> Algorithm:
    """Return the algorithm.

    The default is the searcher ``auto`` under ASHA that skips a first rung that says nothing, or without early stopping
    where there is no resource. A scheduler that is chosen alone is what the field calls by its name: no model, Sobol.

    Raises:
        StudyFileError: an unknown name or option, or a scheduler that needs a resource where there is none.
    """
    given = _table(found, where)
    searcher_name = given.pop("searcher", "sobol" if "scheduler" in given else AUTO)
    if resource and "scheduler" not in given:
        given.setdefault("adaptive_grace", True)
    scheduler_name = given.pop("scheduler", "asha" if resource else "none")
    scheduler = find(schedulers.GROUP, schedulers.SCHEDULERS, scheduler_name, where, f"{KEY}.scheduler")
    searcher = find(searchers.GROUP, searchers.SEARCHERS, searcher_name, where, f"{KEY}.searcher")
    if resource is None and scheduler.needs_resource:
        allowed = (
            "none, because there is no [resource] that trials could be compared at; [resource] needs max"
        )
        raise mistake(where, *_written(found, scheduler_name), allowed)
    scheduler_names = _names(scheduler) - {"eta"}
    known = ["name", "scheduler", "searcher", *sorted(scheduler_names | _names(searcher))]
    if lines := unknown_names(given, known, where, KEY):
        hint = "; eta belongs to [resource]" if "eta" in given else ""
        raise StudyFileError("\n".join(lines) + hint)
    eta = {"eta": resource.eta} if resource and "eta" in _names(scheduler) else {}
    own = eta | {name: value for name, value in given.items() if name in scheduler_names}
    scheduling = read_options(scheduler.Options, own, where, KEY)
    own = {name: value for name, value in given.items() if name in _names(searcher)}
    searching = read_options(searcher.Options, own, where, KEY)
    rungs = _rungs(resource, scheduler, scheduling, where)
    _check(scheduler, scheduling, rungs.rungs if rungs else (1,), where)
    if rungs is not None:
        looks = schedulers.milestones_of(scheduler, scheduling, rungs.rungs)
        rungs = replace(rungs, milestones=looks)
    return Algorithm(
        scheduler={"name": scheduler_name, **asdict(scheduling)},
        searcher={"name": searcher_name, **asdict(searching)},
        resource=rungs,
        finite=getattr(searcher, "finite", False) or getattr(scheduler, "finite", False),
        keep_checkpoints=schedulers.kept_checkpoints(scheduler),
        kinds=(scheduler, searcher),
    )


def _table(found: Json, where: str) -> dict[str, Json]:
    """Return the table, without a name for a scheduler and a searcher together, but with what that stands for."""
    if found is None:
        return {}
    if isinstance(found, Mapping):
        table = dict(found)
        if "name" not in table:
            return table
        name = table.pop("name")
        if not isinstance(name, str) or name not in COMBINATIONS:
            guess = nearest(name, COMBINATIONS) if isinstance(name, str) else ""
            raise mistake(where, f"{KEY}.name", name, f"one of {', '.join(COMBINATIONS)}{guess}")
        for key in ("scheduler", "searcher"):
            if key in table:
                raise mistake(where, f"{KEY}.{key}", table[key], f"nothing, for {name} says it")
        return {**COMBINATIONS[name], **table}
    return _bare(found, where)


def _written(found: Json, scheduler: Json) -> tuple[str, Json]:
    """Return the key and the value by which a file chose its scheduler: its own, or the name for both parts."""
    name = found.get("name") if isinstance(found, Mapping) else found
    if isinstance(name, str) and name in COMBINATIONS:
        return (f"{KEY}.name" if isinstance(found, Mapping) else KEY), name
    return f"{KEY}.scheduler", scheduler


def _bare(name: Json, where: str) -> dict[str, Json]:
    """Return the table that a bare name stands for: of both together, else of a scheduler or a searcher."""
    known_schedulers = registered(schedulers.GROUP, schedulers.SCHEDULERS)
    known_searchers = registered(searchers.GROUP, searchers.SEARCHERS)
    if isinstance(name, str) and name in COMBINATIONS:
        return dict(COMBINATIONS[name])
    known = sorted({*COMBINATIONS, *known_schedulers, *known_searchers})
    if not isinstance(name, str) or name not in known:
        guess = nearest(name, known) if isinstance(name, str) else ""
        raise mistake(where, KEY, name, f"a table, or one of {', '.join(known)}{guess}")
    return {"scheduler" if name in known_schedulers else "searcher": name}


def _names(algorithm: type[Any]) -> set[str]:
    return {f.name for f in fields(algorithm.Options)}


def _rungs(resource: ResourceTable | None, scheduler: type[Any], options: Any, where: str) -> Resource | None:
    if resource is None:
        return None
    low, high = resource.min, resource.max
    with _refusing(where):
        rungs = schedulers.levels_of(scheduler, options, low, high, resource.eta)
    return Resource(name=resource.name, min=low, max=high, rungs=rungs)


def _check(scheduler: type[Any], options: Any, rungs: tuple[int, ...], where: str) -> None:
    check = getattr(scheduler, "check", None)
    with _refusing(where):
        if check is not None:
            check(options, rungs)


@contextmanager
def _refusing(where: str) -> Iterator[None]:
    """Add file and key to what an algorithm refuses."""
    try:
        yield
    except Refused as refused:
        raise mistake(where, f"{KEY}.{refused.name}", refused.found, refused.allowed) from None
