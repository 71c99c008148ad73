"""Contested keys: whoever contends, each has one winner; and a stampede of workers costs few creates for each."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from storage_schema.store.contest import Contest, contest
from storage_schema.store.memory import forget
from tests.conformance.stampede import stampede
from tests.histories.checker import problems
from tests.histories.contenders import Contention, contend_in_threads
from tests.servers.s3 import S3Server, lead_to


def clean(keys: int) -> Contest:
    return Contest(won=keys, without_winner=0, with_many_winners=0, torn=0)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_64_processes_and_1000_keys_of_a_folder(tmp_path: Path) -> None:
    assert contest(tmp_path.as_uri(), 64, 1000) == clean(1000)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "processes", "keys"), [("s3_server", 16, 200), ("moto_server", 8, 60)])
def test_contested_keys_of_s3(
    name: str,
    processes: int,
    keys: int,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server: S3Server = request.getfixturevalue(name)
    lead_to(server.endpoint, monkeypatch)
    assert contest(server.new_url(), processes, keys) == clean(keys)


def test_64_threads_and_300_keys_of_memory(tmp_path: Path) -> None:
    url = f"memory://{secrets.token_hex(8)}"
    history = contend_in_threads(
        Contention(url=url, folder=tmp_path, work="storm", rounds=300, contenders=64)
    )
    assert sum(operation.outcome == "created" for operation in history) == 300
    assert problems(history) == []
    forget(url)


@pytest.mark.parametrize(
    "workers", [100, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_a_stampede_of_workers_on_as_many_specs(workers: int) -> None:
    found = stampede(workers, workers, seed=1)
    assert sorted(map(len, found.wins.values())) == [1] * workers
    print(
        f"{workers} workers and specs: {found.creates_per_win:.2f} creates, {found.reads / workers:.1f} reads a win"
    )
    assert found.creates_per_win <= 1.5
    again = stampede(workers, workers, seed=1) if workers == 100 else found
    assert (again.wins, again.creates, again.reads) == (found.wins, found.creates, found.reads)
