"""The single checks of a proof. Each returns a verdict, and what was found in words for a person."""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from storage_schema.clock import Clock
from storage_schema.errors import AccessDenied, StoreUnavailable
from storage_schema.store.check import Verdict
from storage_schema.store.proof_bench import Bench
from storage_schema.store.protocol import Blob, Created, Unchanged

CONTENDERS = 16
LATENCY_SAMPLES = 20
MEBIBYTE = 1 << 20
CLOCK_TOLERANCE_S = 5.0
"""Between this machine and the store; S3 turns requests away at 15 minutes."""
TIME_STEP_S = 5.0
"""Within so long a store's clock must be seen to move; S3 counts whole seconds."""
TIME_STEP_TRIES = 2000
TIME_GRAIN_S = 0.01
"""Below this, times may be in any order: a file system's clock ticks every few ms."""

Finding = tuple[Verdict, str]

_ORDER = (
    "a-b",
    "a.b",
    "a/b",
    "a/c/d",
    "a0",
    "A",
    "Z/z",
    "b",
    "00000009",
    "00000010",
    "z/0000000002",
    "z/0000000010",
)
"""Names of which folders, case-blind sorting or number sorting would make another order."""


def exclusive_create(bench: Bench) -> Finding:
    """One create after another of the same key."""
    if bench.create("exclusive", b"first") is not Created.CREATED:
        return Verdict.REFUSED, "a create of an absent key was answered with 'exists'"
    again = bench.create("exclusive", b"second")
    found = bench.get("exclusive")
    if again is Created.CREATED or not isinstance(found, Blob) or found.data != b"first":
        return Verdict.REFUSED, (
            "a second create of the same key was not refused: the store ignores the condition "
            "(If-None-Match on S3), so two workers could both own one trial"
        )
    return Verdict.OK, "a second create of the same key is refused, and the first one's bytes stand"


def read_and_list_after_create(bench: Bench) -> Finding:
    """What was created is there for the next request."""
    for number in range(LATENCY_SAMPLES):
        name, data = f"after/{number:03}", secrets.token_bytes(200)
        bench.create(name, data)
        found = bench.get(name)
        if not isinstance(found, Blob) or found.data != data:
            return Verdict.REFUSED, "an object that was just created could not be read"
        if bench.stat(name) is None:
            return Verdict.REFUSED, "an object that was just created was not in the listing"
    return Verdict.OK, "what was created is read and listed at once"


def missing_object(bench: Bench) -> Finding:
    """Absent must be told apart from forbidden."""
    try:
        found = bench.get("missing/object")
    except AccessDenied as denied:
        return Verdict.REFUSED, (
            f"a missing object is answered like a forbidden one ({denied}); grant s3:ListBucket on the bucket, "
            "so that 'absent' can be told apart (hpo-pipe submit policy prints how; --list-whole-bucket, if it is "
            "granted for the study's prefix already)"
        )
    if found is not None:
        return Verdict.REFUSED, "an object that nobody wrote was read"
    return Verdict.OK, "a missing object is reported as absent"


def bytes_round_trip(bench: Bench) -> Finding:
    """Empty, binary and large bodies."""
    bodies = {
        "empty": b"",
        "binary": bytes(range(256)) + b"\r\n\r\n\0",
        "mebibyte": secrets.token_bytes(MEBIBYTE),
    }
    for name, data in bodies.items():
        bench.create(f"bytes/{name}", data)
        bench.replace(f"bytes/{name}.replaced", data)
        for written in (f"bytes/{name}", f"bytes/{name}.replaced"):
            found, stat = bench.get(written), bench.stat(written)
            if not isinstance(found, Blob) or found.data != data or stat is None or stat.size != len(data):
                return Verdict.REFUSED, f"{name} bytes did not come back as they were written"
    return Verdict.OK, "empty, binary and 1 MiB bodies come back as they were written"


def listing_order(bench: Bench) -> Finding:
    """Byte order of whole keys, from any position, and only what the prefix covers."""
    for name in _ORDER:
        bench.create(f"order/{name}", b".")
    ordered = tuple(sorted(f"order/{name}" for name in _ORDER))
    if bench.names("order/") != ordered:
        return (
            Verdict.REFUSED,
            f"a listing is not in byte order of the keys: {', '.join(bench.names('order/'))}",
        )
    for after in (*ordered, "order/", "order/a/", "order/a/bb", "order/zz"):
        if bench.names("order/", after) != tuple(name for name in ordered if name > after):
            return Verdict.REFUSED, f"a listing from {after!r} on does not hold exactly the later keys"
    for prefix in ("order/a", "order/a/", "order/a/c", "order/nothing/"):
        if bench.names(prefix) != tuple(name for name in ordered if name.startswith(prefix)):
            return Verdict.REFUSED, f"a listing of {prefix!r} does not hold exactly the keys that begin so"
    return Verdict.OK, "listings come in byte order, from any key on"


def replace(bench: Bench) -> Finding:
    """Hints are overwritten, and the next reader sees it."""
    for number in range(LATENCY_SAMPLES):
        data = f"replaced {number:03}".encode()
        bench.replace("replaced", data)
        found = bench.get("replaced")
        if not isinstance(found, Blob) or found.data != data:
            return Verdict.REFUSED, "an object that was just replaced was read with its old bytes"
    return Verdict.OK, "the next read after a replace sees the new bytes"


def conditional_read(bench: Bench) -> Finding:
    """Workers look at the board often: unchanged must be cheap, and changed must be seen."""
    bench.replace("conditional", b"first")
    first = bench.get("conditional")
    if not isinstance(first, Blob):
        return Verdict.REFUSED, "an object that was just written could not be read"
    again = bench.get("conditional", unless=first.version)
    bench.replace("conditional", b"other")
    other = bench.get("conditional", unless=first.version)
    if not isinstance(other, Blob) or other.data != b"other":
        return Verdict.REFUSED, "an object that was replaced was reported as unchanged"
    if again is not Unchanged.UNCHANGED:
        return (
            Verdict.WARNING,
            "conditional reads are not supported: each look at the board transfers the board",
        )
    return Verdict.OK, "an unchanged object is reported as such, a changed one is read"


def contested_creates(bench: Bench, rounds: int) -> Finding:
    """Many create one key at the same moment; one must win, and its bytes must stand."""
    start = threading.Barrier(CONTENDERS)
    unanswered = 0
    with ThreadPoolExecutor(CONTENDERS) as pool:
        for number in range(rounds):
            key = bench.key(f"contested/{number:04}")
            bids = [f"{contender:02} {secrets.token_hex(8)}".encode() for contender in range(CONTENDERS)]
            answers = list(pool.map(lambda bid, key=key: _bid(bench, start, key, bid), bids))
            winners = [bid for bid, answer in zip(bids, answers, strict=True) if answer is Created.CREATED]
            found = bench.get(f"contested/{number:04}")
            if len(winners) > 1:
                return Verdict.REFUSED, (
                    f"{len(winners)} of {CONTENDERS} that created one key at the same moment were told that they won "
                    f"(round {number + 1} of {rounds}): the store looks first and writes later"
                )
            if not isinstance(found, Blob) or found.data not in (winners or bids):
                return Verdict.REFUSED, f"the winner's bytes do not stand (round {number + 1} of {rounds})"
            unanswered += not winners
    note = f"; in {unanswered} the winner's answer was lost" if unanswered else ""
    return Verdict.OK, f"{CONTENDERS} contenders, {rounds} rounds: one winner each, and its bytes stand{note}"


def modified_times(bench: Bench, clock: Clock) -> Finding:
    """Leases are judged by modified times: they must move, and all come from one clock."""
    bench.replace("times/first", b"first")
    first, read = bench.stat("times/first"), bench.get("times/first")
    if first is None or not isinstance(read, Blob):
        return Verdict.REFUSED, "an object that was just written could not be read"
    if abs(first.modified - read.modified) > 1.5:  # listings may count ms where reads count seconds
        return Verdict.REFUSED, "a listing and a read give different modified times for one object"
    began = clock.monotonic()
    for number in range(TIME_STEP_TRIES):
        bench.replace("times/second", f"try {number}".encode())
        second = bench.stat("times/second")
        if second is None or second.modified < first.modified - TIME_GRAIN_S:
            return Verdict.REFUSED, "a later object has an earlier modified time: not one clock"
        if second.modified > first.modified + TIME_GRAIN_S:
            return Verdict.OK, "modified times move, and come from one clock"
        if clock.monotonic() - began > TIME_STEP_S:
            break
    return Verdict.REFUSED, f"modified times stood still for {TIME_STEP_S:.0f} s"


def clock_difference(bench: Bench, clock: Clock) -> Finding:
    """Nothing rests on it; but a clock far off makes S3 turn requests away, and logs hard to read."""
    before = clock.now()
    bench.replace("times/clock", b"now")
    after, stat = clock.now(), bench.stat("times/clock")
    if stat is None:
        return Verdict.REFUSED, "an object that was just written was not in the listing"
    off = max(
        before - 1 - stat.modified, stat.modified - after, 0.0
    )  # times may be whole seconds, rounded down
    if off > CLOCK_TOLERANCE_S:
        side = "behind" if stat.modified > after else "ahead of"
        return Verdict.WARNING, f"this machine's clock is {off:.0f} s {side} the store's; set it (NTP)"
    return Verdict.OK, f"this machine's clock and the store's agree within {CLOCK_TOLERANCE_S:.0f} s"


def delete(bench: Bench) -> Finding:
    """Old checkpoints and snapshots are deleted; no safety rests on it."""
    try:
        for number in range(LATENCY_SAMPLES):
            name = f"after/{number:03}"
            bench.delete(name)
            bench.delete(name)
            if bench.get(name) is not None or bench.stat(name) is not None:
                return Verdict.WARNING, "a deleted object is still read or listed"
    except AccessDenied as denied:
        return Verdict.WARNING, f"deleting is not permitted, so old checkpoints pile up ({denied})"
    return Verdict.OK, "a deleted object is gone, and deleting it again is no error"


def _bid(bench: Bench, start: threading.Barrier, key: str, bid: bytes) -> Created | None:
    start.wait(timeout=60)
    began = perf_counter()
    try:
        answer = bench.store.create(key, bid)
    except StoreUnavailable:
        return None  # it may have landed
    if answer is Created.CREATED:
        bench.times_ms["create, contested"].append((perf_counter() - began) * 1000)
    return answer
