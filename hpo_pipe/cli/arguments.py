"""Arguments and options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hpo_pipe.count_type import Count

if TYPE_CHECKING:
    _Text = click.ParamType[str]
    _Number = click.ParamType[float]
    _Any = click.ParamType[Any]
else:  # generic only in newer versions of click
    _Text = _Number = _Any = click.ParamType

_F = TypeVar("_F", bound=Callable[..., Any])

_DURATION = re.compile(r"(\d+(?:\.\d*)?)\s*(s|min|m|h|d)?")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


class StudyUrl(_Text):
    """A study URL in its canonical form."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the canonical URL."""
        from storage_schema.store import study_url

        return study_url(str(value))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Complete folders; for URLs the shell has nothing to offer."""
        return [click.shell_completion.CompletionItem(incomplete, type="dir")]


class Duration(_Number):
    """Seconds, or a number with a unit: ``90``, ``90s``, ``15min``, ``2h``, ``1d``."""

    name = "duration"

    def __init__(self, *, positive: bool = False) -> None:
        self.positive = positive

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        if isinstance(value, int | float):
            return float(value)
        found = _DURATION.fullmatch(str(value).strip())
        if not found:
            self.fail(f"{value!r} is not a duration like 90s, 15min, 2h or 1d", param, ctx)
        seconds = float(found[1]) * _SECONDS[found[2] or ""]
        if self.positive and not seconds:
            self.fail(f"{value!r}: expected more than 0", param, ctx)
        return seconds


class OrNone(_Any):
    """A value of another type, or the word ``none``, which becomes :data:`NO_LIMIT`."""

    def __init__(self, inner: _Any, name: str) -> None:
        self.inner = inner
        self.name = f"{name}|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the inner type's value, or NO_LIMIT."""
        if isinstance(value, str) and value.lower() == NO_LIMIT:
            return NO_LIMIT
        return self.inner.convert(value, param, ctx)


NO_LIMIT = "none"


def url_argument(function: _F) -> _F:
    """Add the positional study URL."""
    return click.argument("url", type=StudyUrl())(function)


def trial_argument(function: _F) -> _F:
    """Add the positional trial number."""
    return click.argument("trial", type=Count(min=0))(function)


def json_option(function: _F) -> _F:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


EXAMPLE_COLUMNS = 100


def examples(*lines: str) -> str:
    """Return an epilog that shows `lines` as they are; long commands go on in a next line, as a shell takes it."""
    return "\b\nExamples:\n" + "\n".join(f"  {part}" for line in lines for part in _broken(line))


def _broken(command: str) -> list[str]:
    """Break a long command before options. What explains a command stands behind it, after spaces: left as it is."""
    if len(command) <= EXAMPLE_COLUMNS or "   " in command:
        return [command]
    parts = [""]
    for word in re.split(r" (?=--)", command):
        if parts[-1] and len(parts[-1]) + len(word) > EXAMPLE_COLUMNS - 3:
            parts[-1] += " \\"
            parts.append(f"    {word}")
        else:
            parts[-1] += f" {word}" if parts[-1] else word
    return parts
