"""A study file in TOML: the tables, with comments on what they came from and on what is not in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hpo_pipe.tuning_job.request import LeftOut
from storage_schema.codec import Json
from storage_schema.terminal import one_line

LINE = 110
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_COMMENTS = {
    "command": (
        "What SageMaker's training toolkit runs: {args} stands for --name and value of each parameter. A path below",
        "/opt/ml, here or in a parameter, becomes one in the trial's own tree; SM_CHECKPOINT_DIR is its checkpoints.",
    ),
    "layout": (
        "Each trial finds SageMaker's files and variables. Data is on the workers' machines: start them with",
        "SM_CHANNEL_TRAINING=folder for a channel `training`. The tree's checkpoints/ is saved and restored.",
    ),
    "parameters": ("Static hyper-parameters and listed values are strings, as they were.",),
    "algorithm": ('The request\'s. name = "auto" is what hpo-pipe takes by itself.',),
}


def written(
    tables: Mapping[str, Json], left_out: Sequence[LeftOut], lost: Mapping[str, Json], where: str
) -> str:
    """Return the study file.

    Args:
        tables: as :func:`~hpo_pipe.study_file.read_study_mapping` reads them.
        left_out: what the request had beside them.
        lost: a ``[warm_start]`` whose studies are names of tuning jobs; it becomes a comment.
        where: the request's file.
    """
    lines = [f"# Made from {where}, a CreateHyperParameterTuningJob request, by: hpo-pipe import sagemaker"]
    if left_out:
        lines += ["#", "# Not carried over:", *(f"#   {item.path}: {item.reason}" for item in left_out)]
    lines += [""]
    plain = {key: value for key, value in tables.items() if not _is_table(value)}
    for key, value in plain.items():
        lines += [*_comment(key), f"{_key(key)} = {_value(value)}"]
    for key, value in tables.items():
        if key not in plain:
            lines += _table(key, value)
    if lost:
        lines += [
            "",
            "# [warm_start]                        # URLs of studies, in place of these tuning jobs",
        ]
        lines += [f"# {key} = {_value(value)}" for key, value in lost.items()]
    return "\n".join(map(_safe, lines)) + "\n"


def _is_table(value: Json) -> bool:
    """Tell tables and arrays of tables from what stands on one line."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, Mapping) for item in value)
    return isinstance(value, Mapping)


def _table(key: str, value: Json) -> Iterator[str]:
    several = isinstance(value, list)
    heading = f"[[{_key(key)}]]" if several else f"[{_key(key)}]"
    for table in value if several else [value]:
        yield from ("", *_comment(key), heading)
        yield from (f"{_key(name)} = {_value(inner)}" for name, inner in table.items())


def _comment(key: str) -> tuple[str, ...]:
    return tuple(f"# {line}" for line in _COMMENTS.get(key, ()))


def _key(name: str) -> str:
    return name if name and _BARE.issuperset(name) else _text(name)


def _value(value: Json) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_value(inner)}" for name, inner in value.items()) + " }"
    if isinstance(value, list):
        items = [_value(item) for item in value]
        short = f"[{', '.join(items)}]"
        return short if len(short) <= LINE else "\n    ".join(["[", *(f"{item}," for item in items)]) + "\n]"
    return repr(value)


def _text(text: str) -> str:
    """Return a basic string: what is no printable character, and lone quotes and backslashes, are escaped."""
    return '"' + "".join(_character(c) for c in text) + '"'


def _character(c: str) -> str:
    if c in '"\\':
        return "\\" + c
    if c.isprintable():
        return c
    return f"\\u{ord(c):04X}" if ord(c) <= 0xFFFF else f"\\U{ord(c):08X}"


def _safe(line: str) -> str:
    """Return a line whose comment holds no character that ends it."""
    return one_line(line) if line.startswith("#") else line
