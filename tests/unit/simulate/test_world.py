"""Laws of the simulation: nothing is lost, nobody is in two places, and the log is one that a coordinator writes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_pipe.conformance import simulated, toy_objective, toy_study
from hpo_pipe.replay import replay
from hpo_pipe.simulate.run import Run
from hpo_pipe.simulate.world import SimulatedStudy
from storage_schema.records import Entry, Issue, Limits, SettledSpec
from tests.unit.simulate.worlds import ALL, TOP, ToyCurves, study

POPULATIONS = ("pbt", "pb2")
"""They have no work for more workers than members, and wait for each other's generations."""


def settled(run: Run) -> list[SettledSpec]:
    return [fact for entry in run.log if entry.facts for fact in entry.facts.settled]


def check(run: Run, slowest: float = 1.0) -> None:
    """Hold a finished or cut run against the laws."""
    by_worker: dict[int, list[tuple[float, float]]] = {}
    for piece in run.pieces:
        by_worker.setdefault(piece.worker, []).append((piece.began, piece.ended))
        assert (np.diff(piece.times) > 0).all()
        if len(piece.times):
            assert piece.began <= piece.times[0] and piece.times[-1] <= piece.ended + 1e-9
    assert set(by_worker) <= set(range(run.workers))
    for spans in by_worker.values():
        spans.sort()
        for (_, ended), (began, _) in pairwise(spans):
            assert ended <= began, "a worker runs two specs at once"
    assert run.units == sum(len(piece.times) for piece in run.pieces)
    assert run.busy_s == pytest.approx(sum(piece.ended - piece.began for piece in run.pieces))
    assert run.idle_share >= -1e-9
    now = [entry.facts.now for entry in run.log if entry.facts]
    assert now == sorted(now)
    times, losses = run.incumbent()
    assert (np.diff(times) >= 0).all() and (np.diff(losses) <= 0).all()


@pytest.mark.parametrize(
    "awkward", [{}, {"tick_s": 3.0, "startup_s": 2.0, "spread": 0.4}], ids=["plain", "awkward"]
)
@pytest.mark.parametrize("scheduler", ALL)
def test_a_study_runs_to_its_end_and_its_log_replays(scheduler, awkward):
    the_study = study(scheduler)
    run = SimulatedStudy(the_study, ToyCurves(crash_from=8), 5, **awkward).until()
    assert run.history.closed
    check(run)
    entries = [Entry.from_bytes(entry.to_bytes(), entry.entry) for entry in run.log]
    assert not list(replay(the_study, entries))
    assert {fact.spec for fact in settled(run)} == set(run.history.specs)
    trained = {piece.spec: len(piece.times) for piece in run.pieces}
    for fact in settled(run):
        issue = run.history.specs[fact.spec].issue
        if fact.outcome == "done":
            assert trained[fact.spec] == issue.to - issue.start


@pytest.mark.parametrize("scheduler", ALL)
def test_the_same_seed_gives_the_same_log_and_another_one_another(scheduler):
    def log(seed: int) -> list[bytes]:
        run = SimulatedStudy(study(scheduler, seed=seed), ToyCurves(), 4, spread=0.3).until()
        return [entry.to_bytes() for entry in run.log]

    assert log(1) == log(1)
    assert log(1) != log(2)


@pytest.mark.parametrize("scheduler", ["none", "asha", "hyperband", "successive_halving"])
def test_with_one_worker_the_order_is_that_of_the_conformance_suite(scheduler):
    the_study = study(scheduler, trials=30)
    run = SimulatedStudy(the_study, ToyCurves(), 1).until()
    there = [m.entry for m in simulated(the_study, toy_objective, workers=1)]

    def issued(entries):
        return [
            (d.trial, d.start, d.to, d.rung) for e in entries for d in e.decisions if isinstance(d, Issue)
        ]

    # the suite's workers tell of the last epoch only and leave no checkpoints: the same trials, to the same rungs
    assert [(t, to, r) for t, _, to, r in issued(run.log)] == [(t, to, r) for t, _, to, r in issued(there)]


@settings(max_examples=25, deadline=None)
@given(
    scheduler=st.sampled_from(ALL),
    workers=st.integers(1, 12),
    units=st.integers(1, 400),
    tick_s=st.sampled_from([0.0, 0.5, 20.0]),
    crash_from=st.integers(3, 9),
)
def test_a_budget_is_spent_and_not_overspent(scheduler, workers, units, tick_s, crash_from):
    run = SimulatedStudy(study(scheduler, trials=None), ToyCurves(crash_from), workers, tick_s=tick_s).until(
        units=units
    )
    check(run)
    assert units <= run.units <= units + workers * TOP
    seconds = run.ended_at / 2
    half = SimulatedStudy(study(scheduler, trials=None), ToyCurves(crash_from), workers, tick_s=tick_s).until(
        seconds=seconds
    )
    check(half)
    assert half.ended_at <= seconds
    whole, part = (dict(zip(*(a.tolist() for a in r.incumbent()), strict=True)) for r in (run, half))
    assert part == {time: loss for time, loss in whole.items() if time <= seconds}


@pytest.mark.parametrize("scheduler", ["none", "asha", "asha_stopping"])
def test_when_it_is_enough_every_unit_that_is_finished_counts(scheduler):
    whole = SimulatedStudy(study(scheduler, trials=None), ToyCurves(), 5).until(units=40 * TOP)
    run = SimulatedStudy(study(scheduler, trials=None), ToyCurves(), 5).until(
        lambda run: run.units >= 20 * TOP
    )
    check(run)
    longer, found = (dict(zip(*(a.tolist() for a in r.incumbent()), strict=True)) for r in (whole, run))
    assert found == {time: loss for time, loss in longer.items() if time <= run.ended_at}
    assert run.units == (whole.incumbent()[0] <= run.ended_at).sum() > 20 * TOP
    assert run.busy_s == pytest.approx(sum(piece.ended - piece.began for piece in run.pieces))


def test_a_running_trial_is_stopped_at_its_milestone_and_its_worker_is_free_at_once():
    run = SimulatedStudy(study("asha_stopping"), ToyCurves(), 4).until()
    stops = [fact for fact in settled(run) if fact.outcome == "stop"]
    trained = {piece.spec: len(piece.times) for piece in run.pieces}
    assert stops and all(trained[fact.spec] in (1, 3, 9) for fact in stops)
    slow = SimulatedStudy(study("asha_stopping"), ToyCurves(), 4, tick_s=20.0).until()
    late = [len(p.times) for p in slow.pieces if run.history.specs]
    assert any(count not in (1, 3, 9, TOP) for count in late), (
        "with a latency trials run on until they are stopped"
    )


def test_a_crash_costs_all_its_attempts_and_fails_the_trial():
    the_study = replace(study("none", trials=6), retries=2)
    run = SimulatedStudy(the_study, ToyCurves(crash_from=0, crash_at=2), 2, startup_s=10.0).until()
    for fact, piece in zip(settled(run), sorted(run.pieces, key=lambda p: p.spec), strict=True):
        layers = run.history.specs[piece.spec].issue.parameters["layers"]
        assert (fact.outcome, fact.attempts, fact.resource) == ("fail", 3, 2)
        assert piece.ended - piece.began == pytest.approx(10 + 3 * layers + 2 * (10 + layers))
    assert all(trial.failed for trial in run.history.trials)


def test_crashes_in_the_first_unit_take_time_too():
    run = SimulatedStudy(study("asha", trials=20), ToyCurves(crash_from=0, crash_at=0), 4).until()
    assert run.history.closed and run.units == 0 and run.ended_at > 0
    assert run.incumbent()[0].shape == (0,)


def test_a_study_without_a_resource_trains_whole_trainings():
    the_study = replace(study("none", trials=12), resource=None)
    run = SimulatedStudy(the_study, ToyCurves(), 3).until()
    check(run)
    assert run.units == run.full_trainings == len(run.history.trials) == 12
    assert not list(replay(the_study, run.log))


def test_workers_differ_in_speed_where_asked():
    run = SimulatedStudy(study("none", trials=60), ToyCurves(), 6, spread=0.5).until()
    rates = {
        piece.worker: (piece.ended - piece.began) / run.history.specs[piece.spec].issue.parameters["layers"]
        for piece in run.pieces
    }
    assert len({round(rate, 6) for rate in rates.values()}) == 6


@pytest.mark.parametrize("workers", [1, 40])
@pytest.mark.parametrize("scheduler", [name for name in ALL if name not in POPULATIONS])
def test_workers_are_hardly_ever_idle(scheduler, workers):
    world = SimulatedStudy(
        study(scheduler, trials=None), ToyCurves(), workers, tick_s=1.0, startup_s=1.0, spread=0.2
    )
    assert world.until(units=2 * TOP * max(workers, 10)).idle_share < 0.02


@pytest.mark.parametrize("synchronous", [True, False])
def test_a_clone_goes_on_where_its_parent_was_along_its_own_curve(synchronous):
    run = SimulatedStudy(population(synchronous), ToyCurves(), 6, spread=0.3).until()
    clones = [trial for trial in run.history.trials if trial.parent is not None]
    assert len(clones) >= 4
    for trial in clones:
        first = trial.specs[0]
        whole = ToyCurves().curve(trial.parameters, first.issue.to).values
        curve = first.settled.curves["loss"]
        assert [unit for unit, _ in curve] == list(range(first.issue.start + 1, first.issue.to + 1))
        assert [value for _, value in curve] == whole[first.issue.start :].tolist()
    assert run.units == run.history.issued_resource <= 8 * TOP
    assert run.units == 8 * TOP or not synchronous


def test_a_population_that_does_not_wait_for_its_slowest_leaves_workers_less_idle():
    def idle(synchronous):
        return SimulatedStudy(population(synchronous), ToyCurves(), 8, spread=0.5).until().idle_share

    assert idle(False) < idle(True)


def population(synchronous):
    scheduler = {"name": "pbt", "population_size": 8, "interval": 5, "synchronous": synchronous}
    return toy_study(scheduler=scheduler, searcher={"name": "random"}, top=TOP, limits=Limits())
