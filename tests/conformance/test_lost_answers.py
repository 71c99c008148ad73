"""Requests and answers that get lost on the way to a real S3 server: no orphan, no double, no wrong "absent"."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest

from storage_schema.errors import AccessDenied, OutcomeUnknown, StoreUnavailable, UserError
from storage_schema.keys import log_key
from storage_schema.store import Blob, Created, Store, create_settled, open_store
from storage_schema.store.contest import contest
from storage_schema.store.proof import prove
from tests.servers.proxy import Fault, Plan, Proxy, always, at_random, first
from tests.servers.s3 import S3Server, lead_to
from tests.waiting import wait_until

LOSSES = (Fault("lose answer"), Fault("lose request"), Fault("reset"), Fault("unavailable"), Fault("error"))


@pytest.fixture
def proxy(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch):
    with Proxy(s3_server.endpoint) as proxy:
        lead_to(proxy.endpoint, monkeypatch)
        yield proxy


@pytest.fixture
def store(proxy: Proxy, s3_server: S3Server) -> Store:
    return open_store(s3_server.new_url())


def patient(failed: int, reason: str) -> None:
    assert failed < 50, f"50 tries without an answer: {reason}"


@pytest.mark.parametrize("kind", ["lose answer", "lose request", "reset", "unavailable", "error", "late"])
def test_a_create_without_an_answer_is_neither_won_nor_lost(proxy: Proxy, store: Store, kind) -> None:
    proxy.plan = always(Fault(kind, 0.05))
    with pytest.raises(OutcomeUnknown, match="create s3://"):
        store.create(log_key(0), b"mine")


@pytest.mark.parametrize("kind", ["lose answer", "reset", "unavailable", "error", "late", "lose request"])
def test_other_verbs_without_an_answer_say_that_the_store_is_unavailable(proxy, store, kind) -> None:
    store.create(log_key(0), b"mine")
    proxy.plan = always(Fault(kind))
    verbs: list[Callable[[], object]] = [
        lambda: store.get(log_key(0)),
        lambda: store.get(log_key(1)),
        lambda: list(store.list("")),
        lambda: store.replace("hints/board.json", b""),
        lambda: store.delete("hints/board.json"),
    ]
    for verb in verbs:
        with pytest.raises(StoreUnavailable) as raised:
            verb()
        assert not isinstance(raised.value, OutcomeUnknown)


@pytest.mark.parametrize(("kind", "words"), [("expired", "have expired; renew"), ("denied", "access denied")])
def test_denied_access_is_never_absence_and_never_names_a_secret(
    proxy, store, kind, words, monkeypatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret-itself")
    proxy.plan = always(Fault(kind))
    for verb in (
        lambda: store.get(log_key(7)),
        lambda: store.create(log_key(7), b""),
        lambda: list(store.list("")),
    ):
        with pytest.raises(AccessDenied, match=words) as raised:
            verb()
        assert "the-secret" not in str(raised.value)
        assert "403" in str(raised.value)
    proxy.plan = always(Fault("delay", 0.01))
    assert store.get(log_key(7)) is None


def test_renewed_credentials_are_found_without_a_new_process(proxy, store, monkeypatch) -> None:
    renewed = "AKIARENEWED"

    def plan(request):
        return None if renewed in request.headers.get("Authorization", "") else Fault("expired")

    proxy.plan = plan
    with pytest.raises(AccessDenied):
        store.create(log_key(0), b"mine")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", renewed)
    assert store.create(log_key(0), b"mine") is Created.CREATED


def test_a_lost_answer_is_settled_as_ones_own(proxy, store) -> None:
    for number, fault in enumerate(LOSSES):
        proxy.plan = first(3, fault, "PUT")
        assert create_settled(store, log_key(number), b"mine", wait=patient).mine


def test_a_lost_answer_behind_somebody_elses_win_is_settled_as_lost(proxy, store) -> None:
    store.create(log_key(0), b"yours")
    proxy.plan = first(2, Fault("lose answer"))
    settled = create_settled(store, log_key(0), b"mine", wait=patient)
    assert (settled.mine, settled.data) == (False, b"yours")


def test_a_create_that_lands_late_leaves_one_winner(proxy, store) -> None:
    proxy.plan = first(2, Fault("late", 0.5), "PUT")  # aiohttp sends once more
    with pytest.raises(OutcomeUnknown):
        store.create(log_key(0), b"late")
    assert store.get(log_key(0)) is None  # which proves nothing
    wait_until(lambda: store.get(log_key(0)), 10, "the late create to land")
    settled = create_settled(store, log_key(0), b"other", wait=patient)
    assert (settled.mine, settled.data) == (False, b"late")


def test_of_150_creates_with_lost_answers_none_is_an_orphan(proxy, store) -> None:
    proxy.plan = at_random(0.15, *LOSSES, seed=20)
    records = {log_key(number): secrets.token_bytes(40) for number in range(150)}
    mine = {key for key, data in records.items() if create_settled(store, key, data, wait=patient).mine}
    assert mine == set(records)
    assert {fault.kind for _, _, fault in proxy.seen if fault} == {fault.kind for fault in LOSSES}
    proxy.plan = always(Fault("delay"))
    assert [stat.key for stat in store.list("log/")] == sorted(records)
    assert all(isinstance(b := store.get(key), Blob) and b.data == data for key, data in records.items())


def test_contested_creates_behind_a_lossy_network(proxy: Proxy, s3_server: S3Server) -> None:
    proxy.plan = at_random(0.1, *LOSSES, seed=21)
    result = contest(s3_server.new_url(), processes=4, keys=40)
    assert (result.won, result.without_winner, result.with_many_winners, result.torn) == (40, 0, 0, 0)
    assert sum(fault is not None for _, _, fault in proxy.seen) > 10


def test_a_good_store_behind_a_lossy_network_is_not_refused(proxy: Proxy, store: Store) -> None:
    proxy.plan = at_random(0.05, *LOSSES, seed=22)
    proof = prove(store, rounds=5)
    assert proof.ok, proof.checks


def test_one_request_per_verb(proxy: Proxy, store: Store) -> None:
    def requests(verb: Callable[[], object]) -> int:
        before = len(proxy.seen)
        verb()
        return len(proxy.seen) - before

    store.create(log_key(0), b"x")
    version = store.get(log_key(0)).version
    assert requests(lambda: store.create(log_key(1), b"x")) == 1
    assert requests(lambda: store.create(log_key(1), b"x")) == 1
    assert requests(lambda: store.get(log_key(1))) == 1
    assert requests(lambda: store.get(log_key(0), unless=version)) == 1
    assert requests(lambda: store.get(log_key(9))) == 1
    assert requests(lambda: list(store.list("log/"))) == 1
    assert requests(lambda: store.replace("hints/board.json", b"x")) == 1
    assert requests(lambda: store.delete(log_key(1))) == 1


def plan_that_counts(sent: list[str], fault: Fault) -> Plan:
    def plan(request):
        sent.append(request.method)
        return fault

    return plan


def test_nobody_below_us_retries_more_than_once(proxy: Proxy, store: Store) -> None:
    sent: list[str] = []
    proxy.plan = plan_that_counts(sent, Fault("unavailable"))
    with pytest.raises(OutcomeUnknown):
        store.create(log_key(0), b"x")
    assert sent == ["PUT"]
    sent.clear()
    proxy.plan = plan_that_counts(sent, Fault("lose answer"))
    with pytest.raises(OutcomeUnknown):
        store.create(log_key(0), b"x")
    assert len(sent) <= 2  # aiohttp sends again, once, where a kept-alive connection dies


def test_a_missing_bucket_is_named(proxy: Proxy) -> None:
    store = open_store("s3://no-such-bucket-here/study")
    for verb in (
        lambda: store.get(log_key(0)),
        lambda: store.create(log_key(0), b""),
        lambda: list(store.list("")),
    ):
        with pytest.raises(UserError, match="'no-such-bucket-here' does not exist"):
            verb()


@pytest.mark.parametrize("who", ["", "user:hidden@"])
def test_a_server_that_is_not_there(who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lead_to(f"http://{who}127.0.0.1:9", monkeypatch)
    store = open_store("s3://somewhere/study")
    with pytest.raises(StoreUnavailable, match=r"get s3://somewhere/study/.* no answer \(") as raised:
        store.get(log_key(0))
    assert "hidden" not in str(raised.value)
    with pytest.raises(OutcomeUnknown):
        store.create(log_key(0), b"")


def test_no_credentials(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = s3_server.new_url()
    lead_to(s3_server.endpoint, monkeypatch)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    store = open_store(url)
    with pytest.raises(AccessDenied, match="no usable AWS credentials"):
        store.get(log_key(0))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    assert store.get(log_key(0)) is None
