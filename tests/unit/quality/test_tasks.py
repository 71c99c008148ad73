"""The tasks answer what their sources answer."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.quality.tasks import EPOCHS, LCBENCH, SIZES, TASKSET_SPACE, tasks

USUAL = {
    "batch_size": 64,
    "learning_rate": 0.01,
    "momentum": 0.9,
    "weight_decay": 1e-3,
    "num_layers": 3,
    "max_units": 256,
    "max_dropout": 0.2,
}
CORNER = {
    "batch_size": 512,
    "learning_rate": 1e-4,
    "momentum": 0.1,
    "weight_decay": 0.1,
    "num_layers": 1,
    "max_units": 64,
    "max_dropout": 1.0,
}


@pytest.mark.parametrize(
    ("task", "parameters", "accuracies", "seconds", "regret"),
    [
        ("lcbench:167104", USUAL, (0.73022, 0.88649, 0.91244), (1.345, 15.887, 62.359), 0.2092),
        ("lcbench:167104", CORNER, (0.56795, 0.53068, 0.511), (0.104, 1.045, 4.556), 3.0122),
        ("lcbench:189908", USUAL, (0.81712, 0.8683, 0.89265), (16.165, 163.119, 761.082), 0.4002),
        ("lcbench:189908", CORNER, (0.12951, 0.55653, 0.70661), (11.879, 43.541, 195.189), 1.85),
    ],
)
def test_lcbench_answers_as_the_published_network_does(task, parameters, accuracies, seconds, regret):
    found = tasks()[task]
    curve = found.curve(parameters, EPOCHS)
    assert [1 - curve.values[e - 1] for e in (1, 9, 50)] == pytest.approx(accuracies, abs=2e-5)
    assert [curve.seconds[e - 1] for e in (1, 9, 50)] == pytest.approx(seconds, abs=2e-3)
    assert found.regret(curve.values[-1]) == pytest.approx(regret, abs=2e-4)


def test_a_short_curve_is_the_beginning_of_the_long_one_and_time_goes_on():
    task = tasks()["lcbench:168330"]
    whole = task.curve(USUAL, EPOCHS)
    for units in (1, *SIZES):
        part = task.curve(USUAL, units)
        assert len(part.values) >= units
        assert part.values[:units] == pytest.approx(whole.values[:units], abs=1e-5)
        assert part.seconds[:units] == pytest.approx(whole.seconds[:units], rel=1e-4)
    assert (np.diff(whole.seconds) > 0).all()


def test_regret_is_0_at_the_best_known_and_1_at_the_median():
    for name, task in tasks().items():
        assert (task.regret(task.best), task.regret(task.median)) == (0, 1), name
        assert task.median_s > 0


def test_taskset_is_answered_by_the_nearest_row_and_what_diverged_is_1(tmp_path):
    name = "imdb_patch32_GRU128_bs128"
    hps = np.tile([1e-3, 0.9, 0.999, 1e-8, 1e-8, 1e-8, 1e-7, 1e-6], (4, 1))
    hps[:, 0] = (1e-8, 1e-3, 1e1, 1e-3)
    hps[3, 1] = 0.1
    losses = np.full((4, EPOCHS + 1), 0.5)
    losses[1] = np.linspace(0.7, 0.2, EPOCHS + 1)
    losses[2, 4:] = np.nan
    losses[2, 3] = 7.0
    np.savez(tmp_path / "taskset.npz", task_names=np.array([name]), hps=hps, **{f"valid:{name}": losses})
    found = tasks(tmp_path)
    assert list(found) == [*(f"lcbench:{each}" for each in LCBENCH), f"taskset:{name}"]
    task = found[f"taskset:{name}"]
    usual = dict(zip((p["name"] for p in TASKSET_SPACE), [2e-3, 0.1, 0.001, *hps[0, 3:]], strict=True))
    curve = task.curve(usual, EPOCHS)
    assert curve.values == pytest.approx(losses[1, 1:])  # the table's first column is the untrained network
    assert curve.seconds.tolist() == list(range(1, EPOCHS + 1))
    assert task.curve(usual | {"one_minus_beta1": 0.9}, 9).values[:9].tolist() == [0.5] * 9
    diverged = task.curve(usual | {"learning_rate": 5.0}, 9).values
    assert diverged[:5].tolist() == [0.5, 0.5, 1.0, 1.0, 1.0]
