"""Starting one coordinator tick, as a process, where no coordinator seems to live (PROTOCOL.md, 5.3, step 7)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_BOOTSTRAP = (
    "import sys; sys.path.append({root!r}); import runpy; "
    "runpy.run_module('hpo_pipe', run_name='__main__', alter_sys=True)"
)


def coordinator_command(url: str) -> list[str]:
    """Return the argument list of ``hpo-pipe coordinator URL --once`` of this installation, isolated as we are."""
    flags = ["-I"] if sys.flags.isolated else ["-E", "-P"]
    root = str(Path(__file__).absolute().parent.parent)
    # Our folder is put last on the path, so that it hides nothing; an installed copy is found before it.
    return [sys.executable, *flags, "-c", _BOOTSTRAP.format(root=root), "coordinator", url, "--once"]


class CoordinatorStarter:
    """Starts at most one at a time. Its talk goes to our stderr."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> None:
        """Start one, unless one is running; raises OSError."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                coordinator_command(self._url), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )

    def close(self) -> None:
        """Collect the last one if it has ended; one that runs is left to end by itself."""
        if self._process is not None:
            self._process.poll()
            self._process.returncode = self._process.returncode or 0  # no warning about a child that lives on
