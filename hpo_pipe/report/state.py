"""A study as a person sees it: the fold of its log, and what the heartbeats add about now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hpo_pipe.coordinator.log import Log, read_study
from hpo_pipe.ranking import best_trial
from storage_schema.errors import DamagedRecord
from storage_schema.history import History
from storage_schema.keys import WORKERS, parse_worker_key
from storage_schema.records import Heartbeat, Held, Study
from storage_schema.store import Blob, Store
from storage_schema.trial_state import TrialState

STATES = ("RUNNING", "WAITING", "PAUSED", "COMPLETE", "PRUNED", "FAILED")
"""Trial states as a user sees them."""

MAX_HEARTBEATS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """A process that showed itself within the lease."""

    heartbeat: Heartbeat
    age_s: float
    """Seconds since its heartbeat was written; the store's clock against this machine's, so for people only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyState:
    """One look at a study."""

    url: str
    study: Study
    history: History
    presences: tuple[Presence, ...]
    """Live workers and coordinators."""
    running: Mapping[int, tuple[str, Held]]
    """Trial to the worker that holds it, and how far it is."""
    looked_at: float
    """Seconds since the epoch on this machine's clock."""

    def state_of(self, trial: TrialState) -> str:
        """Return one of :data:`STATES`."""
        state = self.history.state(trial)
        if state == "OPEN":
            return "RUNNING" if trial.number in self.running else "WAITING"
        return state

    def counts(self) -> dict[str, int]:
        """Return the number of trials in each state, all states named."""
        found = Counter(self.state_of(trial) for trial in self.history.trials)
        return {state: found[state] for state in STATES}

    def best(self) -> tuple[int, int] | None:
        """Return the incumbent and its rung; see :func:`hpo_pipe.ranking.best_trial`."""
        return best_trial(self.history)

    def live(self, role: str) -> list[Presence]:
        """Return the live processes of a role, ``worker`` or ``coordinator``."""
        return [p for p in self.presences if p.heartbeat.role == role]

    @property
    def condition(self) -> str:
        """The study's own state: ``running``, ``paused``, ``ending`` or ``finished``."""
        if self.history.closed:
            return "finished"
        if self.history.finished is not None:
            return "ending"
        return "paused" if self.history.paused else "running"

    @property
    def elapsed_s(self) -> float:
        """Seconds from the first entry to now, or to the last one of a finished study."""
        if self.history.started_at is None:
            return 0.0
        until = self.history.now if self.history.finished is not None else self.looked_at
        return max(0.0, until - self.history.started_at)


class StudyWatch:
    """Looks at a study again and again; each look reads only what is new."""

    def __init__(self, store: Store) -> None:
        """Open the study in `store`; raises StudyNotFound where there is none."""
        self.store = store
        self.study = read_study(store)
        self.log = Log(store, self.study)
        self._heartbeats: dict[str, tuple[str, Heartbeat]] = {}

    def look(self, now: float) -> StudyState:
        """Read what is new. `now`: seconds since the epoch, this machine's clock."""
        self.log.follow()
        presences = self._presences(now)
        return StudyState(
            url=self.store.url,
            study=self.study,
            history=self.log.history,
            presences=presences,
            running=_running(self.log.history, presences),
            looked_at=now,
        )

    def _presences(self, now: float) -> tuple[Presence, ...]:
        found, kept = [], {}
        for place, stat in enumerate(self.store.list(WORKERS)):
            worker, age = parse_worker_key(stat.key), max(0.0, now - stat.modified)
            if place >= MAX_HEARTBEATS or worker is None or age > self.study.timing.lease_s:
                continue
            version, heartbeat = self._heartbeats.get(worker, ("", None))
            if version != stat.version or heartbeat is None:
                heartbeat = self._read(stat.key, worker)
            if heartbeat is not None:
                kept[worker] = (stat.version, heartbeat)
            if heartbeat is not None and not _retired(heartbeat):
                found.append(Presence(heartbeat=heartbeat, age_s=age))
        self._heartbeats = kept
        return tuple(found)

    def _read(self, key: str, worker: str) -> Heartbeat | None:
        try:
            blob = self.store.get(key)
            return Heartbeat.from_bytes(blob.data, worker) if isinstance(blob, Blob) else None
        except DamagedRecord:
            return None  # a hint: unreadable counts as not there


def _retired(heartbeat: Heartbeat) -> bool:
    """A worker's last heartbeat takes nothing more and holds nothing."""
    return heartbeat.role == "worker" and not heartbeat.slots and not heartbeat.holding


def _running(history: History, presences: tuple[Presence, ...]) -> dict[int, tuple[str, Held]]:
    running = {}
    for presence in presences:
        for held in presence.heartbeat.holding:
            spec = history.open.get(held.spec)
            if spec is not None:  # before its first report it stands where its checkpoint does
                held = replace(held, resource=max(held.resource, spec.issue.start))
                running[held.trial] = (presence.heartbeat.worker, held)
    return running
