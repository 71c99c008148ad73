"""Whether another study's results say anything here: its metrics, and where it must be the same task, its space."""

from __future__ import annotations

from collections.abc import Iterator

from hpo_pipe.space import Space
from storage_schema.codec import Json
from storage_schema.errors import UserError, nearest
from storage_schema.records import Metric, Study

_BELIEFS = ("prior", "probabilities", "grid_points", "name")
"""Fields of a parameter that two searches of one task may differ in."""


def check_metrics(there: Study, here: Study) -> None:
    """Raise UserError where the other study lacks a metric that counts here, or searches for its opposite."""
    names = [metric.name for metric in there.metrics]
    known = {metric.name: metric for metric in there.metrics}
    for metric in counting(here):
        other = known.get(metric.name)
        if other is None:
            raise UserError(
                f"it does not measure {metric.name}{nearest(metric.name, names)}; it has {', '.join(names)}"
            )
        if metric in here.objectives and other in there.objectives and other.goal != metric.goal:
            raise UserError(f"it {other.goal}s {metric.name}, and this study {metric.goal}s it")


def check_identical(there: Study, here: Study) -> None:
    """Raise UserError, with a line for each difference, where the other study is of another task than this one.

    Bounds, objectives and the space must be the same. Priors, rungs and further metrics need not.
    """
    lines = [*_metric_lines(there, here), *_resource_lines(there, here), *_space_lines(there, here)]
    if lines:
        told = "\n".join(f"  {line}" for line in lines)
        raise UserError(f'it is not of the same task, as mode = "identical" has it:\n{told}')


def counting(study: Study) -> tuple[Metric, ...]:
    """Return the metrics by which results of a study are compared."""
    return tuple(metric for metric in study.metrics if metric in study.objectives or metric.bounded)


def _metric_lines(there: Study, here: Study) -> Iterator[str]:
    for what, one, other in (
        ("objectives", _objectives(there), _objectives(here)),
        ("bounds", _bounds(there), _bounds(here)),
    ):
        if one != other:
            yield f"{what}: {', '.join(one) or 'none'} there, {', '.join(other) or 'none'} here"


def _objectives(study: Study) -> list[str]:
    return [f"{metric.goal} {metric.name}" for metric in study.objectives]


def _bounds(study: Study) -> list[str]:
    return [f"{metric.name} within [{metric.min}, {metric.max}]" for metric in study.bounded]


def _resource_lines(there: Study, here: Study) -> Iterator[str]:
    if (there.resource is None) != (here.resource is None):
        yield f"resource: {_resource(there)} there, {_resource(here)} here"


def _resource(study: Study) -> str:
    return study.resource.name if study.resource else "none"


def _space_lines(there: Study, here: Study) -> Iterator[str]:
    one, other = (Space.from_json(s.space, constraints=s.constraints) for s in (there, here))
    for name in other.names:
        if name not in one.names:
            others = [known for known in one.names if known not in other.names]
            yield f"parameters.{name}: not there{nearest(name, others)}"
    for name in one.names:
        if name not in other.names:
            yield f"parameters.{name}: not here"
    mine = {item["name"]: item for item in other.to_json()}
    for item in one.to_json():
        yield from _differences(item, mine.get(item["name"]))
    if sorted(map(str, one.forbidden)) != sorted(map(str, other.forbidden)):
        yield f"forbidden: {_clauses(one)} there, {_clauses(other)} here"


def _differences(there: Json, here: Json) -> Iterator[str]:
    for field in dict.fromkeys([*there, *here]) if here is not None else ():
        if field not in _BELIEFS and there.get(field) != here.get(field):
            yield f"parameters.{there['name']}.{field}: {there.get(field)} there, {here.get(field)} here"


def _clauses(space: Space) -> str:
    return "; ".join(map(str, space.forbidden)) or "nothing"
