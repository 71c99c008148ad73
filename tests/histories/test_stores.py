"""What many processes saw of each store, with the real code for the log and for claims, is linearizable."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage_schema.store.memory import forget
from tests.histories.checker import problems
from tests.histories.contenders import Contention, contend_in_processes, contend_in_threads, holders
from tests.histories.recorder import Operation
from tests.servers.proxy import Fault, Proxy, at_random
from tests.servers.s3 import S3Server, lead_to, s3_environment

ROUNDS = {"storm": 60, "log": 80, "claims": 20}
LOSSES = (
    Fault("lose answer"),
    Fault("lose request"),
    Fault("reset"),
    Fault("late", 0.05),
    Fault("unavailable"),
)
WORKS = pytest.mark.parametrize("work", ROUNDS)


def judge(
    history: list[Operation], contention: Contention, *, sends_again: bool, monkeypatch: pytest.MonkeyPatch
) -> Counter[str]:
    for name, value in (contention.environment or {}).items():
        monkeypatch.setenv(name, value)
    assert problems(history, sends_again=sends_again) == []
    if contention.work == "claims":
        assert holders(contention.url, contention.rounds) == []
    seen = Counter(operation.outcome for operation in history)
    assert len({operation.key for operation in history if operation.verb == "create"}) >= contention.rounds
    assert seen["value"]
    assert seen["exists"] or contention.work != "storm"
    print(f"{contention.work} at {contention.url}: {len(history)} requests, {dict(seen)}")
    return seen


@WORKS
def test_a_folder(work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = (tmp_path / "study").as_uri()
    contention = Contention(url=url, folder=tmp_path, work=work, rounds=ROUNDS[work])
    judge(contend_in_processes(contention), contention, sends_again=False, monkeypatch=monkeypatch)


@WORKS
def test_memory(work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"memory://{secrets.token_hex(8)}"
    contention = Contention(url=url, folder=tmp_path, work=work, rounds=2 * ROUNDS[work])
    judge(contend_in_threads(contention), contention, sends_again=False, monkeypatch=monkeypatch)
    forget(url)


@WORKS
@pytest.mark.parametrize("server", ["s3_server", "moto_server"])
def test_s3(
    server: str, work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    s3: S3Server = request.getfixturevalue(server)
    contention = Contention(
        url=s3.new_url(),
        folder=tmp_path,
        work=work,
        rounds=ROUNDS[work] // 4,
        contenders=3,
        environment=s3.environment(),
    )
    judge(contend_in_processes(contention), contention, sends_again=True, monkeypatch=monkeypatch)


@pytest.fixture
def proxy(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with Proxy(s3_server.endpoint) as proxy:
        lead_to(proxy.endpoint, monkeypatch)
        yield proxy


@WORKS
def test_s3_behind_a_network_that_loses_delays_and_resets(
    work: str, proxy: Proxy, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.plan = at_random(0.3, *LOSSES, seed=30, method="PUT")
    contention = Contention(
        url=s3_server.new_url(),
        folder=tmp_path,
        work=work,
        rounds=ROUNDS[work] // 3,
        contenders=3,
        environment=s3_environment(proxy.endpoint),
    )
    history = contend_in_processes(contention)
    proxy.plan = lambda _: None
    seen = judge(history, contention, sends_again=True, monkeypatch=monkeypatch)
    assert seen["unknown"]
    assert {fault.kind for _, _, fault in proxy.seen if fault} == {fault.kind for fault in LOSSES}
