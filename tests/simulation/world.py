"""The world: the true store, its auditor, the weather, and the processes that a supervisor keeps alive."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from storage_schema.keys import STUDY
from storage_schema.records import Study
from storage_schema.store import Created
from tests.simulation.auditor import Auditor
from tests.simulation.clock import EPOCH_S
from tests.simulation.faults import Fault
from tests.simulation.hub import Hub
from tests.simulation.objects import TrueStore
from tests.simulation.processes import Actor, TalkingActor, run_coordinator, run_worker, unexpected
from tests.simulation.recipe import READ_FAULTS, Recipe, WorkerPlan
from tests.simulation.store import Call
from tests.simulation.weather import Single, Weather
from workers.loop import EXIT_DONE

SUPERVISOR_S = 2.0
"""So often it looks whether a study that was over is open again."""

Tell = Callable[[float, str, str, str], None]
"""Takes one line of a trace: virtual time, process, what, which."""


@dataclass(slots=True)
class Role:
    """What the supervisor keeps alive."""

    kind: str
    plan: WorkerPlan | None = None
    resting: bool = False
    """The study is over, as far as anybody knows."""


class World:
    """Everything of one history."""

    def __init__(
        self, recipe: Recipe, study: Study, *, single: Single | None = None, tell: Tell | None = None
    ) -> None:
        self.recipe = recipe
        self.study = study
        self.rng = random.Random(f"world/{recipe.seed}")
        self.hub = Hub(random.Random(f"hub/{recipe.seed}"))
        self.weather = Weather(recipe, single)
        url = "memory://simulated" if recipe.near else "s3://simulated/study"
        self.store = TrueStore(url, lambda: self.hub.now)
        self.violations: list[str] = []
        self.auditor = Auditor(study, faithful=recipe.faithful, fail=self.fail)
        self.auditor.chains.loose = any(recipe.rates.get(fault) for fault in READ_FAULTS)
        if single is not None and single.fault in (*READ_FAULTS, Fault.SENT_TWICE):
            self.auditor.chains.loose, self.auditor.faithful = True, False
        self.counts: Counter[str] = Counter()
        self.actors: list[Actor] = []
        self.roles: list[Role] = []
        self.dismissed = False
        """The study is over: nobody is started until it is opened again, also where a user's late entry lands now."""
        self.late = 0
        """Requests that are still to land, though nobody waits for them."""
        self._tell = tell
        self._digest = hashlib.sha256()
        self._numbers: Counter[str] = Counter()
        self.store.create(STUDY, study.to_bytes())

    # requests

    def land(self, call: Call, *, late: bool = False) -> None:
        """Let a request reach the true store."""
        dead = not call.actor.process.alive
        if dead and not late and not call.landed and self.rng.random() < 0.5:
            return  # it died with its author
        store, key = self.store, call.key
        before = store.blobs.get(key)
        call.landed += 1
        match call.verb:
            case "get":
                call.answer = self._read(call)
            case "list":
                call.answer = list(store.list(key, call.extra or ""))
            case "create":
                call.answer = store.create(key, call.data)
            case "replace":
                call.answer = store.replace(key, call.data)
            case "delete":
                call.answer = store.delete(key)
        if call.verb not in ("get", "list"):
            answer = call.answer.value if isinstance(call.answer, Created) else ""
            self._note(call.actor.name, f"{call.verb} lands", key, call.data, answer)
        self.auditor.landed(call, before, call.answer, self.hub.now)

    def _read(self, call: Call) -> object:
        answer = self.store.get(call.key, call.extra)
        if self.recipe.coarse_times and hasattr(answer, "modified"):
            from dataclasses import replace

            return replace(answer, modified=float(int(answer.modified)))  # type: ignore[type-var,union-attr]
        return answer

    def land_late(self, call: Call, delay_s: float) -> None:
        """Let a request land when its author waits for it no longer, or has died."""
        self.late += 1

        def land() -> None:
            self.late -= 1
            self.land(call, late=True)

        self.hub.after(delay_s, land)

    def faulted(self, actor: Actor, fault: Fault, verb: str, key: str) -> None:
        """Take note of a fault."""
        self.counts[fault] += 1
        if self._tell is not None:
            self.tell(actor.name, f"!! {fault}", f"{verb} {key}")

    def answered(self, call: Call, fault: Fault | None, error: Exception | None = None) -> None:
        """Take note of an answer."""
        self.counts["calls"] += 1
        self.auditor.answered(call, self.hub.now, error)
        if error is None and call.verb in ("create", "replace", "delete"):
            outcome = "answered"
        elif error is not None:
            outcome = type(error).__name__
        else:
            outcome = "absent" if call.answer is None else "found"
        self._note(call.actor.name, call.verb, call.key, b"", outcome)

    def _note(self, name: str, what: str, key: str, data: bytes, outcome: str) -> None:
        self._digest.update(f"{self.hub.now:.6f} {name} {what} {key} {outcome}\n".encode())
        self._digest.update(data)
        if self._tell is not None:
            self.tell(name, what, f"{key} {outcome}")

    def tell(self, name: str, what: str, which: str) -> None:
        """Put a line into the trace."""
        if self._tell is not None:
            self._tell(self.hub.now, name, what, which)

    def fail(self, words: str) -> None:
        """Take note of a violation: the history ends here."""
        self.violations.append(words)
        self.tell("auditor", "VIOLATION", words)
        self.hub.stopped = True

    @property
    def digest(self) -> str:
        """The digest of everything that has happened."""
        return self._digest.hexdigest()

    # processes

    def actor(self, kind: str, main: Callable[[Actor], int], ended: Callable[[], object]) -> Actor:
        """Start a process."""
        self._numbers[kind] += 1
        maker = TalkingActor if self._tell is not None else Actor
        actor = maker(self, kind, self._numbers[kind])
        self.actors.append(actor)
        self.counts[f"started {kind}"] += 1

        def over(_process: object, status: int | None, error: BaseException | None) -> None:
            outcome = "killed" if status is None and error is None else f"{status} {error or ''}"
            self._note(actor.name, "ended", outcome, b"", "")
            if words := unexpected(actor, status, error):
                self.fail(words)
            ended()

        actor.process.ended = over
        self._note(actor.name, "started", "", b"", "")
        actor.process.start(lambda: main(actor))
        return actor

    def keep(self, role: Role) -> None:
        """Start what a role asks for; the supervisor starts it again when it has ended."""
        role.resting = self.dismissed or not self.wanted(role)
        if role.resting:
            if not self.weather.clear:
                self.hub.after(SUPERVISOR_S, lambda: self.keep(role))  # a user may open the study again
            return
        plan = role.plan

        def again() -> None:
            pause_s = self.rng.uniform(0.2, 1.0 if self.weather.clear else 2.5 * self.recipe.lease_s)
            self.hub.after(pause_s, lambda: self.keep(role))

        def main(actor: Actor) -> int:
            if plan is not None:
                status = run_worker(self, actor, plan)
                if status == EXIT_DONE and plan.patient:
                    self.auditor.left(actor)
                return status
            return run_coordinator(self, actor, once=False, until_done=self.recipe.until_done)

        self.actor(role.kind, main, again)

    def wanted(self, role: Role) -> bool:
        """Tell whether a role is still needed: until the study is over and its workers have seen it."""
        if not self.auditor.closed:
            return True
        return role.kind == "coordinator" and any(a.process.alive for a in self.actors if a.kind == "worker")

    def starter(self, actor: Actor) -> Callable[[], None]:
        """Return what a worker starts a coordinator with: one at a time, and not always."""
        child: list[Actor] = []

        def start() -> None:
            if child and child[-1].process.alive:
                return
            if not self.weather.clear and actor.process.rng.random() < 0.02:
                raise OSError("Resource temporarily unavailable")
            child.append(
                self.actor(
                    "once", lambda a: run_coordinator(self, a, once=True, until_done=False), lambda: None
                )
            )

        return start

    def tick_once(self) -> Actor:
        """Start a coordinator that ticks once."""
        return self.actor(
            "once", lambda a: run_coordinator(self, a, once=True, until_done=False), lambda: None
        )

    def alive(self) -> list[Actor]:
        """Return the processes that live."""
        self.actors = [actor for actor in self.actors if actor.process.alive]
        return self.actors

    def kill(self, actor: Actor) -> None:
        """kill -9."""
        if actor.process.alive:
            self.counts["kills"] += 1
            actor.trials = 0
            actor.process.kill()

    def pause(self, actor: Actor) -> None:
        """SIGSTOP, or the machine is suspended, for anything from a moment to many leases."""
        if actor.process.alive and not self.weather.clear:
            rng = actor.process.rng
            seconds = self.recipe.lease_s * rng.choice((0.2, 0.8, 1.5, 4.0)) * rng.uniform(0.5, 1.5)
            self.counts["pauses"] += 1
            self.tell(actor.name, "stands still", f"{seconds:.1f} s")
            actor.process.freeze(seconds, machine=rng.random() < 0.5)

    def disk_is_full(self, actor: Actor) -> bool:
        """Tell whether this machine has no room for a trial now."""
        full = not self.weather.clear and actor.process.rng.random() < self.recipe.disk_full
        self.counts["disk full"] += full
        return full

    def store_now(self) -> float:
        """Return the store's clock."""
        return EPOCH_S + self.hub.now

    def close(self) -> None:
        """Unwind whatever is left."""
        for actor in self.actors:
            actor.process.kill()
