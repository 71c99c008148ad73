"""When a folder of checkpoints counts as at rest, and after how many units of training. The clock is moved by hand."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from workers.sagemaker_checkpoints import RESTLESS_S, SavedFolder


class MovedClock:
    """The machine's clock, which is also the one of its files, plus what a test adds."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> float:
        return time.time() + self.ahead_s

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    def sleep(self, seconds: float) -> None:
        self.ahead_s += seconds

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        self.sleep(timeout_s)
        return event.is_set()


class Bench:
    def __init__(self, folder: Path, **changes: Any) -> None:
        self.clock = MovedClock()
        self.kept, self.files = folder / "kept", folder / "opt" / "checkpoints"
        for needed in (self.kept, self.files, folder / "opt" / "model", folder / "opt" / "output" / "data"):
            needed.mkdir(parents=True)
        self.complaints: list[str] = []
        options = {"start": 0, "to": 9, "whole": False, **changes}
        self.saved = SavedFolder(
            folder / "opt", self.kept, clock=self.clock, complain=self.complaints.append, **options
        )

    def write(self, name: str = "state", text: str = "x") -> None:
        (self.files / name).write_text(text)

    def report(self, resource: int) -> None:
        self.saved.reported(resource, time.time() + min(0.0, self.clock.ahead_s))

    def look(self, after_s: float = 1.0) -> list[str]:
        self.clock.sleep(after_s)
        self.saved.look()
        return sorted(path.name for path in self.kept.iterdir())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_was_reported_just_before_is_what_was_saved(bench: Bench) -> None:
    bench.clock.sleep(-20)
    bench.report(4)
    bench.clock.sleep(20)
    bench.report(5)
    bench.write()
    assert bench.look(0.3) == [], "it may still be writing"
    assert bench.look() == ["5"]
    assert bench.look(9) == ["5"], "nothing is new"


def test_a_file_that_is_open_for_writing_is_waited_for(bench: Bench) -> None:
    bench.report(1)
    bench.write()
    holding = "import sys; file = open(sys.argv[1], 'a'); print('open', flush=True); input()"
    command = [sys.executable, "-c", holding, str(bench.files / "state")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        assert bench.look() == []
        process.communicate("\n")
    assert bench.look() == ["1"]


def test_a_folder_that_never_rests_is_saved_after_a_while(tmp_path: Path) -> None:
    bench = Bench(tmp_path, to=None)
    for second in range(int(RESTLESS_S) + 5):
        bench.write("events", "x" * second)
        bench.clock.ahead_s += 1.0
        bench.saved._clock = _Now(bench.clock, (bench.files / "events").stat().st_ctime)  # type: ignore[assignment]
        bench.saved.look()
        if second == 50:
            assert not list(bench.kept.iterdir())
    assert [path.name for path in bench.kept.iterdir()] == ["1"]


class _Now(MovedClock):
    """A clock on which a file has just been written."""

    def __init__(self, clock: MovedClock, written: float) -> None:
        super().__init__()
        self.ahead_s, self._written = clock.ahead_s, written

    def now(self) -> float:
        return self._written + 0.01


def test_a_long_upload_is_followed_by_a_rest(bench: Bench) -> None:
    bench.report(1)
    bench.write()
    assert bench.look() == ["1"]
    bench.write(text="y")
    bench.clock.sleep(30)  # the worker comes back from uploading it
    bench.saved.look()
    bench.report(2)
    bench.write(text="z")
    assert bench.look(60) == ["1"]
    assert bench.look(90) == ["1", "2"]


def test_what_lies_past_the_end_of_the_piece_is_not_saved(bench: Bench) -> None:
    bench.report(10)
    bench.write()
    assert bench.look() == []
    assert bench.complaints == []


def test_the_restored_files_are_not_saved_again(tmp_path: Path) -> None:
    (tmp_path / "opt" / "checkpoints").mkdir(parents=True)
    (tmp_path / "opt" / "checkpoints" / "state").write_text("x")
    clock, kept = MovedClock(), tmp_path / "kept"
    kept.mkdir()
    saved = SavedFolder(
        tmp_path / "opt", kept, start=3, to=9, whole=False, clock=clock, complain=lambda _: None
    )
    saved.reported(4, clock.now())
    clock.sleep(5)
    saved.look()
    assert not list(kept.iterdir()), "state 3 is not what was reached after 4"


def test_of_reports_that_were_read_at_once_the_last_one_counts(bench: Bench) -> None:
    """A busy worker reads three units together, after the file of the third was written."""
    bench.saved._reports[0] = (time.time() - 20, 0)  # the attempt began
    bench.write()
    for number in (1, 2, 3):
        bench.saved.reported(number, time.time() + 0.05)
    bench.saved.finish(well=True, by_itself=True)
    assert [path.name for path in bench.kept.iterdir()] == ["3"]
