"""A history as arrays: incremental and from nothing are the same, inside drafts and after them."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_pipe.conformance import simulated, toy_study
from hpo_pipe.observations import Observations, observations, pending, rung_data
from hpo_pipe.rungs import ladder, levels
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.records import Facts, Limits, SettledSpec, StopTrial

STUDY = toy_study(limits=Limits(trials=25))


def afresh(view: View) -> Observations:
    made = Observations(view)
    made.follow(view, range(len(view.history.trials)))
    return made


def same(one: Observations, other: Observations) -> None:
    for name in ("unit", "curves", "reached"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name != "reached"), name


def objective(parameters, resource):
    return {0: math.nan, 1: None}.get(parameters["layers"] % 7, parameters["lr"] / resource)


@given(st.integers(0, 2**32), st.sets(st.integers(0, 60)))
@settings(max_examples=25, deadline=None)
def test_following_is_reading_from_nothing(seed, looks):
    for number, moment in enumerate(simulated(STUDY, objective, seed=seed)):
        view = moment.view
        if number in looks:
            same(observations(view), afresh(view))
        if number in looks and view.history.trials:
            with view.history.draft():
                view.history.fold_facts(moment.facts)
                for decision in moment.entry.decisions:
                    view.history.fold_decision(decision)
                view.history.fold_decision(StopTrial(trial=0, reason="tried out"))
                same(observations(view), afresh(view))
            same(observations(view), afresh(view))
    same(observations(view), afresh(view))


def test_rows_hold_what_the_trials_are_and_reported():
    for moment in simulated(STUDY, objective):
        view = moment.view
        seen = observations(view)
        assert seen.unit.shape == (len(view.history.trials), len(view.space.dimensions))
        for trial in view.history.trials:
            assert np.array_equal(seen.unit[trial.number], view.space.encode(trial.parameters))
            curve = dict(trial.curve("loss"))
            at = {step: view.history.loss(curve[step]) for step in seen.ladder if step in curve}
            row = dict(zip(seen.ladder, seen.curves[trial.number].tolist(), strict=True))
            assert {step: value for step, value in row.items() if not math.isnan(value)} == at
            assert seen.reached[trial.number] == max(curve, default=0)
        assert set(pending(view).tolist()) == {s.issue.trial for s in view.history.open.values()}
    trials, losses = rung_data(view, 0)
    assert [(loss, trial) for trial, loss in zip(trials.tolist(), losses.tolist(), strict=True)] == (
        view.history.rungs[0].ranking
    )


def test_between_two_steps_the_last_report_counts():
    study = toy_study(top=20, scheduler={"name": "none"})
    view = View.of(History(study))
    view.history.fold(next(simulated(study, workers=1)).entry)
    (spec,) = view.history.open
    points = ((1, 0.9), (6, 0.8), (8, 0.7), (14, None), (20, 0.4))
    done = SettledSpec(spec=spec, link=2, outcome="done", curves={"loss": points})
    view.history.fold_facts(Facts(now=1.0, demand=1, settled=(done,)))
    seen = observations(view)
    assert seen.ladder == (1, 2, 3, 4, 5, 7, 9, 12, 17, 20)
    row = seen.curves[0].tolist()
    assert [repr(value) for value in row] == [
        "0.9",
        "nan",
        "nan",
        "nan",
        "nan",
        "0.8",
        "0.7",
        "nan",
        "inf",
        "0.4",
    ]


@given(st.integers(1, 5000), st.integers(2, 10))
def test_a_ladder_rises_ends_with_the_top_and_holds_the_rungs(high, eta):
    rungs = levels(1, high, eta)
    steps = ladder(high, rungs)
    assert list(steps) == sorted(set(steps)) and steps[-1] == high and set(rungs) <= set(steps)
    assert len(steps) <= 2 + len(rungs) + math.log(high + 1, 1.37)
