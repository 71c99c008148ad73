"""An attempt at a script written for SageMaker: SIGTERM asks it to stop, and its files are saved and read."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

from storage_schema.clock import SystemClock
from storage_schema.redaction import LONGEST
from storage_schema.terminal import one_line
from storage_schema.trial_env import EXIT_INTERRUPTED, INTERRUPT, TrialFile
from workers.attempt_process import AttemptProcess, Running
from workers.checkpoint_files import opened_file
from workers.ending import Ended
from workers.feedback import Feedback
from workers.opt_ml_strays import Strays
from workers.reports import Complaints, Report
from workers.sagemaker_checkpoints import SavedFolder
from workers.sagemaker_layout import FAILURE, OPT_ML, in_place

MAX_FAILURE = 1024
"""Characters of ``/opt/ml/output/failure`` that SageMaker reads."""


class SageMakerAttempt(AttemptProcess):
    """See :class:`workers.trial_process.TrialProcess`.

    Args:
        root: the attempt's ``/opt/ml``.
        whole: the spec ends where the training does.
    """

    def __init__(
        self, running: Running, feedback: Feedback, file: TrialFile, root: Path, *, whole: bool
    ) -> None:
        super().__init__(running, feedback, file)
        self._root = root
        self._counted = file.to is not None
        self._asked = ""
        self._told = threading.Event()
        self._finished = False
        self._unsaved = Complaints()
        self._complained: set[str] = set()
        self._strays = Strays(Path(OPT_ML))
        self._folder = SavedFolder(
            root,
            Path(file.checkpoint_dir),
            start=file.start,
            to=file.to,
            whole=whole,
            clock=SystemClock(),
            complain=self._complain,
        )

    def poll(self) -> Ended | None:
        """Return how the trial ended, or None while it runs."""
        if self._asked and not self._told.is_set():
            self.terminate()
        ended = super().poll()
        if ended is not None and ended.status == 0 and self._asked == INTERRUPT and not self._counted:
            # Nothing tells a training that is complete from one that left in good order when it was asked to.
            return replace(ended, status=EXIT_INTERRUPTED, reason="interrupted")
        return ended

    def reports(self) -> list[Report]:
        """Return the reports that came since the last call; save what the trial has left."""
        ended = self.poll()
        found = super().reports()
        for report in found:
            self._folder.reported(report.resource, report.at)
        if ended is None:
            self._folder.look()
        elif not self._finished:
            self._finished = True
            for stray in self._strays.found():
                self._complain(stray)
            self._folder.finish(well=ended.status == 0, by_itself=ended.status is not None)
        return found

    def ask_to_stop(self, kind: str) -> None:
        """Write the stop file; the next poll sends SIGTERM, which is all that such a script knows."""
        super().ask_to_stop(kind)
        self._asked = kind

    def terminate(self) -> None:
        """Send SIGTERM to the process group, once: a script may take the second one for impatience."""
        if not self._told.is_set():
            self._told.set()
            self._running.signal(signal.SIGTERM)

    def tail(self) -> str:
        """Return the last lines of the output, and what the script says of its failure."""
        failure = self._failure()
        return "\n".join(text for text in (super().tail(), failure) if text)

    def bad_lines(self) -> list[str]:
        """Return complaints on what was reported, and on what could not be saved."""
        return [*self._unsaved.lines(), *super().bad_lines()]

    def _failure(self) -> str:
        if not in_place(self._root / FAILURE):
            return ""
        with contextlib.suppress(OSError), opened_file(self._root, FAILURE) as file:
            data = self._feedback.redactor.data(file.read(4 * MAX_FAILURE + LONGEST))
            text = data.decode("utf-8", "replace").strip()[:MAX_FAILURE]
            return f"{OPT_ML}/{FAILURE}: {text}" if text else ""
        return ""

    def _complain(self, text: str) -> None:
        if text not in self._complained and len(self._complained) < 100:
            self._complained.add(text)
            text = text.replace(f"{self._root}{os.sep}", f"{OPT_ML}/")
            self._unsaved.add(text)
            self._feedback.output.feed(f"hpo-pipe: {one_line(text)}\n".encode())  # for `hpo-pipe logs`
