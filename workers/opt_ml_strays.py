"""``/opt/ml`` of this machine, where it is no trial's: what a script writes there all trials share, and find again.

A script that has the path written into it would take up the checkpoint of another trial, and nobody would notice.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

CHECKPOINTS = "checkpoints"
FOLDERS = (CHECKPOINTS, "model")


class Strays:
    """Tells whether such a folder changed since this object was made, or had checkpoints in it already.

    A link to a trial's own tree is none.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._before = self._changes()
        self._used = False
        if CHECKPOINTS in self._before:
            with contextlib.suppress(OSError):  # not ours to read
                self._used = any((place / CHECKPOINTS).iterdir())

    def found(self) -> list[str]:
        """Return a complaint for each folder that is in use."""
        return [
            f"{self._place / name} on this machine is in use, and all trials here share it: give the path as an "
            f"argument in the study's command, or start workers with HPO_PIPE_OPT_ML={self._place} and --slots 1"
            for name, changed in self._changes().items()
            if self._before.get(name) != changed or (name == CHECKPOINTS and self._used)
        ]

    def _changes(self) -> dict[str, int]:
        """Return when each folder that is there changed, in nanoseconds."""
        if self._place.is_symlink():
            return {}
        found = {}
        for name in FOLDERS:
            try:
                found[name] = (self._place / name).stat().st_mtime_ns
            except OSError:
                continue
        return found
