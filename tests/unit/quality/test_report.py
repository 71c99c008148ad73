"""What the tables are computed from, and what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.quality.accounting import SHARES, percent
from tests.benchmarks.quality.report import differences, many_workers, quality, report
from tests.benchmarks.quality.statistics import Mean, first_below, paired

TASKS = ("lcbench:a", "lcbench:b", "lcbench:c", "taskset:a", "taskset:b")


def row(tuner, task, seed, regret, workers=8, steps=(), idle=0.01):
    by_share = {percent(share): regret for share in SHARES}
    return {
        "tuner": tuner,
        "task": task,
        "seed": seed,
        "workers": workers,
        "budget": 50.0,
        "epochs": by_share,
        "clock": by_share,
        "steps": list(steps),
        "idle": idle,
        "trials": 100,
        "cpu_s": 1.5,
        "version": "1.0",
    }


def test_tasks_count_alike_and_the_error_is_that_of_the_seeds():
    found = Mean.of({"a": {0: 1.0, 1: 3.0}, "b": {0: 10.0, 1: 10.0, 2: 10.0, 3: 10.0}})
    assert found.mean == 6.0
    assert found.error == pytest.approx(math.sqrt(2 / 2) / 2)
    assert math.isnan(Mean.of({"a": {0: 1.0, 1: 3.0}, "b": {0: 1.0}}).error)


def test_pairs_are_of_the_same_task_and_seed():
    one = {"a": {0: 1.0, 1: 2.0, 5: 99.0}, "b": {0: 3.0}, "c": {0: 50.0}}
    other = {"a": {0: 2.0, 1: 3.0, 7: -99.0}, "b": {0: 4.0}, "d": {0: 0.0}}
    found = paired(one, other)
    assert (found.mean, found.low, found.high, found.pairs) == (-1.0, -1.0, -1.0, 3)
    assert found.share == pytest.approx(-1 / 3.25)
    assert paired({"a": {0: 1.0}}, {"a": {1: 1.0}}) is None


def test_the_interval_is_that_of_a_bootstrap_of_tasks_and_of_the_pairs_within():
    rng = np.random.default_rng(1)
    clusters = [rng.normal(shift, 0.3, size) for shift, size in ((0.5, 4), (-0.2, 10), (0.1, 7), (0.9, 2))]
    one = {str(t): dict(enumerate(each.tolist())) for t, each in enumerate(clusters)}
    other = {t: dict.fromkeys(seeds, 0.0) for t, seeds in one.items()}
    means = []
    for _ in range(4000):
        drawn = [clusters[t] for t in rng.integers(4, size=4)]
        means.append(np.mean([rng.choice(each, len(each)).mean() for each in drawn]))
    found = paired(one, other)
    assert (found.low, found.high) == pytest.approx(np.percentile(means, (2.5, 97.5)), abs=0.03)
    alone = paired({"0": one["0"]}, other)
    assert alone.high - alone.low < 0.7 * (found.high - found.low), "tasks differ more than seeds"


@given(
    st.lists(
        st.lists(
            st.lists(st.tuples(st.integers(1, 20), st.integers(1, 9)), max_size=6), min_size=1, max_size=3
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, 10),
)
def test_the_mean_of_step_functions_falls_below_a_goal(drawn, goal):
    curves = {
        str(task): [
            list(
                zip(sorted({t for t, _ in steps}), sorted((v for _, v in steps), reverse=True), strict=False)
            )
            for steps in seeds
        ]
        for task, seeds in enumerate(drawn)
    }

    def mean(time):
        at = [
            [min((value for when, value in steps if when <= time), default=10.0) for steps in seeds]
            for seeds in curves.values()
        ]
        return np.mean([np.mean(values) for values in at])

    times = [time for time in range(1, 21) if mean(time) <= goal + 1e-9 and goal < 10]
    if goal < 10:
        assert first_below(curves, 10.0, goal) == (times[0] if times else math.inf)


def test_what_happens_at_one_moment_counts_together():
    curves = {"a": [[(1.0, 12.0), (2.0, 9.0)]], "b": [[(1.0, 9.0)]]}
    assert first_below(curves, 10.0, 9.5) == 2.0


def test_the_best_at_the_end_comes_first_and_missing_tasks_are_told():
    rows = [row("poor", t, s, 0.5 + 0.1 * s) for t in TASKS for s in range(2)]
    rows += [row("good", t, s, 0.2) for t in TASKS for s in range(2)]
    rows += [row("partial", TASKS[0], 0, 0.01)]
    lines = list(quality(rows, "epochs", TASKS))
    assert [line[:2] for line in lines] == [["good", "10"], ["poor", "10"], ["partial (1 of 5 tasks)", "1"]]
    assert lines[0][-1] == "0.200 ± 0.000" and lines[1][-1] == "0.550 ± 0.022" and lines[2][-1] == "0.010"
    assert next(differences(rows, "epochs", "poor")) == [
        "good",
        "10",
        *["-0.350 [-0.380, -0.320] -64 %"] * 4,
    ]


def test_how_soon_with_many_workers():
    slow, quick = [[0.1, 0.1, 0.9], [0.9, 0.8, 0.2]], [[0.1, 0.1, 0.9], [0.2, 0.25, 0.1], [1.4, 1.4, 0.0]]
    rows = [row("asha", t, 0, 0.2, 8, slow) for t in TASKS] + [
        row("quick", t, 0, 0.1, 8, quick) for t in TASKS
    ]
    rows += [row("asha", TASKS[0], 0, 0.05, 64, slow), row("quick", TASKS[0], 0, 0.1, 64, quick)]
    rows += [row("new", TASKS[1], 0, 0.1, 64, quick, idle=0.5)]
    assert list(many_workers(rows, (8, 64), "asha")) == [
        ["asha", "80", "1.00", "never", "1.00"],
        ["quick", "25", "1.00", "never", "1.00"],
        ["new", "-", "-", "-", "-"],
    ]


def test_both_halves_are_told_apart(capsys):
    rows = [row("asha", t, s, 0.1 if t.endswith(("a", "c")) else 0.3) for t in TASKS for s in range(2)]
    report(rows, TASKS, TASKS, base="asha", target="asha")
    said = capsys.readouterr().out
    parts = said.split("## ")
    assert [part.splitlines()[0] for part in parts[1:]] == [
        "All 5 tasks, 8 workers, budget 50 full trainings",
        "3 tasks of the tuning half, 8 workers, budget 50 full trainings",
        "2 tasks of the held-out half, 8 workers, budget 50 full trainings",
        "What it cost, 8 workers",
    ]
    assert "0.180" in parts[1] and "0.100" in parts[2] and "0.300" in parts[3]
    report([], TASKS, TASKS, base="asha", target="asha")
    assert "no such runs" in capsys.readouterr().out
