"""The worker as a process of its own: signals, exit codes, what it leaves behind. Log entries are written by hand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage_schema.chain import read_chain
from storage_schema.codec import sha256
from storage_schema.keys import BOARD, STUDY, SpecId, log_key
from storage_schema.records import (
    Board,
    Entry,
    Facts,
    Finish,
    Issue,
    Limits,
    Link,
    LinkKind,
    Metric,
    OpenSpec,
    Program,
    Resource,
    Study,
    Timing,
)
from storage_schema.store import Store, open_store
from tests.waiting import wait_until

SPEC = SpecId(0, 0)

TRAINING = """
import sys, time
from hpo_pipe.trial import current_trial

trial = current_trial()
print("training", flush=True)
for epoch in trial.steps():
    time.sleep(float(sys.argv[1]))
    trial.report(loss=1 / (epoch + 1))
    with trial.save_checkpoint() as folder:
        (folder / "epoch").write_text(str(epoch + 1))
"""


class Bench:
    """A study in a folder, and workers on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = (folder / "study").as_uri()
        self.store: Store = open_store(self.url)
        self.processes: list[subprocess.Popen[str]] = []
        (folder / "train.py").write_text(TRAINING)
        (folder / "scratch").mkdir()

    def create(self, *command: str, to: int = 3, trials: int = 1) -> bytes:
        study = Study(
            name="s",
            token="t",
            created_at=0.0,
            seed=1,
            space=(),
            metrics=(Metric(name="loss"),),
            resource=Resource(name="epoch", min=1, max=max(to, 2), rungs=(1, max(to, 2))),
            scheduler={},
            searcher={},
            limits=Limits(),
            program=Program(command=command),
            timing=Timing(flush_s=0.5, lease_s=5.0, tick_s=30.0, grace_s=4.0),
        )
        self.store.create(STUDY, study.to_bytes())
        issues = tuple(
            Issue(
                trial=number,
                start=0,
                to=to,
                rung=0,
                bracket=0,
                parameters={"lr": 0.1},
                origin="random",
                checkpoint=None,
                reason="",
            )
            for number in range(trials)
        )
        facts = Facts(now=0.0, demand=1)
        entry = Entry(entry=0, token="c", author="coordinator", facts=facts, decisions=issues)
        self.store.create(log_key(0), entry.to_bytes())
        self.offer(*(SpecId(0, number) for number in range(trials)))
        return study.to_bytes()

    def offer(self, *specs: SpecId, finished: int | None = None) -> None:
        lines = []
        for spec in specs:
            chain = read_chain(self.store, spec)
            number = chain[-1].id.link + 1 if chain else 1
            lines.append(OpenSpec(spec=spec, next_link=number, priority=0, trial=spec.index))
        beat = int.from_bytes(os.urandom(4), "big")
        board = Board(head=finished or 0, open=tuple(lines), finished=finished, beat=beat)
        self.store.replace(BOARD, board.to_bytes())

    def finish(self) -> None:
        entry = Entry(entry=1, token="f", author="user", facts=None, decisions=(Finish(reason="enough"),))
        self.store.create(log_key(1), entry.to_bytes())
        self.offer(finished=1)

    def worker(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "workers", self.url, "--no-coordinator", *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "HPO_PIPE_SCRATCH": str(self.folder / "scratch"),
            },
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def chain(self, spec: SpecId = SPEC) -> list[Link]:
        return read_chain(self.store, spec)

    def committed(self) -> int:
        return sum(stat.key.endswith("/manifest.json") for stat in self.store.list("checkpoints/"))

    def scratch(self) -> list[Path]:
        return list((self.folder / "scratch").iterdir())

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=30)
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_lets_the_trial_save_gives_the_claim_back_and_ends_with_75(
    bench: Bench, number: signal.Signals
) -> None:
    bench.create("python", "train.py", "0.2", to=100)
    worker = bench.worker()
    wait_until(lambda: bench.committed() >= 1, 30, "a checkpoint")
    worker.send_signal(number)
    code, said = ended(worker)
    assert code == 75, said
    assert "Traceback" not in said
    release = bench.chain()[-1]
    assert release.kind is LinkKind.RELEASE
    assert bench.scratch() == []

    bench.offer(SPEC)
    second = bench.worker()
    wait_until(lambda: len(bench.chain()) == 3, 30, "a second claim")
    resumed = bench.chain()[2].checkpoint
    assert resumed is not None
    assert resumed.resource >= release.resource >= 1
    second.send_signal(signal.SIGTERM)
    assert ended(second)[0] == 75


def test_ctrl_c_twice_ends_at_once_with_130(bench: Bench) -> None:
    bench.create("sh", "-c", "trap '' TERM; sleep 100")
    worker = bench.worker()
    wait_until(bench.chain, 30, "a claim")
    worker.send_signal(signal.SIGINT)
    assert worker.stderr is not None
    said = ""
    while "interrupted" not in said:
        said = worker.stderr.readline()
        assert said, "the worker ended before its time"
    worker.send_signal(signal.SIGINT)
    code, said = ended(worker)
    assert code == 130, said
    assert bench.chain()[-1].kind is LinkKind.RELEASE


def test_it_ends_with_0_when_the_study_has_ended(bench: Bench) -> None:
    bench.create("python", "train.py", "0", trials=3)
    worker = bench.worker("--slots", "2")
    specs = [SpecId(0, place) for place in range(3)]
    wait_until(lambda: all(len(bench.chain(spec)) == 2 for spec in specs), 60, "three closed chains")
    bench.finish()
    code, said = ended(worker)
    assert code == 0, said
    assert {bench.chain(spec)[-1].kind for spec in specs} == {LinkKind.DONE}
    assert b"training" in bench.store.get("output/00000000/000.0001.txt").data  # type: ignore[union-attr]
    assert bench.scratch() == []


def test_idle_timeout_and_drain_end_with_0(bench: Bench) -> None:
    bench.create("python", "train.py", "0")
    assert ended(bench.worker("--drain"))[0] == 0
    assert bench.chain()[-1].kind is LinkKind.DONE
    bench.offer()
    assert ended(bench.worker("--idle-timeout", "0.2"))[0] == 0


def test_a_command_on_its_own_line_overrides_the_studys(bench: Bench) -> None:
    bench.create("false")
    assert ended(bench.worker("--drain", "--", "python", "train.py", "0"))[0] == 0
    assert bench.chain()[-1].kind is LinkKind.DONE


def test_only_the_study_with_the_wanted_sha256_is_run(bench: Bench) -> None:
    data = bench.create("python", "train.py", "0")
    code, said = ended(bench.worker("--study-sha256", "0" * 64))
    assert code == 78
    assert said.startswith("hpo-pipe: error: ")
    assert sha256(data) in said
    assert bench.chain() == []
    assert ended(bench.worker("--drain", "--study-sha256", sha256(data)))[0] == 0


def test_a_command_that_is_not_there_ends_with_78_and_gives_the_claim_back(bench: Bench) -> None:
    bench.create("pythn", "train.py")
    code, said = ended(bench.worker())
    assert code == 78, said
    assert "hpo-pipe: error: " in said
    assert "pythn" in said
    assert "Traceback" not in said
    assert bench.chain()[-1].kind is LinkKind.RELEASE


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--slots", "0"), "--slots"),
        (("--gpus-per-trial", "99"), "99 GPUs"),
        (("--workdir", "/nowhere"), "/nowhere"),
    ],
)
def test_wrong_options_end_with_2(bench: Bench, arguments: tuple[str, ...], words: str) -> None:
    bench.create("true")
    code, said = ended(bench.worker(*arguments))
    assert code == 2
    assert words in said


def test_no_study_is_a_plain_error(bench: Bench) -> None:
    code, said = ended(bench.worker())
    assert code == 2
    assert said.startswith("hpo-pipe: error: no study at")


def test_the_children_of_a_trial_die_with_a_killed_worker(bench: Bench) -> None:
    pid_file = bench.folder / "child.pid"
    bench.create("sh", "-c", f"sleep 1000 & echo $! > {pid_file}; wait")
    worker = bench.worker()
    wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), 30, "a child")
    child = int(pid_file.read_text())
    worker.kill()
    worker.wait()
    wait_until(lambda: not _lives(child), 20, "the child's end")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
