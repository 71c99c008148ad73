"""A stage for the worker's real code: a store that can fail, a clock that is moved, trials that follow a script."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from storage_schema.errors import OutcomeUnknown, StoreUnavailable
from storage_schema.keys import BOARD, CheckpointId, LinkId, SpecId, log_key, worker_key
from storage_schema.records import (
    Board,
    CheckpointRef,
    Entry,
    Facts,
    Finish,
    Issue,
    Limits,
    Link,
    LinkKind,
    Metric,
    OpenSpec,
    Program,
    Resource,
    Study,
    Timing,
)
from storage_schema.store import Blob, Created, Stat, Unchanged
from storage_schema.store.memory import MemoryStore
from storage_schema.trial_env import TrialFile
from workers.attempt import Attempt, Bench
from workers.board import BoardReader
from workers.checkpoint_cache import CheckpointCache
from workers.claim import Claimed, Desk
from workers.interruption import Interruption
from workers.lease import Lease, Machine
from workers.trial_process import Ended, Report
from workers.world import World

SPEC = SpecId(0, 0)
_NAMES = count()
Steps = Iterator[Ended | None]
OK = Ended(status=0, signal=None, reason="finished")


def failed(status: int) -> Ended:
    return Ended(status=status, signal=None, reason=f"failed with exit status {status}")


class MovedClock:
    """Time passes only where somebody waits, or where a test says so."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.on_wait: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.on_wait()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        if not event.is_set():
            self.sleep(timeout_s)
        return event.is_set()


class FaultyStore:
    """A store whose outside fails when the test says so; counts what was asked."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.url = inner.url
        self.down = False
        self.lose_answers = 0
        """So many creates land, and their answers do not."""
        self.on_create: Callable[[str], None] = lambda key: None
        self.writes: list[str] = []
        self.calls: list[tuple[str, str]] = []

    def create(self, key: str, data: bytes) -> Created:
        self._up("create", key)
        self.on_create(key)
        self.writes.append(key)
        answer = self.inner.create(key, data)
        if self.lose_answers and answer is Created.CREATED:
            self.lose_answers -= 1
            raise OutcomeUnknown("the answer was lost")
        assert isinstance(answer, Created)
        return answer

    def get(self, key: str, unless: str | None = None) -> Blob | Unchanged | None:
        self._up("get", key)
        found: Blob | Unchanged | None = self.inner.get(key, unless)
        return found

    def list(self, prefix: str, start_after: str = "") -> Iterator[Stat]:
        self._up("list", prefix)
        yield from self.inner.list(prefix, start_after)

    def replace(self, key: str, data: bytes) -> None:
        self._up("replace", key)
        self.writes.append(key)
        self.inner.replace(key, data)

    def delete(self, key: str) -> None:
        self._up("delete", key)
        self.inner.delete(key)

    def _up(self, verb: str, key: str) -> None:
        self.calls.append((verb, key))
        if self.down:
            raise StoreUnavailable("the store is away")


Script = Callable[["FakeTrial"], Iterator[Ended | None]]
"""Each item is one look of the worker: None while the trial runs."""


class FakeTrial:
    def __init__(self, script: Script, file: TrialFile, clock: MovedClock) -> None:
        self.file = file
        self.clock = clock
        self.asked: list[str] = []
        self.answered = 0
        """Times that its wish for a checkpoint was taken back."""
        self.terminated = False
        self.killed = False
        self.closed = False
        self.printed = b""
        self._reports: list[Report] = []
        self._steps = script(self)
        self._ended: Ended | None = None
        Path(file.checkpoint_dir).mkdir(parents=True)

    def report(self, resource: int, **values: float) -> None:
        self._reports.append(Report(resource=resource, values=values, at=self.clock.now()))

    def save(self, resource: int, **files: str) -> None:
        folder = Path(self.file.checkpoint_dir) / str(resource)
        folder.mkdir()
        for name, text in (files or {"state": str(resource)}).items():
            (folder / name).write_text(text)

    def poll(self) -> Ended | None:
        if self._ended is None and self.killed:
            self._ended = Ended(status=None, signal=9, reason="killed by signal 9")
        return self._ended

    def wait(self, timeout_s: float) -> Ended | None:
        if self.poll() is None:
            self.clock.sleep(timeout_s)
            self._ended = next(self._steps)
        return self.poll()

    def reports(self) -> list[Report]:
        found, self._reports = self._reports, []
        return found

    def ask_to_stop(self, kind: str) -> None:
        self.asked.append(kind)

    def ask_to_save(self) -> None:
        self.asked.append("save")

    def saved(self) -> None:
        self.answered += 1

    def terminate(self) -> None:
        self.terminated = True

    def kill(self) -> None:
        self.killed = True

    def output(self) -> bytes:
        return self.printed

    def tail(self) -> str:
        return self.printed.decode()

    def bad_lines(self) -> list[str]:
        return []

    def close(self) -> None:
        self.closed = True


class FakeLauncher:
    def __init__(self, script: Script, clock: Any) -> None:
        self.script = script
        self.clock = clock
        self.trials: list[FakeTrial] = []
        self.closed = False

    def start(self, trial_file: TrialFile, folder: Path, gpus: tuple[str, ...]) -> FakeTrial:
        trial = FakeTrial(self.script, trial_file, self.clock)
        self.trials.append(trial)
        return trial

    def close(self) -> None:
        self.closed = True


def study(**changes: Any) -> Study:
    fields: dict[str, Any] = {
        "name": "s",
        "token": "t",
        "created_at": 0.0,
        "seed": 1,
        "space": (),
        "metrics": (Metric(name="loss"),),
        "resource": Resource(name="epoch", min=1, max=9, rungs=(3, 9)),
        "scheduler": {},
        "searcher": {},
        "limits": Limits(),
        "program": Program(command=("true",)),
        "timing": Timing(flush_s=10.0, lease_s=40.0, tick_s=1.0, grace_s=4.0),
    }
    return Study(**{**fields, **changes})


def issue(trial: int = 0, start: int = 0, to: int = 3, **changes: Any) -> Issue:
    fields: dict[str, Any] = {
        "rung": 0,
        "bracket": 0,
        "parameters": {"lr": 0.1},
        "origin": "random",
        "checkpoint": None,
        "reason": "",
    }
    return Issue(trial=trial, start=start, to=to, **{**fields, **changes})


@dataclass
class Stage:
    """One worker's parts on one store."""

    folder: Path
    study: Study = field(default_factory=study)
    clock: Any = field(default_factory=MovedClock)
    store: Any = None
    seed: int = 0
    grace_s: float | None = None

    def __post_init__(self) -> None:
        if self.store is None:
            self.store = FaultyStore(MemoryStore(f"memory://stage-{next(_NAMES)}"))
        self.said: list[str] = []
        rng = random.Random(self.seed)
        self.world = World(
            store=self.store,
            clock=self.clock,
            rng=rng,
            say=self.said.append,
            token=lambda: f"{rng.getrandbits(64):016x}",
        )
        self.interruption = Interruption(self.clock, self.grace_s)
        machine = Machine(name=f"host{self.seed}", host="host", pid=1, slots=1, gpus=0)
        self.lease = Lease(self.world, self.study.timing, machine)
        self.board = BoardReader(self.world)
        self.cache = CheckpointCache(self.folder / "cache")
        self.desk = Desk(
            self.world,
            self.study,
            self.board,
            self.lease,
            max_age_s=0.0,
            stopping=lambda: False,
            give_up=lambda: self.interruption.lasted_s() > 5.0,
        )
        self.bench = Bench(
            world=self.world,
            study=self.study,
            lease=self.lease,
            cache=self.cache,
            interruption=self.interruption,
        )

    # what a coordinator would write

    def publish(self, *issues: Issue, entry: int = 0, next_link: int = 1, **board: Any) -> None:
        """Write a log entry with these issues, and a board that offers them all."""
        record = Entry(
            entry=entry,
            token="c",
            author="coordinator",
            facts=Facts(now=0.0, demand=1),
            decisions=issues,
        )
        self.store.inner.create(log_key(entry), record.to_bytes())
        self.offer(entry, len(issues), next_link, trials=[i.trial for i in issues], **board)

    def offer(self, entry: int, number: int, next_link: int, trials: list[int], **board: Any) -> None:
        lines = tuple(
            OpenSpec(spec=SpecId(entry, place), next_link=next_link, priority=0, trial=trials[place])
            for place in range(number)
        )
        stored = Board(**{"head": entry, "open": lines, "beat": random.randrange(2**40), **board})
        self.store.inner.replace(BOARD, stored.to_bytes())

    def finish(self, entry: int) -> None:
        record = Entry(
            entry=entry, token="f", author="user", facts=None, decisions=(Finish(reason="enough"),)
        )
        self.store.inner.create(log_key(entry), record.to_bytes())

    def link(self, number: int, kind: LinkKind, spec: SpecId = SPEC, **fields: Any) -> Link:
        """Write a link as another worker or a coordinator would."""
        link = Link(
            **{"kind": kind, "id": LinkId(spec, number), "token": "o", "author": "w-other-1-aaaaaa", **fields}
        )
        assert self.store.inner.create(link.key, link.to_bytes()) is Created.CREATED
        return link

    def fence(self, claimed: Claimed | None = None) -> None:
        links = self.chain()
        self.link(links[-1].id.link + 1, LinkKind.FENCE, author="c-other-1")

    # what the worker does

    def claim(self) -> Claimed:
        claimed = self.desk.claim(frozenset())
        assert claimed is not None, self.said
        return claimed

    def attempt(self, script: Script, gpus: tuple[str, ...] = ()) -> FakeTrial | None:
        """Claim, and run the attempt in this thread; return its trial, if one was started."""
        claimed = self.claim()
        launcher = FakeLauncher(script, self.clock)
        folder = self.folder / f"attempt-{claimed.holding.claim.id.link}-{claimed.spec}-{self.seed}"
        Attempt(self.bench, claimed, launcher, folder, gpus).run()
        assert not folder.exists()
        assert all(trial.closed for trial in launcher.trials)
        return launcher.trials[0] if launcher.trials else None

    def reoffer(self, issue: Issue) -> None:
        """Offer the only spec again, at the end of its chain."""
        self.offer(0, 1, self.chain()[-1].id.link + 1, trials=[issue.trial])

    # what is there

    def chain(self, spec: SpecId = SPEC) -> list[Link]:
        from storage_schema.chain import read_chain

        return read_chain(self.store.inner, spec)

    def keys(self, prefix: str) -> list[str]:
        return [stat.key for stat in self.store.inner.list(prefix)]

    def read(self, key: str) -> bytes:
        blob = self.store.inner.get(key)
        assert isinstance(blob, Blob), key
        return blob.data

    def curve(self, link: Link, start: int = 0) -> dict[str, Any]:
        from storage_schema.codec import sha256
        from storage_schema.metric_log import curves, read_segment

        parts = []
        for ref in link.segments:
            data = self.read(ref.key)
            assert sha256(data) == ref.sha256
            parts.append((ref, read_segment(data, ref.key)))
        return {name: list(curve) for name, curve in curves(parts, start).items()}

    def heartbeat(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.read(worker_key(self.lease.worker)))
        return found


def trains(
    to: int, start: int | None = None, save: bool = False, end: Ended | None = OK, step_s: float = 0.0
) -> Script:
    """A training that reports loss = 1/epoch after every epoch from where it starts, then ends with `end`."""

    def script(trial: FakeTrial) -> Iterator[Ended | None]:
        first = trial.file.start if start is None else start
        for epoch in range(first + 1, to + 1):
            trial.report(epoch, loss=1 / epoch)
            if save:
                trial.save(epoch)
            trial.clock.sleep(step_s)
            yield None
            yield None
        while end is None:
            yield None
        yield end

    return script


def exactly(epochs: range) -> list[tuple[int, float]]:
    """The curve that `trains` leaves."""
    return [(epoch, 1 / epoch) for epoch in epochs]


def with_timing(study: Study, **timing: float) -> Study:
    return replace(study, timing=replace(study.timing, **timing))


def checkpoint(resource: int, attempt: int = 1, trial: int = 0) -> CheckpointId:
    return CheckpointId(trial, resource, SPEC, attempt)


def crash(stage: Stage, script_to: int, save: bool = True) -> None:
    """An attempt that is fenced while it trains; its checkpoints up to `script_to` are committed."""

    def script(trial: FakeTrial) -> Steps:
        first = trial.file.start
        for epoch in range(first + 1, script_to + 1):
            trial.report(epoch, loss=1 / epoch)
            if save:
                trial.save(epoch)
            yield None
            yield None
        stage.fence()
        stage.clock.sleep(stage.study.timing.flush_s)
        while True:
            yield None

    trial = stage.attempt(script)
    assert trial is not None
    assert trial.killed


__all__ = ["CheckpointRef", "Stage"]
