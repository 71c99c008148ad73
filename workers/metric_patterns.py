"""Metrics by regular expression, for scripts that only print (SageMaker's Name and Regex)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from storage_schema.errors import UserError
from storage_schema.keys import MAX_RESOURCE
from storage_schema.trial_env import RESOURCE_FIELD
from workers.reports import Complaints, Report

MAX_LINE_CHARACTERS = 4096
"""Longer lines are cut: this also bounds what a slow expression can cost."""
_LINE_END = re.compile(rb"[\r\n]")


class MetricPatterns:
    """The compiled expressions of a study."""

    def __init__(self, pairs: Sequence[tuple[str, str]], objective: str) -> None:
        """Compile.

        Args:
            pairs: metric (or ``resource``) and an expression with one group, which matches the number.
            objective: the metric whose matches are counted as completed units.

        Raises:
            UserError: not a regular expression, or not one group.
        """
        self.pairs = [(name, _compiled(name, text)) for name, text in pairs]
        self.objective = objective

    def found_in(self, line: str) -> dict[str, str]:
        """Return the text of the group for each metric that `line` holds."""
        matches = ((name, pattern.search(line)) for name, pattern in self.pairs)
        return {name: match[1] for name, match in matches if match is not None and match[1] is not None}


class PrintedReports:
    """Reports taken from the output of one trial.

    Matches of the objective count the completed units, from `start` on; another metric on a line of its own
    belongs to the unit that is not completed yet. An expression for ``resource`` overrides the counting: its number
    holds for that line and the next ones.
    """

    def __init__(
        self, patterns: MetricPatterns, *, start: int, now: Callable[[], float], complaints: Complaints
    ) -> None:
        self._patterns = patterns
        self._counted = start
        self._named: int | None = None
        self._now = now
        self._complaints = complaints
        self._rest = b""

    def feed(self, data: bytes) -> list[Report]:
        """Return the reports in more output."""
        *lines, rest = _LINE_END.split(self._rest + data)
        self._rest = rest[: 4 * MAX_LINE_CHARACTERS]
        found = (self._look_at(line) for line in lines if line)
        return [report for report in found if report is not None]

    def finish(self) -> list[Report]:
        """Return the report in a last line without its end."""
        line, self._rest = self._rest, b""
        report = self._look_at(line) if line else None
        return [] if report is None else [report]

    def _look_at(self, line: bytes) -> Report | None:
        found = self._patterns.found_in(_text(line))
        values = {name: value for name in found if (value := self._number(name, found[name])) is not None}
        named = values.pop(RESOURCE_FIELD, None)
        if named is not None and 0 <= named <= MAX_RESOURCE and named.is_integer():
            self._named = int(named)
        if not values:
            return None
        if self._patterns.objective in values:
            self._counted += 1
            resource = self._counted
        else:
            resource = self._counted + 1
        if self._named is not None:
            resource = self._named
        return Report(resource=min(resource, MAX_RESOURCE), values=values, at=self._now())

    def _number(self, name: str, text: str) -> float | None:
        try:
            return float(text)
        except ValueError:
            self._complaints.add(f"output: {name} is not a number: {text[:40]!r}")
            return None


def _text(line: bytes) -> str:
    return line[: 4 * MAX_LINE_CHARACTERS].decode("utf-8", "replace")[:MAX_LINE_CHARACTERS]


def _compiled(name: str, text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except (re.error, RecursionError) as error:
        raise UserError(f"metric_patterns: {name}: not a regular expression: {text!r}: {error}") from None
    if pattern.groups != 1:
        raise UserError(
            f"metric_patterns: {name}: {text!r} has {pattern.groups} groups; exactly one is needed, around the number"
            " (write (?:...) for the others)"
        )
    return pattern
