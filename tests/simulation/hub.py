"""Virtual time, and the simulated processes that live in it.

Every thread of every process is a greenlet. It runs until it waits or calls the store; then the hub runs whatever is
next in virtual time. Nothing else decides what happens when, so one seed decides everything.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

FOREVER = 1e12
WAKE_S = 0.001
"""Within so long a thread runs whose event was set: threads of a process race."""


class Killed(BaseException):
    """Raised in every thread of a process that was killed: it runs nothing any more."""


class Hub:
    """The events to come, and the clock that only they move."""

    def __init__(self, rng: random.Random) -> None:
        self.now = 0.0
        self.rng = rng
        self.stopped = False
        self.events = 0
        self._heap: list[tuple[float, int, Task | None, Any]] = []
        self._number = 0
        self.main = getcurrent()
        """Where the hub itself runs: a thread that ends comes back here, whoever started it."""

    def at(self, when: float, action: Callable[[], object]) -> None:
        """Call `action` at virtual time `when`, seconds."""
        self._number += 1
        heapq.heappush(self._heap, (when, self._number, None, action))

    def after(self, delay: float, action: Callable[[], object]) -> None:
        """Call `action` after `delay` seconds."""
        self.at(self.now + delay, action)

    def resume_at(self, when: float, task: Task, ticket: int) -> None:
        """Let `task` go on at `when`, unless something else wakes it before."""
        self._number += 1
        heapq.heappush(self._heap, (when, self._number, task, ticket))

    def run(self, until: float) -> None:
        """Run events up to virtual time `until`, or to :attr:`stopped`."""
        heap = self._heap
        while heap and not self.stopped and heap[0][0] <= until:
            when, _, task, what = heapq.heappop(heap)
            self.now = when
            self.events += 1
            if task is None:
                what()
            elif task.ticket == what:
                task.go_on()
        if not self.stopped and until < FOREVER:
            self.now = max(self.now, until)

    def switch(self) -> None:
        """Give the processor back, from a task."""
        self.main.switch()

    def idle(self) -> bool:
        """Tell whether nothing is left to happen."""
        return not self._heap


class Task:
    """One thread of a simulated process."""

    def __init__(self, process: Process, target: Callable[[], object], name: str) -> None:
        self.process = process
        self.name = name
        self.ticket = 0
        self._target = target
        self._greenlet = greenlet(self._run, process.hub.main)
        process.hub.resume_at(process.hub.now, self, 0)

    def go_on(self) -> None:
        """Run until the next wait. Called by the hub."""
        process = self.process
        if process.frozen_until > process.hub.now:
            process.held_up[self] = self.ticket
            process.hub.resume_at(process.frozen_until, self, self.ticket)
            return
        self.ticket += 1
        process.running = self
        self._greenlet.switch()
        if process.waiters:
            process.wake()

    def block(self, seconds: float) -> None:
        """Wait so long in virtual time. Called by the task itself."""
        hub = self.process.hub
        hub.resume_at(hub.now + seconds, self, self.ticket)
        hub.switch()

    def kill(self) -> None:
        """Unwind it. Called by the hub."""
        self.ticket = -1
        if self._greenlet:
            self._greenlet.throw(Killed)

    def _run(self) -> None:
        try:
            self._target()
        except Killed:
            pass
        except BaseException as error:  # a thread that dies silently would hide what it died of
            self.process.broke(self.name, error)


class Process:
    """One simulated operating system process: threads that live and die together."""

    def __init__(self, hub: Hub, name: str, rng: random.Random) -> None:
        self.hub = hub
        self.name = name
        self.rng = rng
        self.alive = True
        self.frozen_until = 0.0
        self.held_up: dict[Task, int] = {}
        """Threads that would have run during a pause."""
        self.suspensions: list[tuple[float, float]] = []
        """When the whole machine stood still, with what runs on it: from, until."""
        self.running: Task | None = None
        self.waiters: dict[Task, threading.Event] = {}
        self.ended: Callable[[Process, int | None, BaseException | None], None] = lambda *_: None
        """Told of the end: the exit status, or what it died of; None twice: it was killed."""
        self._tasks: list[Task] = []

    def start(self, main: Callable[[], int]) -> None:
        """Run `main` in a first thread; its end is the end of the process."""

        def whole() -> None:
            try:
                status = main()
            except Killed:
                raise
            except BaseException as error:
                self._over(None, error)
            else:
                self._over(status, None)

        self._tasks.append(Task(self, whole, "main"))

    def spawn(self, target: Callable[[], None], name: str) -> Task:
        """Start another thread."""
        self.check()
        task = Task(self, target, name)
        self._tasks.append(task)
        return task

    def check(self) -> None:
        """Raise Killed where this process is dead: nothing that it does reaches the world."""
        if not self.alive:
            raise Killed

    def block(self, seconds: float) -> None:
        """Let the running thread wait."""
        self.check()
        assert self.running is not None
        self.running.block(seconds)
        self.check()

    def wait(self, event: threading.Event, seconds: float) -> None:
        """Let the running thread wait until `event` is set, at most so long."""
        self.check()
        task = self.running
        assert task is not None
        if event.is_set():
            return
        self.waiters[task] = event
        try:
            task.block(seconds)
        finally:
            del self.waiters[task]
        self.check()

    def wake(self) -> None:
        """Let the threads go on soon whose event is set."""
        for task, event in self.waiters.items():
            if event.is_set():
                self.hub.resume_at(self.hub.now + WAKE_S * self.hub.rng.random(), task, task.ticket)

    def freeze(self, seconds: float, *, machine: bool) -> None:
        """SIGSTOP, or with `machine` a suspended machine: nothing of it runs for so long; its clocks go on."""
        until = self.hub.now + seconds
        if machine:
            self.suspensions.append((self.hub.now, until))
        self.frozen_until = max(self.frozen_until, until)

    def thaw(self) -> None:
        """SIGCONT: what would have run during a pause may run now."""
        now = self.hub.now
        if self.frozen_until > now:
            self.frozen_until = now
            self.suspensions = [(begin, min(end, now)) for begin, end in self.suspensions]
            for task, ticket in self.held_up.items():
                self.hub.resume_at(now, task, ticket)
        self.held_up.clear()

    def kill(self) -> None:
        """kill -9. Called by the hub, never by the process itself."""
        if self.alive:
            self._over(None, None)
            self._unwind()

    def broke(self, thread: str, error: BaseException) -> None:
        """Take note that a thread died of an error that it should have handed on."""
        self._over(None, RuntimeError(f"thread {thread} died silently of {error!r}"))

    def _over(self, status: int | None, error: BaseException | None) -> None:
        if self.alive:
            self.alive = False
            self.hub.after(0.0, self._unwind)  # daemon threads end with their process
            self.ended(self, status, error)

    def _unwind(self) -> None:
        for task in self._tasks:
            task.kill()
