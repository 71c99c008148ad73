"""The error tree, split by who must act.

::

    HpoPipeError
    ├── UserError              the user: a name, a value, a file, an option
    │   ├── StudyFileError     a study file, with file and key
    │   └── StudyNotFound      no study at this URL
    ├── StoreError             the store, or whoever runs it
    │   ├── StoreUnavailable   wait and try again: time-outs, 5xx
    │   │   ├── OutcomeUnknown a create whose answer was lost; it may still land
    │   │   └── AccessDenied   401, 403, expired credentials: somebody has to grant or renew them
    │   └── StoreRefused       never: the store does not keep a rule that safety rests on
    ├── DamagedRecord          a stranger's bytes: a stored object is not what its key promises
    │   ├── NewerFormat        written by a newer hpo-pipe: upgrade this one
    │   └── Contradiction      it reads well, and may not stand after the records before it (also one of the next)
    └── ProtocolViolation      us: a state that the protocol rules out
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class HpoPipeError(Exception):
    """Root of all errors that hpo-pipe raises on purpose."""


class UserError(HpoPipeError):
    """Something the user gave is wrong; the message says what is allowed."""


class StudyFileError(UserError):
    """A study file is wrong at one key."""


class StudyNotFound(UserError):
    """No study lies at the URL."""


class StoreError(HpoPipeError):
    """The store did not do what was asked of it."""


class StoreUnavailable(StoreError):
    """The store cannot be used now. Says nothing about whether an object exists."""


class OutcomeUnknown(StoreUnavailable):
    """A write was sent and no answer came: it may have landed, or may land later."""


class AccessDenied(StoreUnavailable):
    """The store answered, and did not let this caller in. Says nothing about whether an object exists."""


class StoreRefused(StoreError):
    """The store does not keep a rule that safety rests on, and must not be used."""


class DamagedRecord(HpoPipeError):
    """A stored object does not hold what its key promises."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


class NewerFormat(DamagedRecord):
    """A record of a newer format than this version reads."""


class ProtocolViolation(HpoPipeError):
    """A state that the protocol rules out was seen; going on could lose work."""


class Contradiction(DamagedRecord, ProtocolViolation):
    """A record that the protocol does not allow after those before it: an author's mistake, or a forged one."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the allowed name closest to `name`, or an empty string."""
    close = get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
