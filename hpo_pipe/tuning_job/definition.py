"""Which of a request's training job definitions is read, and where its objective and its ranges are."""

from __future__ import annotations

from hpo_pipe.key_path import Path, path_text
from hpo_pipe.tuning_job.request import CONFIG, Request
from storage_schema.errors import StudyFileError, nearest

ONE, SEVERAL = "TrainingJobDefinition", "TrainingJobDefinitions"


def chosen(request: Request, name: str | None) -> tuple[Path, Path, Path]:
    """Return where the definition, its objective and its ranges are.

    Args:
        request: what is read; of several definitions all others are left out.
        name: the DefinitionName that was asked for.

    Raises:
        StudyFileError: none, both kinds, several without a name, an unknown name, or an objective twice or nowhere.
    """
    base = _definition(request, name)
    objective = _either(request, (CONFIG, "HyperParameterTuningJobObjective"), (*base, "TuningObjective"))
    ranges = _either(request, (CONFIG, "ParameterRanges"), (*base, "HyperParameterRanges"))
    request.check()
    request.take(*base, "DefinitionName")
    return base, objective, ranges


def _definition(request: Request, name: str | None) -> Path:
    one, several = request.at(ONE), request.at(SEVERAL)
    if (one is None) == (several is None):
        found = "are both missing" if one is None else "are both there"
        raise StudyFileError(f"{request.where}: {ONE} and {SEVERAL} {found}, expected one of them")
    names = [d.get("DefinitionName") for d in (several if one is None else [one])]
    known = ", ".join(str(n) for n in names if n) or "none of them has a name"
    if name is not None and names.count(name) != 1:
        guess = nearest(name, [n for n in names if n])
        raise StudyFileError(
            f"{request.where}: --definition {name}: the request's definitions: {known}{guess}"
        )
    if one is not None:
        return (ONE,)
    if name is None and len(names) > 1:
        raise StudyFileError(
            f"{request.where}: {SEVERAL} has {len(names)} definitions, and a study has one space and one command: "
            f"choose one with --definition NAME: {known}"
        )
    place = 0 if name is None else names.index(name)
    for other in range(len(names)):
        if other != place:
            request.leave((SEVERAL, other), "another definition: a study of its own, by --definition")
    return SEVERAL, place


def _either(request: Request, shared: Path, own: Path) -> Path:
    there = [path for path in (shared, own) if request.at(*path) is not None]
    if len(there) == 2:
        request.refuse(own, request.at(*own), f"nothing, for {path_text(shared)} is there, too")
    if not there:
        request.refuse(shared, None, f"it, or {path_text(own)}")
    return there[0] if there else shared
