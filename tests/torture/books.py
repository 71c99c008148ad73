"""What a tortured study left behind, counted and judged: who was fenced and why, and what was trained twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from hpo_pipe.coordinator.log import read_study
from storage_schema.chain import read_chain
from storage_schema.history import History
from storage_schema.keys import parse_segment_key
from storage_schema.records import Link, LinkKind
from storage_schema.store import Store
from tests.e2e.accounting import Expected, audit, read_log
from tests.torture.events import Past
from tests.torture.herd import Herd

SLACK_S = 5.0
"""A signal is noted a little before or after it takes effect, and a coordinator looks only now and then."""
OUTAGE_SHARE = 0.8
"""Of a lease: an outage of at least this length may leave a heartbeat unrenewed for a whole one."""


class Books:
    """Counts and problems of one finished study."""

    def __init__(self, herd: Herd, outages: Sequence[Past], lease_s: float) -> None:
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self._herd = herd
        self._outages = outages
        self._lease_s = lease_s

    def add_chain(self, chain: Sequence[Link]) -> None:
        """Count the links of one spec, and judge its fences and its end."""
        self.counts["lost"] += not any(link.settles for link in chain)
        self.counts["twice"] += sum(link.settles for link in chain) > 1
        for before, link in zip([None, *chain], chain, strict=False):
            self.counts[f"link {link.kind}"] += 1
            if before is None:
                continue
            if link.kind is LinkKind.FENCE:
                self._judge_fence(before, link)
            elif link.kind in (LinkKind.DONE, LinkKind.FAIL):
                strangers = list(strangers_in(before, link))
                self.counts["recorded of a fenced attempt"] += len(strangers)
                self.problems += strangers

    def _judge_fence(self, claim: Link, fence: Link) -> None:
        life = self._herd.author(claim.author)
        since = fence.at - 2 * self._lease_s - SLACK_S
        self.counts["zombies"] += life.came_back(since, fence.at)
        if life.was_away(since, fence.at + SLACK_S):
            return
        longest = max((past.overlap(since, fence.at) for past in self._outages), default=0.0)
        if longest >= OUTAGE_SHARE * self._lease_s:
            self.counts["fenced after an outage longer than the lease"] += 1
        else:
            self.counts["fenced alive"] += 1
            self.problems.append(
                f"alive, but fenced: {life.name}, spec {fence.id.spec}, link {fence.id.link}"
            )


def strangers_in(claim: Link, closing: Link) -> Iterator[str]:
    """Yield what a closing link names of other attempts beyond the checkpoint that its claim started from."""
    started_at = claim.checkpoint.resource if claim.checkpoint else 0
    for ref in closing.segments:
        segment = parse_segment_key(ref.key)
        if segment is None or segment.spec != claim.id.spec or segment.attempt > claim.id.link:
            yield f"{closing.key} names {ref.key}"
        elif segment.attempt < claim.id.link and (ref.until is None or ref.until > started_at):
            yield f"{closing.key} names {ref.key} until {ref.until}; its attempt started at {started_at}"


def keep_books(
    store: Store, herd: Herd, outages: Sequence[Past], lease_s: float, trained: Path, expected: Expected
) -> Books:
    """Audit a finished study, and count."""
    entries = read_log(store)
    history = History(read_study(store))
    for entry in entries:
        history.fold(entry)
    books = Books(herd, outages, lease_s)
    for spec in history.specs:
        books.add_chain(read_chain(store, spec))
    books.problems += audit(store, expected)
    books.counts.update(trials=len(history.trials), specs=len(history.specs))
    books.counts["log entries"] = len(entries)
    books.counts["epochs in the record"] = sum(trial.resource for trial in history.trials)
    books.counts["epochs trained"] = len(trained.read_text().splitlines()) if trained.exists() else 0
    return books
