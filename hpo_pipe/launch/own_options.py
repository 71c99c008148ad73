"""A target's own options as a table: click reads it for the command line, and settings are held against it.

Settings are checked although click looked already: they also come from Python, and cross-field rules need them right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from hpo_pipe.count_type import Count
from storage_schema.codec import Json
from storage_schema.errors import UserError
from storage_schema.redaction import redacted

_UNITS = ("SECONDS", "GB", "MIB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """One option: an integer where it has bounds, a flag where it is one, else a text."""

    name: str
    """As in ``--job-queue``; its Python name is the same with underscores."""
    help: str
    low: int | None = None
    high: int | None = None
    flag: bool = False
    pattern: str = ""
    """What a text must match as a whole."""
    example: str = ""
    metavar: str = ""
    """What help shows in a value's place; without one the name's last word, or N for integers without a unit."""
    multiple: bool = False
    most: int = 16
    """Of an option that may be repeated."""
    default: Json = None
    required: bool = False

    @property
    def key(self) -> str:
        """Its name in Python and in settings."""
        return self.name.removeprefix("--").replace("-", "_")

    def option(self) -> click.Option:
        """Return what click offers."""
        if self.flag:
            return click.Option([self.name], is_flag=True, help=self.help)
        return click.Option(
            [self.name],
            type=click.STRING if self.low is None else Count(self.low, self.high),
            multiple=self.multiple,
            default=self.default,
            show_default=self.default is not None,
            metavar=self.metavar or self._last_word(),
            help=f"{self.help}  [required]"
            if self.required
            else self.help,  # demanded by `checked`, with the rest
        )

    def _last_word(self) -> str:
        word = self.name.rpartition("-")[2].upper()
        if self.low is not None:
            return word if word in _UNITS else "N"
        return word.removesuffix("S") if self.multiple else word

    def checked(self, given: Json) -> Json:
        """Return what a record keeps of a value; raises UserError."""
        if self.flag:
            return bool(given)
        if self.multiple:
            found = list(given or ())
            if len(found) > self.most:
                raise UserError(f"{self.name}: {len(found)} of them, expected at most {self.most}")
            twice = next((item for at, item in enumerate(found) if item in found[:at]), None)
            if twice is not None:
                raise UserError(
                    f"{self.name} {redacted(str(twice))[:80]!r} is given twice, expected each once"
                )
            if self.required and not found:
                raise UserError(f"{self.name} is missing, expected {self._wanted()}")
            return [self._one(item) for item in found]
        if given is None or given == "":
            if self.required:
                raise UserError(f"{self.name} is missing, expected {self._wanted()}")
            return self.default
        return self._one(given)

    def _one(self, found: Json) -> Json:
        if self.low is not None:
            fits = isinstance(found, int) and not isinstance(found, bool)
            fits = fits and self.low <= found and (self.high is None or found <= self.high)
        else:
            fits = isinstance(found, str) and bool(re.fullmatch(self.pattern or r".{1,2048}", found))
        if not fits:
            shown = repr(redacted(found)[:80]) if isinstance(found, str) else str(found)[:20]
            raise UserError(f"{self.name} is {shown}, expected {self._wanted()}")
        return found

    def _wanted(self) -> str:
        if self.low is None:
            return f"something like {self.example}" if self.example else "a text"
        return (
            f"an integer from {self.low} to {self.high}" if self.high is not None else f"at least {self.low}"
        )


def options_of(table: Sequence[Own]) -> list[click.Option]:
    """Return what click offers."""
    return [own.option() for own in table]


def settings_of(table: Sequence[Own], given: Mapping[str, Json]) -> dict[str, Json]:
    """Return what a record keeps of the values in `given`, by their Python names.

    Raises:
        UserError: one line for each mistake, with option, what was found and what is allowed.
    """
    keys = [own.key for own in table]
    return dict(
        zip(keys, gathered(*((lambda o=own: o.checked(given.get(o.key))) for own in table)), strict=True)
    )


def gathered(*steps: Callable[[], Any]) -> list[Any]:
    """Return what each step returns.

    Raises:
        UserError: the lines of all steps that raised one.
    """
    found, lines = [], []
    for step in steps:
        try:
            found.append(step())
        except UserError as error:
            lines.append(str(error))
    if lines:
        raise UserError("\n".join(lines))
    return found
