"""One attempt as the worker sees it, whatever runs it: the only implementation of TrialProcess."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from storage_schema.trial_env import TrialFile
from workers.ending import Ended
from workers.feedback import Feedback
from workers.reports import Report
from workers.trial_folder import remove_save, write_save, write_stop

_LOOK_S = 1.0
"""A long wait looks at the reports this often, so that a flood of them is noticed."""


class Running(Protocol):
    """What runs the attempt: a process of its own, or one call within a warm process."""

    def ended(self) -> Ended | None:
        """Return how it ended, once all its output was passed on."""

    def wait(self, timeout_s: float) -> None:
        """Wait until it ends, at most so long."""

    def signal(self, number: int) -> None:
        """Send a signal to the process group."""

    def close(self) -> None:
        """End it, if it runs, and let go of its output."""


class AttemptProcess:
    """See :class:`workers.trial_process.TrialProcess`."""

    def __init__(self, running: Running, feedback: Feedback, file: TrialFile) -> None:
        self._running = running
        self._feedback = feedback
        self._stop_file = Path(file.stop_file)
        self._save_file = Path(file.save_file) if file.save_file else None
        self._wished = False
        self._ended: Ended | None = None
        self._closed = False

    def poll(self) -> Ended | None:
        """Return how the trial ended, or None while it runs."""
        if self._ended is None and not self._closed:
            self._feedback.look()
            if self._feedback.flooded:
                self._running.signal(signal.SIGKILL)
            self._settle(self._running.ended())
        return self._ended

    def reports(self) -> list[Report]:
        """Return the reports that came since the last call."""
        if self._ended is None and not self._closed:
            self._feedback.look()
        return self._feedback.reports()

    def wait(self, timeout_s: float) -> Ended | None:
        """Wait until the trial ends, at most `timeout_s` seconds."""
        left = timeout_s
        while self.poll() is None and left > 0 and not self._closed:
            self._running.wait(min(left, _LOOK_S))
            left -= _LOOK_S
        return self.poll()

    def ask_to_stop(self, kind: str) -> None:
        """Write the stop file."""
        write_stop(self._stop_file, kind)

    def ask_to_save(self) -> None:
        """Write the save file."""
        if self._save_file is not None:
            self._wished = True
            write_save(self._save_file)

    def saved(self) -> None:
        """Remove the save file."""
        if self._wished and self._save_file is not None:
            self._wished = False
            with contextlib.suppress(OSError):  # the trial has most likely done it itself
                remove_save(self._save_file)

    def terminate(self) -> None:
        """Send SIGTERM to the process group."""
        self._running.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the process group."""
        self._running.signal(signal.SIGKILL)

    def output(self) -> bytes:
        """Return stdout and stderr, beginning and end."""
        return self._feedback.output.whole()

    def tail(self) -> str:
        """Return the last lines of the output."""
        return self._feedback.output.tail()

    def bad_lines(self) -> list[str]:
        """Return complaints on what was reported."""
        return self._feedback.bad_lines()

    def close(self) -> None:
        """Kill what is left, and let go of everything."""
        if not self._closed:
            self._closed = True
            self._running.close()
            self._feedback.close()

    def _settle(self, ended: Ended | None) -> None:
        if ended is None:
            return
        self._feedback.finish()
        flooded = self._feedback.flooded
        # A warm process's reason is the text of the trial's own exception.
        self._ended = replace(ended, reason=flooded or self._feedback.redactor.text(ended.reason))
