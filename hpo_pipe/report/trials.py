"""Trials as values for reports, notebooks and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace

from hpo_pipe.report.state import STATES, StudyState
from hpo_pipe.report.words import plain, short
from storage_schema.codec import Json, finite
from storage_schema.errors import UserError, nearest
from storage_schema.records import Curve
from storage_schema.trial_state import TrialState

SORTS = ("number", "value", "resource", "state")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One trial of a study."""

    number: int
    state: str
    """WAITING, RUNNING, PAUSED, COMPLETE, PRUNED or FAILED."""
    value: float | None
    """The objective at its greatest resource so far; None where nothing finite was reported."""
    resource: int
    """Units of training behind `value`."""
    params: dict[str, Json]
    rung: int
    bracket: int
    origin: str
    """Who proposed it: a searcher, or ``enqueued``."""
    worker: str
    """Who trains it now; empty where nobody does."""
    wall_s: float
    """Seconds trained, as far as attempts left a record."""
    gpu_s: float
    reason: str
    """Why it was stopped, or why it failed."""
    curve: Curve
    """(resource, value) of the objective, thinned to 64 points per spec."""

    def to_json(self) -> dict[str, Json]:
        """Return the trial as JSON."""
        return asdict(self) | {"curve": [list(point) for point in self.curve]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table of text: one row per line, one cell per column."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[str] = frozenset()
    """Columns of numbers."""


def trials_of(state: StudyState) -> list[Trial]:
    """Return all trials by number."""
    return [trial_of(state, trial) for trial in state.history.trials]


def trial_of(state: StudyState, trial: TrialState) -> Trial:
    """Return one trial as a value."""
    curve = trial.curve(state.study.objective.name)
    resource, value = next(((r, v) for r, v in reversed(curve) if v is not None), (trial.resource, None))
    worker, held = state.running.get(trial.number, ("", None))
    if held is not None and held.value is not None:
        resource, value = held.resource, held.value
    return Trial(
        number=trial.number,
        state=state.state_of(trial),
        value=None if value is None else finite(value),
        resource=resource,
        params=_in_order(state, trial.parameters),
        rung=trial.rung,
        bracket=trial.bracket,
        origin=trial.origin,
        worker=worker,
        wall_s=sum(s.settled.wall_s for s in trial.specs if s.settled),
        gpu_s=sum(s.settled.gpu_s for s in trial.specs if s.settled),
        reason=_reason(trial),
        curve=curve,
    )


def best_of(state: StudyState) -> Trial | None:
    """Return the incumbent (the best of the highest rung measured), as it was at that rung."""
    found = state.history.best()
    if found is None:
        return None
    rung = next(r for r in reversed(state.history.rungs) if r.ranking and r.ranking[0][1] == found.number)
    trial = trial_of(state, found)
    return replace(
        trial,
        value=state.history.value(rung.loss(found.number)),
        resource=max((r for r, _ in trial.curve if r <= rung.level), default=rung.level)
        if state.study.resource
        else trial.resource,
        rung=state.history.rungs.index(rung),
    )


def selected(trials: Iterable[Trial], states: Iterable[str], sort: str, *, minimize: bool) -> list[Trial]:
    """Return the trials in `states` (all for none), sorted: by value best first, by resource greatest first.

    Raises:
        UserError: a state or a sort that does not exist.
    """
    wanted = {name.upper() for name in states}
    for name in wanted - set(STATES):
        raise UserError(f"trial state {name!r}: allowed are {', '.join(STATES)}{nearest(name, STATES)}")
    if sort not in SORTS:
        raise UserError(f"sort {sort!r}: allowed are {', '.join(SORTS)}{nearest(sort, SORTS)}")
    chosen = [trial for trial in trials if not wanted or trial.state in wanted]
    sign = 1.0 if minimize else -1.0
    match sort:
        case "value":
            chosen.sort(key=lambda t: (t.value is None, sign * (t.value or 0.0), t.number))
        case "resource":
            chosen.sort(key=lambda t: (-t.resource, t.number))
        case "state":
            chosen.sort(key=lambda t: (STATES.index(t.state), t.number))
    return chosen


def trials_grid(state: StudyState, trials: Iterable[Trial], *, exact: bool) -> Grid:
    """Return trials as a table: number, state, value, resource, origin, then one column per parameter.

    A parameter that is inactive in a trial is blank.

    Args:
        state: the study.
        trials: the rows.
        exact: floats as they are, for programs; otherwise rounded, for people.
    """
    say = plain if exact else short
    found = list(trials)
    names = parameter_columns(state, found)
    resource = state.study.resource.name if state.study.resource else "reports"
    rows = tuple(
        (
            str(t.number),
            t.state,
            "-" if t.value is None else say(t.value),
            str(t.resource),
            t.origin,
            *(say(t.params[name]) if name in t.params else "" for name in names),
        )
        for t in found
    )
    columns = ("trial", "state", state.study.objective.name, resource, "origin", *names)
    return Grid(columns=columns, rows=rows, right=frozenset((*columns[:1], *columns[2:4], *names)))


def parameter_columns(state: StudyState, trials: Iterable[Trial]) -> list[str]:
    """Return the parameters that any of `trials` has, in the order of the space."""
    return list(_in_order(state, {name: None for trial in trials for name in trial.params}))


def _in_order(state: StudyState, parameters: Mapping[str, Json]) -> dict[str, Json]:
    """Records hold parameters sorted; people wrote them in the order of the space."""
    order = {name: place for place, name in enumerate(state.study.parameter_names)}
    return dict(sorted(parameters.items(), key=lambda pair: order.get(pair[0], len(order))))


def _reason(trial: TrialState) -> str:
    if trial.stopped:
        return trial.stopped
    settled = trial.last.settled
    return settled.reason if settled and settled.outcome != "done" else ""
