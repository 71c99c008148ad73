"""From a request to the tables of a study file, and what was left out."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from hpo_pipe.key_path import Path
from hpo_pipe.service_model import answer_members, check_request, request_members
from hpo_pipe.study_file import StudyDraft
from hpo_pipe.study_file.program import looks_secret
from hpo_pipe.study_file.read import cleaned_name, read_tables
from hpo_pipe.tuning_job.definition import chosen
from hpo_pipe.tuning_job.metrics import read_metrics
from hpo_pipe.tuning_job.parameters import plain_text, read_constants, read_ranges
from hpo_pipe.tuning_job.request import CONFIG, LeftOut, Request
from hpo_pipe.tuning_job.strategy import read_strategy
from hpo_pipe.tuning_job.written import written
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError, nearest
from storage_schema.records.program import SAGEMAKER

PROGRAM = "train.py"
_CRITERIA = (CONFIG, "TuningJobCompletionCriteria")
_PARENTS = ("WarmStartConfig", "ParentHyperParameterTuningJobs")
CONVERGENCE = 0.01
SERVICE = "sagemaker"
OPERATION = "CreateHyperParameterTuningJob"
_ANSWER = "DescribeHyperParameterTuningJob"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A study file made of a request."""

    text: str
    """TOML."""
    draft: StudyDraft
    """What the file comes to, read back from `text`."""
    left_out: tuple[LeftOut, ...]
    """All of the request that the file does not carry."""
    notes: tuple[str, ...]
    """What hpo-pipe does in another way."""


def import_tuning_job(
    raw: Mapping[str, Json],
    where: str,
    *,
    definition: str | None = None,
    parents: Mapping[str, str] | None = None,
    max_resource: int | None = None,
) -> Imported:
    """Return the study file that a CreateHyperParameterTuningJob request amounts to.

    Args:
        raw: the request, or what DescribeHyperParameterTuningJob says of one.
        where: its file, for errors and for a comment.
        definition: which of several TrainingJobDefinitions.
        parents: tuning job to study URL, for WarmStartConfig.
        max_resource: units of a whole training, where the request does not tell.

    Raises:
        StudyFileError: with one line for each mistake in the request.
    """
    answered = _answered_only(raw)
    asked = {name: value for name, value in raw.items() if name not in answered}
    check_request(SERVICE, OPERATION, asked, where)
    request = Request(raw, where)
    for name in answered:
        request.leave((name,), "what became of the job, not what was asked for")
    base, objective, ranges = chosen(request, definition)
    tables: dict[str, Json] = {"name": _name(request)}
    found = read_ranges(request, ranges, request.at(CONFIG, "Strategy") == "Grid")
    constants = read_constants(request, (*base, "StaticHyperParameters"), found)
    request.check()
    if not found:
        allowed = "ranges, for hpo-pipe chooses none itself"
        request.refuse(ranges, None, allowed)
    tables["command"] = _command(request, base, sorted({*found, *constants}))
    tables["layout"] = SAGEMAKER
    seed = request.take(CONFIG, "RandomSeed")
    tables |= {} if seed is None else {"seed": seed}
    metrics = read_metrics(request, objective, base)
    tables["metric"] = metrics if len(metrics) > 1 else metrics[0]
    tables["parameters"] = {**found, **constants}
    tables |= read_strategy(request, constants, max_resource)
    tables["limits"] = _limits(request)
    tables["environment"] = _environment(request, (*base, "Environment"))
    tables["warm_start"], lost = _warm_start(request, parents or {})
    request.check()
    left_out = request.left_out()
    text = written({key: value for key, value in tables.items() if value != {}}, left_out, lost, where)
    draft = read_tables(tomllib.loads(text), where)
    return Imported(text=text, draft=draft, left_out=left_out, notes=(*request.notes, *draft.notes))


def _name(request: Request) -> str:
    found: str = request.take("HyperParameterTuningJobName")
    cleaned = cleaned_name(found)
    if cleaned != found:
        request.notes.append(f"name: {found!r} becomes {cleaned!r}")
    return cleaned


def _command(request: Request, base: Path, names: list[str]) -> list[str]:
    """Return the command line that SageMaker's training toolkit gives to a script, parameters in its order."""
    path = (*base, "StaticHyperParameters", "sagemaker_program")
    program = plain_text(request.at(*path) or "")
    if program:
        request.take(*path)
    else:
        program = PROGRAM
        request.notes.append(
            f"command: the request does not name the script: {PROGRAM} is written; set yours"
        )
    start = "sh" if program.endswith(".sh") else "python"
    flags = [
        part for name in names for part in (f"-{name}" if len(name) == 1 else f"--{name}", f"{{{name}}}")
    ]
    arguments = flags if "args" in names else ["{args}"]
    return [start, program.replace("{", "{{").replace("}", "}}"), *arguments]


def _limits(request: Request) -> dict[str, Json]:
    seconds = request.take(CONFIG, "ResourceLimits", "MaxRuntimeInSeconds")
    limits: dict[str, Json] = {
        "trials": request.take(CONFIG, "ResourceLimits", "MaxNumberOfTrainingJobs"),
        "wall_time": None if seconds is None else f"{seconds}s",
        "target": request.take(*_CRITERIA, "TargetObjectiveMetricValue"),
        "not_improving": request.take(
            *_CRITERIA, "BestObjectiveNotImproving", "MaxNumberOfTrainingJobsNotImproving"
        ),
    }
    if limits["not_improving"] is not None:
        request.notes.append(
            "limits.not_improving: any improvement counts here; SageMaker counts one of 1 % or more"
        )
    if request.take(*_CRITERIA, "ConvergenceDetected", "CompleteOnConvergence") == "Enabled":
        limits["convergence"] = CONVERGENCE
        request.notes.append(
            f"limits.convergence: SageMaker does not say what it takes for convergence; here it is {CONVERGENCE}"
        )
    parallel = request.take(CONFIG, "ResourceLimits", "MaxParallelTrainingJobs")
    request.notes.append(
        f"MaxParallelTrainingJobs {parallel}: as many train at once as there are workers: start {parallel}"
    )
    return {name: value for name, value in limits.items() if value is not None}


def _environment(request: Request, base: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in (request.at(*base) or {}).items():
        if looks_secret(name, value):
            request.leave((*base, name), f"it looks like a secret; set {name} where the workers are started")
        elif name.startswith("HPO_PIPE_") or "\0" in value:
            request.leave((*base, name), "HPO_PIPE_ is hpo-pipe's own, and no variable holds a NUL")
        else:
            found[name] = request.take(*base, name)
    return found


def _warm_start(request: Request, urls: Mapping[str, str]) -> tuple[dict[str, Json], dict[str, Json]]:
    """Return ``[warm_start]`` with the parents whose URLs are known, and one with the names of the others."""
    mode = request.take("WarmStartConfig", "WarmStartType")
    names: list[str] = []
    for place, parent in enumerate(request.at(*_PARENTS) or []):
        path = (*_PARENTS, place)
        name = parent.get("HyperParameterTuningJobName")
        if name is None:
            request.refuse((*path, "HyperParameterTuningJobName"), None, "the name of a tuning job")
            continue
        names.append(name)
        if name in urls:
            request.take(*path)
        else:
            request.leave(path, f"a tuning job's results; give the URL of its study: --parent {name}=URL")
    for name in urls:
        if name not in names:
            allowed = f"one of {', '.join(names) or 'none, for it has no parents'}{nearest(name, names)}"
            raise StudyFileError(f"{request.where}: --parent {name} is no parent of its, expected {allowed}")
    known = [urls[name] for name in names if name in urls]
    table = {"studies": known, "mode": mode} if known else {}
    others = [name for name in names if name not in urls]
    return table, {"studies": others, "mode": mode} if others else {}


def _answered_only(raw: Mapping[str, Json]) -> list[str]:
    """Return the names that say what became of a job: those of an answer about one, but of no request."""
    answer = answer_members(SERVICE, _ANSWER) | {"ResponseMetadata"}
    return [name for name in raw if name in answer - request_members(SERVICE, OPERATION)]
