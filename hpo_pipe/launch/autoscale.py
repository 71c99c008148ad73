"""Reconciling again and again beside a coordinator: ``hpo-pipe coordinator URL --autoscale``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hpo_pipe.coordinator.world import Say
from hpo_pipe.launch.reconcile import Reconciler
from storage_schema.clock import Clock
from storage_schema.errors import HpoPipeError

PAUSE_S = 30.0
"""Between two rounds: providers answer slowly, and machines come in minutes."""
QUICK_S = 5.0
"""After a round that started workers: more is open as soon as they are at work."""
LEAVE_S = 30.0
"""How long the end of a coordinator waits for a round under way."""


class Autoscaler:
    """Rounds of one reconciler, whose failures are said and never end anything."""

    def __init__(self, reconciler: Reconciler, clock: Clock, say: Say) -> None:
        self._reconciler = reconciler
        self._clock = clock
        self._say = say
        self._said = ""

    def round(self) -> float:
        """Do one round, and say what is new; return the pause before the next one, seconds."""
        try:
            found = self._reconciler.run()
        except HpoPipeError as error:
            self._tell(f"autoscale: {error}")
            return PAUSE_S
        except (
            Exception
        ) as error:  # of a target's, maybe of another package's: the coordinator goes on, and so does this
            self._tell(
                f"autoscale: {type(error).__name__}: {error} (this should not happen; please report it)"
            )
            return PAUSE_S
        self._tell("; ".join([f"autoscale: {found.line()}", *found.notes]))
        return QUICK_S if found.started else PAUSE_S

    def until(self, ended: threading.Event) -> None:
        """Do rounds until `ended` is set."""
        while not ended.is_set():
            self._clock.wait(ended, self.round())

    def _tell(self, words: str) -> None:
        if words != self._said:
            self._say(words)
            self._said = words


@contextmanager
def autoscaling(scaler: Autoscaler, *, once: bool) -> Iterator[None]:
    """Scale while the block runs, in a thread of its own, and once more behind it, so that nothing waits for nobody.

    With `once` only the latter.
    """
    if once:
        yield
        scaler.round()
        return
    ended = threading.Event()
    thread = threading.Thread(target=scaler.until, args=(ended,), name="autoscale", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LEAVE_S)
    if not thread.is_alive():
        scaler.round()
