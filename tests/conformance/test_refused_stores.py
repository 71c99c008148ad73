"""Stores that break a rule must be refused, with the reason: servers like these are in use."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from storage_schema.errors import AccessDenied, StoreRefused
from storage_schema.store import open_store, rename_new
from storage_schema.store.check import Verdict
from storage_schema.store.proof import Proof, prove, prove_quickly
from tests.servers.faulty_s3 import Faults, FaultyS3
from tests.servers.proxy import Fault, Proxy
from tests.servers.s3 import S3Server, lead_to


def proof_of(faults: Faults, monkeypatch: pytest.MonkeyPatch, rounds: int = 5) -> Proof:
    with FaultyS3(faults) as server:
        lead_to(server.endpoint, monkeypatch)
        return prove(open_store("s3://bucket/study"), rounds=rounds)


def found(proof: Proof, verdict: Verdict) -> dict[str, str]:
    return {check.name: check.detail for check in proof.checks if check.verdict is verdict}


def test_the_small_server_is_right_where_it_breaks_no_rule(monkeypatch):
    proof = proof_of(Faults(), monkeypatch)
    assert proof.ok
    assert found(proof, Verdict.WARNING) == {}


def test_a_server_that_ignores_conditions_is_refused(monkeypatch):
    proof = proof_of(Faults(conditions="ignored"), monkeypatch)
    refused = found(proof, Verdict.REFUSED)
    assert "ignores the condition" in refused["exclusive create"]
    assert "contested creates" in refused
    with pytest.raises(StoreRefused, match=r"exclusive create: .* ignores the condition"):
        proof.demand()


def test_the_short_proof_finds_it_too(monkeypatch):
    with FaultyS3(Faults(conditions="ignored")) as server:
        lead_to(server.endpoint, monkeypatch)
        assert not prove_quickly(open_store("s3://bucket/study")).ok


def test_a_gateway_that_drops_the_condition_is_refused(s3_server: S3Server, monkeypatch):
    with Proxy(s3_server.endpoint) as gateway:
        gateway.strip = {"if-none-match"}
        lead_to(gateway.endpoint, monkeypatch)
        proof = prove(open_store(s3_server.new_url()), rounds=2)
    assert "ignores the condition" in found(proof, Verdict.REFUSED)["exclusive create"]
    assert "conditional read" in found(proof, Verdict.WARNING)


def test_a_server_that_looks_first_and_writes_later_is_refused(monkeypatch):
    proof = proof_of(Faults(conditions="checked, then written"), monkeypatch, rounds=50)
    refused = found(proof, Verdict.REFUSED)
    assert set(refused) == {"contested creates"}
    assert "looks first and writes later" in refused["contested creates"]


def test_a_server_that_does_not_know_conditions_is_refused(monkeypatch):
    proof = proof_of(Faults(conditions="not implemented"), monkeypatch)
    assert "does not know conditional writes" in found(proof, Verdict.REFUSED)["exclusive create"]


def test_a_bucket_that_answers_403_for_a_missing_object_is_refused(monkeypatch):
    proof = proof_of(Faults(missing="403"), monkeypatch)
    assert "s3:ListBucket" in found(proof, Verdict.REFUSED)["missing object"]


@pytest.mark.parametrize("listing", ["backwards", "a minute old"])
def test_a_server_with_wrong_listings_is_refused(listing, monkeypatch):
    assert not proof_of(Faults(listing=listing), monkeypatch).ok


def test_a_server_that_ignores_the_position_of_a_listing_is_put_right(monkeypatch):
    assert proof_of(Faults(listing="from the start"), monkeypatch).ok


def test_what_is_only_slow_or_odd_is_a_warning(monkeypatch):
    faults = Faults(conditional_reads=False, clock_ahead_s=3600, deletes="denied")
    proof = proof_of(faults, monkeypatch)
    assert proof.ok
    warnings = found(proof, Verdict.WARNING)
    assert set(warnings) == {"conditional read", "clock", "delete"}
    assert "3600 s behind" in warnings["clock"]


def test_a_store_that_lets_nobody_in_is_not_judged(s3_server: S3Server, monkeypatch):
    with Proxy(s3_server.endpoint) as proxy:
        proxy.plan = lambda _: Fault("denied")
        lead_to(proxy.endpoint, monkeypatch)
        with pytest.raises(AccessDenied):
            prove(open_store(s3_server.new_url()))


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_a_folder_without_hard_links_uses_an_exclusive_rename(number, tmp_path: Path, monkeypatch):
    without_hard_links(monkeypatch, number)
    store = open_store(tmp_path.as_uri())
    proof = prove(store, rounds=10)
    assert proof.ok, found(proof, Verdict.REFUSED)


def test_a_folder_without_hard_links_and_exclusive_rename_is_refused(tmp_path: Path, monkeypatch):
    without_hard_links(monkeypatch, errno.EPERM)

    def no_rename(*_: object) -> int:
        rename_new.ctypes.set_errno(errno.EINVAL)
        return -1

    monkeypatch.setattr(rename_new, "_renameat2", no_rename)
    store = open_store(tmp_path.as_uri())
    with pytest.raises(StoreRefused, match="neither hard links nor renameat2"):
        store.create("log/00000000.json", b"{}")
    assert list(store.list("")) == []
    assert list(tmp_path.rglob("*.tmp")) == []
    assert "neither hard links" in found(prove(store, rounds=1), Verdict.REFUSED)["exclusive create"]


def without_hard_links(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def no_link(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", no_link)
