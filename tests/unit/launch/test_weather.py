"""An hour on spot machines: capacity comes and goes, launchers die, and the study ends with nobody left to pay for.

The coordinator, the reconcilers and the store are the real ones, on a virtual clock; the provider and its workers are
the world outside.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from hpo_pipe.launch.order import Order
from hpo_pipe.launch.reconcile import Bounds, Reconciler
from hpo_pipe.launch.target import JobState, Refusal
from hpo_pipe.report.state import StudyWatch
from storage_schema.chain import read_chain
from storage_schema.keys import SpecId
from storage_schema.records import Limits
from tests.unit.coordinator.world import HandWorker, World, a_study
from tests.unit.launch.cloud import Cloud, Crash, Machine, a_desk, a_plan

STEP_S = 10.0
HOUR_S = 3600.0
MOST = 12
TYPES = ("a", "b")
TRIAL_S = (30.0, 120.0)
IDLE_S = 120.0


@dataclass(slots=True)
class Hired:
    """One running machine, and the worker on it."""

    worker: HandWorker
    idle_at: float
    spec: SpecId | None = None
    done_at: float = 0.0


@dataclass(slots=True)
class Weather:
    """How many machines of an offer there are, over time."""

    rng: random.Random
    there: dict[str, int] = field(default_factory=dict)

    def turn(self) -> None:
        """Let capacity come and go: droughts, floods, and most often a little of it."""
        for kind in TYPES:
            for way in ("spot", "on-demand"):
                most = self.rng.choice([0, 0, 2, 5, 20]) if way == "spot" else self.rng.choice([0, 1, 3])
                self.there[f"{kind} {way}"] = most


class Hour:
    """One study from its creation to its end."""

    def __init__(self, name: str, seed: int, *, repeats_safely: bool, trials: int) -> None:
        study = a_study(
            limits=Limits(trials=trials),
            scheduler={"name": "none"},
            searcher={"name": "random"},
            resource=None,
        )
        self.world = World(f"{name}-{seed}", study, dated=True)
        self.rng = random.Random(seed)
        self.weather = Weather(self.rng)
        self.cloud = Cloud(repeats_safely=repeats_safely)
        self.cloud.refuses = self._gives
        self.cloud.settings = lambda given, plan: {}  # type: ignore[method-assign]
        self.coordinator = self.world.coordinator()
        self.hired: dict[str, Hired] = {}
        self.most_alive = self.crashes = self.reclaimed = self.refused = 0
        plan = a_plan(self.world, hiring="spot-then-on-demand")
        a_desk(self.world, seed=1).place(self.cloud, plan, {"types": list(TYPES)}, 0, insist=True)
        self.launchers = [self._launcher(seed * 1000 + place) for place in range(2)]

    def _launcher(self, seed: int) -> Reconciler:
        watch = StudyWatch(self.world.store)
        look: Callable[[], object] = lambda: watch.look(self.world.clock.now())  # noqa: E731
        return Reconciler(a_desk(self.world, seed=seed), look, lambda name: self.cloud, Bounds(most=MOST))  # type: ignore[arg-type]

    def _gives(self, order: Order) -> tuple[int, Refusal | None]:
        """Some providers answer at once that there is nothing; others let jobs wait (what is given may still wait)."""
        offer = str(order.offer)
        used = sum(str(machine.order.offer) == offer for machine in self.cloud.alive())
        free = max(0, self.weather.there[offer] - used)
        given = min(order.workers, free + self.rng.choice([0, 0, 2]))
        self.refused += given < order.workers
        return given, None if given == order.workers else self.rng.choice([Refusal.CAPACITY, Refusal.QUOTA])

    def run(self) -> float:
        """Go on until the study has ended and nobody is paid for; return the hours that this took."""
        start = self.world.clock.now()
        turn_at = reconcile_at = start
        while True:
            now = self.world.clock.now()
            if now >= turn_at:
                self.weather.turn()
                turn_at = now + self.rng.uniform(60, 600)
            self._machines(now)
            self.coordinator.tick()
            if now >= reconcile_at:
                self._reconcile()
                reconcile_at = now + 30
            alive = len(self.cloud.alive())
            self.most_alive = max(self.most_alive, alive)
            assert alive <= MOST, f"{alive} machines at {now - start:.0f} s"
            if self.coordinator.history.closed and not alive and now - start >= HOUR_S:
                return (now - start) / HOUR_S
            assert now - start < 30 * HOUR_S, "it never ends"
            self.world.clock.sleep(STEP_S)

    def _reconcile(self) -> None:
        """Two launchers at once; now and then one dies before or after its request, and the provider is away."""
        self.cloud.away = "no route" if self.rng.random() < 0.05 else ""
        for place in range(2):
            self.cloud.crash = self.rng.choice(["before", "after"]) if self.rng.random() < 0.3 else ""
            try:
                self.launchers[place].run()
            except Crash:
                self.crashes += 1
                self.launchers[place] = self._launcher(self.rng.getrandbits(32))
        self.cloud.crash = self.cloud.away = ""

    def _machines(self, now: float) -> None:
        ended = self.coordinator.history.finished is not None
        running: dict[str, int] = {}
        for machine in self.cloud.alive():
            offer = str(machine.order.offer)
            running[offer] = running.get(offer, 0) + (machine.state is JobState.RUNNING)
            if machine.state is JobState.PENDING and running[offer] < self.weather.there[offer]:
                machine.state = JobState.RUNNING
                running[offer] += 1
                self.hired[machine.id] = self._hire(machine, now)
            elif machine.state is JobState.RUNNING and running[offer] > self.weather.there[offer]:
                running[offer] -= 1
                self._reclaim(machine)
            elif machine.state is JobState.RUNNING:
                self._work(machine, now, ended)

    def _hire(self, machine: Machine, now: float) -> Hired:
        facts = (("submission", str(machine.order.number)),)
        worker = HandWorker(self.world, f"w-{machine.id[-30:].strip('-')}", slots=1, machine=facts)
        worker.beat()
        return Hired(worker=worker, idle_at=now)

    def _reclaim(self, machine: Machine) -> None:
        """Half of them get to hand back their trial; the others vanish."""
        hired = self.hired.pop(machine.id)
        self.reclaimed += 1
        if hired.spec is not None and self.rng.random() < 0.5:
            hired.worker.release(hired.spec)
        machine.state = JobState.FAILED

    def _work(self, machine: Machine, now: float, ended: bool) -> None:
        hired = self.hired[machine.id]
        if hired.spec is not None and now >= hired.done_at:
            hired.worker.done(hired.spec, {1: self.rng.random()})
            hired.spec, hired.idle_at = None, now
        if hired.spec is None:
            for line in self.world.board().open:
                fresh = len(read_chain(self.world.store, line.spec)) + 1 == line.next_link
                if not ended and fresh and hired.worker.claim(line.spec):
                    hired.spec, hired.done_at = line.spec, now + self.rng.uniform(*TRIAL_S)
                    break
        hired.worker.beat()
        if hired.spec is None and (ended or now - hired.idle_at >= IDLE_S):
            machine.state = JobState.DONE
            del self.hired[machine.id]


@pytest.mark.parametrize("repeats_safely", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_an_hour_of_spot_weather(request: pytest.FixtureRequest, seed: int, repeats_safely: bool) -> None:
    hour = Hour(request.node.name, seed, repeats_safely=repeats_safely, trials=300)
    hours = hour.run()
    history = hour.world.history()
    assert history.closed and len(history.trials) == 300
    assert {history.state(trial) for trial in history.trials} == {"COMPLETE"}
    assert not hour.cloud.alive()
    assert hour.most_alive > MOST // 2 and hour.reclaimed > 5 and hour.refused > 5 and hour.crashes > 1
    print(
        f"{hours:.2f} h, at most {hour.most_alive} machines, {hour.reclaimed} reclaimed, "
        f"{hour.crashes} launchers died, {len(hour.cloud.asked)} requests"
    )
