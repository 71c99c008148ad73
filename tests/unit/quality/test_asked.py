"""The peers' simulator: time, checkpoints, stops and idle workers."""

from __future__ import annotations

import numpy as np
import pytest

from hpo_pipe.simulate.curves import Curve
from tests.benchmarks.quality.accounting import Goal, Ran, at_epochs, at_time, measured
from tests.benchmarks.quality.asked import AskedStudy, Job
from tests.unit.quality.worlds import small_task


class Line:
    """A task whose loss falls by 1 each epoch from a configuration's start; an epoch takes its pace."""

    def curve(self, parameters, units):
        epochs = np.arange(1.0, units + 3)
        return Curve(parameters["start"] - epochs, epochs * parameters["pace"])


class Script:
    """Asks for what it is given, in order, and notes what it is told; goes on below a loss."""

    def __init__(self, *jobs, below=-np.inf):
        self.jobs, self.told, self.below = list(jobs), [], below

    def ask(self):
        return self.jobs.pop(0) if self.jobs else None

    def tell(self, job, epoch, loss):
        self.told.append((job.key, epoch, loss))
        return loss < self.below


def job(key, target, start=10.0, pace=1.0, stops=()):
    return Job({"start": start, "pace": pace}, key, target, stops)


def test_a_configuration_goes_on_from_its_checkpoint_and_pays_new_epochs_only():
    tuner = Script(job("a", 3), job("a", 9), job("a", 5))
    ran = AskedStudy(tuner, Line(), 1).until(lambda epochs, now: epochs >= 9)
    assert tuner.told == [("a", 3, 7.0), ("a", 9, 1.0), ("a", 5, 5.0)]  # the last one costs nothing
    assert ran.times.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert (ran.ended_at, ran.idle, ran.trials) == (9.0, 0.0, 1)


def test_a_job_is_told_at_its_stops_and_ended_where_the_tuner_says_so():
    tuner = Script(
        job("good", 9, start=5.0, stops=(1, 3, 9)), job("bad", 9, start=50.0, stops=(1, 3)), below=10
    )
    ran = AskedStudy(tuner, Line(), 2).until(lambda epochs, now: epochs >= 10)
    assert tuner.told == [("good", 1, 4.0), ("bad", 1, 49.0), ("good", 3, 2.0), ("good", 9, -4.0)]
    assert len(ran.times) == 10
    assert ran.idle == pytest.approx(1 - 10 / 18)  # the second worker waited from 1 to 9


def test_a_job_that_was_ended_goes_on_from_where_it_was_ended():
    tuner = Script(job("a", 9, stops=(3,)), job("a", 9))
    ran = AskedStudy(tuner, Line(), 1).until(lambda epochs, now: epochs >= 9)
    assert tuner.told == [("a", 3, 7.0), ("a", 9, 1.0)] and ran.ended_at == 9.0


def test_all_that_happens_at_one_moment_is_told_before_anybody_asks():
    class Watched(Script):
        def ask(self):
            self.told.append("asked")
            return super().ask()

    tuner = Watched(job("a", 2), job("b", 2, pace=0.5), job("c", 1))
    AskedStudy(tuner, Line(), 2).until(lambda epochs, now: epochs >= 5)
    told = [each if each == "asked" else each[0] for each in tuner.told]
    assert told == ["asked", "asked", "b", "asked", "a", "c", "asked"]


def test_what_is_under_way_at_the_end_counts_as_far_as_it_is_finished():
    tuner = Script(job("short", 4), job("long", 9, pace=1.5))
    ran = AskedStudy(tuner, Line(), 2).until(lambda epochs, now: now >= 4)
    assert ran.times.tolist() == [1.0, 1.5, 2.0, 3.0, 3.0, 4.0]
    assert ran.idle == 0.0


def test_nobody_waits_for_ever():
    with pytest.raises(RuntimeError, match="idle"):
        AskedStudy(Script(job("a", 1)), Line(), 2).until(lambda epochs, now: False)
    with pytest.raises(RuntimeError, match="already"):
        AskedStudy(Script(*[job("a", 1)] * 20_000), Line(), 1).until(lambda epochs, now: False)


def test_of_epochs_at_one_moment_the_worst_counts_first():
    pieces = [(np.array([1.0, 2.0]), np.array([3.0, 1.0])), (np.array([1.0, 2.0]), np.array([4.0, 2.0]))]
    for order in (pieces, pieces[::-1]):
        assert Ran.of(order, 2.0, 0.0, 2).losses.tolist() == [4.0, 3.0, 2.0, 1.0]


def test_regret_over_epochs_and_over_time():
    task = small_task(True)  # best 0, median 0.25: a regret is four losses
    ran = Ran.of([(np.array([1.0, 3.0, 4.0]), np.array([0.5, 0.5, 0.125]))], 4.0, 0.25, 1)
    assert [at_epochs(task, ran, count) for count in (0, 1, 2, 3, 99)] == [1.0, 2.0, 2.0, 0.5, 0.5]
    assert [at_time(task, ran, second) for second in (0.5, 1.0, 3.9, 4.0)] == [1.0, 2.0, 2.0, 0.5]
    row = measured(task, ran, Goal(epochs=4, seconds=8.0))
    assert row["epochs"] == {"2": 1.0, "5": 1.0, "10": 1.0, "25": 2.0, "50": 2.0, "100": 0.5}
    assert row["clock"] == {"2": 1.0, "5": 1.0, "10": 1.0, "25": 2.0, "50": 0.5, "100": 0.5}
    assert row["steps"] == [[0.25, 0.125, 2.0], [0.75, 0.5, 0.5]]
    assert (row["idle"], row["trials"], row["trained"], row["lasted"]) == (0.25, 1, 0.75, 0.5)


def test_a_search_ends_when_both_budgets_are_spent_or_far_past_the_epochs():
    goal = Goal.of(small_task(True), 2, 4)
    assert (goal.epochs, goal.seconds) == (100, 25.0)
    assert [goal.reached(*spent) for spent in ((100, 24.9), (99, 30.0), (100, 25.0), (150, 1.0))] == [
        False,
        False,
        True,
        True,
    ]
