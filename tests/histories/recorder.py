"""Recording what processes ask of a store and what it answers, to be judged afterwards (see `checker`).

One file for each process, two lines for each request: one before it is sent, one when its answer is here. A killed
process leaves a request without an answer, which may or may not have taken effect: just what it is.
"""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from storage_schema.codec import sha256
from storage_schema.errors import ProtocolViolation, StoreUnavailable
from storage_schema.keys import CHAIN, LOG
from storage_schema.store import Blob, Created, Stat, Store, Unchanged

Outcome = Literal["created", "exists", "unknown", "absent", "value"]

NEVER = 2**62
"""When a request without an answer was answered: it may take effect at any time from its sending on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One request for one create-only key."""

    process: str
    verb: Literal["create", "get"]
    key: str
    digest: str
    """Of the bytes: those that a create sent, or that a get brought (empty where it found nothing)."""
    outcome: Outcome
    """unknown: an error, or no answer at all."""
    called: int
    """Nanoseconds on CLOCK_MONOTONIC, which all processes of a machine share."""
    answered: int


class Recorded:
    """A store that writes down what is asked of `inner` for keys that are created once; all else passes by."""

    def __init__(self, inner: Store, folder: Path, process: str) -> None:
        self.inner, self.url, self.process = inner, inner.url, process
        path = folder / f"{process}.history"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def create(self, key: str, data: bytes) -> Created:
        number = self._called("create", key, sha256(data))
        answer = self.inner.create(key, data)
        self._answered(number, key, str(answer.value))
        return answer

    def get(self, key: str, unless: str | None = None) -> Blob | Unchanged | None:
        number = self._called("get", key)
        found = self.inner.get(key, unless)
        if isinstance(found, Blob):
            self._answered(number, key, "value", sha256(found.data))
        elif found is None:
            self._answered(number, key, "absent")
        return found

    def list(self, prefix: str, start_after: str = "") -> Iterator[Stat]:
        return self.inner.list(prefix, start_after)

    def replace(self, key: str, data: bytes) -> None:
        _refuse("replaced", key)
        self.inner.replace(key, data)

    def delete(self, key: str) -> None:
        _refuse("deleted", key)
        self.inner.delete(key)

    def _called(self, verb: str, key: str, digest: str = "") -> int:
        with self._lock:
            number = next(self._numbers)
        self._write(key, number, "call", verb, key, digest)
        return number

    def _answered(self, number: int, key: str, outcome: str, digest: str = "") -> None:
        self._write(key, number, "answer", outcome, digest)

    def _write(self, key: str, number: int, *what: str) -> None:
        if not _is_once(key):
            return
        # The time of a call is taken before the request, that of an answer after it: intervals only get longer.
        line = json.dumps([number, time.clock_gettime_ns(time.CLOCK_MONOTONIC), *what]) + "\n"
        os.write(self._file, line.encode())  # one write with O_APPEND: a kill leaves whole lines


def read_history(folder: Path) -> list[Operation]:
    """Return all that was recorded in `folder`, in the order of the calls."""
    found = [operation for path in sorted(folder.glob("*.history")) for operation in _of_process(path)]
    return sorted(found, key=lambda operation: (operation.called, operation.answered))


def _of_process(path: Path) -> Iterator[Operation]:
    calls: dict[int, tuple[int, str, str, str]] = {}
    answers: dict[int, tuple[int, str, str]] = {}
    for line in path.read_text().splitlines():
        number, at, event, *rest = json.loads(line)
        if event == "call":
            calls[number] = (at, *rest)
        else:
            answers[number] = (at, *rest)
    for number, (called, verb, key, digest) in calls.items():
        at, outcome, brought = answers.get(number, (NEVER, "unknown", ""))
        if verb == "get" and outcome == "unknown":
            continue  # a read that failed says nothing and changes nothing
        yield Operation(
            process=path.stem,
            verb=verb,
            key=key,
            digest=brought if verb == "get" else digest,
            outcome=outcome,
            called=called,
            answered=at,
        )


def _is_once(key: str) -> bool:
    return key.startswith((LOG, CHAIN))


def _refuse(what: str, key: str) -> None:
    if _is_once(key):
        raise ProtocolViolation(f"{key} was {what}; it is created once")


def patiently(failed: int, reason: str) -> None:
    """Wait for a lossy store, not for ever."""
    if failed >= 100:
        raise StoreUnavailable(f"no answer after {failed} tries: {reason}")
