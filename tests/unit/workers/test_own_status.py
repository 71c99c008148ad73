"""A worker that nobody waits for writes down how it ended."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from storage_schema.status_file import VARIABLE, Told, begin, read
from workers.own_status import status_told, tell_end


@pytest.mark.parametrize(("ends", "code"), [(0, 0), (75, 75), (None, 0), ("why", 1)])
def test_the_exit_code_is_told(tmp_path: Path, ends: object, code: int) -> None:
    environment = {VARIABLE: str(tmp_path / "status"), "A": "1"}
    with pytest.raises(SystemExit), status_told(environment):
        assert environment == {"A": "1"}, "trials do not inherit it"
        assert read(tmp_path / "status") == Told(pid=os.getpid())
        sys.exit(ends)  # type: ignore[arg-type]
    assert read(tmp_path / "status") == Told(pid=os.getpid(), exit_code=code)


def test_an_error_of_ours_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="oh"), status_told({VARIABLE: str(tmp_path / "status")}):
        raise ValueError("oh")
    assert read(tmp_path / "status").exit_code == 1


def test_it_is_told_once(tmp_path: Path) -> None:
    """A process that ends at once, its threads at work, tells it before."""
    with status_told({VARIABLE: str(tmp_path / "status")}):
        tell_end(75)
    assert read(tmp_path / "status").exit_code == 75


def test_a_launcher_never_overwrites_what_the_worker_wrote(tmp_path: Path) -> None:
    with status_told({VARIABLE: str(tmp_path / "status")}):
        pass
    begin(tmp_path / "status", 1, replace=False)
    assert read(tmp_path / "status") == Told(pid=os.getpid(), exit_code=0)


def test_a_folder_that_went_away_stops_no_worker(tmp_path: Path) -> None:
    with status_told({VARIABLE: str(tmp_path / "gone" / "status")}):
        pass


@pytest.mark.parametrize("text", [b"", b"pid", b"pid x\n", b"\xff" * 1000, b"pid 1\nexit -9\n"])
def test_what_makes_no_sense_was_not_told(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "status").write_bytes(text)
    assert read(tmp_path / "status").exit_code is None
