"""One finding about a store: what was tried, and whether the store may be trusted after it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.Enum):
    """What a finding means for a study."""

    OK = "ok"
    WARNING = "warning"
    """Works; costs time or money, or endangers the study in a way that a person must judge."""
    REFUSED = "refused"
    """Breaks a rule that safety rests on: no study may use this store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A named finding, in words that a person can act on."""

    name: str
    verdict: Verdict
    detail: str
