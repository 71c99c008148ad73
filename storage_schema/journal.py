"""An undo journal: what is tried out on a state is taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storage_schema.errors import ProtocolViolation


class Journal:
    """Collects, while it is kept, how to undo each change."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] | None = None

    @property
    def open(self) -> bool:
        """Whether changes are to be undone."""
        return self._undo is not None

    def note(self, undo: Callable[[], object]) -> None:
        """Remember how to undo a change that was just made."""
        if self._undo is not None:
            self._undo.append(undo)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Undo on exit, newest first, everything that was noted inside. Not nested."""
        if self._undo is not None:
            raise ProtocolViolation("a draft within a draft")
        self._undo = []
        try:
            yield
        finally:
            noted, self._undo = self._undo, None
            for undo in reversed(noted):
                undo()
