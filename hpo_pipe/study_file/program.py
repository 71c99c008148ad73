"""What a study runs: its command with placeholders, or its function; metrics by pattern; environment."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Iterable, Mapping, Sequence

from hpo_pipe.options import mistake
from hpo_pipe.study_file.tables import MetricTable, StudyTable
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError, nearest
from storage_schema.records import Program
from storage_schema.redaction import is_secret_name, redacted

SPECIALS = ("args", "args_no_hyphens", "args_json")
"""Placeholders for all parameters together; the first two stand alone in an argument. There is also
``{envvar:NAME}``, for a variable of the worker's environment."""
MAX_ARGUMENTS = 1000
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RANDOM = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+/=_.~-]{16,}")
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def read_program(
    table: StudyTable, metrics: Sequence[MetricTable], names: Iterable[str], where: str
) -> Program:
    """Return the program.

    Args:
        table: the file's top.
        metrics: its metrics, some with patterns.
        names: the parameters, for placeholders.
        where: the file, for errors.

    Raises:
        StudyFileError: neither or both of command and function, or a mistake in one of them.
    """
    if (table.command is None) == (table.function is None):
        found = "are both there" if table.function is not None else "are both missing"
        example = 'command = ["python", "train.py"] or function = "train:main"'
        raise StudyFileError(f"{where}: command and function {found}, expected one of them: {example}")
    if table.function is not None and not _FUNCTION.fullmatch(table.function):
        raise mistake(where, "function", table.function, "module:name, as in train:main")
    if table.layout is not None and table.function is not None:
        raise mistake(where, "layout", table.layout, "a command beside it: a function runs in a warm process")
    return Program(
        command=_command(table.command, tuple(names), where) if table.command is not None else (),
        function=table.function or "",
        metric_patterns=tuple((m.name, _pattern(m.pattern, where)) for m in metrics if m.pattern is not None),
        environment=_environment(table.environment, where),
        layout=table.layout or "",
    )


def _command(found: Json, names: tuple[str, ...], where: str) -> tuple[str, ...]:
    if isinstance(found, str):
        try:
            found = shlex.split(found)
        except ValueError as error:
            raise mistake(where, "command", found, f"matching quotes ({error})") from None
    if not isinstance(found, list | tuple) or not 1 <= len(found) <= MAX_ARGUMENTS or not found[0]:
        allowed = 'a list of arguments such as ["python", "train.py"], or one line'
        raise mistake(where, "command", found, allowed)
    for place, argument in enumerate(found):
        if not isinstance(argument, str) or "\0" in argument:
            raise mistake(where, f"command[{place}]", argument, "a string")
        plain = _PIECE.sub("", argument)  # http://{envvar:USER}:{envvar:PASSWORD}@host is how it should be
        if redacted(plain) != plain:
            raise StudyFileError(
                f"{where}: command[{place}] holds a credential, and everybody who reads the study could read it; set a "
                "variable where the workers are started, and write {envvar:NAME} here"
            )
        _check_placeholders(argument, names, f"command[{place}]", where)
    return tuple(found)


def _check_placeholders(argument: str, names: tuple[str, ...], key: str, where: str) -> None:
    for piece in _PIECE.finditer(argument):
        name = piece[1]
        if piece[0] in ("{{", "}}") or name in names or _is_variable(name):
            continue
        if name is None:
            raise mistake(where, key, argument, f"a parameter between braces, or {piece[0] * 2} for a brace")
        if name not in SPECIALS:
            allowed = [*names, *SPECIALS]
            known = f"one of {', '.join(allowed)} between braces{nearest(name, allowed)}"
            raise mistake(where, key, argument, f"{known}, or {{{{ and }}}} for braces")
        if name != "args_json" and argument != piece[0]:
            raise mistake(where, key, argument, f"{{{name}}} as an argument of its own")


def _is_variable(name: str | None) -> bool:
    return (
        name is not None and name.startswith("envvar:") and bool(_VARIABLE.fullmatch(name[len("envvar:") :]))
    )


def _pattern(pattern: str, where: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # an expression that will mean something else
            groups = re.compile(pattern).groups
    except (re.error, RecursionError, OverflowError, FutureWarning) as error:
        raise mistake(where, "metric.pattern", pattern, f"a regular expression ({error})") from None
    if groups != 1:
        raise mistake(where, "metric.pattern", pattern, "one group, around the number")
    return pattern


def looks_secret(name: str, value: str) -> bool:
    """Tell a key from a word such as the value of ``PAD_TOKEN``: it is long, and mixes letters and digits."""
    if redacted(value) != value:
        return True
    return is_secret_name(name) and bool(_RANDOM.fullmatch(value))


def _environment(found: Json, where: str) -> tuple[tuple[str, str], ...]:
    if found is None:
        return ()
    if not isinstance(found, Mapping):
        raise mistake(where, "environment", found, "a table of names and strings")
    for name, value in found.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name) or name.startswith("HPO_PIPE_"):
            allowed = "letters, digits and _, and not HPO_PIPE_..."
            raise mistake(where, "environment", name, f"a variable's name: {allowed}")
        if not isinstance(value, str) or "\0" in value:
            raise mistake(where, f"environment.{name}", value, "a string")
        if looks_secret(name, value):
            raise StudyFileError(  # without the value: it would end in logs
                f"{where}: environment.{name} looks like a secret, and everybody who reads the study could read it; "
                f"set {name} where the workers are started: trials inherit it, and commands write {{envvar:{name}}}"
            )
    return tuple(sorted(found.items()))
