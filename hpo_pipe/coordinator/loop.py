"""`hpo-pipe coordinator`: ticks, in a loop or once. Any number may run, on any machines, at any time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import FrameType

from hpo_pipe.coordinator.log import read_study
from hpo_pipe.coordinator.steady import Steady
from hpo_pipe.coordinator.tick import Coordinator, Ticked
from hpo_pipe.coordinator.world import MOST_PAUSE_S, Gather, Say, World, in_order
from storage_schema.clock import Clock, SystemClock
from storage_schema.errors import StoreUnavailable
from storage_schema.keys import SpecId
from storage_schema.records import Study
from storage_schema.store import is_near, open_store
from storage_schema.waiting import GaveUp, Patience

EXIT_DONE = 0
EXIT_INTERRUPTED = 75

BUSY_SHARE_NEAR = 0.02
BUSY_SHARE_FAR = 0.2
"""Of `tick_s`: how soon a tick follows one that saw something. On a folder a look costs next to nothing; on S3 it
costs about 6 millionths of a dollar, so a coordinator that is busy all day at 2 s costs a quarter of a dollar."""
QUIET_SHARE = 0.1
"""Of the time since something last happened: how soon a tick follows one that saw nothing."""
MIN_PAUSE_S = 0.01
READERS = 16
"""Reads of chains at once, where one takes tens of milliseconds."""


def run_coordinator(
    url: str,
    *,
    once: bool = False,
    until_done: bool = False,
    say: Say,
    tick_s: float | None = None,
    clock: Clock | None = None,
) -> int:
    """Coordinate the study at `url`; return the exit status.

    Args:
        url: the study URL.
        once: one tick, for cron or a function in the cloud. It fences by the store's clock alone.
        until_done: end when the study has ended and every spec is settled; otherwise stay, since a user may
            raise a limit, retry a trial or enqueue a configuration.
        say: takes one line of talk for stderr.
        tick_s: seconds between two ticks that find nothing; the study's own setting if None.
        clock: the machine's clock if None.

    Raises:
        StudyNotFound, DamagedRecord, ProtocolViolation, StoreRefused: nothing that waiting would mend.
        StoreUnavailable: with `once` only.
    """
    store = open_store(url)
    ended = threading.Event()
    with _signals_set(ended), _readers(store.url) as gather:
        world = World(store=store, say=say, clock=clock or SystemClock(), gather=gather)
        return coordinate(world, ended, once=once, until_done=until_done, tick_s=tick_s)


def coordinate(
    world: World,
    ended: threading.Event,
    *,
    once: bool = False,
    until_done: bool = False,
    tick_s: float | None = None,
) -> int:
    """Do what :func:`run_coordinator` does, in a given world; setting `ended` lets it end after the tick under way."""
    patience = _patience(world, ended)
    try:
        coordinator = _coordinator(world, patience, once=once)
        if once:
            _once(coordinator)
            return EXIT_DONE
        pace = _Pace(coordinator.history.study, world.store.url, tick_s, world.clock.monotonic())
        return _loop(world, coordinator, pace, patience, ended, until_done=until_done)
    except GaveUp:
        return EXIT_INTERRUPTED


def coordinate_for(url: str, seconds: float, *, say: Say) -> bool:
    """Coordinate the study at `url` for so long, or tick once for 0; tell whether it has ended with every spec settled.

    For a process that is called again and again, and whose signals are not ours: a function in the cloud.

    Raises:
        StudyNotFound, DamagedRecord, ProtocolViolation, StoreRefused: as in :func:`run_coordinator`.
        StoreUnavailable: with 0 only.
    """
    store = open_store(url)
    ended = threading.Event()
    with _readers(store.url) as gather:
        world = World(store=store, say=say, gather=gather)
        if not seconds:
            return _once(_coordinator(world, _patience(world, ended), once=True)).closed
        bell = threading.Timer(seconds, ended.set)
        bell.daemon = True
        bell.start()
        try:
            return coordinate(world, ended, until_done=True) == EXIT_DONE
        finally:
            bell.cancel()


def _patience(world: World, ended: threading.Event) -> Patience:
    return Patience(world.clock, world.rng, say=world.say, give_up=ended.is_set, most_s=MOST_PAUSE_S)


def _coordinator(world: World, patience: Patience, *, once: bool) -> Coordinator:
    """Read the study, at once or when the store is there, and return a coordinator of it."""
    store = Steady(world.store, world.clock, world.rng)
    return Coordinator(
        store,
        read_study(store) if once else patience.through(lambda: read_study(store)),
        clock=world.clock,
        wait=patience,
        name=world.name(),
        one_shot=once,
        near=is_near(store.url),
        gather=world.gather,
        rng=world.rng,
        host=world.host,
        pid=world.pid,
    )


class _Pace:
    """How long to wait between two ticks: a share of the time since something last happened.

    So trials of a second are looked after many times a second, and trials of an hour once per `tick_s`.
    """

    def __init__(self, study: Study, url: str, tick_s: float | None, now: float) -> None:
        self._idle_s = study.timing.tick_s if tick_s is None else tick_s
        share = BUSY_SHARE_NEAR if is_near(url) else BUSY_SHARE_FAR
        self._busy_s = max(MIN_PAUSE_S, self._idle_s * share)
        self._changed_at = now

    def after(self, ticked: Ticked, now: float) -> float:
        """Return the pause after a tick that ended at `now` on the monotonic clock, seconds."""
        if ticked.changed:
            self._changed_at = now
        return min(self._idle_s, max(self._busy_s, QUIET_SHARE * (now - self._changed_at)))


def _once(coordinator: Coordinator) -> Ticked:
    try:
        return coordinator.tick()
    finally:
        coordinator.leave()


def _loop(
    world: World,
    coordinator: Coordinator,
    pace: _Pace,
    patience: Patience,
    ended: threading.Event,
    *,
    until_done: bool,
) -> int:
    world.say(f"coordinating {coordinator.history.study.name} as {coordinator.name}")
    closed = False
    while not ended.is_set():
        ticked = patience.through(coordinator.tick)
        for link in ticked.fenced:
            world.say(f"fenced attempt {link.link} of spec {link.spec}: its holder is silent")
        if ticked.closed and not closed:
            world.say(f"the study has ended: {coordinator.history.finished}")
        closed = ticked.closed
        if closed and until_done:
            break
        world.clock.wait(ended, pace.after(ticked, world.clock.monotonic()))
    _leave(coordinator)
    return EXIT_DONE if closed else EXIT_INTERRUPTED


def _leave(coordinator: Coordinator) -> None:
    with suppress(StoreUnavailable):  # a heartbeat that stays behind is forgotten in time
        coordinator.leave()


@contextmanager
def _signals_set(ended: threading.Event) -> Iterator[None]:
    """Let SIGTERM and SIGINT end the loop after the tick that is under way."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, before)  # process 1 of a container starts with one blocked
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _readers(url: str) -> Iterator[Gather]:
    """Read chains one by one on a folder, and several at once over a network."""
    if is_near(url):
        yield in_order
        return
    with ThreadPoolExecutor(READERS, thread_name_prefix="chains") as pool:

        def at_once(read: Callable[[SpecId], bool], specs: Iterable[SpecId]) -> list[bool]:
            return list(pool.map(read, specs))

        yield at_once
