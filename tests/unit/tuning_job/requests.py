"""Requests to start from."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

EVERYTHING = Path(__file__).with_name("everything.json")
GOLDEN = Path(__file__).with_name("everything.toml")
CONFIG = "HyperParameterTuningJobConfig"
DEFINITION = "TrainingJobDefinition"


def everything() -> dict[str, Any]:
    """Return the request that uses every field."""
    return json.loads(EVERYTHING.read_text())


def small(strategy: str = "Random", **config: Any) -> dict[str, Any]:
    """Return a request with one range and nothing that needs not be there."""
    ranges = {"CategoricalParameterRanges": [{"Name": "optimizer", "Values": ["sgd", "adam"]}]}
    return {
        "HyperParameterTuningJobName": "small",
        CONFIG: {
            "Strategy": strategy,
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 9, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": ranges,
            **config,
        },
        DEFINITION: definition(),
    }


def definition(**own: Any) -> dict[str, Any]:
    """Return a training job's definition with what must be there."""
    return {
        "AlgorithmSpecification": {
            "TrainingImage": "image",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(\\S+)"}],
        },
        "RoleArn": "arn:aws:iam::123456789012:role/sagemaker",
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        **own,
    }


def changed(request: dict[str, Any], value: Any, *path: str | int) -> dict[str, Any]:
    """Return `request` with `value` at `path`; ``...`` takes away what is there."""
    request = copy.deepcopy(request)
    place: Any = request
    for part in path[:-1]:
        place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return request
