"""What every searcher and scheduler must keep, ours and outsiders' alike, as laws that can be run.

::

    from hpo_pipe.conformance import LAWS, SPACES, toy_study
    for space, constraints in SPACES.values():
        for law in LAWS.values():
            law(toy_study(searcher={"name": "mine"}, space=space, constraints=constraints))

A law runs small studies in a world of simulated workers that end in any order, and raises AssertionError where it is
broken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpo_pipe.decide import decide
from hpo_pipe.registry import find, options_of, registered
from hpo_pipe.replay import replay
from hpo_pipe.rungs import levels
from hpo_pipe.schedulers import GROUP, SCHEDULERS, milestones_of
from hpo_pipe.view import View
from storage_schema.codec import Json
from storage_schema.history import History
from storage_schema.keys import SpecId
from storage_schema.records import (
    Decision,
    Entry,
    Facts,
    Finish,
    Issue,
    Limits,
    Metric,
    Program,
    Progress,
    Resource,
    SettledSpec,
    Study,
)

Objective = Callable[[Mapping[str, Json], int], float | None]
"""(parameters, resource) to a value; NaN or infinity are reported as such, None is a trial that crashes."""

SPACE: tuple[Json, ...] = (
    {"name": "lr", "type": "float", "min": 1e-4, "max": 1e-1, "log": True},
    {"name": "layers", "type": "int", "min": 1, "max": 8},
    {"name": "size", "type": "ordinal", "values": [16, 32, 64]},
    {"name": "activation", "type": "categorical", "values": ["relu", "tanh"]},
    {"name": "momentum", "type": "constant", "value": 0.9},
)
CONDITIONAL: tuple[Json, ...] = (
    {
        "name": "lr",
        "type": "float",
        "min": 1e-4,
        "max": 1e-1,
        "log": True,
        "prior": {"value": 0.01, "confidence": "high"},
    },
    {"name": "layers", "type": "int", "min": 1, "max": 6},
    {"name": "optimizer", "type": "categorical", "values": ["sgd", "adam"], "probabilities": [1, 3]},
    {
        "name": "momentum",
        "type": "float",
        "min": 0.5,
        "max": 0.99,
        "scale": "reverse-log",
        "when": {"optimizer": "sgd"},
        "prior": {"value": 0.9},
    },
    {"name": "nesterov", "type": "bool", "when": {"momentum": {"min": 0.8}}},
    {
        "name": "size",
        "type": "ordinal",
        "values": [16, 32, 64],
        "when": {"layers": {"min": 3}},
        "prior": {"value": 32, "confidence": 0.6},
    },
)
"""Conditional parameters, one of them on a conditional one, and priors; for :data:`FORBIDDEN` beside it."""
FORBIDDEN: Json = {
    "forbidden": [{"optimizer": "adam", "lr": {"min": 0.05}}, {"layers": [5, 6], "size": 64}],
}
SPACES: dict[str, tuple[tuple[Json, ...], Json]] = {
    "plain": (SPACE, {}),
    "conditional": (CONDITIONAL, FORBIDDEN),
}
"""Spaces that the laws are to hold over, each with its constraints."""
MAX_ENTRIES = 5000
_NOBODY = "0"
_UNSEEN = ("rungs", "study", "touched", "_journal")


def toy_study(
    *,
    scheduler: Json = None,
    searcher: Json = None,
    space: tuple[Json, ...] = SPACE,
    constraints: Json = None,
    goal: str = "minimize",
    limits: Limits | None = None,
    top: int = 9,
    eta: int = 3,
    seed: int = 1,
) -> Study:
    """Return a small study; by default ASHA with Sobol points and 30 trials."""
    return Study(
        name="toy",
        token=_NOBODY,
        created_at=0.0,
        seed=seed,
        space=space,
        constraints=constraints or {},
        metrics=(Metric(name="loss", goal=goal),),
        resource=_resource(scheduler or {"name": "asha"}, top, levels(1, top, eta)),
        scheduler=scheduler or {"name": "asha"},
        searcher=searcher or {"name": "sobol"},
        limits=limits or Limits(trials=30),
        program=Program(function="train:main"),
    )


def _resource(scheduler: Json, top: int, rungs: tuple[int, ...]) -> Resource:
    milestones: tuple[int, ...] = ()
    if scheduler.get("name") in registered(GROUP, SCHEDULERS):
        algorithm = find(GROUP, SCHEDULERS, scheduler["name"], "toy", "scheduler")
        milestones = milestones_of(algorithm, options_of(algorithm, scheduler, "toy", "scheduler"), rungs)
    return Resource(name="epoch", min=1, max=top, rungs=rungs, milestones=milestones)


def toy_objective(parameters: Mapping[str, Json], resource: int) -> float:
    """Return a loss that falls with training, a multiple of 2**-20 so that affine maps of it are exact."""
    distance: float = abs(math.log10(parameters["lr"]) + 2.0) + 0.1 * abs(parameters["layers"] - 3)
    return math.floor((distance + 1.0 / resource) * 2**20) / 2**20


@dataclass(frozen=True, slots=True)
class Moment:
    """A decision that was just taken, and what it was taken on."""

    entry: Entry
    facts: Facts
    view: View
    """Of the history before the entry; the entry is folded in when the next moment is asked for."""
    log: Sequence[Entry]
    """The entries before this one."""

    def history(self) -> History:
        """Return the history before the entry, grown afresh from the log."""
        history = History(self.view.study)
        for entry in self.log:
            history.fold(entry)
        return history


def simulated(
    study: Study, objective: Objective = toy_objective, *, workers: int = 4, seed: int = 0
) -> Iterator[Moment]:
    """Run a study with workers that end in any order; yield every decision."""
    view = View.of(History(study))
    history = view.history
    log: list[Entry] = []
    rng = np.random.Generator(np.random.PCG64(seed))
    settled: tuple[SettledSpec, ...] = ()
    progress: tuple[Progress, ...] = ()
    for number in range(MAX_ENTRIES):
        facts = Facts(now=float(number), demand=workers, settled=settled, progress=progress)
        entry = _entry(number, facts, decide(view, facts))
        yield Moment(entry, facts, view, log)
        history.fold(entry)
        log.append(entry)
        if history.closed:
            return
        running = sorted(history.open)
        ended = [spec for spec in running if rng.random() < 0.4 or _stopped(history, spec)]
        if study.resource and study.resource.milestones:
            under_way = [spec for spec in running if not _stopped(history, spec)]
            progress = tuple(p for spec in under_way if (p := _progress(history, spec, objective)))
            at_the_end = [spec for spec in running if spec not in {p.spec for p in progress}]
            settled = tuple(_ended(history, spec, objective) for spec in at_the_end)
            continue
        settled = tuple(_ended(history, spec, objective) for spec in ended or running[:1])
    raise AssertionError(f"the study did not end within {MAX_ENTRIES} entries")


def _entry(number: int, facts: Facts, decisions: tuple[Decision, ...]) -> Entry:
    return Entry(entry=number, token=_NOBODY, author="coordinator", facts=facts, decisions=decisions)


def _stopped(history: History, spec: SpecId) -> bool:
    return history.finished is not None or bool(history.trials[history.specs[spec].issue.trial].stopped)


def _progress(history: History, spec: SpecId, objective: Objective) -> Progress | None:
    """Return what a running spec reports next on its way, or None where it comes to its end."""
    state, resource = history.specs[spec], history.study.resource
    told = state.progress.get("loss", ())
    after = told[-1][0] if told else state.issue.start
    left = [m for m in (resource.milestones if resource else ()) if after < m <= state.issue.to]
    value = objective(state.issue.parameters, left[0]) if left else None
    if value is None:
        return None
    point = (left[0], value if math.isfinite(value) else None)
    return Progress(spec=spec, attempt=1, curves={"loss": (point,)})


def _ended(history: History, spec: SpecId, objective: Objective) -> SettledSpec:
    issue = history.specs[spec].issue
    if _stopped(history, spec):
        return SettledSpec(spec=spec, link=2, outcome="stop")
    value = objective(issue.parameters, issue.to)
    if value is None:
        return SettledSpec(spec=spec, link=2, outcome="fail")
    told = history.specs[spec].progress.get("loss", ())
    curve = (*(p for p in told if p[0] < issue.to), (issue.to, value if math.isfinite(value) else None))
    return SettledSpec(spec=spec, link=2, outcome="done", resource=issue.to, curves={"loss": curve})


def picture(history: History) -> Json:
    """Return all that a history holds, in a form that can be compared."""
    rungs = [(r.level, list(r.ranking), list(r.waiting), sorted(r.promoted)) for r in history.rungs]
    plain = {n: repr(v) for n, v in vars(history).items() if n not in _UNSEEN}
    return rungs, plain


def _actions(decisions: tuple[Decision, ...]) -> list[Decision]:
    """Return decisions without their reasons, which may hold values."""
    return [replace(decision, reason="") for decision in decisions]


def _entries(study: Study, objective: Objective = toy_objective) -> list[Entry]:
    return [moment.entry for moment in simulated(study, objective)]


def deciding_leaves_no_trace(study: Study) -> None:
    """The history is as it was, and deciding again says the same (G1)."""
    for moment in simulated(study):
        before = picture(moment.view.history)
        assert decide(moment.view, moment.facts) == moment.entry.decisions, "a second decision differs"
        assert picture(moment.view.history) == before, "deciding changed the history"


def a_cold_start_decides_the_same(study: Study) -> None:
    """Who has only read the log decides as one who has followed it, and decided, all along (G1)."""
    for number, moment in enumerate(simulated(study)):
        if number % 7 == 3:
            assert decide(View.of(moment.history()), moment.facts) == moment.entry.decisions


def the_log_replays(study: Study) -> None:
    """From bytes and from the beginning, every entry follows from those before it (G1)."""
    entries = [Entry.from_bytes(entry.to_bytes(), entry.entry) for entry in _entries(study)]
    assert not list(replay(study, entries))


def order_does_not_matter(study: Study) -> None:
    """Results that become known at the same time may come in any order (G2)."""
    for moment in simulated(study, workers=8):
        backwards = replace(moment.facts, settled=moment.facts.settled[::-1])
        assert decide(moment.view, backwards) == moment.entry.decisions


def one_live_target_per_trial(study: Study) -> None:
    """No decision trains a trial on that is open, stopped or failed (G3)."""
    for moment in simulated(study):
        history = moment.view.history
        issued = [d.trial for d in moment.entry.decisions if isinstance(d, Issue)]
        assert len(set(issued)) == len(issued)
        with history.draft():
            history.fold_facts(moment.facts)
            known = [history.trials[number] for number in issued if number < len(history.trials)]
            assert not [trial.number for trial in known if trial.open or trial.stopped or trial.failed]


def nothing_more_when_enough_is_open(study: Study) -> None:
    """Deciding again once the decisions stand says nothing (G4)."""
    for moment in simulated(study):
        history = moment.history()
        history.fold(moment.entry)
        quiet = Facts(now=moment.facts.now, demand=len(history.open))
        assert not history.open or decide(View.of(history), quiet) == ()


def a_batch_is_its_parts(study: Study) -> None:
    """Asking for k open specs at once is asking for 1, 2, ... k, one after the other (G5)."""
    for moment in simulated(study, workers=5):
        history, facts = moment.history(), moment.facts
        parts: list[Decision] = []
        for demand in range(1, 6):
            step = decide(View.of(history), replace(facts, demand=demand))
            history.fold(_entry(history.head + 1, facts, step))
            facts = replace(facts, settled=())
            parts += step
        assert tuple(parts) == moment.entry.decisions


def maximising_is_minimising_the_negative(study: Study) -> None:
    """Negated values with the other goal lead to the same actions (G6)."""
    other = replace(study, metrics=(Metric(name="loss", goal="maximize"),))
    there = _entries(other, lambda parameters, resource: -toy_objective(parameters, resource))
    assert [_actions(e.decisions) for e in there] == [_actions(e.decisions) for e in _entries(study)]


def scale_does_not_matter(study: Study) -> None:
    """Values in another unit and from another zero lead to the same actions (G7)."""
    there = _entries(study, lambda parameters, resource: 4.0 * toy_objective(parameters, resource) + 0.5)
    assert [_actions(e.decisions) for e in there] == [_actions(e.decisions) for e in _entries(study)]


def bad_values_are_survived(study: Study) -> None:
    """NaN, infinities and crashes never raise, and where everything fails there are still suggestions (G8)."""
    bad: tuple[Objective, ...] = (
        lambda p, r: math.nan,
        lambda p, r: None,
        lambda p, r: (math.inf, -math.inf, math.nan, None, 0.5)[p["layers"] % 5],
    )
    for objective in bad:
        trials = {d.trial for e in _entries(study, objective) for d in e.decisions if isinstance(d, Issue)}
        assert len(trials) == study.limits.trials


def suggestions_lie_in_the_space(study: Study) -> None:
    """Values are the space's own, active and allowed, and none comes twice while there are others (G9)."""
    small = replace(_countable(study), limits=Limits(trials=100))
    for each in (study, small):
        space = View.of(History(each)).space
        first: dict[int, Json] = {}
        for entry in _entries(each, lambda p, r: 1.0 / r):
            first |= {d.trial: dict(d.parameters) for d in entry.decisions if isinstance(d, Issue)}
        for parameters in first.values():
            assert space.check(parameters) == parameters
        assert len({space.identity(p) for p in first.values()}) == len(first)
    assert len(first) == space.size, "a small space is not searched to its end"


def _countable(study: Study) -> Study:
    """Return the study without its continuous parameters, and without what depends on them."""
    kept: dict[str, Json] = {}
    for item in study.space:
        if item["type"] != "float" and set(item.get("when", ())) <= kept.keys():
            kept[item["name"]] = item
    forbidden = [c for c in study.constraints.get("forbidden", ()) if set(c) <= kept.keys()]
    return replace(study, space=tuple(kept.values()), constraints={"forbidden": forbidden})


def limits_are_kept(study: Study) -> None:
    """Neither more trials nor more resource than allowed; and the study ends with a reason."""
    bounded = replace(study, limits=Limits(trials=20, total_resource=60))
    entries = _entries(bounded)
    issues = [d for e in entries for d in e.decisions if isinstance(d, Issue)]
    assert len({issue.trial for issue in issues}) <= 20
    assert sum(issue.to - issue.start for issue in issues) <= 60
    last = entries[-1].decisions or entries[-2].decisions
    assert isinstance(last[-1], Finish) and last[-1].reason


LAWS: dict[str, Callable[[Study], None]] = {
    law.__name__: law
    for law in (
        deciding_leaves_no_trace,
        a_cold_start_decides_the_same,
        the_log_replays,
        order_does_not_matter,
        one_live_target_per_trial,
        nothing_more_when_enough_is_open,
        a_batch_is_its_parts,
        maximising_is_minimising_the_negative,
        scale_does_not_matter,
        bad_values_are_survived,
        suggestions_lie_in_the_space,
        limits_are_kept,
    )
}
"""By name. Each takes a study (of one of :data:`SPACES`, so that the toy objective can be computed)."""
