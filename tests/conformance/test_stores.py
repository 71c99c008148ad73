"""Every store of the dict STORES is held to the shipped suite, against real servers."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from storage_schema.store import STORES
from storage_schema.store.conformance import StoreConformance
from storage_schema.store.memory import forget
from tests.servers.s3 import S3Server, lead_to


class TestFolder(StoreConformance):
    page = 100  # it has none

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self._folder = tmp_path

    def fresh_url(self) -> str:
        return (self._folder / secrets.token_hex(4) / "a study").as_uri()


class TestMemory(StoreConformance):
    processes = 0

    @pytest.fixture(autouse=True)
    def _forgotten(self):
        self._urls: list[str] = []
        yield
        for url in self._urls:
            forget(url)

    def fresh_url(self) -> str:
        self._urls.append(f"memory://{secrets.token_hex(8)}")
        return self._urls[-1]


class OnS3(StoreConformance):
    processes = 4
    contested_keys = 40
    replaces = 40

    def fresh_url(self) -> str:
        return self._server.new_url()


class TestMiniStack(OnS3):
    @pytest.fixture(autouse=True)
    def _reached(self, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        self._server = s3_server
        lead_to(s3_server.endpoint, monkeypatch)


class TestMoto(OnS3):
    rounds = 10  # it serves one request at a time, 20 ms each
    contested_keys = 20
    page = 100

    @pytest.fixture(autouse=True)
    def _reached(self, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        self._server = moto_server
        lead_to(moto_server.endpoint, monkeypatch)


def test_no_store_was_forgotten_here():
    assert set(STORES) == {"file", "memory", "s3"}
