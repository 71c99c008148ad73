"""Trials and learning curves as Arrow tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from hpo_pipe.report.state import StudyState
from hpo_pipe.report.trials import parameter_columns, trials_of
from storage_schema.chain import read_link
from storage_schema.codec import Json, sha256
from storage_schema.errors import DamagedRecord
from storage_schema.keys import LinkId
from storage_schema.metric_log import curves, read_segment
from storage_schema.records import Curve, SegmentRef
from storage_schema.store import Blob, Store
from storage_schema.trial_state import SpecState, TrialState

READERS = 16

CURVES = pa.schema(
    [("trial", pa.int64()), ("resource", pa.int64()), ("metric", pa.string()), ("value", pa.float64())]
)

_Point = tuple[int, int, str, float | None]


def trials_table(state: StudyState) -> pa.Table:
    """Return all trials: number, state, value, resource, ``params_<name>``, rung, bracket, origin, seconds, reason.

    With several metrics also ``values_<name>`` of each, with bounds ``feasible``, and with clones ``parent``.
    A parameter that is inactive in a trial is null there.
    """
    trials = trials_of(state)
    names = parameter_columns(state, trials)
    parents = [t.parent for t in trials]
    columns: dict[str, pa.Array] = {
        "number": pa.array([t.number for t in trials], pa.int64()),
        "state": pa.array([t.state for t in trials], pa.string()),
        "value": pa.array([t.value for t in trials], pa.float64()),
        "resource": pa.array([t.resource for t in trials], pa.int64()),
    }
    metrics = [metric.name for metric in state.study.metrics]
    if len(metrics) > 1:
        columns |= {f"values_{m}": pa.array([t.values[m] for t in trials], pa.float64()) for m in metrics}
    if state.study.bounded:
        columns["feasible"] = pa.array([t.feasible for t in trials], pa.bool_())
    columns |= {f"params_{name}": _column([t.params.get(name) for t in trials]) for name in names}
    columns |= {
        "rung": pa.array([t.rung for t in trials], pa.int64()),
        "bracket": pa.array([t.bracket for t in trials], pa.int64()),
        "origin": pa.array([t.origin for t in trials], pa.string()),
        **({"parent": pa.array(parents, pa.int64())} if any(p is not None for p in parents) else {}),
        "wall_s": pa.array([t.wall_s for t in trials], pa.float64()),
        "gpu_s": pa.array([t.gpu_s for t in trials], pa.float64()),
        "reason": pa.array([t.reason for t in trials], pa.string()),
    }
    return pa.table(columns)


def log_curves(trials: Iterable[TrialState]) -> pa.Table:
    """Return the curves that the log itself holds (at most 64 points per spec and metric)."""
    return _curve_table(
        (trial.number, resource, metric, value)
        for trial in trials
        for spec in trial.specs
        if spec.settled
        for metric, curve in spec.settled.curves.items()
        for resource, value in curve
    )


def full_curves(store: Store, trials: Iterable[TrialState]) -> pa.Table:
    """Return every point of every metric from the metric segments that the record names."""
    specs = [(trial.number, spec) for trial in trials for spec in trial.specs if spec.settled]
    with ThreadPoolExecutor(READERS) as pool:
        read = pool.map(lambda spec: _spec_curves(store, spec), (spec for _, spec in specs))
        return _curve_table(
            (number, resource, metric, value)
            for (number, _), found in zip(specs, read, strict=True)
            for metric, curve in found.items()
            for resource, value in curve
        )


def _spec_curves(store: Store, spec: SpecState) -> dict[str, Curve]:
    assert spec.settled is not None
    link = read_link(store, LinkId(spec.id, spec.settled.link))
    if link is None:
        return {}
    return curves(
        [(ref, read_segment(_named(store, ref), ref.key)) for ref in link.segments], spec.issue.start
    )


def _named(store: Store, ref: SegmentRef) -> bytes:
    blob = store.get(ref.key)
    if not isinstance(blob, Blob):
        raise DamagedRecord(ref.key, "the record names this metric segment, and it is missing")
    if sha256(blob.data) != ref.sha256:
        raise DamagedRecord(ref.key, "its sha256 is not the one that the record names")
    return blob.data


def _curve_table(points: Iterator[_Point]) -> pa.Table:
    rows = sorted(points, key=lambda p: (p[0], p[2], p[1]))
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    return pa.table(dict(zip(CURVES.names, columns, strict=True)), schema=CURVES)


def _column(values: list[Json]) -> pa.Array:
    """One type where the values have one (an int among floats is a float); JSON text where they do not."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and float in kinds:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    if len(kinds) == 1 and kinds <= {int, str, bool}:
        return pa.array(values)
    return pa.array([None if v is None else json.dumps(v) for v in values], pa.string())
