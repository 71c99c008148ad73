"""What a study costs in requests: one formula, its constants, and the list prices of S3.

The constants are counts of requests, by what causes them; the benchmark of requests per trial measures the sums.
"""

from __future__ import annotations

from dataclasses import dataclass

PUT_DOLLARS = 5.0e-6
LIST_DOLLARS = 5.0e-6
GET_DOLLARS = 0.4e-6
"""S3 Standard, us-east-1, list prices; DELETE is free, and so is traffic within a region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Numbers of requests by kind; fractions are averages."""

    put: float = 0.0
    list: float = 0.0
    get: float = 0.0

    def __add__(self, other: Requests) -> Requests:
        return Requests(put=self.put + other.put, list=self.list + other.list, get=self.get + other.get)

    def times(self, factor: float) -> Requests:
        """Return `factor` times as many."""
        return Requests(put=self.put * factor, list=self.list * factor, get=self.get * factor)

    @property
    def dollars(self) -> float:
        """What they cost on S3."""
        return self.put * PUT_DOLLARS + self.list * LIST_DOLLARS + self.get * GET_DOLLARS


PER_SPEC = Requests(put=6.72, get=7.0, list=0.3)
"""PUT: claim 1.42 (lost races included), done 1, last segment 1, checkpoint 2, output 1, share of a log entry 0.3.
GET: log entry, last link and checkpoint by the worker 4; both links and the segment by the coordinator 3.
LIST: share of a listing of its entry's chains."""
PER_BUSY_FLUSH = Requests(put=2.0, get=1.0)
"""Heartbeat and metric segment; the look at the next link."""
PER_WORKER_FLUSH = Requests(get=1.0)
"""The board, changed or not."""
PER_TICK = Requests(list=1.2, get=0.1)
"""Heartbeats, and the log's tail now and then."""
PER_BUSY_TICK = Requests(put=1.0, list=1.0)
"""The board; the chains of unsettled entries."""
SPECS_PER_TRIAL = 1.33
"""Of successive halving with eta 4: 1 + 1/4 + 1/16 + ..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A study as far as requests go."""

    trials: int
    workers: int
    hours: float
    """From the first trial to the last, all workers busy."""
    flush_s: float = 60.0
    tick_s: float = 10.0


def estimate(work: Workload) -> Requests:
    """Return the requests of a whole study, with one coordinator."""
    seconds = work.hours * 3600
    return of_study(
        specs=work.trials * SPECS_PER_TRIAL,
        busy_s=work.workers * seconds,
        lasted_s=seconds,
        flush_s=work.flush_s,
        tick_s=work.tick_s,
    )


def of_study(*, specs: float, busy_s: float, lasted_s: float, flush_s: float, tick_s: float) -> Requests:
    """Return the requests of a study with one coordinator.

    Args:
        specs: pieces of training.
        busy_s: seconds of training, all workers together.
        lasted_s: seconds from the first decision to the last.
        flush_s, tick_s: the study's.
    """
    flushes = (PER_BUSY_FLUSH + PER_WORKER_FLUSH).times(busy_s / flush_s)
    ticks = (PER_TICK + PER_BUSY_TICK).times(lasted_s / tick_s)
    return PER_SPEC.times(specs) + flushes + ticks


def idle_day(tick_s: float = 10.0) -> Requests:
    """Return the requests of a coordinator that has nothing to do for 24 hours."""
    return PER_TICK.times(86_400 / tick_s)
