"""Reading what a trial reports: one JSON object per line, appended to its metrics file.

Limits, so that no trial can flood a worker or a bucket:

* a line has at most 64 KiB and 256 metrics; a metric's name at most 200 characters; a spec at most 1,000 names;
* the first 100,000 reports of a spec, or 1,000,000 values, are all kept; then one in 10 of the next million, one in
  100 of the next ten million, and so on. The newest report, and the newest one at the spec's target, are kept always;
* a metrics file of more than 1 GiB ends the trial.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage_schema.keys import MAX_RESOURCE
from storage_schema.trial_env import MAX_LINE_BYTES, MAX_METRICS_PER_LINE, RESOURCE_FIELD

KEPT_PER_STRIDE = 100_000
VALUES_PER_STRIDE = 1_000_000
MAX_FILE_BYTES = 1024 * 1024 * 1024
MAX_NAME_CHARACTERS = 200
MAX_NAMES = 1_000
"""Names are stored in each segment: more of them could make one too large to be read."""
MAX_COMPLAINTS = 20
_READ_BYTES = 1024 * 1024
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report of a trial."""

    resource: int
    """Completed units; where the trial left it out, one more than the last."""
    values: Mapping[str, float]
    """Metrics by name; NaN and infinities included."""
    at: float
    """When the worker read it, on its own clock: seconds since the epoch."""


class BadLine(ValueError):
    """A report line, or one value in it, that cannot be read."""


class Complaints:
    """The first few complaints, and the number of the others."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._more = 0

    def add(self, text: str) -> None:
        """Note a complaint."""
        if len(self._first) < MAX_COMPLAINTS:
            self._first.append(text[:300])
        else:
            self._more += 1

    def lines(self) -> list[str]:
        """Return at most 21 lines."""
        return [*self._first, f"... and {self._more} more"] if self._more else list(self._first)


class Thinning:
    """Decides which reports are kept, see the module's text; holds back what must not get lost."""

    def __init__(self, target: int | None) -> None:
        self._target = target
        self._seen = 0
        self._kept = 0
        self._values = 0
        self._newest: Report | None = None
        self._at_target: Report | None = None

    @property
    def stride(self) -> int:
        """One report in so many is kept now."""
        return int(10 ** max(self._kept // KEPT_PER_STRIDE, self._values // VALUES_PER_STRIDE))

    def keep(self, report: Report) -> bool:
        """Say whether `report` passes; one that does not is held back until newer ones replace it."""
        self._seen += 1
        if self._seen % self.stride == 0:
            self._kept += 1
            self._values += len(report.values)
            self._newest = None
            if report.resource == self._target:
                self._at_target = None
            return True
        self._newest = _joined(self._newest, report)
        if report.resource == self._target:
            self._at_target = _joined(self._at_target, report)
        return False

    def held(self) -> list[Report]:
        """Return, once the trial ended, what was held back and must be kept after all."""
        held = [self._at_target, self._newest]
        self._at_target = self._newest = None
        if held[0] is not None and held[1] is not None and held[0].resource == held[1].resource:
            held = held[:1]
        return [report for report in held if report is not None]


class ReportFile:
    """An incremental reader of one metrics file. Not for several threads at once."""

    def __init__(self, path: str, *, start: int, now: Callable[[], float], complaints: Complaints) -> None:
        self._path = Path(path)
        self._now = now
        self._complaints = complaints
        self._last = start
        self._line = 0
        self._rest = b""
        self._skipping = False
        self._names: dict[str, str] = {}
        self._fd: int | None = None
        self._inode: tuple[int, int] | None = None
        self._offset = 0
        self.flooded = False

    def read(self) -> list[Report]:
        """Return the complete lines that were appended since the last call, at most about 1 MiB of them."""
        data = self._new_bytes()
        return self._split(data) if data else []

    def finish(self) -> Iterator[list[Report]]:
        """Yield all that is left, about 1 MiB at a time, also a last line without its end; the trial writes no more."""
        while (data := self._new_bytes()) and not self.flooded:
            yield self._split(data)
        if self._rest and not self._skipping:
            yield self._parsed(self._rest)
        self._rest = b""

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _new_bytes(self) -> bytes:
        """Read on; a file that was replaced or cut short is read from its beginning."""
        try:
            found = self._path.lstat()
            if self._inode != (found.st_dev, found.st_ino):
                self._reopen(found)
            self.flooded |= found.st_size > MAX_FILE_BYTES
            if self._fd is None or found.st_size == self._offset or self.flooded:
                return b""
            if found.st_size < self._offset:
                self._offset, self._rest, self._skipping = 0, b"", False
            data = os.pread(self._fd, _READ_BYTES, self._offset)
        except OSError:
            return b""
        self._offset += len(data)
        return data

    def _reopen(self, found: os.stat_result) -> None:
        """Open the file anew. A link is not followed: lines that are no reports are quoted in the record."""
        self.close()
        self._offset, self._rest, self._skipping = 0, b"", False
        self._inode = (found.st_dev, found.st_ino)
        if not stat.S_ISREG(found.st_mode):
            self._complaints.add("the metrics file is no plain file: nothing is read from it")
            return
        self._fd = os.open(self._path, _FLAGS)
        opened = os.fstat(self._fd)
        if not stat.S_ISREG(opened.st_mode):
            self.close()

    def _split(self, data: bytes) -> list[Report]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        found: list[Report] = []
        for line in lines:
            if self._skipping:
                self._skipping = False
            else:
                found.extend(self._parsed(line))
        if len(self._rest) > MAX_LINE_BYTES:
            if not self._skipping:
                self._line += 1
                self._complain(f"longer than {MAX_LINE_BYTES} bytes; left out")
            self._rest, self._skipping = b"", True
        return found

    def _parsed(self, line: bytes) -> list[Report]:
        self._line += 1
        if not line.strip():
            return []
        try:
            resource, values = parsed(line, self._last + 1, self._complain)
        except BadLine as error:
            self._complain(str(error))
            return []
        self._last = resource
        values = {self._names[name]: value for name, value in values.items() if self._known(name)}
        return [Report(resource=resource, values=values, at=self._now())] if values else []

    def _known(self, name: str) -> bool:
        if name not in self._names and len(self._names) >= MAX_NAMES:
            self._complain(f"{name[:40]} is left out: more than {MAX_NAMES} different metrics")
            return False
        self._names.setdefault(name, name)  # one text for all reports of a metric
        return True

    def _complain(self, problem: str) -> None:
        self._complaints.add(f"report line {self._line}: {problem}")


def parsed(
    line: bytes, following: int, complain: Callable[[str], None] = lambda _: None
) -> tuple[int, dict[str, float]]:
    """Read one report line; `following` is its resource where it names none.

    A value that is no number (a text, true, a list) is left out with a complaint; null and the tokens NaN,
    Infinity and -Infinity are numbers.

    Raises:
        BadLine: not a JSON object, a bad resource, or no number at all.
    """
    if len(line) > MAX_LINE_BYTES:
        raise BadLine(f"longer than {MAX_LINE_BYTES} bytes; left out")
    try:
        found = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadLine(f"not JSON ({str(error)[:80]}): {_shown(line)}") from None
    if not isinstance(found, dict):
        raise BadLine(f"expected an object, found {_shown(line)}")
    if len(found) > MAX_METRICS_PER_LINE + 1:
        raise BadLine(f"{len(found)} metrics, more than {MAX_METRICS_PER_LINE}")
    resource = _resource(found.pop(RESOURCE_FIELD, None), following)
    values = {}
    for name, value in found.items():
        try:
            checked = _checked_name(name)  # first: the other complaint quotes it
            values[checked] = _number(checked, value)
        except BadLine as error:
            complain(str(error))
    if not values:
        raise BadLine(f"no metric in {_shown(line)}")
    return resource, values


def _resource(value: Any, following: int) -> int:
    """Check it: a row with a greater resource would make its whole segment unreadable, and stop the study."""
    if value is None:
        value = following
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_RESOURCE:
        allowed = f"a whole number from 0 to {MAX_RESOURCE}"
        raise BadLine(f"{RESOURCE_FIELD} must be {allowed}, found {_said(value)}")
    return value


def _checked_name(name: str) -> str:
    if not name or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise BadLine(f"bad metric name {name[:40]!r}: 1 to {MAX_NAME_CHARACTERS} printable characters")
    return name


def _number(name: str, value: Any) -> float:
    if value is None:
        return float("nan")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadLine(f"{name[:40]} must be a number, found {_said(value)}")
    try:
        return float(value)
    except OverflowError:
        raise BadLine(f"{name[:40]} is out of range") from None


def _said(value: Any) -> str:
    """Return a value for a complaint; lists and objects may be nested too deep to be written out."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return repr(str(value)[:40])


def _joined(held: Report | None, newer: Report) -> Report:
    """Let reports on one resource add up; `newer` wins. Bounded by the metrics a line may hold, twice."""
    if held is None or held.resource != newer.resource or len(held.values) > MAX_METRICS_PER_LINE:
        return newer
    return Report(resource=newer.resource, values={**held.values, **newer.values}, at=newer.at)


def _shown(line: bytes) -> str:
    return repr(line[:60].decode("utf-8", "replace"))
