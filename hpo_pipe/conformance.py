"""What every searcher and scheduler must keep, ours and outsiders' alike, as laws that can be run.

::

    from hpo_pipe.conformance import LAWS, METRICS, SPACES, toy_study
    for space, constraints in SPACES.values():
        for law in LAWS.values():
            law(toy_study(searcher={"name": "mine"}, space=space, constraints=constraints))
    for metrics in METRICS.values():
        for law in LAWS.values():
            law(toy_study(scheduler={"name": "mine"}, metrics=metrics))

A law runs small studies in a world of simulated workers that end in any order, and raises AssertionError where it is
broken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from hpo_pipe.decide import decide
from hpo_pipe.replay import replay
from hpo_pipe.toy_world import (
    CONDITIONAL,
    FORBIDDEN,
    METRICS,
    SPACE,
    SPACES,
    Moment,
    Objective,
    ends_by_itself,
    next_entry,
    picture,
    simulated,
    toy_objective,
    toy_study,
)
from hpo_pipe.view import View
from storage_schema.codec import Json
from storage_schema.history import History
from storage_schema.keys import SpecId
from storage_schema.records import Decision, Entry, Facts, Finish, Issue, Limits, SetLimits, Study

__all__ = [
    "CONDITIONAL",
    "FORBIDDEN",
    "LAWS",
    "METRICS",
    "SPACE",
    "SPACES",
    "Moment",
    "Objective",
    "picture",
    "simulated",
    "toy_objective",
    "toy_study",
]


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
    """Results that become known at the same time may come in any order (G2); of stops, too, each has its reason."""
    for moment in simulated(study, workers=8):
        facts, decisions = moment.facts, moment.entry.decisions
        backwards = replace(facts, settled=facts.settled[::-1], progress=facts.progress[::-1])
        found = decide(moment.view, backwards)
        assert found == decisions or (
            facts.progress and sorted(map(repr, found)) == sorted(map(repr, decisions))
        )


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
            history.fold(next_entry(history.head + 1, facts, step))
            facts = replace(facts, settled=())
            parts += step
        assert tuple(parts) == moment.entry.decisions


def maximising_is_minimising_the_negative(study: Study) -> None:
    """Negated values with the other goal lead to the same actions (G6)."""
    other = replace(study, metrics=(replace(study.metrics[0], goal="maximize"), *study.metrics[1:]))
    there = _entries(other, lambda parameters, resource: -toy_objective(parameters, resource))
    assert [_actions(e.decisions) for e in there] == [_actions(e.decisions) for e in _entries(study)]


def scale_does_not_matter(study: Study) -> None:
    """Values in another unit and from another zero lead to the same actions (G7)."""
    there = _entries(study, lambda parameters, resource: 4.0 * toy_objective(parameters, resource) + 0.5)
    assert [_actions(e.decisions) for e in there] == [_actions(e.decisions) for e in _entries(study)]


def bad_values_are_survived(study: Study) -> None:
    """NaN, infinities and crashes never raise, and where everything fails there are still suggestions (G8).

    As many as allowed, unless the scheduler comes to an end by itself.
    """
    bad: tuple[Objective, ...] = (
        lambda p, r: math.nan,
        lambda p, r: None,
        lambda p, r: (math.inf, -math.inf, math.nan, None, 0.5)[p["layers"] % 5],
    )
    for objective in bad:
        trials = {d.trial for e in _entries(study, objective) for d in e.decisions if isinstance(d, Issue)}
        assert len(trials) == study.limits.trials or (trials and ends_by_itself(study))


def suggestions_lie_in_the_space(study: Study) -> None:
    """Values are the space's own, active and allowed, and none comes twice while there are others (G9).

    Clones may be as others are: they begin elsewhere.
    """
    small = replace(_countable(study), limits=Limits(trials=100))
    for each in (study, small):
        space = View.of(History(each)).space
        first: dict[int, Json] = {}
        for entry in _entries(each, lambda p, r: 1.0 / r):
            issues = [d for d in entry.decisions if isinstance(d, Issue)]
            for issue in issues:
                assert space.check(issue.parameters) == issue.parameters
            first |= {d.trial: dict(d.parameters) for d in issues if d.parent is None}
        assert len({space.identity(p) for p in first.values()}) == len(first)
    whole = len(first) == space.size or ends_by_itself(study)
    assert whole, "a small space is not searched to its end"


def names_of_specs_do_not_matter(study: Study) -> None:
    """Specs may have other names in the same order, as where an idle entry stands before every other one (G10)."""
    view, names = View.of(History(study)), dict[SpecId, SpecId]()
    history, idle = view.history, (SetLimits(limits=study.limits, reason="as they are"),)
    for moment in simulated(study):
        other = Entry(entry=history.head + 1, token="", author="user", facts=None, decisions=idle)
        history.fold(other)
        facts = replace(
            moment.facts,
            settled=tuple(replace(fact, spec=names[fact.spec]) for fact in moment.facts.settled),
            progress=tuple(replace(fact, spec=names[fact.spec]) for fact in moment.facts.progress),
        )
        entry = next_entry(history.head + 1, facts, decide(view, facts))
        assert entry.decisions == moment.entry.decisions
        names |= {spec: SpecId(entry.entry, spec.index) for spec, _ in moment.entry.issues()}
        history.fold(entry)


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
        names_of_specs_do_not_matter,
        limits_are_kept,
    )
}
"""By name. Each takes a study (of one of :data:`SPACES`, so that the toy objective can be computed)."""
