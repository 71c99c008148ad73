"""A study from Python."""

from __future__ import annotations

import sys

import pandas as pd
import pytest

from hpo_pipe.study import OpenStudy, open_study
from storage_schema.errors import DamagedRecord, StudyNotFound, UserError
from storage_schema.records import SetLimits
from tests.unit.cli.told_study import Teller


@pytest.fixture
def study(told: Teller) -> OpenStudy:
    return open_study(told.url)


def test_best_is_that_of_the_highest_rung(study: OpenStudy) -> None:
    assert (study.best_trial.number, study.best_value, study.best_params) == (
        1,
        0.2,
        {"lr": 0.02, "act": "relu"},
    )


def test_the_dataframe_has_a_row_per_trial_and_typed_parameters(study: OpenStudy) -> None:
    frame = study.trials_dataframe()
    assert list(frame["number"]) == [0, 1, 2, 3, 4, 5]
    assert list(frame["state"]) == ["PAUSED", "PAUSED", "FAILED", "PRUNED", "RUNNING", "WAITING"]
    assert frame["params_lr"].dtype == "float64"
    assert pd.isna(frame.loc[2, "value"])
    assert frame.loc[2, "reason"] == "exit status 1"


def test_without_pandas_it_says_what_to_install(study: OpenStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'hpo-pipe\[pandas\]'"):
        study.trials_dataframe()


def test_learning_curves_from_the_log(study: OpenStudy) -> None:
    rows = study.learning_curves([1]).to_pylist()
    assert [(r["resource"], r["metric"], r["value"]) for r in rows] == [
        (1, "val_loss", 0.3),
        (2, "val_loss", 0.25),
        (3, "val_loss", 0.2),
    ]
    assert study.learning_curves([4]).num_rows == 0
    assert set(study.learning_curves().column("trial").to_pylist()) == {0, 1, 3}


def test_full_learning_curves_hold_every_metric(study: OpenStudy) -> None:
    rows = study.learning_curves([1], full=True).to_pylist()
    assert ("accuracy", 2, 0.9) in [(r["metric"], r["resource"], r["value"]) for r in rows]


def test_an_altered_segment_is_damage(study: OpenStudy, told: Teller) -> None:
    path = next((told.folder / "metrics").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedRecord, match="sha256"):
        study.learning_curves(full=True)


def test_reading_again_sees_what_is_new(study: OpenStudy, told: Teller) -> None:
    assert len(study.trials) == 6
    told.entry(author="user")
    assert study.look().history.head == 4


def test_wait_returns_when_time_is_up_or_the_study_has_ended(study: OpenStudy) -> None:
    assert study.wait(timeout=0) is False


def test_limits_set_from_python_keep_the_others(study: OpenStudy) -> None:
    from dataclasses import replace

    entry = study.set_limits(lambda limits: replace(limits, target=0.01))
    assert entry is not None
    decision = entry.decisions[0]
    assert isinstance(decision, SetLimits)
    assert (decision.limits.trials, decision.limits.target) == (20, 0.01)


def test_mistakes_are_named(study: OpenStudy, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(UserError, match="did you mean 'lr'"):
        study.enqueue({"lrr": 0.1})
    with pytest.raises(UserError, match="at least one"):
        study.enqueue({})
    with pytest.raises(UserError, match="0 to 5"):
        study.learning_curves([77])
    with pytest.raises(StudyNotFound):
        open_study(tmp_path_factory.mktemp("empty"))
