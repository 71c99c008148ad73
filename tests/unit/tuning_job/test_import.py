"""Tuning jobs become studies: what is carried over, and that nothing is lost in silence."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hpo_pipe.cli.group import cli
from hpo_pipe.study_file import StudyDraft, read_study_file
from hpo_pipe.tuning_job import Imported, import_tuning_job
from storage_schema.errors import StudyFileError
from tests.unit.tuning_job.requests import (
    CONFIG,
    DEFINITION,
    EVERYTHING,
    GOLDEN,
    changed,
    definition,
    everything,
    small,
)

PARENT = {"last-month": "s3://bucket/studies/last-month"}
RANGES = (CONFIG, "ParameterRanges")


def imported(request: dict[str, Any], **options: Any) -> Imported:
    return import_tuning_job(request, "job.json", **options)


def read_back(found: Imported, folder: Path) -> StudyDraft:
    (folder / "study.toml").write_text(found.text, encoding="utf-8")
    return read_study_file(folder / "study.toml")


def test_the_request_with_everything_is_written_as_ever() -> None:
    found = import_tuning_job(everything(), "everything.json", parents=PARENT)
    assert found.text == GOLDEN.read_text(encoding="utf-8")


def test_a_parameter_called_args_makes_the_command_name_each(tmp_path: Path) -> None:
    static = {"args": "x", "w": "0", "epochs": "3"}
    draft = read_back(imported(changed(small(), static, DEFINITION, "StaticHyperParameters")), tmp_path)
    assert draft.program.command[2:] == tuple(
        part
        for name in sorted(p.name for p in draft.space.parameters)
        for part in (_flag(name), f"{{{name}}}")
    )


def _flag(name: str) -> str:
    return f"--{name}" if len(name) > 1 else f"-{name}"


def test_what_is_written_reads_back_as_the_study_that_was_asked_for(tmp_path: Path) -> None:
    draft = read_back(imported(everything(), parents=PARENT), tmp_path)
    assert draft.name == "resnet-tuning"
    assert draft.seed == 7
    assert [(m.name, m.goal, m.objective) for m in draft.metrics] == [
        ("validation:accuracy", "maximize", False),
        ("train:loss", "minimize", False),
    ]
    assert draft.program.metric_patterns == (
        ("validation:accuracy", r"accuracy: (\S+)"),
        ("train:loss", r"loss=([0-9]+(?:.|e\-)[0-9]+)"),
    )
    assert draft.program.environment == (("OMP_NUM_THREADS", "4"),)
    assert draft.program.command == ("python", "train.py", "{args}")
    assert draft.program.layout == "sagemaker"
    assert [p.to_json() for p in draft.space.parameters] == [
        {"name": "layers", "type": "int", "min": 1, "max": 8},
        {"name": "batch-size", "type": "int", "min": 16, "max": 2048, "log": True},
        {"name": "hidden", "type": "int", "min": 32, "max": 512},
        {"name": "lr", "type": "float", "min": 1e-5, "max": 0.1, "log": True},
        {"name": "dropout", "type": "float", "min": 0.0, "max": 0.5},
        {"name": "momentum", "type": "float", "min": 0.5, "max": 0.999, "scale": "reverse-log"},
        {"name": "optimizer", "type": "categorical", "values": ["sgd", "adam"]},
        {"name": "crop", "type": "categorical", "values": ["192", "224"]},
        {"name": "weight_decay", "type": "float", "min": 0.0001, "max": 0.01, "log": True},
        {"name": "epochs", "type": "constant", "value": "27"},
        {"name": "w", "type": "constant", "value": "0"},
        {"name": "arch", "type": "constant", "value": "resnet18"},
    ]
    assert draft.space.priors["weight_decay"].to_json() == {"prior": {"value": 0.001, "confidence": "medium"}}
    assert (draft.scheduler["name"], draft.searcher["name"]) == ("median", "gp")
    assert draft.resource is not None
    assert (draft.resource.name, draft.resource.max) == ("epoch", 27)
    limits = draft.limits
    assert (limits.trials, limits.wall_s, limits.target) == (60, 43200.0, 0.95)
    assert (limits.not_improving, limits.convergence) == (20, 0.01)
    assert draft.warm_start is not None
    assert (draft.warm_start.studies, draft.warm_start.mode) == (tuple(PARENT.values()), "transfer")


def test_what_is_not_carried_over_is_listed_by_its_path_with_a_reason() -> None:
    found = imported(everything(), parents=PARENT)
    assert [item.path for item in found.left_out] == [
        f"{DEFINITION}.StaticHyperParameters.sagemaker_submit_directory",
        f"{DEFINITION}.AlgorithmSpecification.TrainingImage",
        f"{DEFINITION}.AlgorithmSpecification.TrainingInputMode",
        *(f"{DEFINITION}.{name}" for name in ("RoleArn", "InputDataConfig", "VpcConfig", "OutputDataConfig")),
        f"{DEFINITION}.ResourceConfig",
        f"{DEFINITION}.StoppingCondition",
        f"{DEFINITION}.EnableInterContainerTrafficEncryption",
        f"{DEFINITION}.EnableManagedSpotTraining",
        f"{DEFINITION}.CheckpointConfig",
        f"{DEFINITION}.RetryStrategy",
        f"{DEFINITION}.Environment.WANDB_API_KEY",
        "WarmStartConfig.ParentHyperParameterTuningJobs[1]",
        "Tags",
        "Autotune",
    ]
    assert all(f"#   {item.path}: {item.reason}\n" in found.text for item in found.left_out)
    secret = everything()[DEFINITION]["Environment"]["WANDB_API_KEY"]
    assert secret not in found.text + "".join(found.notes)


def leaves(value: Any, path: str = "") -> list[str]:
    """Return the path of all that a request says."""
    if isinstance(value, dict):
        found = [
            leaf for name, item in value.items() for leaf in leaves(item, f"{path}.{name}" if path else name)
        ]
    elif isinstance(value, list):
        found = [leaf for place, item in enumerate(value) for leaf in leaves(item, f"{path}[{place}]")]
    else:
        return [] if value is False else [path]
    return found


def test_every_field_is_either_carried_over_or_listed() -> None:
    """Each leaf of the request is below a path that is listed, or the study file changes when it does."""
    request = everything()
    whole = imported(request, parents=PARENT)
    listed = [item.path for item in whole.left_out]
    carried = [
        p for p in leaves(request) if not any(re.match(rf"{re.escape(x)}([.\[]|$)", p) for x in listed)
    ]
    assert len(carried) > 50
    for path in carried:
        if path.endswith("ContinuousParameterRanges[0].ScalingType"):
            continue  # Auto: what its absence means
        parts = [int(p) if p.isdigit() else p for p in re.split(r"[\[\]]+|\.", path) if p]
        try:
            less = imported(changed(request, ..., *parts), parents=PARENT)
        except StudyFileError as error:  # without it the request is wrong: so it was read
            assert "missing" in str(error) or "expected" in str(error), path
        else:
            assert (less.text, less.notes) != (whole.text, whole.notes), path


@pytest.mark.parametrize(
    ("strategy", "config", "algorithm"),
    [
        ("Bayesian", {}, ("none", "gp")),
        ("Random", {}, ("none", "random")),
        ("Grid", {}, ("none", "grid")),
        (
            "Hyperband",
            {"StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 2, "MaxResource": 54}}},
            ("hyperband", "random"),
        ),
    ],
)
def test_strategies(
    strategy: str, config: dict[str, Any], algorithm: tuple[str, str], tmp_path: Path
) -> None:
    draft = read_back(imported(small(strategy, **config)), tmp_path)
    assert (draft.scheduler["name"], draft.searcher["name"]) == algorithm
    assert draft.limits.trials == 9
    if strategy == "Hyperband":
        assert draft.resource is not None
        assert draft.resource.rungs == (2, 6, 18, 54)
    else:
        assert draft.resource is None


@pytest.mark.parametrize("name", ["epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs"])
def test_hyperband_infers_its_resource_from_the_constants_that_sagemaker_looks_at(name: str) -> None:
    request = changed(small("Hyperband"), {name: "81"}, DEFINITION, "StaticHyperParameters")
    resource = imported(request).draft.resource
    assert resource is not None
    assert (resource.name, resource.rungs) == ("epoch", (1, 3, 9, 27, 81))


def test_early_stopping_needs_a_resource_and_says_so() -> None:
    request = small(TrainingJobEarlyStoppingType="Auto")
    found = imported(request)
    assert found.draft.scheduler["name"] == "none"
    said = {item.path: item.reason for item in found.left_out}
    assert "--max-resource" in said[f"{CONFIG}.TrainingJobEarlyStoppingType"]
    found = imported(request, max_resource=50)
    assert found.draft.scheduler["name"] == "median"
    assert found.draft.resource is not None
    assert found.draft.resource.max == 50
    assert f"{CONFIG}.TrainingJobEarlyStoppingType" not in {item.path for item in found.left_out}


def test_warm_start_without_urls_is_a_comment_that_names_the_jobs() -> None:
    found = imported(everything())
    assert found.draft.warm_start is None
    assert '# studies = ["last-month", "small-model"]\n# mode = "TransferLearning"' in found.text
    said = {item.path: item.reason for item in found.left_out}
    assert "--parent last-month=URL" in said["WarmStartConfig.ParentHyperParameterTuningJobs[0]"]


def several() -> dict[str, Any]:
    request = changed(small(), ..., DEFINITION)
    request = changed(request, ..., CONFIG, "HyperParameterTuningJobObjective")
    request = changed(request, ..., *RANGES)
    own = {
        "TuningObjective": {"Type": "Maximize", "MetricName": "loss"},
        "HyperParameterRanges": {"CategoricalParameterRanges": [{"Name": "depth", "Values": ["3", "6"]}]},
    }
    two = [definition(DefinitionName=name, **own) for name in ("xgboost", "forest")]
    return changed(request, two, "TrainingJobDefinitions")


def test_one_of_several_definitions_is_chosen_and_the_others_are_listed() -> None:
    found = imported(several(), definition="forest")
    assert found.draft.space.names == ("depth",)
    assert found.draft.metrics[0].goal == "maximize"
    paths = [item.path for item in found.left_out]
    assert "TrainingJobDefinitions[0]" in paths
    assert "TrainingJobDefinitions[1].RoleArn" in paths


def test_what_the_service_says_of_a_job_is_taken_as_well() -> None:
    told = {
        "HyperParameterTuningJobArn": "arn:aws:sagemaker:eu-west-1:123456789012:hyper-parameter-tuning-job/small",
        "HyperParameterTuningJobStatus": "Completed",
        "CreationTime": "2024-05-01T12:00:00+00:00",
        "TrainingJobStatusCounters": {"Completed": 9},
        "ResponseMetadata": {"HTTPStatusCode": 200},
    }
    found = imported(small() | told)
    assert found.draft == imported(small()).draft
    reasons = {item.path: item.reason for item in found.left_out}
    assert {reasons[name] for name in told} == {"what became of the job, not what was asked for"}


def test_an_algorithm_without_metric_definitions_has_no_pattern_and_that_is_said() -> None:
    found = imported(changed(small(), ..., DEFINITION, "AlgorithmSpecification", "MetricDefinitions"))
    assert found.draft.program.metric_patterns == ()
    assert [m.name for m in found.draft.metrics] == ["loss"]
    assert any("report 'loss' with hpo_pipe.trial, or print it and add a pattern" in n for n in found.notes)


def test_secrets_among_the_constants_are_left_out_quoted_or_not() -> None:
    secret = "0123456789abcdef0123456789abcdef01234567"
    static = {"api_key": secret, "hub_token": f'"{secret}"', "pad_token": "eos"}
    found = imported(changed(small(), static, DEFINITION, "StaticHyperParameters"))
    assert found.draft.space.names == ("optimizer", "pad_token")
    assert secret not in found.text + "".join(found.notes)
    paths = [item.path for item in found.left_out]
    assert f"{DEFINITION}.StaticHyperParameters.api_key" in paths
    assert f"{DEFINITION}.StaticHyperParameters.hub_token" in paths


def test_a_hint_becomes_a_range_around_it_or_a_constant() -> None:
    hints = {"a": "16", "b": "-2.5", "c": "relu", "d": "0", "e": "1", "f": "1e-2"}
    auto = [{"Name": name, "ValueHint": hint} for name, hint in hints.items()]
    found = imported(changed(small(), auto, *RANGES, "AutoParameters"))
    tables = {p.name: p.to_json() for p in found.draft.space.parameters}
    assert tables["a"] == {"name": "a", "type": "int", "min": 1, "max": 160, "log": True}
    assert (tables["b"]["min"], tables["b"]["max"]) == (-25.0, -0.25)
    assert (tables["c"]["value"], tables["d"]["value"]) == ("relu", "0")
    assert (tables["e"]["min"], tables["e"]["max"]) == (1, 10)
    assert (tables["f"]["type"], tables["f"]["log"]) == ("float", True)
    assert sum("hint" in note for note in found.notes) == len(hints)


def test_the_command_line_prints_a_study_file_and_says_what_is_missing(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["import", "sagemaker", str(EVERYTHING)])
    assert result.exit_code == 0
    assert tomllib.loads(result.stdout)["name"] == "resnet-tuning"
    assert "not carried over: TrainingJobDefinition.VpcConfig: " in result.stderr
    target = tmp_path / "study.toml"
    result = CliRunner().invoke(cli, ["import", "sagemaker", str(EVERYTHING), str(target)])
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"hpo-pipe run {target}" in result.stderr
    assert read_study_file(target).name == "resnet-tuning"
    again = CliRunner().invoke(cli, ["import", "sagemaker", str(EVERYTHING), str(target)])
    assert again.exit_code == 2
    assert "nothing is overwritten" in again.stderr


def test_the_command_line_reads_stdin_and_takes_parents() -> None:
    arguments = ["import", "sagemaker", "-", "--parent", "last-month=/studies/one"]
    result = CliRunner().invoke(cli, arguments, input=json.dumps(everything()))
    assert result.exit_code == 0
    assert tomllib.loads(result.stdout)["warm_start"]["studies"] == ["file:///studies/one"]
    assert result.stdout.startswith("# Made from stdin,")
