"""``layout = "sagemaker"``: an attempt's own ``/opt/ml``, and the variables that point into it (PROTOCOL.md, 8.3).

The tree lies in the attempt's folder, so that several trials share a machine. What a script finds is what SageMaker's
training toolkit gives to it: `ENVIRONMENT_VARIABLES.md <https://github.com/aws/sagemaker-training-toolkit>`_.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage_schema.errors import UserError
from storage_schema.trial_env import TrialFile
from workers.sagemaker_values import arguments, read_back, strings, variable

OPT_ML = "/opt/ml"
HOST = "algo-1"
"""What SageMaker calls the first host of a job; a trial has one."""
CHANNEL = "SM_CHANNEL_"
CHECKPOINTS, MODEL, OUTPUT_DATA = "checkpoints", "model", "output/data"
"""Also the folders within a checkpoint of such a trial."""
FAILURE = "output/failure"
INSTANCE_TYPE = "HPO_PIPE_INSTANCE_TYPE"

_CHANNEL_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9._-]{1,64}")
_OPT_ML_PATH = re.compile(r"(^|=)/opt/ml(?=/|$)")
_NETWORK = "lo"


@dataclass(frozen=True, slots=True)
class Tree:
    """One attempt's ``/opt/ml``."""

    root: Path
    environment: dict[str, str]
    """What the trial has beside its other variables."""
    arguments: tuple[str, ...]
    """What ``{args}`` stands for."""

    def placed(self, text: str) -> str:
        """Return an argument in which a path below ``/opt/ml`` is the one in this tree."""
        return _placed(text, self.root)


def make_tree(
    trial_file: TrialFile,
    folder: Path,
    command: Sequence[str],
    environment: Mapping[str, str],
    workdir: Path,
    gpus: Sequence[str],
) -> Tree:
    """Make the folders and files of an attempt.

    Args:
        trial_file: what the attempt is to do; files under ``checkpoints/`` of its restored checkpoint are moved.
        folder: the attempt's.
        command: the study's, which names the script.
        environment: the trial's variables; ``SM_CHANNEL_<NAME>`` among them are where data is.
        workdir: what relative paths of channels start from.
        gpus: dealt to this slot.

    Raises:
        UserError: a channel whose folder is not there, or with a bad name.
        OSError: disk full, or no permission.
    """
    root = folder.resolve() / "opt" / "ml"
    for inner in (MODEL, OUTPUT_DATA, "output/intermediate", "input/config", "input/data"):
        (root / inner).mkdir(parents=True, exist_ok=True)
    (root / "code").symlink_to(workdir)
    _restore(trial_file, root)
    channels = _channels(environment, workdir)
    for name, source in channels.items():
        (root / "input" / "data" / name).symlink_to(source)
    given = {name: _placed(text, root) for name, text in strings(trial_file.parameters).items()}
    values = read_back(given)
    configuration = {
        "hyperparameters": given,
        "resourceconfig": _resources(environment),
        "inputdataconfig": dict.fromkeys(channels, _CHANNEL_CONFIG),
        "checkpointconfig": {"LocalPath": str(root / CHECKPOINTS)},
    }
    for name, content in configuration.items():
        (root / "input" / "config" / f"{name}.json").write_text(json.dumps(content), "utf-8")
    facts = _facts(trial_file, root, command, configuration, values, len(gpus))
    return Tree(root, _variables(facts, values, root), tuple(arguments(values)))


_CHANNEL_CONFIG = {
    "TrainingInputMode": "File",
    "S3DistributionType": "FullyReplicated",
    "RecordWrapperType": "None",
}


def _restore(trial_file: TrialFile, root: Path) -> None:
    saved = Path(trial_file.restored) / CHECKPOINTS if trial_file.restored else None
    if saved is not None and saved.is_dir():
        saved.rename(root / CHECKPOINTS)
    else:
        (root / CHECKPOINTS).mkdir()


def _channels(environment: Mapping[str, str], workdir: Path) -> dict[str, Path]:
    """Return the folders of the channels. Names are in small letters, unless ``SM_CHANNELS`` (JSON) says else."""
    known = {name.upper(): name for name in _names(environment.get("SM_CHANNELS", ""))}
    found: dict[str, Path] = {}
    for key, value in environment.items():
        if not key.startswith(CHANNEL) or key == CHANNEL or not value:
            continue
        name = known.get(key.removeprefix(CHANNEL).upper(), key.removeprefix(CHANNEL).lower())
        if not _CHANNEL_NAME.fullmatch(name):
            raise UserError(f"{key}: a channel's name has letters, digits, dots, - and _")
        if not (source := workdir / value).exists():
            raise UserError(f"{key} is {value[:200]!r}, and there is no such file or folder on this machine")
        found[name] = source
    return dict(sorted(found.items()))


def _names(text: str) -> list[str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _resources(environment: Mapping[str, str]) -> dict[str, Any]:
    kind, group = environment.get(INSTANCE_TYPE) or "local", "homogeneousCluster"
    return {
        "current_host": HOST,
        "current_instance_type": kind,
        "current_group_name": group,
        "hosts": [HOST],
        "instance_groups": [{"instance_group_name": group, "instance_type": kind, "hosts": [HOST]}],
        "network_interface_name": _NETWORK,
    }


def _facts(
    trial_file: TrialFile,
    root: Path,
    command: Sequence[str],
    configuration: Mapping[str, Any],
    values: Mapping[str, Any],
    gpus: int,
) -> dict[str, Any]:
    """Return what the toolkit calls the training environment: ``SM_TRAINING_ENV``."""
    script = next((part for part in command[1:] if part.endswith((".py", ".sh"))), command[0])
    resources = configuration["resourceconfig"]
    return {
        "channel_input_dirs": {
            name: str(root / "input" / "data" / name) for name in configuration["inputdataconfig"]
        },
        "current_host": HOST,
        "current_instance_group": resources["current_group_name"],
        "current_instance_group_hosts": [HOST],
        "current_instance_type": resources["current_instance_type"],
        "hosts": [HOST],
        "hyperparameters": dict(values),
        "input_config_dir": str(root / "input" / "config"),
        "input_data_config": configuration["inputdataconfig"],
        "input_dir": str(root / "input"),
        "is_master": True,
        "job_name": job_name(trial_file.study, trial_file.trial),
        "log_level": logging.INFO,
        "master_hostname": HOST,
        "model_dir": str(root / MODEL),
        "module_dir": str(root / "code"),
        "module_name": Path(script).stem,
        "network_interface_name": _NETWORK,
        "num_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "num_gpus": gpus,
        "output_data_dir": str(root / OUTPUT_DATA),
        "output_dir": str(root / "output"),
        "output_intermediate_dir": str(root / "output" / "intermediate"),
        "resource_config": resources,
        "user_entry_point": script,
    }


def in_place(path: Path) -> bool:
    """Tell whether a path within a tree is where it was: a trial could put a link in the place of any part of it."""
    return path.resolve() == path


def job_name(study: str, trial: int) -> str:
    """Return what would be the training job's name: 1 to 63 letters, digits and single hyphens."""
    return f"{re.sub(r'[^a-z0-9]+', '-', study)[:52].strip('-')}-{trial:08}"


def _variables(facts: Mapping[str, Any], values: Mapping[str, Any], root: Path) -> dict[str, str]:
    apart = ("channel_input_dirs", "hyperparameters", "is_master", "job_name", "master_hostname")
    found = {f"SM_{name.upper()}": variable(value) for name, value in facts.items() if name not in apart}
    found |= {f"{CHANNEL}{name.upper()}": path for name, path in facts["channel_input_dirs"].items()}
    found |= {f"SM_HP_{name.upper()}": variable(value) for name, value in values.items()}
    found |= {
        "SM_CHANNELS": variable(sorted(facts["channel_input_dirs"])),
        "SM_HPS": variable(dict(values)),
        "SM_USER_ARGS": variable(arguments(values)),
        "SM_FRAMEWORK_PARAMS": "{}",
        "SM_CHECKPOINT_DIR": str(root / CHECKPOINTS),
        "SM_TRAINING_ENV": variable(dict(facts)),
        "TRAINING_JOB_NAME": facts["job_name"],
        "SAGEMAKER_BASE_DIR": str(root),
    }
    return {name: value for name, value in found.items() if "=" not in name and "\0" not in name + value}


def _placed(text: str, root: Path) -> str:
    return _OPT_ML_PATH.sub(lambda found: found[1] + str(root), text)
