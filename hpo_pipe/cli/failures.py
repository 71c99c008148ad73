"""Where every failure of the command line ends: one line on stderr, and the documented exit code."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable

import click

from storage_schema.errors import (
    DamagedRecord,
    HpoPipeError,
    StoreRefused,
    StoreUnavailable,
    UserError,
    nearest,
)
from storage_schema.terminal import one_line

FAILURE = 1
USAGE = 2
DAMAGED = 65
UNAVAILABLE = 69
INTERRUPTED = 75
CONFIGURATION = 78
CTRL_C = 130
READER_GONE = 141

_CODES: tuple[tuple[type[HpoPipeError], int], ...] = (
    (UserError, USAGE),
    (DamagedRecord, DAMAGED),
    (StoreRefused, CONFIGURATION),
    (StoreUnavailable, UNAVAILABLE),
)


_MISTYPED = re.compile(r"'([^']*)' is not one of")


class ConfigurationError(HpoPipeError):
    """What was asked for cannot work here, however often it is tried; the command exits with 78."""


class ReaderGone(Exception):
    """Whoever read stdout went away."""


def exit_code(action: Callable[[], object]) -> int:
    """Run a command; say what went wrong, and return the exit code (an int that it returns is one)."""
    try:
        found = action()
        sys.stdout.flush()
    except (BrokenPipeError, ReaderGone):
        _forget_stdout()
        return READER_GONE
    except Exception as error:
        return _told(error)
    return found if isinstance(found, int) else 0


def complain(message: str) -> None:
    """Print an error as people and log collectors expect it: each line names the program."""
    for line in message.splitlines() or [""]:
        click.echo(f"hpo-pipe: error: {one_line(line)}", err=True)


def _told(error: Exception) -> int:
    match error:
        case click.Abort():
            return CTRL_C
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.format_message(), err=True)
            return USAGE
        case click.ClickException():
            complain(_words(error))
            _hint(error)
            return error.exit_code
        case ConfigurationError():
            complain(str(error))
            return CONFIGURATION
        case HpoPipeError():
            complain(str(error))
            return next((code for kind, code in _CODES if isinstance(error, kind)), FAILURE)
        case OSError() if error.strerror:
            complain(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
            return FAILURE
        case _:
            traceback.print_exception(error)
            complain(f"{type(error).__name__}: {error} (this should not happen; please report it)")
            return FAILURE


def _words(error: click.ClickException) -> str:
    """Return click's message on one line, with the nearest name where a choice was mistyped."""
    text = " ".join(error.format_message().split())
    param = error.param if isinstance(error, click.BadParameter) else None
    mistyped = _MISTYPED.search(text)
    if mistyped and param is not None and isinstance(param.type, click.Choice):
        text = text.removesuffix(".") + nearest(mistyped[1], [str(choice) for choice in param.type.choices])
    return text


def _hint(error: click.ClickException) -> None:
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        click.echo(f"Try '{context.command_path} --help'.", err=True)


def _forget_stdout() -> None:
    """Let nothing be written any more, so that the interpreter's last flush is quiet as well."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
