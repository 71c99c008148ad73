"""Mistakes in requests: file, path, what was found, what is allowed, the nearest name; all of them at once."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from click.testing import CliRunner

from hpo_pipe.cli.group import cli
from hpo_pipe.tuning_job import import_tuning_job, load_request
from hpo_pipe.tuning_job.metrics import first_group
from storage_schema.errors import StudyFileError
from tests.unit.tuning_job.requests import CONFIG, DEFINITION, changed, definition, everything, small

INTEGER = (CONFIG, "ParameterRanges", "IntegerParameterRanges")
REAL = (CONFIG, "ParameterRanges", "ContinuousParameterRanges")
LISTED = (CONFIG, "ParameterRanges", "CategoricalParameterRanges")
HYPERBAND = (CONFIG, "StrategyConfig", "HyperbandStrategyConfig")
METRICS = (DEFINITION, "AlgorithmSpecification", "MetricDefinitions")
CRITERIA = (CONFIG, "TuningJobCompletionCriteria")


def between(low: Any, high: Any, scale: str = "Linear", name: str = "x") -> list[dict[str, Any]]:
    return [{"Name": name, "MinValue": low, "MaxValue": high, "ScalingType": scale}]


def said(request: dict[str, Any], **options: Any) -> str:
    with pytest.raises(StudyFileError) as caught:
        import_tuning_job(request, "job.json", **options)
    text = str(caught.value)
    assert all(line.startswith("job.json: ") for line in text.splitlines())
    return text


MISTAKES: list[tuple[tuple[Any, ...], Any, str]] = [
    (
        (CONFIG, "Strategy"),
        "Bayes",
        "Strategy is 'Bayes', expected Bayesian or Random or Hyperband or Grid (did",
    ),
    ((CONFIG, "Strategy"), ..., "Strategy is missing, expected Bayesian or"),
    ((CONFIG, "RandomSed"), 1, "Config.RandomSed is not known (did you mean 'RandomSeed'?)"),
    ((CONFIG, "RandomSeed"), -1, "RandomSeed is -1, expected an integer of at least 0"),
    ((CONFIG, "RandomSeed"), True, "RandomSeed is True, expected an integer"),
    (("HyperParameterTuningJobName",), "a_b", "JobName is 'a_b', expected text that matches"),
    (("HyperParameterTuningJobName",), "a" * 33, "JobName has 33 characters, expected 1 to 32"),
    (
        (CONFIG, "ResourceLimits", "MaxRuntimeInSeconds"),
        60,
        "is 60, expected an integer from 120 to 15768000",
    ),
    ((CONFIG, "ResourceLimits", "MaxParallelTrainingJobs"), 0, "is 0, expected an integer of at least 1"),
    ((CONFIG, "ResourceLimits"), ..., "ResourceLimits is missing, expected an object"),
    ((CONFIG, "ResourceLimits"), None, "ResourceLimits is 'null', expected an object with MaxNumberOf"),
    (INTEGER, between(1, "8"), '[0].MinValue is 1, expected a string: "1"'),
    (INTEGER, between("1", "8.5"), "[0].MaxValue is '8.5', expected an integer up to 2^53, as text"),
    (
        INTEGER,
        between("1", "1" + "0" * 20),
        "[0].MaxValue is '100000000000000000000', expected an integer up",
    ),
    (INTEGER, between("8", "1"), "[0].MaxValue is '1', expected at least MinValue (8)"),
    (INTEGER, between("0", "8", "Logarithmic"), "[0].MinValue is '0', expected more than 0, for ScalingType"),
    (
        INTEGER,
        between("0", "8", "ReverseLogarithmic"),
        "[0].ScalingType is 'ReverseLogarithmic', expected Auto",
    ),
    (
        INTEGER,
        between("1", "8", "Log"),
        "[0].ScalingType is 'Log', expected Auto or Linear or Logarithmic or",
    ),
    (INTEGER, between("1", "8", name="1x"), "[0].Name is '1x', expected a name of 1 to 100 letters"),
    (
        INTEGER,
        between("1", "8", name="optimizer"),
        "CategoricalParameterRanges[0].Name is 'optimizer', expected d",
    ),
    (INTEGER, between("1", "8") * 31, "IntegerParameterRanges has 31 items, expected at most 30"),
    (INTEGER, {"Name": "x"}, "IntegerParameterRanges is a table, expected an array"),
    (REAL, between("nan", "1"), "[0].MinValue is 'nan', expected a finite number, as text"),
    (REAL, between("0", "1e999"), "[0].MaxValue is '1e999', expected a finite number, as text"),
    (REAL, between("-1e308", "1e308"), "[0].MaxValue is '1e308', expected a range that a double can hold"),
    (REAL, between("-1", "1", "Logarithmic"), "[0].MinValue is '-1', expected more than 0"),
    (REAL, between("0", "1", "ReverseLogarithmic"), "[0].MaxValue is '1', expected from 0 to less than 1"),
    (
        REAL,
        between("-.5", ".5", "ReverseLogarithmic"),
        "[0].MinValue is '-.5', expected from 0 to less than 1",
    ),
    (LISTED, [{"Name": "x", "Values": []}], "[0].Values has 0 items, expected 1 to 30"),
    (
        LISTED,
        [{"Name": "x", "Values": ['"a"', "a"]}],
        "[0].Values is ['\"a\"', 'a'], expected different values",
    ),
    (LISTED, [], "ParameterRanges is missing, expected ranges"),
    (HYPERBAND, {"MaxResource": 9}, "StrategyConfig is a table, expected none, for Strategy is Random"),
    (
        (DEFINITION, "StaticHyperParameters"),
        {"optimizer": "sgd"},
        "optimizer is 'optimizer', expected different",
    ),
    ((DEFINITION, "StaticHyperParameters"), {"epochs": 3}, 'epochs is 3, expected a string: "3"'),
    ((DEFINITION, "RoleArn"), "role", "RoleArn has 4 characters, expected 20 to 2048"),
    ((DEFINITION, "RoleArn"), "arn:aws:iam::12:role/sagemaker", "expected text that matches arn:aws"),
    (
        (DEFINITION, "ResourceConfig"),
        {"InstanceType": "g5.xlarge"},
        "expected an instance type such as ml.g5.x",
    ),
    ((DEFINITION, "Environment"), {"A": "x" * 600}, "Environment.A has 600 characters, expected at most 512"),
    ((DEFINITION, "TuningObjective"), {"Type": "Minimize", "MetricName": "l"}, "expected nothing, for Hyper"),
    (
        (CONFIG, "HyperParameterTuningJobObjective"),
        ...,
        "Objective is missing, expected it, or TrainingJobDefi",
    ),
    (
        (CONFIG, "HyperParameterTuningJobObjective", "MetricName"),
        "los",
        "MetricDefinitions, loss (did you mean",
    ),
    (
        (CONFIG, "HyperParameterTuningJobObjective", "Type"),
        "min",
        "Type is 'min', expected Maximize or Minimize",
    ),
    (
        METRICS,
        [{"Name": "loss", "Regex": "loss=("}],
        "[0].Regex is 'loss=(', expected a regular expression (",
    ),
    (METRICS, [{"Name": "loss", "Regex": "loss"}], "[0].Regex is 'loss', expected a group around the number"),
    (METRICS, [{"Name": "resource", "Regex": "(.)"}], "[0].Name is 'resource', expected 1 to 200 printable"),
    (METRICS, [{"Name": "loss", "Regex": "(.)"}] * 2, "[1].Name is 'loss', expected different names"),
    (
        (*CRITERIA, "BestObjectiveNotImproving", "MaxNumberOfTrainingJobsNotImproving"),
        2,
        "is 2, expected an inte",
    ),
    (
        (*CRITERIA, "ConvergenceDetected", "CompleteOnConvergence"),
        "On",
        "is 'On', expected Disabled or Enabled",
    ),
    (
        ("WarmStartConfig", "WarmStartType"),
        "Transfer",
        "is 'Transfer', expected IdenticalDataAndAlgorithm or",
    ),
    (
        ("WarmStartConfig", "ParentHyperParameterTuningJobs"),
        [{}],
        "[0].HyperParameterTuningJobName is missing",
    ),
    ((DEFINITION,), ..., "TrainingJobDefinition and TrainingJobDefinitions are both missing, expected one"),
    (("TrainingJobDefinitions",), [definition()], "and TrainingJobDefinitions are both there, expected one"),
]


@pytest.mark.parametrize(("path", "value", "words"), MISTAKES, ids=[words[:40] for _, _, words in MISTAKES])
def test_a_mistake_is_named(path: tuple[Any, ...], value: Any, words: str) -> None:
    request = small()
    if path[0] == "WarmStartConfig":
        request["WarmStartConfig"] = {
            "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "parent"}],
            "WarmStartType": "TransferLearning",
        }
    assert words in said(changed(request, value, *path))


def test_all_mistakes_are_told_at_once() -> None:
    request = changed(small(), "Bayes", CONFIG, "Strategy")
    request = changed(request, 0, CONFIG, "ResourceLimits", "MaxParallelTrainingJobs")
    assert len(said(changed(request, "x", DEFINITION, "RoleArn")).splitlines()) == 3
    request = changed(small(), between("8", "1"), *INTEGER)
    assert len(said(changed(request, between("a", "1", name="y"), *REAL)).splitlines()) == 2


def test_grid_takes_categories_only() -> None:
    assert "no range of numbers" in said(changed(small("Grid"), between("1", "8"), *INTEGER))


def test_hyperband_needs_an_end_and_no_other_early_stopping() -> None:
    assert "MaxResource is missing" in said(small("Hyperband"))
    at = (*HYPERBAND, "MaxResource")
    assert "is 20001, expected an integer up to 20000" in said(changed(small("Hyperband"), 20001, *at))
    least = changed(changed(small("Hyperband"), 3, *at), 4, *HYPERBAND, "MinResource")
    assert "is 3, expected at least MinResource (4)" in said(least)
    stopping = changed(changed(small("Hyperband"), 9, *at), "Auto", CONFIG, "TrainingJobEarlyStoppingType")
    assert "is 'Auto', expected Off, for Strategy is Hyperband" in said(stopping)


def test_several_definitions_need_a_choice() -> None:
    request = changed(small(), ..., DEFINITION)
    names = ("xgboost", "forest")
    request = changed(request, [definition(DefinitionName=n) for n in names], "TrainingJobDefinitions")
    assert "choose one with --definition NAME: xgboost, forest" in said(request)
    assert "xgboost, forest (did you mean 'forest'?)" in said(request, definition="forst")


def test_a_parent_that_is_none_is_named() -> None:
    text = said(everything(), parents={"last-moth": "s3://bucket/a"})
    assert "expected one of last-month, small-model (did you mean 'last-month'?)" in text


def test_secrets_are_not_repeated() -> None:
    secret = "AKIAABCDEFGHIJKLMNOP"
    assert secret not in said(changed(small(), {"A": secret + "\n"}, DEFINITION, "StaticHyperParameters"))
    assert secret not in said(changed(small(), {"A": secret * 40}, DEFINITION, "Environment"))


def test_new_machines_need_no_new_botocore() -> None:
    config = {"InstanceType": "ml.p99.48xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}
    import_tuning_job(changed(small(), config, DEFINITION, "ResourceConfig"), "job.json")


def test_a_request_with_one_thing_of_the_wrong_type_is_refused_and_never_crashes() -> None:
    """Every value, at every depth, replaced by one of another type."""
    count = 0

    def visit(value: Any, path: tuple[Any, ...]) -> None:
        nonlocal count
        if path:
            for wrong in (None, 1.5, [[]], {"?": 1}):
                try:
                    import_tuning_job(changed(everything(), copy.deepcopy(wrong), *path), "job.json")
                except StudyFileError:
                    count += 1
        for part, item in value.items() if isinstance(value, dict) else ():
            visit(item, (*path, part))
        for place, item in enumerate(value) if isinstance(value, list) else ():
            visit(item, (*path, place))

    visit(everything(), ())
    assert count > 300


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "job.json: line 1, column 2: not JSON"),
        (b"[]", "job.json: holds list, expected a request"),
        (b'{"a": 1, "a": 2}', "job.json: 'a' is there twice in one object"),
        (b'{"a": NaN}', "job.json: NaN is not JSON"),
        (b"\xff", "job.json: not UTF-8 at byte 0"),
        (b'{"a": "\\ud800"}', "job.json: half of a surrogate pair"),
        (b'{"a":' * 60 + b"1" + b"}" * 60, "job.json: nested deeper than 50 levels"),
        (b"[" * 100_000, "job.json: nested too deeply"),
        (b" " * (1024 * 1024 + 1), "job.json: larger than 1048576 bytes"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "job.json: "),
    ],
    ids=lambda given: repr(given)[:30],
)
def test_what_is_no_request(data: bytes, words: str) -> None:
    with pytest.raises(StudyFileError) as caught:
        load_request(data, "job.json")
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (r"a=(\d)(.|e\-)(?P<n>x)(?:y)(?=z)", r"a=(\d)(?:.|e\-)(?:x)(?:y)(?=z)"),
        (r"\(([(]a)(b)\)", r"\(([(]a)(?:b)\)"),
        (r"[]()](x)[^]()](y)", r"[]()](x)[^]()](?:y)"),
        (r"(?P<score>\S+) (a(b))", r"(?P<score>\S+) (?:a(?:b))"),
    ],
)
def test_only_the_first_group_captures(text: str, left: str) -> None:
    assert first_group(text) == left


def test_the_command_line_refuses_with_2(tmp_path: Any) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(changed(small(), "Bayes", CONFIG, "Strategy")))
    result = CliRunner().invoke(cli, ["import", "sagemaker", str(file)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean 'Bayesian'?" in result.stderr
    for wrong in ("x", "=x", "x="):
        result = CliRunner().invoke(cli, ["import", "sagemaker", str(file), "--parent", wrong])
        assert result.exit_code == 2
