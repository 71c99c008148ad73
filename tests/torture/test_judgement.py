"""What the torture counts and judges can be wrong, and is then said to be."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from storage_schema.keys import LinkId, SegmentId, SpecId, segment_key
from storage_schema.records import CheckpointRef, Link, LinkKind, SegmentRef
from storage_schema.store import Created, open_store
from tests.servers.restartable import RestartableS3
from tests.servers.s3 import lead_to
from tests.torture.books import Books, strangers_in
from tests.torture.events import Past
from tests.torture.herd import Life
from tests.torture.training import Network, undisturbed

SPEC = SpecId(1, 0)
LEASE_S = 10.0
FENCED_AT = 1000.0


def link(kind: LinkKind, number: int, author: str = "w-t0-1-abc", **more: object) -> Link:
    return Link(kind=kind, id=LinkId(SPEC, number), token="t", author=author, at=FENCED_AT, **more)  # type: ignore[arg-type]


def named(attempt: int, until: int | None = None) -> SegmentRef:
    return SegmentRef(key=segment_key(SegmentId(SPEC, attempt, 1)), sha256="0" * 64, until=until)


@pytest.mark.parametrize(
    ("segments", "started_at", "strangers"),
    [
        ([named(3)], 0, 0),
        ([named(1, until=4), named(3)], 4, 0),
        ([named(1), named(3)], 4, 1),  # all that the fenced attempt wrote, also after its checkpoint
        ([named(1, until=5), named(3)], 4, 1),
        ([named(1, until=4)], 0, 1),
        ([named(5)], 0, 1),
    ],
)
def test_what_a_fenced_attempt_wrote_past_its_checkpoint_is_told(
    segments: Sequence[SegmentRef], started_at: int, strangers: int
) -> None:
    checkpoint = CheckpointRef(key="k", sha256="0" * 64, resource=started_at) if started_at else None
    claim = link(LinkKind.CLAIM, 3, checkpoint=checkpoint)
    assert len(list(strangers_in(claim, link(LinkKind.DONE, 4, segments=tuple(segments))))) == strangers


class OneLife:
    """A herd of one process."""

    def __init__(self, life: Life) -> None:
        self.life = life

    def author(self, _worker: str) -> Life:
        return self.life


@pytest.mark.parametrize(
    ("happened", "outages", "counted"),
    [
        ({}, [], {"fenced alive": 1}),
        ({"ended_at": 985.0}, [], {}),
        ({"ended_at": 1500.0}, [], {"fenced alive": 1}),
        ({"frozen": [(980.0, 1010.0)]}, [], {"zombies": 1}),
        ({"frozen": [(980.0, 1010.0)], "ended_at": 1005.0}, [], {}),
        ({"frozen": [(900.0, 920.0)]}, [], {"fenced alive": 1}),
        ({}, [Past("away", 980.0, 995.0)], {"fenced after an outage longer than the lease": 1}),
        ({}, [Past("away", 990.0, 995.0)], {"fenced alive": 1}),
    ],
)
def test_a_fence_is_judged_by_what_happened_to_the_fenced(
    happened: Mapping[str, object], outages: Sequence[Past], counted: Mapping[str, int]
) -> None:
    life = Life(name="worker-1", role="worker", slot=0, started_at=0.0, **happened)  # type: ignore[arg-type]
    books = Books(OneLife(life), outages, LEASE_S)  # type: ignore[arg-type]
    books.add_chain([link(LinkKind.CLAIM, 1), link(LinkKind.FENCE, 2), link(LinkKind.STOP, 3)])
    judged = {name: count for name, count in books.counts.items() if not name.startswith("link ") and count}
    assert judged == counted
    assert len(books.problems) == counted.get("fenced alive", 0)


def test_a_chain_without_an_end_is_lost_and_one_with_two_is_told() -> None:
    life = Life(name="worker-1", role="worker", slot=0, started_at=0.0)
    books = Books(OneLife(life), [], LEASE_S)  # type: ignore[arg-type]
    books.add_chain([link(LinkKind.CLAIM, 1)])
    books.add_chain([link(LinkKind.CLAIM, 1), link(LinkKind.DONE, 2), link(LinkKind.DONE, 3)])
    assert (books.counts["lost"], books.counts["twice"]) == (1, 1)


def test_a_training_that_is_resumed_has_the_undisturbed_curve_and_half_a_checkpoint_shows(
    tmp_path: Path,
) -> None:
    rng = random.Random(4)
    parameters = {"lr": rng.uniform(1e-3, 0.1), "momentum": rng.uniform(0.0, 0.95)}
    network = Network(**parameters)
    for _ in range(3):
        network.epoch()
    network.save(tmp_path)
    resumed, half = Network(**parameters), Network(**parameters)
    resumed.load(tmp_path)
    half.load(tmp_path)
    half._rng = Network(**parameters)._rng
    expected = [undisturbed(parameters, epoch) for epoch in range(4, 10)]
    assert [resumed.epoch() for _ in range(6)] == expected
    assert [half.epoch() for _ in range(6)] != expected


@pytest.mark.timeout(150)
def test_the_server_that_is_killed_has_what_it_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RestartableS3(tmp_path) as restartable:
        lead_to(restartable.server.endpoint, monkeypatch)
        store = open_store(restartable.server.new_url())
        for number in range(20):
            assert store.create(f"log/{number:08}.json", b"%d" % number) is Created.CREATED
        before = list(store.list("log/"))
        restartable.kill()
        restartable.start()
        assert list(store.list("log/")) == before
        assert all(store.create(f"log/{n:08}.json", b"another's") is Created.EXISTS for n in range(20))
        found = store.get("log/00000007.json")
        assert found is not None and getattr(found, "data", None) == b"7"
