"""Where a trial runs: under a worker, or alone. Standard library only; imported by `hpo_pipe.trial`.

The worker's side of the same contract is `storage_schema.trial_env`; a test holds the two together.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from json import JSONEncoder, loads

TYPE_CHECKING = False  # typing is not imported: this is what a training script pays for
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

VARIABLE = "HPO_PIPE_TRIAL"
STEPS_VARIABLE = "HPO_PIPE_STEPS"
PARAMETERS_VARIABLE = "HPO_PIPE_PARAMS"
STOP = "stop"
INTERRUPT = "interrupt"
STEPS_ALONE = 10

_encoded = JSONEncoder(separators=(",", ":")).encode


class UnderWorker:
    """The files that ``HPO_PIPE_TRIAL`` names."""

    alone = False

    def __init__(self, path: str) -> None:
        """Read the trial file; raises RuntimeError where it cannot be read."""
        try:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123 (pathlib is not imported)
                found = loads(file.read())
            self.parameters: dict[str, Any] = dict(found["parameters"])
            self.number: int = found["trial"]
            self.start: int = found["start"]
            self.target: int | None = found["to"]
            self.objective: str = found["objective"]
            self.seed: int = found["seed"]
            self.restored: str | None = found["restored"]
            self._metrics_file: str = found["metrics_file"]
            self._checkpoint_dir: str = found["checkpoint_dir"]
            self._stop_file: str = found["stop_file"]
            self._save_file: str = found.get("save_file") or ""
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._fd = os.open(self._metrics_file, flags, 0o644)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise RuntimeError(f"{VARIABLE}={path} cannot be read: {type(error).__name__}: {error}") from None

    def steps_to(self, count: int | None) -> int:
        """Return the resource at which this spec ends."""
        if self.target is not None:
            return self.target
        if count is None:
            raise ValueError("this study has no resource, so say how many steps: trial.steps(10)")
        return count

    def write(self, resource: int, values: dict[str, float]) -> None:
        """Append one line in one write, so that several processes' lines do not mix."""
        os.write(self._fd, (_encoded({"resource": resource, **values}) + "\n").encode())

    def asked(self) -> str:
        """Return what the stop file says, or an empty text while there is none."""
        if not os.access(self._stop_file, os.F_OK):
            return ""
        with open(self._stop_file, encoding="utf-8") as file:  # noqa: PTH123
            return file.read().strip()

    def save_wished(self) -> bool:
        """Tell whether a checkpoint is wished for that was not saved yet."""
        return bool(self._save_file) and os.access(self._save_file, os.F_OK)

    def checkpoint_dir(self) -> str:
        """Return the folder that checkpoints are renamed into."""
        return self._checkpoint_dir

    def committed(self, resource: int) -> None:
        """Take the wish for a checkpoint back; the worker takes the rest from here."""
        if self._save_file:
            with suppress(OSError):
                os.unlink(self._save_file)  # noqa: PTH108 (pathlib is not imported)

    def close(self) -> None:
        """Close the metrics file; nothing may be reported any more."""
        os.close(self._fd)


class Alone:
    """A stand-in: reports are printed, checkpoints go to a temporary folder that ends with the process."""

    alone = True
    number = 0
    start = 0
    target: int | None = None
    objective = "objective"
    seed = 0
    restored: str | None = None

    def __init__(self) -> None:
        """Read ``HPO_PIPE_PARAMS``; raises ValueError where it is not a JSON object."""
        text = os.environ.get(PARAMETERS_VARIABLE) or "{}"  # noqa: TID251 (an edge)
        found = loads(text)
        if not isinstance(found, dict):
            raise ValueError(f"{PARAMETERS_VARIABLE} must be a JSON object, found {text[:60]}")
        self.parameters: dict[str, Any] = found
        self._folder: str | None = None
        self._saved: int | None = None

    def steps_to(self, count: int | None) -> int:
        """Return the number of steps: ``HPO_PIPE_STEPS``, else `count`, else 10."""
        text = os.environ.get(STEPS_VARIABLE)  # noqa: TID251 (an edge)
        if text:
            return int(text)
        if count is None:
            note = (
                f"hpo_pipe: outside a worker: {STEPS_ALONE} steps ({STEPS_VARIABLE} or steps(n) changes it)"
            )
            print(note, file=sys.stderr)
            return STEPS_ALONE
        return count

    def write(self, resource: int, values: dict[str, float]) -> None:
        """Print one line."""
        print(f"{resource}:", *(f"{name}={value:g}" for name, value in values.items()), flush=True)

    def asked(self) -> str:
        """Nobody asks."""
        return ""

    def save_wished(self) -> bool:
        """Nobody wishes."""
        return False

    def checkpoint_dir(self) -> str:
        """Make the temporary folder, which is removed when the process ends."""
        if self._folder is None:
            import atexit
            import shutil
            import tempfile

            self._folder = tempfile.mkdtemp(prefix="hpo-pipe-checkpoints-")
            atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    def committed(self, resource: int) -> None:
        """Keep the newest checkpoint only."""
        if self._saved is not None and self._saved != resource:
            import shutil

            shutil.rmtree(f"{self._folder}/{self._saved}", ignore_errors=True)
        self._saved = resource

    def close(self) -> None:
        """Nothing is open."""


def floats(values: Mapping[str, Any]) -> dict[str, float]:
    """Return metrics as plain floats; raises TypeError or ValueError where they are none."""
    if not values:
        raise ValueError("nothing to report: name at least one metric")
    if "resource" in values:
        raise ValueError("a metric cannot be called 'resource'")
    return {name: value if type(value) is float else _float(name, value) for name, value in values.items()}


def _float(name: str, value: Any) -> float:
    if isinstance(value, bool | str | bytes):
        raise TypeError(f"{name} must be a number, found {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be one number, found {type(value).__name__}: {error}") from None
