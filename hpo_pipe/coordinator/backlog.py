"""How many specs wait for a free slot, so that none stands idle while a decision is made."""

from __future__ import annotations

MIN_WAITING = 2
MAX_WAITING = 512


class Backlog:
    """Grows where all that waited was used up between two decisions, and shrinks where much was left.

    Too few would let slots stand idle; too many would be decided earlier than need be, on fewer results.
    """

    def __init__(self) -> None:
        self.size = MIN_WAITING
        """How many are to wait, at most :data:`MAX_WAITING`."""

    def see(self, settled: int, waiting: int) -> None:
        """Take in how many specs were settled since the last decision, and how many still wait."""
        if settled and not waiting:
            self.size = min(2 * self.size, MAX_WAITING)
        elif 2 * waiting > self.size:
            self.size = max(MIN_WAITING, self.size - 1)
