"""The line of trials that a checkpoint was trained along: with clones, a configuration alone does not reproduce it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from hpo_pipe.report.words import configuration
from storage_schema.codec import Json
from storage_schema.history import History
from storage_schema.keys import checkpoint_prefix, parse_manifest_key
from storage_schema.records import CheckpointRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Units of training under one configuration."""

    trial: int
    start: int
    """Units done before."""
    to: int
    params: Mapping[str, Json]

    def to_json(self) -> dict[str, Json]:
        """Return the stretch as JSON."""
        return asdict(self) | {"params": dict(self.params)}


def schedule_of(history: History, trial: int, until: int) -> list[Stretch]:
    """Return the configurations behind a trial's first `until` units, in the order in which they were trained."""
    found: list[Stretch] = []
    at, known = until, history.trials[trial]
    while True:
        start = 0 if known.parent is None else known.specs[0].issue.start
        found.append(Stretch(trial=known.number, start=start, to=at, params=known.parameters))
        if known.parent is None:
            return found[::-1]
        at, known = start, history.trials[known.parent]


def schedule_lines(history: History, trial: int, until: int) -> list[str]:
    """Return a clone's schedule for people, a line for each stretch; nothing for a trial that is no clone."""
    stretches = schedule_of(history, trial, until)
    if len(stretches) < 2:
        return []
    unit = history.study.resource.name if history.study.resource else "step"
    spans = [f"{unit} {s.start + 1} to {s.to}" for s in stretches]
    width = max(map(len, spans))
    lines = [
        f"  {span:<{width}}  trial {s.trial}: {configuration(s.params)}"
        for span, s in zip(spans, stretches, strict=True)
    ]
    return ["trained along this schedule, which its last configuration alone does not reproduce:", *lines]


def result_checkpoint(history: History, trial: int, rung: int) -> CheckpointRef | None:
    """Return the checkpoint that a trial left at a rung."""
    ended = (spec.settled for spec in history.trials[trial].specs if spec.issue.rung == rung and spec.settled)
    return next((settled.checkpoint for settled in ended if settled.outcome == "done"), None)


def checkpoint_place(checkpoint: CheckpointRef) -> str:
    """Return where a checkpoint's files lie below the study's URL."""
    id = parse_manifest_key(checkpoint.key)
    assert id is not None  # references are checked when they are read
    return checkpoint_prefix(id)
