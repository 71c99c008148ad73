"""W&B sweep files, as they are, read as study files.

What W&B says and hpo-pipe does in another way becomes a note; what it cannot do is refused by name. Of the two kinds
of early termination that `hyperband` stands for in W&B, stopping at rungs is read as ASHA with the same rungs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hpo_pipe.options import Refused, mistake, option, read_options, unknown_names
from hpo_pipe.study_file.read import cleaned_name
from hpo_pipe.study_file.wandb_parameters import read_parameters
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError, nearest
from storage_schema.records import GOALS

_IGNORED = ("project", "entity", "description", "controller", "$schema")
_REFUSED = ("launch", "job", "image_uri", "imageuri", "inherit")
_KNOWN = ("program", "command", "method", "metric", "parameters", "early_terminate", "run_cap", "name")
_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
_MACRO = re.compile(r"\$\{([^}]*)\}")
_ENDLESS_RUNGS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Metric:
    name: str
    goal: str = option("minimize", allowed=GOALS)
    target: float | None = None
    impute: str | None = None
    impute_while_running: str | None = None
    pattern: str | None = None
    """Ours: for programs that print the metric, since nobody reads here what they log to W&B."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hyperband:
    type: str = option(allowed=("hyperband",))
    min_iter: int | None = option(None, low=1)
    max_iter: int | None = option(None, low=1)
    s: int | None = option(None, low=0, high=60)
    eta: int = option(3, low=2, high=1000)
    strict: bool = False

    def __post_init__(self) -> None:
        if self.min_iter is None and self.max_iter is None:
            raise Refused("min_iter", None, "min_iter, or max_iter and s")


@dataclass(slots=True)
class _Sweep:
    """A file being read: where, what for the user, what is wrong."""

    where: str
    notes: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def is_sweep(raw: Mapping[str, Json]) -> bool:
    """Tell whether a file is a W&B sweep: study files have neither of these names."""
    return "method" in raw or "early_terminate" in raw


def from_sweep(raw: Mapping[str, Json], where: str) -> tuple[dict[str, Json], tuple[str, ...]]:
    """Return the tables of the study file that a sweep file amounts to, and notes for the user.

    Raises:
        StudyFileError: with one line for each mistake.
    """
    sweep = _Sweep(where)
    sweep.lines += _names(raw, where)
    tables: dict[str, Json] = {}
    for read in (_name, _algorithm, _metric, _parameters, _early_terminate, _run_cap, _command):
        try:
            tables |= read(raw, sweep, tables)
        except StudyFileError as error:
            sweep.lines.append(str(error))
    if sweep.lines:
        raise StudyFileError("\n".join(sweep.lines))
    ignored = [name for name in _IGNORED if name in raw]
    if ignored:
        sweep.notes.append(f"{', '.join(ignored)}: not used by hpo-pipe")
    return tables, tuple(sweep.notes)


def _names(raw: Mapping[str, Json], where: str) -> list[str]:
    lines = [f"{where}: {name}: not part of hpo-pipe; remove it" for name in _REFUSED if name in raw]
    others = [name for name in raw if name not in _IGNORED + _REFUSED]
    return lines + unknown_names(others, _KNOWN, where, "")


def _name(raw: Mapping[str, Json], sweep: _Sweep, _: dict[str, Json]) -> dict[str, Json]:
    found = raw.get("name")
    if found is None:
        return {}
    if not isinstance(found, str):
        raise mistake(sweep.where, "name", found, "a string")
    cleaned = cleaned_name(found)
    if cleaned != found:
        sweep.notes.append(f"name: {found!r} becomes {cleaned!r}")
    return {"name": cleaned}


def _algorithm(raw: Mapping[str, Json], sweep: _Sweep, _: dict[str, Json]) -> dict[str, Json]:
    methods = {"random": "random", "grid": "grid", "bayes": "gp"}
    method = raw.get("method")
    if not isinstance(method, str) or method not in methods:
        guess = nearest(method, methods) if isinstance(method, str) else ""
        raise mistake(sweep.where, "method", method, "random or grid or bayes" + guess)
    scheduler = "asha" if raw.get("early_terminate") is not None else "none"
    return {"algorithm": {"searcher": methods[method], "scheduler": scheduler}}


def _metric(raw: Mapping[str, Json], sweep: _Sweep, _: dict[str, Json]) -> dict[str, Json]:
    if raw.get("metric") is None:
        raise StudyFileError(
            f"{sweep.where}: metric is missing, expected a table with name and goal: trials are ranked by it"
        )
    metric = read_options(_Metric, raw["metric"], sweep.where, "metric")
    if metric.impute or metric.impute_while_running:
        sweep.notes.append("metric.impute: a failed trial always counts as the worst")
    limits = {} if metric.target is None else {"limits": {"target": metric.target}}
    if metric.pattern is None:
        sweep.notes.append(
            f"metric: wandb.log is not read here: report {metric.name!r} with hpo_pipe.trial, or print it and add "
            f"metric.pattern, as in '{metric.name}: ([0-9.e+-]+)'"
        )
    pattern = {} if metric.pattern is None else {"pattern": metric.pattern}
    return {"metric": {"name": metric.name, "goal": metric.goal, **pattern}, **limits}


def _parameters(raw: Mapping[str, Json], sweep: _Sweep, _: dict[str, Json]) -> dict[str, Json]:
    read, notes = read_parameters(raw.get("parameters"), sweep.where)
    sweep.notes += notes
    return {"parameters": read}


def _early_terminate(raw: Mapping[str, Json], sweep: _Sweep, tables: dict[str, Json]) -> dict[str, Json]:
    found = raw.get("early_terminate")
    if found is None:
        return {}
    given = read_options(_Hyperband, found, sweep.where, "early_terminate")
    low = given.min_iter or max(1, (given.max_iter or 1) // given.eta ** (given.s or 0))
    high = given.max_iter
    if high is None:
        high = low * given.eta**_ENDLESS_RUNGS
        said = f"min_iter x eta^{_ENDLESS_RUNGS}; set max_iter for another end"
        sweep.notes.append(
            f"early_terminate: no max_iter: trials train for at most {high} iterations ({said})"
        )
    if high < low:
        raise mistake(sweep.where, "early_terminate.max_iter", high, f"at least min_iter ({low})")
    sweep.notes.append(
        "early_terminate: read as ASHA: trials pause at each rung, and the best "
        f"1 in {given.eta} train on from their checkpoints"
    )
    return {"resource": {"name": "iteration", "min": low, "max": high, "eta": given.eta}}


def _run_cap(raw: Mapping[str, Json], sweep: _Sweep, tables: dict[str, Json]) -> dict[str, Json]:
    cap = raw.get("run_cap")
    if cap is None:
        return {}
    if not isinstance(cap, int) or isinstance(cap, bool) or cap < 1:
        raise mistake(sweep.where, "run_cap", cap, "an integer of at least 1")
    return {"limits": {**tables.get("limits", {}), "trials": cap}}


def _command(raw: Mapping[str, Json], sweep: _Sweep, _: dict[str, Json]) -> dict[str, Json]:
    program = raw.get("program")
    command = raw.get("command", list(_COMMAND))
    if program is not None and not isinstance(program, str):
        raise mistake(sweep.where, "program", program, "the name of a file")
    if not isinstance(command, list) or not all(isinstance(part, str | int | float) for part in command):
        raise mistake(sweep.where, "command", command, "a list of strings")
    return {"command": [_argument(str(part), program, sweep.where) for part in command]}


def _argument(text: str, program: str | None, where: str) -> str:
    """Return the template that one argument of a sweep's command becomes."""
    pieces = _MACRO.split(text)  # text, name, text, name, ..., text
    return "".join(
        _placeholder(piece, program, where) if place % 2 else _escaped(piece)
        for place, piece in enumerate(pieces)
    )


def _placeholder(name: str, program: str | None, where: str) -> str:
    """Return what stands in a command template for W&B's macro `name`."""
    if name == "program" and program is None:
        raise StudyFileError(f"{where}: program is missing, and command uses ${{program}}")
    fixed = {"interpreter": "python", "env": "/usr/bin/env", "program": program or ""}
    if name in fixed:
        return _escaped(fixed[name])
    if name in ("args", "args_no_hyphens", "args_json") or name.startswith("envvar:"):
        return f"{{{name}}}"
    allowed = [*fixed, "args", "args_no_hyphens", "args_json", "envvar:NAME"]
    raise mistake(where, "command", f"${{{name}}}", f"one of {', '.join(allowed)}{nearest(name, allowed)}")


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
