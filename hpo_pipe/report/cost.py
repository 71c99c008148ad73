"""What a study has cost: machines, training by what became of it, trials, requests, and what spot saved.

All of it is counted from the record. A machine counts from its worker's start to the last thing that it recorded;
its price is shared by its slots. A sum that holds an unknown price is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hpo_pipe.prices import Pricing, Rate
from hpo_pipe.report.attempts import MAX_S, Attempt, read_attempts
from hpo_pipe.report.ledger import FATES, Share, trial_shares
from hpo_pipe.report.state import StudyState
from hpo_pipe.report.trials import own_best
from hpo_pipe.request_cost import Requests, of_study
from storage_schema.machine import SPOT, Machine
from storage_schema.store import Store, is_near

HOUR_S = 3600.0
TOKEN = 7
"""Characters at the end of a worker's id that are new whenever it goes on under another one."""


@dataclass(slots=True)
class Money:
    """A sum of dollars, of which some may be unknown."""

    known: float = 0.0
    complete: bool = True

    def add(self, dollars: float | None) -> None:
        """Add an amount; None: it is not known."""
        self.known += dollars or 0.0
        self.complete = self.complete and dollars is not None

    @property
    def value(self) -> float | None:
        """The sum, or None where a part of it is unknown."""
        return self.known if self.complete else None


@dataclass(slots=True, kw_only=True)
class Work:
    """Training of one kind, of all attempts together."""

    seconds: float = 0.0
    gpu_s: float = 0.0
    money: Money = field(default_factory=Money)

    def add(self, seconds: float, gpus: float, rate: float | None) -> None:
        """Add `seconds` of an attempt on `gpus` GPUs; `rate`: dollars per hour of its slot."""
        if seconds > 0:
            self.seconds += seconds
            self.gpu_s += seconds * gpus
            self.money.add(None if rate is None else rate * seconds / HOUR_S)


@dataclass(slots=True, kw_only=True)
class Host:
    """One worker process on its machine."""

    machine: Machine
    rate: Rate
    busy_s: float = 0.0
    """Seconds of training, all slots together."""
    until: float = 0.0
    """On its own clock: the last thing that it recorded."""

    @property
    def slots(self) -> int | None:
        """Trials at a time; None: not said."""
        return self.machine.slots

    @property
    def alive_s(self) -> float | None:
        """Seconds from its start to its last record; None where it did not say enough."""
        if self.machine.slots is None or self.machine.started_at is None:
            return None
        return max(min(self.until - self.machine.started_at, MAX_S), self.busy_s / self.machine.slots)

    @property
    def slot_rate(self) -> float | None:
        """Dollars for an hour of one slot."""
        paid, slots = self.rate.paid, self.machine.slots
        return None if paid is None or slots is None else paid / slots


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a study has cost so far, dollars and seconds."""

    hosts: tuple[Host, ...]
    work: Mapping[str, Work]
    """Of each of :data:`FATES`."""
    trials: Mapping[int, Work]
    best: int | None
    """The incumbent's number."""
    idle_s: float | None
    """Seconds of slots without a trial, up to each worker's last record; None where a worker did not say enough."""
    idle: Money
    spent: Money
    """Of all machines, idle or not."""
    saved: Money
    """What the spot machines would have cost more on demand."""
    requests: Requests | None
    """An estimate; None where the store takes no money for them."""
    untimed: int
    """Attempts that another had to end before they stored a report: their time is not known, and counts as none."""

    @property
    def total(self) -> Work:
        """All training together."""
        return _together(self.work.values())

    @property
    def per_trial(self) -> float | None:
        """What was spent, divided by the trials."""
        spent = self.spent.value
        return None if spent is None or not self.trials else spent / len(self.trials)


def cost_of(store: Store, state: StudyState, pricing: Pricing) -> Cost:
    """Read a study's chains and return what it has cost; see :func:`read_attempts` for requests and errors."""
    attempts = read_attempts(store, state.history)
    return add_up(state, attempts, pricing, metered=not is_near(store.url))


def add_up(
    state: StudyState, attempts: Mapping[int, list[Attempt]], pricing: Pricing, *, metered: bool
) -> Cost:
    """Return what these attempts have cost.

    Args:
        state: the study.
        attempts: trial to its attempts, in the order of its specs and their chains.
        pricing: what prices a worker.
        metered: whether the store charges for requests.
    """
    hosts = _hosts((a for found in attempts.values() for a in found), pricing)
    work, trials = {fate: Work() for fate in FATES}, {}
    for trial in state.history.trials:
        shares = trial_shares(state.history, trial, attempts.get(trial.number, []))
        own = trials[trial.number] = Work()
        for share in shares:
            _book(share, hosts[_process(share.attempt)], work, own)
    best = own_best(state)
    found = tuple(hosts.values())
    return Cost(
        hosts=found,
        work=work,
        trials=trials,
        best=best.number if best else None,
        idle_s=_idle_s(found),
        idle=_sum(_idle_dollars(host) for host in found),
        spent=_sum(_spent(host) for host in found),
        saved=_sum(_saved(host) for host in found if host.machine.lifecycle == SPOT),
        requests=_requests(state, sum(host.busy_s for host in found)) if metered else None,
        untimed=sum(_is_untimed(a) for own in attempts.values() for a in own),
    )


def _hosts(attempts: Iterable[Attempt], pricing: Pricing) -> dict[tuple[str, float | None], Host]:
    hosts: dict[tuple[str, float | None], Host] = {}
    for attempt in attempts:
        key = _process(attempt)
        host = hosts.get(key)
        if host is None:
            host = hosts[key] = Host(machine=attempt.machine, rate=Rate())
        host.busy_s += attempt.seconds
        host.until = max(host.until, attempt.claimed_at + attempt.seconds)
    for host in hosts.values():
        host.rate = pricing(host.machine, host.until)
    return hosts


def _process(attempt: Attempt) -> tuple[str, float | None]:
    """A worker that was taken for dead goes on under a new id; its start stays."""
    started = attempt.machine.started_at
    return (attempt.worker if started is None else attempt.worker[:-TOKEN], started)


def _book(share: Share, host: Host, work: Mapping[str, Work], own: Work) -> None:
    gpus = share.attempt.gpus
    for fate in FATES:
        work[fate].add(getattr(share, fate), gpus, host.slot_rate)
    own.add(share.attempt.seconds, gpus, host.slot_rate)


def _spent(host: Host) -> float | None:
    alive_s, paid = host.alive_s, host.rate.paid
    return None if alive_s is None or paid is None else paid * alive_s / HOUR_S


def _saved(host: Host) -> float | None:
    alive_s, paid, on_demand = host.alive_s, host.rate.paid, host.rate.on_demand
    if alive_s is None or paid is None or on_demand is None:
        return None
    return (on_demand - paid) * alive_s / HOUR_S


def _host_idle_s(host: Host) -> float | None:
    alive_s, slots = host.alive_s, host.slots
    return None if alive_s is None or slots is None else max(0.0, alive_s * slots - host.busy_s)


def _idle_s(hosts: Iterable[Host]) -> float | None:
    found = [_host_idle_s(host) for host in hosts]
    known = [seconds for seconds in found if seconds is not None]
    return sum(known) if len(known) == len(found) else None


def _idle_dollars(host: Host) -> float | None:
    idle_s, rate = _host_idle_s(host), host.slot_rate
    return None if idle_s is None or rate is None else idle_s * rate / HOUR_S


def _sum(amounts: Iterable[float | None]) -> Money:
    money = Money()
    for dollars in amounts:
        money.add(dollars)
    return money


def _together(works: Iterable[Work]) -> Work:
    total = Work()
    for work in works:
        total.seconds += work.seconds
        total.gpu_s += work.gpu_s
        total.money.known += work.money.known
        total.money.complete = total.money.complete and work.money.complete
    return total


def _requests(state: StudyState, busy_s: float) -> Requests:
    timing = state.study.timing
    return of_study(
        specs=len(state.history.specs),
        busy_s=busy_s,
        lasted_s=state.elapsed_s,
        flush_s=timing.flush_s,
        tick_s=timing.tick_s,
    )


def _is_untimed(attempt: Attempt) -> bool:
    return attempt.end is not None and not attempt.closed and not attempt.seconds
