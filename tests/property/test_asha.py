"""A1 to A7: what Algorithm 2 of the ASHA paper promises, under asynchronous workers that hypothesis drives."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_pipe.conformance import simulated, toy_study
from hpo_pipe.decide import decide
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.keys import SpecId
from storage_schema.records import Entry, Facts, Issue, Limits, SettledSpec, StopTrial

VALUES = st.floats(0, 1) | st.sampled_from([math.nan, math.inf, -math.inf, None, 0.5])


def fold(view: View, facts: Facts, *more) -> tuple:
    """Decide (or take a user's decisions), check A2 and A4 on the way, and fold."""
    decisions = more or decide(view, facts)
    history = view.history
    check_promotions(view, facts, decisions)
    author = "user" if more else "coordinator"
    history.fold(
        Entry(
            entry=history.head + 1,
            token="t",
            author=author,
            facts=None if more else facts,
            decisions=decisions,
        )
    )
    return decisions


def promotable(history: History, eta: int) -> list[tuple[int, int]]:
    """(rung, trial) of every trial that may be promoted, by the definition and not by the implementation."""
    found = []
    for place in range(len(history.rungs) - 2, -1, -1):
        rung = history.rungs[place]
        best = sorted((rung.loss(t), t) for t in (t.number for t in history.trials) if t in rung)[
            : len(rung) // eta
        ]
        for loss, number in best:
            trial = history.trials[number]
            if math.isfinite(loss) and trial.rung == place and not trial.open and not trial.stopped:
                found.append((place, number))
    return found


def check_promotions(view: View, facts: Facts, decisions: tuple) -> None:
    history, eta = view.history, view.study.scheduler.get("eta", 3)
    with history.draft():
        history.fold_facts(facts)
        for decision in decisions:
            if isinstance(decision, Issue):
                waiting = promotable(history, eta)
                if decision.trial < len(
                    history.trials
                ):  # A2, A4: in the best share, of the highest rung, best first
                    assert (decision.rung - 1, decision.trial) == waiting[0]
                else:
                    assert not waiting, "a new configuration came before a promotion"
            history.fold_decision(decision)


@settings(max_examples=60, deadline=None)
@given(
    st.data(),
    st.integers(1, 6),
    st.integers(2, 4),
    st.integers(1, 3),
    st.integers(1, 25),
)
def test_asynchronous_runs(data, workers, eta, brackets, trials):
    study = toy_study(
        scheduler={"name": "asha", "eta": eta, "brackets": brackets},
        searcher={"name": "random"},
        eta=eta,
        top=eta**3,
        limits=Limits(trials=trials),
    )
    view = View.of(History(study))
    history = view.history
    settled: tuple[SettledSpec, ...] = ()
    promoted: set[tuple[int, int]] = set()
    for now in range(2000):
        decisions = fold(view, Facts(now=float(now), demand=workers, settled=settled))
        for issue in (
            d for d in decisions if isinstance(d, Issue) and len(history.trials[d.trial].specs) > 1
        ):
            assert (issue.rung, issue.trial) not in promoted  # A1
            promoted.add((issue.rung, issue.trial))
        if history.finished is not None:
            break
        running = sorted(history.open)
        assert len(running) <= workers
        ended = data.draw(st.lists(st.sampled_from(running), min_size=1, unique=True)) if running else []
        settled = tuple(outcome(history, spec, data.draw(VALUES)) for spec in sorted(ended))
    assert history.closed
    assert len(history.trials) == trials
    assert not promotable(history, eta)
    for place, rung in enumerate(history.rungs):
        assert len(rung.promoted) <= len(rung) + len([t for t in rung.promoted if t not in rung])  # A5
        best = [t for loss, t in rung.ranking[: len(rung) // eta] if math.isfinite(loss)]
        if place < len(history.rungs) - 1:
            assert set(best) <= rung.promoted  # A3
            above = {t for _, t in history.rungs[place + 1].ranking}
            started_there = {t.number for t in history.trials if t.bracket == place + 1}
            assert above <= rung.promoted | started_there  # A7


def outcome(history: History, spec: SpecId, value: float | None) -> SettledSpec:
    issue = history.specs[spec].issue
    if value is None:
        return SettledSpec(spec=spec, link=2, outcome="fail")
    point = (issue.to, value if math.isfinite(value) else None)
    return SettledSpec(spec=spec, link=2, outcome="done", curves={"loss": (point,)})


def test_one_worker_with_all_results_equals_successive_halving():
    """A6: all nine at the first rung first, then the promotions are SHA's survivors."""
    study = toy_study(limits=Limits(trials=9), searcher={"name": "random"})
    view = View.of(History(study))
    issued = fold(view, Facts(now=0.0, demand=9))
    assert [(d.trial, d.to) for d in issued] == [(t, 1) for t in range(9)]
    losses = [0.5, 0.1, 0.9, 0.3, 0.8, 0.2, 0.7, 0.6, 0.4]
    done = tuple(
        SettledSpec(spec=s, link=2, outcome="done", curves={"loss": ((1, losses[s.index]),)})
        for s in sorted(view.history.open)
    )
    issued = fold(view, Facts(now=1.0, demand=9, settled=done))
    assert [(d.trial, d.rung) for d in issued] == [(1, 1), (5, 1), (3, 1)]
    assert issued[0].reason == "rank 1 of 9 at epoch 1, loss 0.1; the best third (3) are promoted"
    assert issued[2].reason == "rank 3 of 9 at epoch 1, loss 0.3; the best third (3) are promoted"


def test_promotions_stay_near_their_share():
    """E-bound: excess promotions on independent values are of the order of sqrt(n)."""
    study = toy_study(limits=Limits(trials=300), searcher={"name": "random"})
    moments = list(simulated(study, lambda p, r: (p["lr"] * 1e7 * r) % 1.0, workers=4))
    history = moments[-1].view.history
    for rung in history.rungs[:-1]:
        assert len(rung) // 3 <= len(rung.promoted) <= len(rung) / 3 + 4 * math.sqrt(len(rung))


def test_a_failure_counts_and_a_crash_before_the_first_report_does_not():
    study = toy_study(limits=Limits(trials=3), searcher={"name": "random"})
    view = View.of(History(study))
    fold(view, Facts(now=0.0, demand=3))
    first, second, third = sorted(view.history.open)
    settled = (
        SettledSpec(spec=first, link=2, outcome="done", curves={"loss": ((1, 0.5),)}),
        SettledSpec(spec=second, link=2, outcome="fail", curves={"loss": ((1, 0.1),)}),
        SettledSpec(spec=third, link=2, outcome="fail"),
    )
    decisions = fold(view, Facts(now=1.0, demand=3, settled=settled))
    assert [loss for loss, _ in view.history.rungs[0].ranking] == [0.5, math.inf]
    assert [type(d).__name__ for d in decisions] == ["Finish"]


def test_a_stopped_trial_does_not_wait_but_counts():
    study = toy_study(limits=Limits(trials=3), searcher={"name": "random"})
    view = View.of(History(study))
    fold(view, Facts(now=0.0, demand=3))
    values = (0.1, 0.2, 0.3)
    settled = tuple(
        SettledSpec(spec=s, link=2, outcome="done", curves={"loss": ((1, v),)})
        for s, v in zip(sorted(view.history.open), values, strict=True)
    )
    fold(view, Facts(now=1.0, demand=0, settled=settled))
    fold(view, Facts(now=1.0, demand=0), StopTrial(trial=0, reason="a user's"))
    (decision,) = fold(view, Facts(now=2.0, demand=3))
    assert type(decision).__name__ == "Finish"
    assert len(view.history.rungs[0]) == 3


@pytest.mark.parametrize("brackets", [1, 3])
def test_brackets_start_at_their_rung(brackets):
    study = toy_study(scheduler={"name": "asha", "brackets": brackets}, limits=Limits(trials=200))
    first: dict[int, Issue] = {}
    for moment in simulated(study):
        for d in moment.entry.decisions:
            if isinstance(d, Issue):
                first.setdefault(d.trial, d)
    assert all(issue.rung == issue.bracket for issue in first.values())
    found = {issue.bracket for issue in first.values()}
    assert found == set(range(brackets))
