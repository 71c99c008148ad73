"""Requests that a study costs on S3, per trial and by kind, counted on the wire in front of a real server.

No-op trials: what is left is the protocol. Longer trials add a heartbeat and a look at the next link each flush
interval, and the coordinator's looks. S3's list price: 5 $ per million PUT and LIST, 0.4 $ per million GET.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.counting_proxy import CountingProxy
from tests.benchmarks.noop import run_noop
from tests.benchmarks.tables import heading, table
from tests.servers import s3

TRIALS, WORKERS = 100, 2
NOT_THE_STUDY = ("proof", "-")
DOLLARS_PER_MILLION = {"create": 5.0, "create, lost": 5.0, "replace": 5.0, "list": 5.0, "delete": 0.0}
GET_DOLLARS_PER_MILLION = 0.4


@contextmanager
def counted() -> Iterator[tuple[CountingProxy, str]]:
    """Run a server behind a counting proxy, and lead this process to it; yield the proxy and a study URL."""
    server_running = contextmanager(s3._running)
    with (
        server_running("MiniStack", s3.ministack) as server,
        CountingProxy(server.endpoint, "studies/first") as proxy,
    ):
        os.environ.update(server.environment(proxy.endpoint))
        yield proxy, server.new_url()


def main() -> None:
    heading(
        "requests", f"S3 requests of a study of {TRIALS} no-op trials with {WORKERS} workers (warm function)"
    )
    with tempfile.TemporaryDirectory() as name, counted() as (proxy, url):
        ran = run_noop(Path(name) / "job", url, "warm function", trials=TRIALS, workers=WORKERS)
        counts = Counter(proxy.counts)
        done = ran.done  # reads links, which is not to be counted
    proof = sum(count for (_, place), count in counts.items() if place in NOT_THE_STUDY)
    by_kind: Counter[str] = Counter()
    for (kind, place), count in counts.items():
        if place not in NOT_THE_STUDY:
            by_kind[kind] += count
    rows = [
        (kind, count, count / done, _dollars(kind) * count * 1000 / done)
        for kind, count in by_kind.most_common()
    ]
    rows.append(("all", by_kind.total(), by_kind.total() / done, sum(row[3] for row in rows)))
    table(["kind", "requests", "per trial", "$ per 1,000 trials"], rows)
    table(
        ["kind, and where", "requests", "per trial"],
        [
            (f"{kind}: {place}", count, count / done)
            for (kind, place), count in counts.most_common()
            if place not in NOT_THE_STUDY and count >= 5
        ],
    )
    print(
        f"{done} trials done in {ran.whole_s:.0f} s. Proving the store before them took {proof} requests more."
    )


def _dollars(kind: str) -> float:
    return DOLLARS_PER_MILLION.get(kind, GET_DOLLARS_PER_MILLION) / 1e6


if __name__ == "__main__":
    main()
