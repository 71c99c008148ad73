"""Other tuners, each with the settings that its authors recommend, as tuners to ask and tell.

Each has a module of its own, which imports the peer only where it is made: a peer lives in a virtual environment of
its own (``ENVIRONMENTS``), and no part of one is a dependency of this project.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.benchmarks.quality.asked import Tuner
from tests.benchmarks.quality.tasks import Task

ENVIRONMENTS: Mapping[str, str] = {
    "optuna": '"optuna==5.*"',
    "syne": '"syne-tune[basic]==0.16.*"',
    "hpb": "hpbandster==0.7.4",
    "smac": "smac==2.4.1",
    "dehb": "dehb==0.1.1",
    "neps": "neural-pipeline-search==0.17.*",
}
"""What each virtual environment holds, as pip is told."""


class Made(Protocol):
    """What makes a tuner."""

    package: str | None
    """The peer's, whose version a row tells; None for one of these files' own."""

    def __call__(self, task: Task, seed: int, workers: int, **options: Any) -> Tuner:
        """Return a tuner for one search."""


@dataclass(frozen=True)
class Peer:
    """Where a peer is."""

    environment: str | None
    """Its virtual environment; None: it needs numpy alone."""
    place: str
    """Its module in this folder and its class."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def maker(self) -> Made:
        """Return its class; imports no more than this folder's module."""
        module, _, name = self.place.partition(":")
        made: Made = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        return made


PEERS: Mapping[str, Peer] = {
    "random": Peer(None, "random_search:RandomSearch"),
    "optuna-tpe": Peer("optuna", "optuna:Optuna", {"sampler": "tpe", "pruner": "none"}),
    "optuna-random-sha": Peer("optuna", "optuna:Optuna", {"sampler": "random", "pruner": "sha"}),
    "optuna-tpe-sha": Peer("optuna", "optuna:Optuna", {"sampler": "tpe", "pruner": "sha"}),
    "optuna-tpe-hyperband": Peer("optuna", "optuna:Optuna", {"sampler": "tpe", "pruner": "hyperband"}),
    "syne-asha": Peer("syne", "syne_tune:SyneTune", {"name": "ASHA"}),
    "syne-bohb": Peer("syne", "syne_tune:SyneTune", {"name": "BOHB"}),
    "hpbandster-bohb": Peer("hpb", "hpbandster:HpBandSter"),
    "smac-mf": Peer("smac", "smac:Smac"),
    "dehb": Peer("dehb", "dehb:Dehb"),
    "neps-priorband": Peer("neps", "neps:Neps", {"name": "priorband"}),
}
