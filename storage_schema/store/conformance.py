"""The suite that every store must pass; shipped, so that a store written elsewhere can be held to it too.

It needs pytest to run and does not import it. In a test module::

    from storage_schema.store.conformance import StoreConformance

    class TestMyStore(StoreConformance):
        def fresh_url(self) -> str:
            return f"mine://somewhere/{secrets.token_hex(8)}"

Processes of a contest open the store by its URL: its scheme must be known to
:func:`storage_schema.store.open_store` (entry point group ``hpo_pipe.stores``).
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator

from storage_schema.errors import ProtocolViolation
from storage_schema.keys import LinkId, SpecId, link_key, log_key
from storage_schema.store import Blob, Created, Store, Unchanged, create_settled, open_store
from storage_schema.store.check import Verdict
from storage_schema.store.contest import contest
from storage_schema.store.proof import prove, prove_quickly

_HOSTILE = (
    "",
    "/etc/passwd",
    "../outside",
    "log/../../outside",
    "log//00000001.json",
    "log/",
    ".",
    "log/..",
    "log/\0.json",
    "log/a b",
    "log/\u00e9.json",
    "log/a\\b",
    "x" * 300,
)


class StoreConformance:
    """Subclass it, name the class ``Test...``, and say where a fresh study may lie."""

    processes = 8
    """Contenders of the contest; 0 where a store cannot be opened by another process."""
    contested_keys = 100
    rounds = 50
    """Contested creates of the proof."""
    replaces = 200
    """Of one object, while another thread reads it."""
    page = 1000
    """Objects of one page of a listing; the suite lists a few more."""

    def fresh_url(self) -> str:
        """Return a study URL below which nothing lies yet."""
        raise NotImplementedError

    def fresh_store(self) -> Store:
        """Open a store in which nothing lies yet."""
        return open_store(self.fresh_url())

    def test_the_proof_finds_nothing_to_refuse_and_cleans_up(self) -> None:
        """All checks of `doctor`."""
        store = self.fresh_store()
        proof = prove(store, rounds=self.rounds)
        assert proof.ok, [check for check in proof.checks if check.verdict is Verdict.REFUSED]
        assert {"create", "get", "list", "replace", "delete"} <= set(proof.latency_ms)
        assert prove_quickly(store).ok
        assert list(store.list("")) == []

    def test_two_stores_of_one_url_see_the_same_objects(self) -> None:
        """Nothing is cached in an instance."""
        url = self.fresh_url()
        one, two = open_store(url), open_store(url + "/")
        assert one.url == two.url
        assert two.get(log_key(0)) is None
        assert list(two.list("")) == []
        assert one.create(log_key(0), b"mine") is Created.CREATED
        assert two.create(log_key(0), b"yours") is Created.EXISTS
        found = two.get(log_key(0))
        assert isinstance(found, Blob) and found.data == b"mine"
        assert [stat.key for stat in two.list("log/")] == [log_key(0)]
        two.delete(log_key(0))
        assert one.get(log_key(0)) is None
        assert list(one.list("")) == []

    def test_versions_and_times_of_reads_and_listings_agree(self) -> None:
        """A version changes with the bytes, and a conditional read goes by it."""
        store = self.fresh_store()
        versions: set[str] = set()
        for number in range(20):
            store.replace("hints/board.json", f"board {number:02}".encode())
            found = store.get("hints/board.json")
            (stat,) = store.list("hints/")
            assert isinstance(found, Blob)
            assert (stat.version, stat.size) == (found.version, len(found.data))
            assert abs(stat.modified - found.modified) < 1.5
            assert store.get("hints/board.json", unless=found.version) is Unchanged.UNCHANGED
            assert all(isinstance(store.get("hints/board.json", unless=old), Blob) for old in versions)
            versions.add(found.version)
        assert len(versions) == 20
        assert store.get("hints/absent.json", unless="x") is None

    def test_who_reads_during_replaces_sees_whole_objects(self) -> None:
        """Old or new bytes, never a mixture or a part."""
        url, done = self.fresh_url(), threading.Event()
        bodies = {f"{number:08}".encode() * 4000 for number in range(self.replaces)}
        reader = open_store(url)
        reader.replace("hints/board.json", next(iter(bodies)))

        def write() -> None:
            try:
                writer = open_store(url)
                for body in bodies:
                    writer.replace("hints/board.json", body)
            finally:
                done.set()

        thread = threading.Thread(target=write)
        thread.start()
        reads = 0
        while not done.is_set() or not reads:
            found = reader.get("hints/board.json")
            assert isinstance(found, Blob) and found.data in bodies
            reads += 1
        thread.join()

    def test_a_listing_longer_than_a_page_is_whole_and_lazy(self) -> None:
        """Order, position and laziness across pages."""
        store = self.fresh_store()
        keys = [link_key(LinkId(SpecId(number // 400, number % 400), 1)) for number in range(self.page + 50)]
        for key in reversed(keys):
            assert store.create(key, b".") is Created.CREATED
        assert [stat.key for stat in store.list("chain/")] == keys
        assert [stat.key for stat in store.list("")] == keys
        assert [stat.key for stat in store.list("chain/", start_after=keys[-7])] == keys[-6:]
        listing = store.list("chain/")
        assert isinstance(listing, Iterator)
        assert next(listing).key == keys[0]

    def test_an_object_deleted_during_a_listing_does_not_break_it(self) -> None:
        """Other processes work while one lists."""
        store = self.fresh_store()
        for number in range(20):
            store.create(f"checkpoints/{number:08}/a/manifest.json", b"{}")
        listing = store.list("checkpoints/")
        seen = [next(listing).key]
        for number in range(5, 15):
            store.delete(f"checkpoints/{number:08}/a/manifest.json")
        seen += [stat.key for stat in listing]
        assert seen == sorted(seen)
        assert {f"checkpoints/{number:08}/a/manifest.json" for number in (*range(5), *range(15, 20))} <= set(
            seen
        )

    def test_no_key_leaves_the_study(self) -> None:
        """Hostile keys are turned away by every verb, before anything is sent."""
        store = self.fresh_store()
        for key in _HOSTILE:
            for verb in (
                lambda key=key: store.create(key, b""),
                lambda key=key: store.get(key),
                lambda key=key: store.replace(key, b""),
                lambda key=key: store.delete(key),
            ):
                try:
                    verb()
                except ProtocolViolation:
                    continue
                raise AssertionError(f"key {key!r} was accepted")
        assert list(store.list("")) == []

    def test_names_that_checkpoints_have(self) -> None:
        """Dots, signs and long names, as frameworks write them."""
        store = self.fresh_store()
        names = [".metadata", "__0_0.distcp", "model.v1+ema=0.99@best.pt", "a/b/c/.hidden", "w" * 200]
        for name in names:
            assert store.create(f"checkpoints/00000001/x/files/{name}", name.encode()) is Created.CREATED
        found = [
            stat.key.removeprefix("checkpoints/00000001/x/files/") for stat in store.list("checkpoints/")
        ]
        assert found == sorted(names)

    def test_of_many_processes_one_wins_each_key(self) -> None:
        """Real processes, started at the same moment for each key."""
        if not self.processes:
            return
        result = contest(self.fresh_url(), self.processes, self.contested_keys)
        assert result.without_winner == result.with_many_winners == result.torn == 0, result
        assert result.won == self.contested_keys

    def test_settled_creates_of_one_author_are_his(self) -> None:
        """Repeating a create with the same bytes is how a lost answer is settled."""
        store, mine, yours = self.fresh_store(), secrets.token_bytes(30), secrets.token_bytes(30)

        def never(failed: int, reason: str) -> None:
            raise AssertionError("a store that answers needs no second try")

        assert create_settled(store, log_key(1), mine, wait=never).mine
        assert create_settled(store, log_key(1), mine, wait=never).mine
        lost = create_settled(store, log_key(1), yours, wait=never)
        assert (lost.mine, lost.data) == (False, mine)
