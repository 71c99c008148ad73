"""Trials as values for reports, notebooks and JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace

from hpo_pipe.outcomes import outcome, until
from hpo_pipe.report.state import STATES, StudyState
from hpo_pipe.report.words import plain, short
from hpo_pipe.transfer.parent import BestParent, best_parent
from hpo_pipe.transfer.points import at
from storage_schema.codec import Json, finite
from storage_schema.errors import UserError, nearest
from storage_schema.keys import MAX_RESOURCE
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
    """Who proposed it: a searcher, ``enqueued``, or for a clone the scheduler."""
    worker: str
    """Who trains it now; empty where nobody does."""
    wall_s: float
    """Seconds trained, as far as attempts left a record."""
    gpu_s: float
    reason: str
    """Why it was stopped, or why it failed."""
    curve: Curve
    """(resource, value) of the objective, thinned to 64 points per spec."""
    values: dict[str, float | None]
    """Of each metric of the study, at `resource` or last before; None where nothing finite was reported."""
    feasible: bool | None
    """Whether `values` are within the study's bounds; None where it has none, or nothing was measured."""
    parent: int | None = None
    """The trial whose checkpoint it was started from; None: it began with nothing."""
    study: str = ""
    """URL of the study that it is a trial of; empty: of this one."""

    def to_json(self) -> dict[str, Json]:
        """Return the trial as JSON."""
        value = asdict(self) | {"curve": [list(point) for point in self.curve]}
        if not self.study:
            del value["study"]
        return value


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
    curves = {metric.name: trial.curve(metric.name) for metric in state.study.metrics}
    curve = curves[state.study.objective.name]
    resource, value = next(((r, v) for r, v in reversed(curve) if v is not None), (trial.resource, None))
    worker, held = state.running.get(trial.number, ("", None))
    if held is not None and held.value is not None:
        resource, value = held.resource, held.value
    value = None if value is None else finite(value)
    top = resource if state.study.resource else MAX_RESOURCE
    values = {name: finite_or_none(until(points, top)) for name, points in curves.items()}
    values[state.study.objective.name] = value
    return Trial(
        number=trial.number,
        state=state.state_of(trial),
        value=value,
        resource=resource,
        params=_in_order(state, trial.parameters),
        rung=trial.rung,
        bracket=trial.bracket,
        origin=trial.origin,
        parent=trial.parent,
        worker=worker,
        wall_s=sum(s.settled.wall_s for s in trial.specs if s.settled),
        gpu_s=sum(s.settled.gpu_s for s in trial.specs if s.settled),
        reason=_reason(trial),
        curve=curve,
        values=values,
        feasible=_feasible(state, values),
    )


def best_of(state: StudyState) -> Trial | None:
    """Return the best trial: the incumbent, or a better one of a study whose results count as this one's own."""
    parent = best_parent(state.history)
    return own_best(state) if parent is None else _of_parent(state, parent)


def own_best(state: StudyState) -> Trial | None:
    """Return the incumbent, as it was at its rung: the best within bounds of the highest rung that has one.

    Where trials are cloned, it is the best of all rungs.

    With several objectives it is the one of the front there that is best in the first objective.
    """
    found = state.best()
    if found is None:
        return None
    rung = state.history.rungs[found[1]]
    trial = trial_of(state, state.history.trials[found[0]])
    value = state.history.value(rung.loss(trial.number))
    top = rung.level if state.study.resource else MAX_RESOURCE
    known = state.history.trials[trial.number]
    values = {m.name: finite_or_none(until(known.curve(m.name), top)) for m in state.study.metrics}
    values[state.study.objective.name] = value
    return replace(
        trial,
        value=value,
        values=values,
        feasible=_feasible(state, values),
        resource=max((r for r, _ in trial.curve if r <= rung.level), default=rung.level)
        if state.study.resource
        else trial.resource,
        rung=found[1],
    )


def _of_parent(state: StudyState, parent: BestParent) -> Trial:
    """Return a trial of another study, as it was where it counts here."""
    study, result = state.study, parent.result
    curve = result.curves[study.objective.name]
    level = state.history.rungs[parent.rung].level
    values = {metric.name: at(result, metric.name, level) for metric in study.metrics}
    return Trial(
        number=result.trial,
        state="COMPLETE" if parent.rung == len(state.history.rungs) - 1 else "PAUSED",
        value=values[study.objective.name],
        resource=max(resource for resource, _ in curve if resource <= level),
        params=_in_order(state, result.parameters),
        rung=parent.rung,
        bracket=0,
        origin="warm_start",
        worker="",
        wall_s=0.0,
        gpu_s=0.0,
        reason=f"measured in study {parent.source.name}",
        curve=curve,
        values=values,
        feasible=_feasible(state, values),
        study=parent.source.url,
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
    """Return trials as a table: number, state, value, resource, origin, then the rest.

    The rest: the parent where there are clones, one column for each further metric, whether all bounds are kept where
    there are any, and one for each parameter. A parameter that is inactive in a trial is blank.

    Args:
        state: the study.
        trials: the rows.
        exact: floats as they are, for programs; otherwise rounded, for people.
    """
    say = plain if exact else short
    found = list(trials)
    names = parameter_columns(state, found)
    further = [metric.name for metric in state.study.metrics[1:]]
    cloned = ["parent"] if any(t.parent is not None for t in found) else []
    resource = state.study.resource.name if state.study.resource else "reports"
    rows = tuple(
        (
            str(t.number),
            t.state,
            "-" if t.value is None else say(t.value),
            str(t.resource),
            t.origin,
            *(["" if t.parent is None else str(t.parent)] if cloned else []),
            *("-" if t.values[name] is None else say(t.values[name]) for name in further),
            *([_word(t.feasible)] if state.study.bounded else []),
            *(say(t.params[name]) if name in t.params else "" for name in names),
        )
        for t in found
    )
    bounds = ["within bounds"] if state.study.bounded else []
    first = ("trial", "state", state.study.objective.name, resource, "origin")
    columns = (*first, *cloned, *further, *bounds, *names)
    numbers = frozenset((*columns[:1], *columns[2:4], *cloned, *further, *names))
    return Grid(columns=columns, rows=rows, right=numbers)


def parameter_columns(state: StudyState, trials: Iterable[Trial]) -> list[str]:
    """Return the parameters that any of `trials` has, in the order of the space."""
    return list(_in_order(state, {name: None for trial in trials for name in trial.params}))


def finite_or_none(value: float | None) -> float | None:
    """Return a value as JSON can hold it."""
    return None if value is None or not math.isfinite(value) else value


def _feasible(state: StudyState, values: Mapping[str, float | None]) -> bool | None:
    if not state.study.bounded or values[state.study.objective.name] is None:
        return None
    return outcome(state.study, values.get).feasible


def _word(feasible: bool | None) -> str:
    return "-" if feasible is None else "yes" if feasible else "no"


def _in_order(state: StudyState, parameters: Mapping[str, Json]) -> dict[str, Json]:
    """Records hold parameters sorted; people wrote them in the order of the space."""
    order = {name: place for place, name in enumerate(state.study.parameter_names)}
    return dict(sorted(parameters.items(), key=lambda pair: order.get(pair[0], len(order))))


def _reason(trial: TrialState) -> str:
    if trial.stopped:
        return trial.stopped
    settled = trial.last.settled
    return settled.reason if settled and settled.outcome != "done" else ""
