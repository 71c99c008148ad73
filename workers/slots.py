"""Slots, and the GPUs that are dealt to them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from storage_schema.errors import UserError
from storage_schema.machine import MAX_SLOTS

_QUERY_LIMIT_S = 20.0


def visible_gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the GPUs that may be dealt: CUDA_VISIBLE_DEVICES if it is set, else all that NVIDIA's driver shows."""
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        found = tuple(part.strip() for part in chosen.split(",") if part.strip())
        return () if "-1" in found[:1] or "NoDevFiles" in found else found
    return tuple(str(number) for number in range(_count_gpus()))


def deal(pool: tuple[str, ...], slots: int | None, per_trial: int | None) -> tuple[tuple[str, ...], ...]:
    """Return the GPUs of each slot.

    Args:
        pool: the GPUs of this machine.
        slots: how many trials at a time; None: one for each GPU (or for each group of `per_trial`), else one.
        per_trial: GPUs of each trial; None: all, divided evenly. With more slots than GPUs they are shared.

    Raises:
        UserError: more GPUs are asked for than there are.
    """
    if slots is None:
        slots = max(1, len(pool) // (per_trial or 1))
    if not 1 <= slots <= MAX_SLOTS:
        raise UserError(f"--slots {slots}: allowed are 1 to {MAX_SLOTS}")
    if per_trial is None:
        per_trial = len(pool) // slots
        if pool and not per_trial:
            return tuple((pool[slot % len(pool)],) for slot in range(slots))
    if per_trial < 0:
        raise UserError(f"--gpus-per-trial {per_trial}: allowed are 0 and more")
    if slots * per_trial > len(pool):
        raise UserError(
            f"{slots} slots with {per_trial} GPUs each need {slots * per_trial} GPUs, this machine shows {len(pool)}"
            " (CUDA_VISIBLE_DEVICES, nvidia-smi -L)"
        )
    return tuple(pool[slot * per_trial : (slot + 1) * per_trial] for slot in range(slots))


def _count_gpus() -> int:
    program = shutil.which("nvidia-smi")
    if program is None:
        return sum(path.name.removeprefix("nvidia").isdigit() for path in Path("/dev").glob("nvidia[0-9]*"))
    try:
        listed = subprocess.run(
            [program, "-L"],
            capture_output=True,
            text=True,
            timeout=_QUERY_LIMIT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    if listed.returncode != 0:
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
