"""Study after study under torture, until the time is over; each must end right."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from storage_schema.history import History
from storage_schema.store import open_store
from tests.e2e.fleet import Fleet
from tests.torture.books import keep_books
from tests.torture.events import Calendar
from tests.torture.herd import Herd, Monkey
from tests.torture.processes import MARK, ended_soon
from tests.torture.stores import Tortured
from tests.torture.studies import (
    KINDS,
    LEASE_S,
    ROOT,
    Kind,
    create,
    leaderboard,
    undisturbed_leaderboard,
)
from tests.torture.training import EPOCH_S, TRAINED, undisturbed

STEP_S = 0.1
REST_S = 18.0
"""Between two events of a store."""
LIMIT_S = 1200.0
"""The longest that one study may take; its undisturbed run takes about a minute."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How hard the torture is."""

    seconds: float
    workers: int
    coordinators: int
    trials: int
    """Of a synchronous study; an asynchronous one has three times as many, most of them short."""
    epoch_s: float
    every_s: float
    """Mean time between two signals."""
    seed: int


@dataclass
class Outcome:
    """What came of it."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def torture(store: Tortured, plan: Plan, place: Path, say: Callable[[str], None]) -> Outcome:
    """Torture studies on one store for `plan.seconds`, to the end of the study that is under way then."""
    outcome = Outcome()
    monkey = Monkey(random.Random(plan.seed), plan.every_s, LEASE_S)
    calendar = Calendar(store.events, REST_S)
    begin, number = time.monotonic(), 0
    while time.monotonic() - begin < plan.seconds and not outcome.problems:
        kind = KINDS[number % len(KINDS)]
        study = _Study(store, plan, kind, number, place)
        since = time.monotonic()
        study.run(monkey, calendar, outcome)
        say(f"{store.name}: study {number + 1} ({kind.name}) took {time.monotonic() - since:.0f} s")
        number += 1
    outcome.seconds = time.monotonic() - begin
    outcome.events = calendar.counts
    outcome.counts["studies"] = number
    return outcome


class _Study:
    def __init__(self, store: Tortured, plan: Plan, kind: Kind, number: int, place: Path) -> None:
        self._store = store
        self._plan = plan
        self._kind = kind
        self._seed = plan.seed * 1000 + number
        self._trials = plan.trials if kind.synchronous else 3 * plan.trials
        self._folder = place / f"{store.name}-{number}"
        self._folder.mkdir()
        self._url = f"{store.base}/study-{number}"
        self._trained = self._folder / "trained"
        self._mark = str(self._folder)
        settings = {TRAINED: str(self._trained), EPOCH_S: str(plan.epoch_s), MARK: self._mark}
        self._env = {**store.env, **settings}

    def run(self, monkey: Monkey, calendar: Calendar, outcome: Outcome) -> None:
        create(self._kind.text(self._trials, self._seed), self._folder, self._url, self._env)
        fleet = Fleet(self._url, self._folder, self._env, self._plan.epoch_s)
        herd = Herd(fleet, ROOT, self._plan.coordinators, self._plan.workers)
        try:
            self._until_over(herd, monkey, calendar)
            calendar.finish()
            self._judge(herd, calendar, outcome)
        finally:
            monkey.let_go()
            fleet.close()
        if left := ended_soon(self._mark):
            outcome.problems.append(f"processes that outlived their worker: {left}")
        if not outcome.problems:
            shutil.rmtree(self._folder)  # what went wrong stays, to be looked at

    def _until_over(self, herd: Herd, monkey: Monkey, calendar: Calendar) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not herd.over:
            if herd.problems or time.monotonic() > deadline:
                herd.problems.append(f"not over after {LIMIT_S:g} s" if not herd.problems else "given up")
                return
            herd.keep()
            monkey.act(herd)
            calendar.turn()
            time.sleep(STEP_S)

    def _judge(self, herd: Herd, calendar: Calendar, outcome: Outcome) -> None:
        outcome.counts += herd.counts
        outcome.problems += herd.problems
        if herd.problems:
            return
        store = open_store(self._url)
        books = keep_books(store, herd, calendar.past, LEASE_S, self._trained, reported)
        outcome.counts += books.counts
        outcome.problems += books.problems
        if self._kind.synchronous:
            reference = undisturbed_leaderboard(
                self._kind, self._trials, self._seed, self._folder / "undisturbed"
            )
            same = leaderboard(self._url) == reference
            outcome.counts["leaderboards equal to the undisturbed run's"] += same
            if not same:
                outcome.problems.append(f"{self._url}: another leaderboard than that of an undisturbed run")


def reported(history: History, trial: int, epochs: int) -> float:
    """Return what a trial reports after so many epochs if nothing happens to it."""
    return undisturbed(history.trials[trial].parameters, epochs)
