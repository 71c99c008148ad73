"""Where curves come from, by name: ``synthetic:crossing``, ``recorded:URL``, ``function:module:name``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hpo_pipe.creation import with_sources
from hpo_pipe.simulate.curves import Curves
from hpo_pipe.simulate.function import FunctionCurves
from hpo_pipe.simulate.recorded import RecordedCurves, recorded_curves
from hpo_pipe.simulate.synthetic import FAMILIES, Synthetic
from hpo_pipe.space import Space
from hpo_pipe.study import open_study
from hpo_pipe.study_file import StudyDraft, default_timing, read_study_mapping
from storage_schema.codec import Json
from storage_schema.errors import UserError, nearest
from storage_schema.records import Study

NOBODY = "0"
UNITS = 81
"""Of a whole training, where nothing else says so."""
EXAMPLE: Mapping[str, Json] = {
    "lr": {"type": "float", "min": 1e-5, "max": 1.0, "log": True},
    "weight_decay": {"type": "float", "min": 1e-6, "max": 1e-1, "log": True},
    "momentum": {"type": "float", "min": 0.5, "max": 0.99},
    "layers": {"type": "int", "min": 1, "max": 8},
    "width": {"type": "int", "min": 16, "max": 1024, "log": True},
    "activation": {"type": "categorical", "values": ["relu", "tanh", "gelu"]},
}
"""The space that synthetic curves are searched over where no study names one."""


@dataclass(frozen=True, slots=True)
class Source:
    """A world of curves, and the study that searches it."""

    curves: Curves
    study: Study
    told: str
    """What the curves are, for people."""


def source(kind: str, what: str, study: Study | None, *, full: bool = False) -> Source:
    """Return the curves of a kind.

    Args:
        kind: a name in :data:`SOURCES`.
        what: which of them: a family, a study URL, an entry point.
        study: that is to search; None lets the source say.
        full: of recorded curves read every point.

    Raises:
        UserError: an unknown kind or name, or curves that cannot be had.
    """
    if kind not in SOURCES:
        raise UserError(f"--curves {kind}: not known{nearest(kind, SOURCES)}, allowed: {', '.join(SOURCES)}")
    return SOURCES[kind](what, study, full)


def of_draft(draft: StudyDraft, say: Callable[[str], object] = lambda _: None) -> Study:
    """Return the study of a study file; but for studies that it starts from, nothing depends on when this is asked."""
    study = draft.study(token=NOBODY, created_at=0.0, seed=0, proof={}, timing=default_timing("memory://"))
    return with_sources(study, draft, say=say)


def _synthetic(what: str, study: Study | None, full: bool) -> Source:
    if what not in FAMILIES:
        allowed = ", ".join(FAMILIES)
        raise UserError(f"--curves synthetic:{what}: not known{nearest(what, FAMILIES)}, allowed: {allowed}")
    study = study or _study(EXAMPLE, UNITS)
    top = study.resource.max if study.resource else 1
    return Source(Synthetic(what, _space(study), top, sign_of(study)), study, f"synthetic curves ({what})")


def _recorded(what: str, study: Study | None, full: bool) -> Source:
    record = open_study(what)
    curves = recorded_curves(record, full=full)
    if study is None:
        return Source(curves, record.definition, f"the recorded curves of {record.url}")
    there = record.definition
    if list(there.space) != list(study.space) or there.constraints != study.constraints:
        raise UserError(f"{record.url} was recorded over another space than that of {study.name}")
    if there.objective != study.objective:
        raise UserError(f"{record.url} has the objective {there.objective.name}, not {study.objective.name}")
    return Source(curves, study, f"the recorded curves of {record.url}")


def _function(what: str, study: Study | None, full: bool) -> Source:
    curves = FunctionCurves(what, Path.cwd())
    if study is None:
        if curves.space is None:
            raise UserError(f"{what} has no attribute space: name a study file, or give it one")
        study = _study(_parameters(curves.space, what), curves.units)
    return Source(curves, study, f"the curves of {what}")


SOURCES: dict[str, Callable[[str, Study | None, bool], Source]] = {
    "synthetic": _synthetic,
    "recorded": _recorded,
    "function": _function,
}
"""By name. Adding one means one file, and one line here."""


def recorded_only(found: Source) -> Study:
    """Return the study, trying the recorded configurations instead of the searcher's, in their order.

    Raises:
        UserError: the curves are not recorded ones.
    """
    if not isinstance(found.curves, RecordedCurves):
        raise UserError("--only-recorded needs recorded curves")
    return replace(found.study, enqueued=tuple(found.curves.configurations))


def sign_of(study: Study) -> float:
    """Return 1.0 where the objective is minimised, -1.0 where it is maximised."""
    return 1.0 if study.objective.goal == "minimize" else -1.0


def _study(parameters: Mapping[str, Json], units: int) -> Study:
    tables = {
        "name": "simulated",
        "function": "simulated:curve",
        "metric": {"name": "loss"},
        "parameters": dict(parameters),
        "resource": {"name": "epoch", "max": units},
    }
    return of_draft(read_study_mapping(tables, "simulate"))


def _parameters(found: Json, what: str) -> dict[str, Json]:
    if isinstance(found, Mapping):
        return dict(found)
    if isinstance(found, list | tuple) and all(
        isinstance(p, Mapping) and isinstance(p.get("name"), str) for p in found
    ):
        return {p["name"]: {key: value for key, value in p.items() if key != "name"} for p in found}
    raise UserError(f"{what}.space is neither a table of parameters nor a list of them with names")


def _space(study: Study) -> Space:
    return Space.from_json(study.space, constraints=study.constraints)
