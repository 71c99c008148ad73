"""The folder of an attempt: what the worker writes into it for the trial to find."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from storage_schema.records.study import Program
from storage_schema.trial_env import INTERRUPT, STOP, VARIABLE, TrialFile
from workers.checkpoint_files import opened_folder

TRIAL_FILE = "trial.json"

_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def prepared(trial_file: TrialFile, folder: Path) -> Path:
    """Make the folders and files that the trial is promised, and return the trial file's path.

    Raises:
        OSError: disk full, or no permission.
    """
    metrics = Path(trial_file.metrics_file)
    for needed in (
        folder,
        Path(trial_file.checkpoint_dir),
        metrics.parent,
        Path(trial_file.stop_file).parent,
    ):
        needed.mkdir(parents=True, exist_ok=True)
    metrics.touch()
    Path(trial_file.stop_file).unlink(missing_ok=True)
    if trial_file.save_file:
        Path(trial_file.save_file).unlink(missing_ok=True)
    path = folder.absolute() / TRIAL_FILE
    _replace(path, trial_file.to_bytes())
    return path


def write_stop(stop_file: Path, kind: str) -> None:
    """Write the stop file in one step, so that the trial never reads half a word.

    Raises:
        OSError: disk full; the trial has not been told.
    """
    assert kind in (STOP, INTERRUPT)
    _replace(stop_file, f"{kind}\n".encode())


def write_save(save_file: Path) -> None:
    """Wish for a checkpoint. Raises OSError: disk full; the trial has not been told."""
    _replace(save_file, b"save\n")


def remove_save(save_file: Path) -> None:
    """Take the wish back, in the trial's folder and not where a link in its place leads. Raises OSError."""
    with opened_folder(save_file.parent) as folder:
        os.unlink(save_file.name, dir_fd=folder)


def environment(
    user: Mapping[str, str], program: Program, trial_path: Path | None, gpus: tuple[str, ...]
) -> dict[str, str]:
    """Return a trial's variables: the user's own, the study's over them, and ours over both."""
    ours = {} if trial_path is None else {VARIABLE: str(trial_path)}
    if gpus:
        ours["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    return {"PYTHONUNBUFFERED": "1", **user, **dict(program.environment), **ours}


def _replace(path: Path, data: bytes) -> None:
    """Write a file in one step, in its folder and not where a link in the folder's place leads."""
    temporary = f".{path.name}.tmp"
    with opened_folder(path.parent) as folder:
        descriptor = os.open(temporary, _NEW, 0o600, dir_fd=folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
