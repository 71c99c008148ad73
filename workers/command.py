"""From a command template and a trial's parameters to the argument list that is executed. Never a shell line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from storage_schema.codec import Json
from storage_schema.errors import UserError, nearest

MANY = {"args": "--{}={}", "args_no_hyphens": "{}={}"}
"""Specials that must be an argument of their own: one argument per parameter comes of them."""
ARGS_JSON = "args_json"
"""All parameters as one JSON object."""
ENVVAR = "envvar:"
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def rendered(
    command: Sequence[str],
    parameters: Mapping[str, Json],
    environment: Mapping[str, str],
    names: Collection[str] = (),
    args: Sequence[str] | None = None,
) -> list[str]:
    """Fill a command template in.

    ``{name}`` becomes the parameter's value: floats so that they read back exactly, ints plain, texts as they are,
    ``true``, ``false`` and ``null`` as JSON has them, lists and objects as JSON. ``{{`` and ``}}`` are braces.
    ``{args}``, ``{args_no_hyphens}`` and ``{args_json}`` stand for all parameters, unless one is called so;
    ``{envvar:NAME}`` for a variable of the trial's environment.

    An argument that names a parameter which is inactive in this trial is left out. If it is nothing but ``{name}``, a
    flag before it goes, too: ``--momentum {momentum}``.

    Args:
        command: the template.
        parameters: the trial's: the active ones.
        environment: the trial's.
        names: all parameters of the study.
        args: what ``{args}`` stands for in place of ``--name=value``.

    Raises:
        UserError: an unknown name or variable, a lone brace, an inactive parameter as the program, or a value that
            no argument can hold.
    """
    inactive = set(names) - parameters.keys()
    arguments: list[str] = []
    for place, template in enumerate(command):
        special = template[1:-1]
        alone = template == f"{{{special}}}"
        if inactive and any(piece[1] in inactive for piece in _PIECE.finditer(template)):
            if not place:
                raise UserError(f"command: the program is {template!r}, which this trial has no value for")
            if alone and place > 1 and _is_flag(command[place - 1]):
                arguments.pop()
        elif alone and args is not None and special == "args" and special not in parameters:
            arguments += args
        elif alone and special in MANY and special not in parameters:
            arguments += [MANY[special].format(name, value_text(value)) for name, value in parameters.items()]
        else:
            arguments.append(_filled(template, parameters, environment))
    for argument in arguments:
        if "\0" in argument:
            raise UserError(f"command: an argument holds a NUL character: {argument[:60]!r}")
    return arguments


def _is_flag(template: str) -> bool:
    """Tell whether an argument, as written, asks for the next one: ``-m``, ``--momentum``."""
    text = template.strip("-")
    return template.startswith("-") and bool(text) and "=" not in text and not _PIECE.search(text)


def value_text(value: Json) -> str:
    """Return a parameter's value as an argument."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def executable(name: str, environment: Mapping[str, str], workdir: Path) -> str:
    """Return the file that a shell in `workdir` would execute for `name`.

    Raises:
        UserError: there is none, or it is not executable.
    """
    if not name:
        raise UserError("command: the first argument, the program, is empty")
    if "/" in name:
        if not _is_executable(workdir / name):
            raise UserError(f"command: {_why_not(workdir / name)}")
        return str(workdir / name)
    for folder in environment.get("PATH", os.defpath).split(os.pathsep):
        candidate = workdir / (folder or ".") / name
        if _is_executable(candidate):
            return str(candidate)
    in_workdir = f"; {workdir / name} exists: write './{name}'" if (workdir / name).is_file() else ""
    raise UserError(f"command: {name!r} is not found on PATH{in_workdir}")


def _filled(template: str, parameters: Mapping[str, Json], environment: Mapping[str, str]) -> str:
    def piece(match: re.Match[str]) -> str:
        text, name = match[0], match[1]
        if text in ("{{", "}}"):
            return text[0]
        if name is None:
            raise UserError(f"command: lone {text!r} in {template!r}; write {text * 2!r} for a brace")
        if name in parameters:
            return value_text(parameters[name])
        if name == ARGS_JSON:
            return value_text(dict(parameters))
        if name.startswith(ENVVAR):
            variable = name.removeprefix(ENVVAR)
            if variable not in environment:
                raise UserError(f"command: {template!r}: the worker's environment has no {variable}")
            return environment[variable]
        if name in MANY:
            raise UserError(f"command: {{{name}}} must be an argument of its own, found {template!r}")
        allowed = [*parameters, *MANY, ARGS_JSON]
        raise UserError(
            f"command: {template!r} names no parameter: {name!r}{nearest(name, allowed)};"
            f" allowed: {', '.join(allowed)}"
        )

    return _PIECE.sub(piece, template)


def _is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _why_not(path: Path) -> str:
    if path.is_file():
        return f"{path} is not executable (chmod +x, or name its interpreter: python, sh, ...)"
    return f"{path} is not a file" if path.exists() else f"{path} does not exist"
