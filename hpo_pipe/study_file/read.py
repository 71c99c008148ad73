"""From a study file's tables to a draft. All sections are read before anything is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import TypeVar

from hpo_pipe.options import mistake, read_options
from hpo_pipe.space import Space
from hpo_pipe.study_file.algorithm import Algorithm, read_algorithm
from hpo_pipe.study_file.draft import StudyDraft
from hpo_pipe.study_file.program import read_program
from hpo_pipe.study_file.space import check_copes, check_wanted, read_enqueued, read_space
from hpo_pipe.study_file.tables import (
    LimitsTable,
    MetricTable,
    ResourceTable,
    StudyTable,
    WarmStartTable,
    WorkerTable,
)
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError, UserError
from storage_schema.keys import checked_study_name
from storage_schema.records import Limits

DEFAULT_TRIALS = 100
MAX_METRICS = 100
_TABLES = (
    "metric",
    "parameters",
    "forbidden",
    "resource",
    "algorithm",
    "limits",
    "worker",
    "environment",
    "enqueue",
    "warm_start",
)
_T = TypeVar("_T")


def read_tables(raw: Mapping[str, Json], where: str, notes: tuple[str, ...] = ()) -> StudyDraft:
    """Read the tables of a study file.

    Args:
        raw: what the file holds.
        where: the file's name, for errors, and for the study's name where it has none.
        notes: sentences that go along.

    Raises:
        StudyFileError: with one line for each mistake.
    """
    lines: list[str] = []

    def attempt(read: Callable[[], _T]) -> _T | None:
        try:
            return read()
        except StudyFileError as error:
            lines.append(str(error))
            return None

    whole = attempt(lambda: read_options(StudyTable, raw, where, ""))
    table = whole or _what_is_there(raw)
    name = attempt(lambda: _name(table, where))
    metrics = attempt(lambda: _metrics(table.metric, where))
    space = attempt(lambda: read_space(table.parameters, table.forbidden, where))
    resource_ok = (resource := attempt(lambda: _resource(table.resource, where))) or table.resource is None
    algorithm = attempt(lambda: read_algorithm(table.algorithm, resource, where)) if resource_ok else None
    limits = attempt(lambda: _limits(table.limits, algorithm, where))
    worker = attempt(lambda: read_options(WorkerTable, _or_empty(table.worker), where, "worker"))
    names = space.names if space else _parameter_names(table.parameters)
    readable = whole and (names or (table.command is None and table.function is None))
    program = attempt(lambda: read_program(table, metrics or (), names, where)) if readable else None
    enqueued = attempt(lambda: read_enqueued(table.enqueue, space, where)) if space else ()
    warm_start = attempt(lambda: _warm_start(table.warm_start, where))
    ready = algorithm and space and metrics
    coping = attempt(lambda: _check_copes(algorithm, space, metrics, where)) if ready else ()
    if lines:
        raise StudyFileError("\n".join(lines))
    assert name and metrics and space and algorithm and limits and worker and program is not None
    notes = (*notes, *(coping or ()))
    if limits == Limits() and not algorithm.finite:
        limits = Limits(trials=DEFAULT_TRIALS)
        notes = (*notes, f"no limit is set: the study ends after {DEFAULT_TRIALS} trials ([limits] trials)")
    return StudyDraft(
        where=where,
        name=name,
        program=program,
        metrics=tuple(table.metric(place == 0) for place, table in enumerate(metrics)),
        space=space,
        resource=algorithm.resource,
        scheduler=algorithm.scheduler,
        searcher=algorithm.searcher,
        limits=limits,
        retries=worker.retries,
        max_attempts=worker.max_attempts,
        keep_checkpoints=algorithm.keep_checkpoints,
        timing=worker.timing(),
        enqueued=enqueued or (),
        warm_start=warm_start,
        seed=table.seed,
        notes=notes,
    )


def cleaned_name(text: str) -> str:
    """Return a study name made of `text`: what is not allowed becomes a dash."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:63] or "study"


def _what_is_there(raw: Mapping[str, Json]) -> StudyTable:
    """Return the tables of a file with wrong names or values at its top, so that one mistake does not hide others."""
    name = raw.get("name")
    return StudyTable(
        **{table: raw.get(table) for table in _TABLES}, name=name if isinstance(name, str) else None
    )


def _name(table: StudyTable, where: str) -> str:
    if table.name is None:
        return cleaned_name(PurePath(where).stem)
    try:
        return checked_study_name(table.name)
    except UserError as error:
        raise StudyFileError(f"{where}: name: {error}") from None


def _metrics(found: Json, where: str) -> tuple[MetricTable, ...]:
    if found is None:
        raise StudyFileError(f'{where}: metric is missing, expected a table: [metric] with name = "val_loss"')
    tables = found if isinstance(found, list) else [found]
    if not 1 <= len(tables) <= MAX_METRICS:
        raise mistake(where, "metric", found, f"1 to {MAX_METRICS} metrics")
    keys = [f"metric[{place}]" if isinstance(found, list) else "metric" for place in range(len(tables))]
    metrics = tuple(read_options(MetricTable, t, where, k) for t, k in zip(tables, keys, strict=True))
    names = [m.name for m in metrics]
    if len(set(names)) < len(names):
        raise mistake(where, "metric", names, "different names")
    return metrics


def _check_copes(
    algorithm: Algorithm | None, space: Space | None, metrics: tuple[MetricTable, ...] | None, where: str
) -> tuple[str, ...]:
    assert algorithm and space and metrics
    wanted = tuple(table.metric(place == 0) for place, table in enumerate(metrics))
    kinds = (
        ("scheduler", algorithm.scheduler, algorithm.kinds[0]),
        ("searcher", algorithm.searcher, algorithm.kinds[1]),
    )
    for key, own, kind in kinds:
        check_wanted(key, own["name"], kind, wanted, where)
    return tuple(n for key, own, kind in kinds for n in check_copes(key, own["name"], kind, space, where))


def _parameter_names(found: Json) -> tuple[str, ...]:
    return tuple(map(str, found)) if isinstance(found, Mapping) else ()


def _resource(found: Json, where: str) -> ResourceTable | None:
    return None if found is None else read_options(ResourceTable, found, where, "resource")


def _warm_start(found: Json, where: str) -> WarmStartTable | None:
    return None if found is None else read_options(WarmStartTable, found, where, "warm_start")


def _limits(found: Json, algorithm: Algorithm | None, where: str) -> Limits:
    table = read_options(LimitsTable, _or_empty(found), where, "limits")
    first = algorithm.resource.rungs[0] if algorithm and algorithm.resource else 1
    if table.total_resource is not None and table.total_resource < first:
        allowed = f"at least {first}, which the first trial needs"
        raise mistake(where, "limits.total_resource", table.total_resource, allowed)
    return Limits(
        trials=table.trials,
        total_resource=table.total_resource,
        wall_s=None if table.wall_time is None else float(table.wall_time),
        gpu_hours=table.gpu_hours,
        cost=table.cost,
        target=table.target,
        not_improving=table.not_improving,
        convergence=table.convergence,
    )


def _or_empty(found: Json) -> Json:
    return {} if found is None else found
