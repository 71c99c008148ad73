"""What a study took over from others when it was created: a part of ``study.json``, so that nobody reads them again."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from storage_schema.codec import Json
from storage_schema.keys import MAX_ENTRY, MAX_RESOURCE, MAX_TRIAL
from storage_schema.records.curve import Curve, curves_json, curves_of
from storage_schema.records.reading import Fields

MODES = ("transfer", "identical")
MAX_SOURCES = 5
"""As many parents as SageMaker allows."""
MAX_BEST_FIRST = 100
MAX_RESULTS = 1_000
"""Of one source."""
MAX_RUNGS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmResult:
    """One trial of another study."""

    trial: int
    """Its number there."""
    parameters: dict[str, Json]
    """As this study's space has them, active ones only."""
    curves: dict[str, Curve]
    """Of the metrics that count here, in the other study's resource; without a resource, one point at 1."""
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmSource:
    """Another study, as it was when it was read."""

    url: str
    name: str
    sha256: str
    """Of its ``study.json``."""
    head: int
    """The newest entry of its log that was read."""
    resource: str = ""
    """What its resource is called; empty where it has none."""
    rungs: tuple[int, ...]
    """Its rungs, rising; (1,) without a resource."""
    first: tuple[int, ...] = ()
    """The trials whose configurations are tried first, best first."""
    results: tuple[WarmResult, ...] = ()
    """Best first."""

    def to_json(self) -> Json:
        """Return what ``study.json`` holds."""
        value: dict[str, Json] = {
            "url": self.url,
            "name": self.name,
            "sha256": self.sha256,
            "head": self.head,
            "rungs": list(self.rungs),
            "first": list(self.first),
            "results": [_result_json(result) for result in self.results],
        }
        return value | ({"resource": self.resource} if self.resource else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStart:
    """What was asked for, and what was found."""

    mode: str = "transfer"
    """``transfer``: the results are of other tasks. ``identical``: of this one, and count as its own to models."""
    best_first: int = 1
    """How many of each source's best configurations are tried first."""
    sources: tuple[WarmSource, ...] = ()

    def to_json(self) -> Json:
        """Return what ``study.json`` holds."""
        sources = [source.to_json() for source in self.sources]
        return {"mode": self.mode, "best_first": self.best_first, "sources": sources}

    @classmethod
    def from_fields(cls, f: Fields) -> WarmStart:
        """Read back what :meth:`to_json` wrote."""
        f.array("sources", MAX_SOURCES)
        return cls(
            mode=f.one_of("mode", MODES),
            best_first=f.integer("best_first", 0, MAX_BEST_FIRST),
            sources=tuple(_source(source) for source in f.each("sources")),
        )


def _result_json(result: WarmResult) -> Json:
    value: dict[str, Json] = {
        "trial": result.trial,
        "parameters": result.parameters,
        "curves": curves_json(result.curves),
    }
    return value | ({"failed": True} if result.failed else {})


def _source(f: Fields) -> WarmSource:
    f.array("results", MAX_RESULTS)
    return WarmSource(
        url=f.text("url"),
        name=f.word("name"),
        sha256=f.text("sha256"),
        head=f.integer("head", -1, MAX_ENTRY),
        resource=f.word("resource") if f.has("resource") else "",
        rungs=_rungs(f),
        first=_numbers(f),
        results=tuple(_result(result) for result in f.each("results")),
    )


def _rungs(f: Fields) -> tuple[int, ...]:
    found = f.array("rungs", MAX_RUNGS)
    within = all(type(r) is int and 1 <= r <= MAX_RESOURCE for r in found)
    if not found or not within or any(a >= b for a, b in itertools.pairwise(found)):
        f.refuse("rungs", "something else", f"rising integers from 1 to {MAX_RESOURCE}")
    return tuple(found)


def _numbers(f: Fields) -> tuple[int, ...]:
    found = f.array("first", MAX_BEST_FIRST)
    if not all(type(n) is int and 0 <= n <= MAX_TRIAL for n in found):
        f.refuse("first", "something else", "numbers of trials")
    return tuple(found)


def _result(f: Fields) -> WarmResult:
    return WarmResult(
        trial=f.integer("trial", 0, MAX_TRIAL),
        parameters=f.kept("parameters"),
        curves=curves_of(f),
        failed=f.flag("failed", False),
    )
