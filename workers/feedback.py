"""What one trial tells: its output, and its reports from the metrics file and from what it prints."""

from __future__ import annotations

import threading
from collections.abc import Callable

from storage_schema.redaction import Redactor
from storage_schema.trial_env import TrialFile
from workers.metric_patterns import MetricPatterns, PrintedReports
from workers.output import Output
from workers.reports import MAX_FILE_BYTES, Complaints, Report, ReportFile, Thinning


class Feedback:
    """Gathers the output and the reports of one attempt, within bounds."""

    def __init__(
        self,
        trial_file: TrialFile,
        patterns: MetricPatterns,
        now: Callable[[], float],
        redactor: Redactor | None = None,
    ) -> None:
        self.redactor = redactor or Redactor()
        self.output = Output(self.redactor)
        self._complaints = Complaints()
        self._file = ReportFile(
            trial_file.metrics_file, start=trial_file.start, now=now, complaints=self._complaints
        )
        self._printed = (
            PrintedReports(patterns, start=trial_file.start, now=now, complaints=self._complaints)
            if patterns.pairs
            else None
        )
        self._thinning = Thinning(trial_file.to)
        self._told_of_thinning = False
        self._waiting: list[Report] = []
        self._lock = threading.Lock()

    @property
    def flooded(self) -> str:
        """Say why the trial must be ended for what it reports; empty while all is well."""
        return f"reported more than {MAX_FILE_BYTES} bytes; killed" if self._file.flooded else ""

    def feed(self, data: bytes) -> None:
        """Take output; called by the pump's thread."""
        self.output.feed(data)
        if self._printed is not None:
            self._keep(self._printed.feed(data))

    def look(self) -> None:
        """Read what was reported since the last look."""
        self._keep(self._file.read())

    def finish(self) -> None:
        """Read all that is left; the trial has ended and its output is drained."""
        if self._printed is not None:
            self._keep(self._printed.finish())
        for found in self._file.finish():  # thinned as it is read: a trial may leave a GiB of reports behind
            self._keep(found)
        with self._lock:
            self._waiting += self._thinning.held()

    def reports(self) -> list[Report]:
        """Return what was kept since the last call."""
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken

    def bad_lines(self) -> list[str]:
        """Return the complaints so far; they quote what the trial wrote, so secrets are taken out."""
        return [self.redactor.text(line) for line in self._complaints.lines()]

    def close(self) -> None:
        """Close the metrics file."""
        self._file.close()

    def _keep(self, found: list[Report]) -> None:
        with self._lock:
            self._waiting += [report for report in found if self._thinning.keep(report)]
            tell = self._thinning.stride > 1 and not self._told_of_thinning
            self._told_of_thinning |= tell
        if tell:
            self._complaints.add("very many reports: from here on only some are kept (the newest always)")
