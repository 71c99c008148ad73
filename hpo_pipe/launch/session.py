"""One session of `hpo-pipe run`: coordinator and workers as children, watched until the study or the user ends it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from types import FrameType

from hpo_pipe.launch.children import Child, Children
from hpo_pipe.report.state import StudyState
from hpo_pipe.study import OpenStudy
from storage_schema.clock import Clock
from storage_schema.errors import StoreUnavailable

POLL_S = 0.2
LINGER_S = 10.0
"""How much longer than the grace of its trials a worker may take to end."""

Show = Callable[[StudyState, list[str]], None]


class Ending(Enum):
    """How a session ended."""

    DONE = "done"
    INTERRUPTED = "interrupted"
    AT_ONCE = "at once"
    REFUSED = "refused"
    FAILED = "failed"


class Session:
    """Runs the children of one study.

    Args:
        study: the study, open.
        children: not started yet.
        clock: of this machine.
        look_s: seconds between two looks at the study.
        show: draws a look, with the newest notes.
    """

    def __init__(self, study: OpenStudy, children: Children, clock: Clock, look_s: float, show: Show) -> None:
        self._study = study
        self._children = children
        self._clock = clock
        self._look_s = look_s
        self._show = show
        self._asked = 0  # how often the user asked for the end
        self._wake = threading.Event()
        self._looked_at = -1e9
        self._state = study.look()

    def run(self) -> Ending:
        """Start the children and stay until all have ended."""
        with self._signals():
            self._children.start()
            try:
                return self._watch()
            finally:
                self._children.kill()
                self._look(force=True)

    def _watch(self) -> Ending:
        children = self._children
        while not self._asked:
            children.poll(self._clock.monotonic(), restart=True)
            self._look()
            if children.refused is not None:
                self._wind_down()
                return Ending.REFUSED
            if self._state.history.closed:
                self._let_workers_leave()
                return Ending.DONE
            if children.coordinator.over or all(worker.over for worker in children.workers):
                self._look(force=True)  # the end of the study may be newer than the last look
                if not self._state.history.closed:
                    self._wind_down()
                    return Ending.INTERRUPTED if self._asked else Ending.FAILED
            self._clock.wait(self._wake, POLL_S)
        children.notes.append("interrupting: workers hand back what they hold (Ctrl-C again ends at once)")
        return Ending.INTERRUPTED if self._wind_down() else Ending.AT_ONCE

    def _let_workers_leave(self) -> None:
        """A worker that sees the end of the study ends by itself."""
        if not self._all_ended([*self._children.workers, self._children.coordinator], LINGER_S):
            self._wind_down()

    def _wind_down(self) -> bool:
        """End the workers, then the coordinator; return False where the user could not wait."""
        children, asked = self._children, self._asked
        children.interrupt()
        grace = self._study.definition.timing.grace_s + LINGER_S
        self._all_ended(children.workers, grace, asked)
        children.coordinator.signal(signal.SIGTERM)
        self._all_ended([children.coordinator], LINGER_S, asked)
        return self._asked <= max(1, asked)

    def _all_ended(self, children: list[Child], limit_s: float, asked: int | None = None) -> bool:
        until = self._clock.monotonic() + limit_s
        asked = self._asked if asked is None else asked
        while any(child.alive for child in children):
            self._children.poll(self._clock.monotonic(), restart=False)
            self._look()
            if self._clock.monotonic() > until or self._asked > asked:
                return False
            self._wake.clear()
            self._clock.wait(self._wake, POLL_S)
        return True

    def _look(self, *, force: bool = False) -> None:
        now = self._clock.monotonic()
        if not force and not self._children.notes and now - self._looked_at < self._look_s:
            return
        self._looked_at = now
        notes, self._children.notes = self._children.notes, []
        try:
            self._state = self._study.look()
        except StoreUnavailable as error:
            notes.append(f"waiting: {error}")
        self._show(self._state, notes)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Count the user's wishes to end; a signal that is ignored (nohup) stays so."""

        def ask(_signal: int, _frame: FrameType | None) -> None:
            self._asked += 1
            self._wake.set()

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        handled = [n for n in numbers if n == signal.SIGINT or signal.getsignal(n) is not signal.SIG_IGN]
        before = {number: signal.signal(number, ask) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
