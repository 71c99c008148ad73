"""What is said of the results that were taken over from another study."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hpo_pipe.transfer.mapping import FORBIDDEN, Mapped

SHOWN = 8
"""Names in one line."""


@dataclass(slots=True)
class Account:
    """What became of the results of one study."""

    read: int = 0
    values: int = 0
    """How many of them have a finite value."""
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    moved: Counter[str] = field(default_factory=Counter)

    def note(self, seen: Mapped) -> None:
        """Count one configuration."""
        self.unknown.update(seen.unknown)
        if seen.parameters is None:
            self.dropped[seen.problem] += 1
            return
        self.missing.update(seen.missing)
        self.moved.update(seen.moved)

    @property
    def problem(self) -> str:
        """Why results were dropped."""
        parts = [
            f"{count} because {'the combination is forbidden' if name == FORBIDDEN else f'{name} is too far outside'}"
            for name, count in self.dropped.most_common(SHOWN)
        ]
        return ", ".join(parts)

    def lines(self, name: str) -> list[str]:
        """Return what is worth saying about the study `name`."""
        found = [f"{self.kept} of {self.read} results of {name}"]
        if self.unknown:
            found.append(f"  unknown here, left out: {_names(self.unknown)}")
        if self.missing:
            found.append(f"  missing there, a default stands in: {_names(self.missing)}")
        if self.moved:
            found.append(f"  moved to the nearest value here: {_names(self.moved)}")
        if self.dropped:
            found.append(f"  dropped: {self.problem}")
        left = self.read - self.kept - sum(self.dropped.values())
        if left > 0:
            found.append(f"  more than are kept: the best half stays, and of the others {left} were left out")
        return found


def _names(found: Counter[str]) -> str:
    shown = ", ".join(f"{name} ({count})" for name, count in found.most_common(SHOWN))
    return shown + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
