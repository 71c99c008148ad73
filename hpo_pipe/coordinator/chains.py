"""What a coordinator knows of the chains of open specs: read link by link, each link once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hpo_pipe.coordinator.spending import LastBeat, dollars, held_s, no_beat
from storage_schema.codec import sha256
from storage_schema.errors import Contradiction, DamagedRecord
from storage_schema.keys import LinkId, SpecId, link_key
from storage_schema.metric_log import curves, read_segment, thinned
from storage_schema.records import Link, LinkKind, SegmentRef, SettledSpec, Study, may_follow
from storage_schema.store import Blob, Store, Wait, create_settled
from storage_schema.trial_state import SpecState


@dataclass(slots=True)
class Chain:
    """One spec's chain as far as it was read."""

    spec: SpecId
    last: Link | None = None
    last_modified: float = 0.0
    """When the last link was created, on the store's clock."""
    attempts: int = 0
    wall_s: float = 0.0
    gpu_s: float = 0.0
    cost: float = 0.0
    """Dollars: of the attempts that have ended and whose machines have a price."""
    priced: int = 0
    """How many those are."""

    @property
    def next_link(self) -> int:
        """The number of the next link."""
        return self.last.id.link + 1 if self.last else 1

    @property
    def is_open(self) -> bool:
        """Whether a claim may follow."""
        return self.last is None or self.last.opens

    @property
    def claim(self) -> Link | None:
        """The claim that holds the spec now, if one does."""
        return self.last if self.last and self.last.kind is LinkKind.CLAIM else None

    def add(self, link: Link, modified: float) -> None:
        """Take in the next link."""
        if not may_follow(link.kind, self.last):
            before = self.last.kind if self.last else "nothing"
            raise Contradiction(link.key, f"{link.kind} after {before}")
        if self.claim is not None:
            self._pay(dollars(self.claim, link.wall_s + link.held_s))  # each kind has one of them
        self.last, self.last_modified = link, modified
        self.attempts += link.kind is LinkKind.CLAIM
        self.wall_s += link.wall_s
        self.gpu_s += link.gpu_s

    def _pay(self, amount: float | None) -> None:
        self.cost += amount or 0.0
        self.priced += amount is not None


class Chains:
    """The chains of all open specs."""

    def __init__(self, store: Store, study: Study, last_beat: LastBeat = no_beat) -> None:
        """Follow no chain yet; `last_beat` tells when a worker's heartbeat was last replaced."""
        self._store = store
        self._study = study
        self._last_beat = last_beat
        self._chains: dict[SpecId, Chain] = {}

    def keep(self, open_specs: dict[SpecId, SpecState]) -> None:
        """Follow exactly the open specs; a new one's chain counts as empty until it is probed."""
        for spec in [spec for spec in self._chains if spec not in open_specs]:
            del self._chains[spec]
        for spec in open_specs:
            if spec not in self._chains:
                self._chains[spec] = Chain(spec)

    def __getitem__(self, spec: SpecId) -> Chain:
        return self._chains[spec]

    def get(self, spec: SpecId) -> Chain | None:
        """Return the chain of `spec`, or None where it is not followed."""
        return self._chains.get(spec)

    def __contains__(self, spec: object) -> bool:
        return spec in self._chains

    def __iter__(self) -> Iterator[Chain]:
        return iter(self._chains.values())

    def probe(self, spec: SpecId) -> bool:
        """Read the links of `spec` that are new; return whether there were any."""
        chain = self._chains[spec]
        before = chain.next_link
        while not (chain.last and chain.last.settles):
            id = LinkId(spec, chain.next_link)
            blob = self._store.get(link_key(id))
            if not isinstance(blob, Blob):
                break
            chain.add(Link.from_bytes(blob.data, id), blob.modified)
        return chain.next_link != before

    def extend(self, link: Link, modified: float, wait: Wait) -> bool:
        """Create `link` as the next one of its chain; take in what stands there. Return whether it is this one."""
        settled = create_settled(self._store, link.key, link.to_bytes(), wait=wait)
        standing = link if settled.mine else Link.from_bytes(settled.data, link.id)
        self._chains[link.id.spec].add(standing, modified)
        return settled.mine

    def held_s(self, chain: Chain, now: float) -> float:
        """Return for how long the claim of `chain` has been held; `now`: seconds, on the store's clock."""
        if chain.claim is None:
            return 0.0
        return held_s(
            chain.last_modified, self._last_beat(chain.claim.author), now, self._study.timing.lease_s
        )

    def settled(self, spec: SpecState) -> SettledSpec | None:
        """Return the fact of how the chain of `spec` ended, or None while it has not.

        Raises:
            DamagedRecord: a metric segment that the record names is missing or does not have its sha256.
        """
        chain = self._chains[spec.id]
        last = chain.last
        if last is None or not last.settles:
            return None
        outcome = {LinkKind.DONE: "done", LinkKind.FAIL: "fail"}.get(last.kind, "stop")
        if outcome == "stop" and chain.attempts >= self._study.max_attempts:
            outcome = "fail"  # given up: see Coordinator._stop
        return SettledSpec(
            spec=spec.id,
            link=last.id.link,
            outcome=outcome,
            resource=last.resource,
            curves=self._curves(spec, last),
            checkpoint=last.checkpoint,
            wall_s=round(chain.wall_s, 3),
            gpu_s=round(chain.gpu_s, 3),
            attempts=chain.attempts,
            reason=last.reason[:300],
            cost=round(chain.cost, 6),
            priced=chain.priced,
        )

    def open_cost(self, told: Iterable[SettledSpec], now: float) -> float:
        """Return what the chains that are not `told` have cost at `now`, dollars, as far as prices are known."""
        settled = {fact.spec for fact in told}
        amounts = [0.0]
        for chain in self._chains.values():
            if chain.spec not in settled:
                amounts.append(chain.cost)
                if chain.claim is not None:
                    amounts.append(dollars(chain.claim, self.held_s(chain, now)) or 0.0)
        return round(sum(amounts), 6)

    def _curves(self, spec: SpecState, last: Link) -> dict[str, tuple[tuple[int, float | None], ...]]:
        parts = [(ref, read_segment(self._named(ref), ref.key)) for ref in last.segments]
        levels = self._study.resource.rungs if self._study.resource else ()
        wanted = {metric.name for metric in self._study.metrics}
        found = curves(parts, spec.issue.start)
        return {name: thinned(curve, levels) for name, curve in found.items() if name in wanted}

    def _named(self, ref: SegmentRef) -> bytes:
        blob = self._store.get(ref.key)
        if not isinstance(blob, Blob):
            raise DamagedRecord(ref.key, "the record names this metric segment, and it is missing")
        if sha256(blob.data) != ref.sha256:
            raise DamagedRecord(ref.key, "its sha256 is not the one that the record names")
        return blob.data
