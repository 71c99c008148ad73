"""The stores that are tortured: a folder on a disk that fills up, and a real S3 server behind a faulty proxy."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.loopback import Request
from tests.servers.proxy import Fault, Plan, Proxy, always, at_random
from tests.servers.restartable import RestartableS3
from tests.torture.events import Event
from tests.torture.studies import LEASE_S

DISK_MIB = 192
FAULT_RATE = 0.04
FAULTS = (
    Fault("lose request"),
    Fault("lose answer"),
    Fault("reset"),
    Fault("error"),
    Fault("unavailable"),
    Fault("late", 1.0),
    Fault("late", 1.5 * LEASE_S),
    Fault("delay", 0.5),
    Fault("delay", 2.0),
)
HALF_S, SHORT_S, LONG_S = 2.5 * LEASE_S, 0.5 * LEASE_S, 1.6 * LEASE_S
"""How long half of all requests fail; how long all of them fail, within a lease, and beyond it."""


@dataclass
class Tortured:
    """A store under torture."""

    name: str
    base: str
    """URLs of studies begin with it."""
    env: dict[str, str]
    """Leads the herd to it; the process that looks on goes there by its own environment, without faults."""
    events: list[Event]
    notes: list[str] = field(default_factory=list)
    proxy: Proxy | None = None

    def faults(self) -> Counter[str]:
        """Return how often each kind of fault met a request, and how many requests there were."""
        if self.proxy is None:
            return Counter()
        counts = Counter(fault.kind for _, _, fault in self.proxy.seen if fault is not None)
        return Counter(dict(counts)) + Counter({"requests": len(self.proxy.seen)})


@contextmanager
def folder(place: Path) -> Iterator[Tortured]:
    """A folder on a small disk of its own where that can be mounted, which now and then is full."""
    disk = place / "disk"
    disk.mkdir()
    tortured = Tortured("folder", disk.as_uri(), dict(os.environ), [])
    if not _mounted(disk):
        tortured.notes.append("no disk could be mounted (that needs root): it was never full")
        yield tortured
        return
    tortured.events = [
        Event("full disk, half a lease", SHORT_S, lambda: _fill(disk), lambda: _free(disk)),
        Event("full disk, 1.6 leases", LONG_S, lambda: _fill(disk), lambda: _free(disk)),
    ]
    try:
        yield tortured
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _mounted(disk: Path) -> bool:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(disk)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _fill(disk: Path) -> None:
    with (disk / "ballast").open("wb", buffering=0) as file:
        for block in (bytes(1 << 20), bytes(4096)):
            with suppress(OSError):
                while True:
                    file.write(block)


def _free(disk: Path) -> None:
    (disk / "ballast").unlink(missing_ok=True)


@contextmanager
def s3(place: Path, seed: int) -> Iterator[Tortured]:
    """A bucket of a server that is killed, frozen and started again, behind a proxy that loses and delays."""
    with RestartableS3(place) as restartable, Proxy(restartable.server.endpoint) as proxy:
        os.environ.update(restartable.server.environment())
        os.environ.pop("AWS_PROFILE", None)
        usual = at_random(FAULT_RATE, *FAULTS, seed=seed)
        proxy.plan = usual
        bucket = restartable.server.new_bucket()
        env = {**os.environ, **restartable.server.environment(proxy.endpoint)}
        events = _s3_events(restartable, proxy, usual, seed)
        yield Tortured("S3", f"s3://{bucket}", env, events, proxy=proxy)
        proxy.plan = lambda _: None
        time.sleep(0.1)  # what is under way ends before the server does


def _s3_events(restartable: RestartableS3, proxy: Proxy, usual: Plan, seed: int) -> list[Event]:
    def plan(name: str, lasts_s: float, worse: Plan) -> Event:
        def begin() -> None:
            proxy.plan = both(worse, usual)

        def end() -> None:
            proxy.plan = usual

        return Event(name, lasts_s, begin, end)

    busy, gone = Fault("unavailable"), always(Fault("unavailable"))
    return [
        plan("503 for half of all, 2.5 leases", HALF_S, at_random(0.5, busy, seed=seed + 1)),
        Event("server killed and started again", 2.0, restartable.kill, restartable.start),
        plan("expired credentials, half a lease", SHORT_S, always(Fault("expired"))),
        Event("server frozen, half a lease", SHORT_S, restartable.freeze, restartable.thaw),
        plan("503 for all, half a lease", SHORT_S, gone),
        plan("access denied, half a lease", SHORT_S, always(Fault("denied"))),
        Event("server killed and started again", 2.0, restartable.kill, restartable.start),
        plan("expired credentials, 1.6 leases", LONG_S, always(Fault("expired"))),
    ]


def both(first: Plan, second: Plan) -> Plan:
    """Return the plan of `first`, and of `second` where the first lets a request through."""

    def plan(request: Request) -> Fault | None:
        return first(request) or second(request)

    return plan
