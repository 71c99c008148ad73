"""Starting one coordinator tick, as a process, where no coordinator seems to live (PROTOCOL.md, 5.3, step 7)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

EXIT_INTERRUPTED = 75

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


MOST_SKIPPED = 3
"""Ticks that are left out at most after one that failed: a store that comes back must not wait for long."""


class CoordinatorStarter:
    """Starts at most one at a time. Its talk goes to our stderr.

    One that fails is said to, and the next ones are tried less and less often: a key that may only train is
    denied every tick, and each denial is a process, some requests and a line of talk.
    """

    def __init__(self, url: str, say: Callable[[str], object] = lambda _: None) -> None:
        self._url = url
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._failures = 0
        self._skip = 0

    def __call__(self) -> None:
        """Start one, unless one is running, or the last ones failed; raises OSError."""
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return
            self._process = None
            self._judge(status)
        if self._skip:
            self._skip -= 1
            return
        self._process = subprocess.Popen(
            coordinator_command(self._url), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    def _judge(self, status: int) -> None:
        if status in (0, EXIT_INTERRUPTED):
            self._failures = 0
            return
        self._failures += 1
        self._skip = min(MOST_SKIPPED, 2**self._failures - 1)
        if self._failures == 1:
            self._say(
                f"a coordinator's tick of its own failed (exit status {status}); if this key may only train, start a "
                "coordinator elsewhere, and workers with --no-coordinator"
            )

    def close(self) -> None:
        """Collect the last one if it has ended; one that runs is left to end by itself."""
        if self._process is not None:
            self._process.poll()
            self._process.returncode = self._process.returncode or 0  # no warning about a child that lives on
