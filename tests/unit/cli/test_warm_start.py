"""Starting from other studies through the command line, in folders."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hpo_pipe.study import create_study, open_study
from hpo_pipe.transfer import gather
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.keys import SpecId
from storage_schema.records import Metric
from storage_schema.store import open_store
from tests.unit.cli.conftest import Run
from tests.unit.cli.told_study import STUDY_RECORD, Teller, done, issue, told_study

PARAMETERS = """
[parameters]
lr = { type = "float", min = 0.001, max = 1.0, log = true }
act = { type = "categorical", values = ["relu", "tanh"] }
"""
DEFINITION = """
name = "child"
command = ["python", "train.py"]

[metric]
name = "val_loss"
{parameters}
[resource]
max = 9

[algorithm]
searcher = "{searcher}"

[limits]
trials = 5

[warm_start]
studies = ["{url}"]
{more}
"""
SAME = 'mode = "identical"'


def write(
    folder: Path, url: object, more: str = "", parameters: str = PARAMETERS, searcher: str = "rgpe"
) -> Path:
    path = folder / "child.toml"
    path.write_text(DEFINITION.format(url=url, more=more, parameters=parameters, searcher=searcher))
    return path


def test_create_says_what_was_taken_over(run: Run, tmp_path: Path, told: Teller) -> None:
    parameters = """
[parameters]
lr = { type = "float", min = 0.015, max = 1.0, log = true }
width = { type = "int", min = 1, max = 9 }
"""
    created = run("create", write(tmp_path, told.url, parameters=parameters), tmp_path / "s")
    assert created.exit_code == 0, created.stderr
    assert "warm start (transfer): 4 results of 1 study taken over" in created.stderr
    for line in (
        "4 of 4 results of told",
        "unknown here, left out: act (4)",
        "missing there, a default stands in: width (4)",
        "moved to the nearest value here: lr (1)",
    ):
        assert line in created.stderr
    study = open_study(tmp_path / "s").definition
    assert study.warm_start is not None
    (source,) = study.warm_start.sources
    assert (source.url, source.name, source.head, source.rungs) == (told.url, "told", 3, (1, 3, 9))
    assert [r.trial for r in source.results] == [1, 0, 3, 2]
    assert source.first == (1,)
    assert source.results[0].parameters == {"lr": 0.02, "width": 5}
    assert source.results[0].curves == {"val_loss": ((1, 0.3), (3, 0.2))}
    assert source.results[3].failed and not source.results[3].curves
    assert "sources   transfer: 4 results of" in run("status", tmp_path / "s").stdout
    assert (
        json.loads(run("status", tmp_path / "s", "--json").stdout)["warm_start"]["studies"][0]["results"] == 4
    )


def test_other_studies_are_read_once_and_may_go(run: Run, tmp_path: Path, told: Teller) -> None:
    path = write(tmp_path, told.url)
    assert run("create", path, tmp_path / "s", "--seed", 1).exit_code == 0
    before = (tmp_path / "s" / "study.json").read_bytes()
    first = run("coordinator", tmp_path / "s", "--once")
    shutil.rmtree(told.folder)
    again = run("create", path, tmp_path / "s")
    assert (again.exit_code, "exists already, and is the same" in again.stderr) == (0, True), again.stderr
    assert (tmp_path / "s" / "study.json").read_bytes() == before
    assert first.exit_code == run("coordinator", tmp_path / "s", "--once").exit_code == 0
    trials = open_study(tmp_path / "s").trials
    assert (trials[0].origin, trials[0].params) == ("warm_start", {"lr": 0.02, "act": "relu"})
    assert "trial 1 there: val_loss 0.2 at epoch 3" in run("why", tmp_path / "s", 0).stdout
    assert "0 of them otherwise" in run("replay", tmp_path / "s").output
    path = write(tmp_path, told.url, "best_first = 2")
    other = run("create", path, tmp_path / "s")
    assert (other.exit_code, "warm_start.best_first: 1 there, 2 in" in other.stderr) == (2, True)


def test_reading_changes_nothing_there(run: Run, tmp_path: Path, told: Teller) -> None:
    def picture() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in told.folder.rglob("*") if p.is_file()}

    before = picture()
    assert run("create", write(tmp_path, told.url, SAME), tmp_path / "s").exit_code == 0
    assert picture() == before


def test_the_best_may_be_a_parents(run: Run, tmp_path: Path, told: Teller) -> None:
    assert run("create", write(tmp_path, told.url, SAME), tmp_path / "s").exit_code == 0
    best = run("best", tmp_path / "s")
    assert best.stdout.splitlines() == ["lr=0.02", "act=relu"]
    assert f"trial 1 of study {told.url}: val_loss 0.2 at epoch 3" in best.stderr
    found = json.loads(run("best", tmp_path / "s", "--json").stdout)
    assert (found["study"], found["number"], found["value"], found["rung"]) == (told.url, 1, 0.2, 1)
    status = run("status", tmp_path / "s").stdout
    assert f"best      trial 1 of study {told.url}" in status
    assert "best here nothing yet" in status
    assert open_study(tmp_path / "s").best_value == 0.2
    transfer = run("create", write(tmp_path, told.url), tmp_path / "t")
    assert transfer.exit_code == 0
    assert run("best", tmp_path / "t").exit_code == 1


def test_a_better_one_of_its_own_is_the_best(run: Run, tmp_path: Path, told: Teller) -> None:
    create_study(tmp_path / "s", write(tmp_path, told.url, SAME))
    child = Teller.__new__(Teller)
    child.store, child._head, child._now = open_store(str(tmp_path / "s")), -1, 0.0
    first = child.entry(issue(0, 0, 3, 1, "new"))
    child.entry(settled=(done(SpecId(first, 0), (1, 0.5), (3, 0.1)),))
    assert "trial 0: val_loss 0.1 at epoch 3" in run("best", tmp_path / "s").stderr
    assert "study" not in json.loads(run("best", tmp_path / "s", "--json").stdout)


def refusal(run: Run, folder: Path, path: Path) -> str:
    result = run("create", path, folder / "child-study")
    assert result.exit_code == 2, result.output
    assert not (folder / "child-study").exists(), "nothing is created, and the store is not even tried"
    return result.stderr


def test_mistakes_name_the_study_and_what_would_be_right(run: Run, tmp_path: Path, told: Teller) -> None:
    def said(url: object = told.url, **more: str) -> str:
        return refusal(run, tmp_path, write(tmp_path, url, **more))

    assert "warm_start.studies[0]" in said(tmp_path / "tolt")
    assert "no study at" in said(tmp_path / "tolt")
    assert "(did you mean 'told'?)" in said(tmp_path / "tolt")
    assert "no store for s4://" in said("s4://bucket/x")
    assert "a study cannot start from itself" in said(tmp_path / "child-study")
    other = PARAMETERS.replace("act", "acts").replace("max = 1.0", "max = 0.5")
    lines = said(more=SAME, parameters=other)
    assert "parameters.acts: not there (did you mean 'act'?)" in lines
    assert "parameters.act: not here" in lines
    assert "parameters.lr.max: 1.0 there, 0.5 here" in lines
    far = PARAMETERS.replace("max = 1.0", "max = 0.002")
    assert "none of its 4 results fits this space" in said(parameters=far)
    empty = Teller(tmp_path / "empty", STUDY_RECORD)
    assert "it has no value of val_loss yet" in said(empty.url)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "study.json").write_bytes(b"{")
    assert "it cannot be read: study.json" in said(tmp_path / "damaged")


@pytest.mark.parametrize(
    ("metrics", "mode", "line"),
    [
        ((Metric(name="val_los"), Metric(name="acc")), "", "(did you mean 'val_los'?); it has val_los, acc"),
        (
            (Metric(name="val_loss", goal="maximize"),),
            "",
            "it maximizes val_loss, and this study minimizes it",
        ),
        (
            (Metric(name="acc", goal="maximize"), Metric(name="val_loss")),
            SAME,
            "objectives: maximize acc there",
        ),
        ((Metric(name="val_loss", max=3.0),), SAME, "bounds: val_loss within [None, 3.0] there, none here"),
    ],
)
def test_other_metrics_are_refused(
    run: Run, tmp_path: Path, metrics: tuple[Metric, ...], mode: str, line: str
) -> None:
    other = Teller(tmp_path / "other", replace(STUDY_RECORD, metrics=metrics))
    assert line in refusal(run, tmp_path, write(tmp_path, other.url, mode))


def test_a_metric_that_is_only_recorded_there_will_do(run: Run, tmp_path: Path) -> None:
    metrics = (Metric(name="acc", goal="maximize"), Metric(name="val_loss"))
    other = Teller(tmp_path / "other", replace(STUDY_RECORD, metrics=metrics))
    first = other.entry(issue(0, 0, 3, 1, "new"))
    other.entry(settled=(done(SpecId(first, 0), (1, 0.5), (3, 0.1)),))
    assert run("create", write(tmp_path, other.url), tmp_path / "s").exit_code == 0


def test_a_study_of_one_with_a_resource_and_one_without(run: Run, tmp_path: Path) -> None:
    without = replace(STUDY_RECORD, resource=None, scheduler={"name": "none"})
    other = Teller(tmp_path / "other", without)
    first = other.entry(*(issue(trial, 0, 1, 0, "new") for trial in range(3)))
    other.entry(settled=tuple(done(SpecId(first, k), (1, 0.5), (7, 0.1 * k)) for k in range(3)))
    assert run("create", write(tmp_path, other.url), tmp_path / "s").exit_code == 0
    warm = open_study(tmp_path / "s").definition.warm_start
    assert warm is not None
    assert [r.curves["val_loss"] for r in warm.sources[0].results] == [((1, 0.0),), ((1, 0.1),), ((1, 0.2),)]
    assert "resource: none there, epoch here" in refusal(run, tmp_path, write(tmp_path, other.url, SAME))


def test_what_is_taken_over_keeps_within_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Teller(tmp_path / "other", STUDY_RECORD)
    first = other.entry(*(issue(trial, 0, 1, 0, "new") for trial in range(90)))
    other.entry(settled=tuple(done(SpecId(first, k), (1, 1.0 / (1 + k))) for k in range(90)))
    monkeypatch.setattr(gather, "MAX_BYTES", 3000)
    study = create_study(tmp_path / "s", write(tmp_path, other.url)).definition
    assert study.warm_start is not None
    kept = [r.trial for r in study.warm_start.sources[0].results]
    assert 10 <= len(kept) <= 30
    assert kept[: len(kept) // 2] == list(range(89, 89 - len(kept) // 2, -1)), "the better half"
    assert len(study.to_bytes()) < 6000


def test_sagemakers_names_and_python(tmp_path: Path, told: Teller) -> None:
    path = write(tmp_path, told.url, 'mode = "IdenticalDataAndAlgorithm"', searcher="gp")
    study = create_study(tmp_path / "s", path).definition
    assert study.warm_start is not None and study.warm_start.mode == "identical"
    view = View.of(History(study))
    from hpo_pipe.transfer.rows import parents_of

    assert parents_of(view) == 4
    two = told_study(tmp_path / "told2")
    path = write(tmp_path, f'{told.url}", "{two.url}')
    warm = create_study(tmp_path / "t", path).definition.warm_start
    assert warm is not None and [s.url for s in warm.sources] == [told.url, two.url]
