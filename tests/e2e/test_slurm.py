"""`submit slurm` on a real cluster of one node with two pretended GPUs: whatever Slurm does, trials end once."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpo_pipe.launch.order import Order
from hpo_pipe.launch.targets.slurm import TARGET
from storage_schema.chain import read_chain
from storage_schema.clock import SystemClock
from storage_schema.keys import parse_manifest_key, submission_key
from storage_schema.records import LinkKind, Submission
from storage_schema.records.chain import Link
from storage_schema.store import Blob, open_store
from tests.e2e.accounting import audit, read_log
from tests.e2e.fleet import Fleet, hpo_pipe
from tests.e2e.lineage import state_of
from tests.servers.slurm import Cluster, cluster
from tests.waiting import wait_until

SOON_S = 60
LATER_S = 120
"""Both are there for loaded machines; nothing below depends on how fast anything is."""
WORKERS = 2
GRACE_S = 60
"""Longer than SOON_S: who gives back by then was told at once."""
EPOCH_S = 0.05


class OnSlurm:
    """A study in a folder, a coordinator beside it, and two workers with a GPU each that Slurm starts.

    Trainings stay in mid-trial until :meth:`let_go`.
    """

    def __init__(self, slurm: Cluster, folder: Path) -> None:
        self.slurm = slurm
        self.folder = folder
        self.url = (folder / "study").as_uri()
        self.fleet = Fleet(self.url, folder, slurm.environment)
        self.store = open_store(self.url)
        self._gate = folder / "gate"
        self.env = {
            **slurm.environment,
            "TEST_EPOCH_S": str(EPOCH_S),
            "TEST_GATE": str(self._gate),
        }
        self._clock = SystemClock()

    def begin(self, trials: int, *options: str) -> None:
        """Create the study and submit its workers; return when both are in mid-trial, and have saved checkpoints."""
        self.create(trials)
        logs = ("--logs", str(self.folder / "logs"), "--chdir", str(self.folder))
        gpus = () if any("gpu" in option for option in options) else ("--gpus", "1")
        dealt = ("--setup", 'echo "dealt: $CUDA_VISIBLE_DEVICES"')
        self.submit("slurm", "--workers", str(WORKERS), *gpus, *logs, *dealt, *options)
        self.in_mid_trial(WORKERS)

    def create(self, trials: int) -> None:
        self.fleet.create(trials=trials, scheduler="none")
        self.fleet.start("coordinator", "--until-done")

    def in_mid_trial(self, workers: int) -> None:
        self.wait(lambda: len(self.authors(LinkKind.CLAIM)) == workers, SOON_S, "each worker's claim")
        self.wait(lambda: len(self._saved()) >= workers, SOON_S, "each worker's checkpoint")

    def submit(self, *arguments: str) -> str:
        name, *options = arguments
        return hpo_pipe("submit", name, self.url, *options, env=self.env)

    def order(self) -> Order:
        """Return the submission as it stands in the study's record."""
        blob = self.store.get(submission_key(1, 1))
        assert isinstance(blob, Blob)
        return Order.of(Submission.from_bytes(blob.data, 1))

    def links(self) -> list[Link]:
        """Return all links of all chains."""
        specs = [spec for entry in read_log(self.store) for spec, _ in entry.issues()]
        return [link for spec in specs for link in read_chain(self.store, spec)]

    def count(self, kind: LinkKind) -> int:
        return sum(link.kind is kind for link in self.links())

    def authors(self, kind: LinkKind) -> set[str]:
        """Return which processes wrote links of that kind."""
        return {link.author for link in self.links() if link.kind is kind}

    def let_go(self) -> None:
        """Let the trainings run to their ends."""
        self._gate.touch()

    def states(self) -> Counter[str]:
        """Return how many of the array's jobs are how, in Slurm's words."""
        name = f"--name={self.order().name}"
        return Counter(
            self.slurm.run("squeue", "--noheader", "--array", "--states=all", "--format=%T", name).split()
        )

    def now(self) -> float:
        return self._clock.now()

    def finish(self) -> None:
        """Wait for the study's end, and look through its books."""
        self.let_go()
        coordinator = self.fleet.processes["coordinator-1"]
        self.wait(lambda: coordinator.poll() is not None, LATER_S, "the study's end")
        assert coordinator.returncode == 0, self.said()
        assert audit(self.store, state_of) == []
        failed = [(link.reason, link.tail) for link in self.links() if link.kind is LinkKind.FAIL]
        assert failed == [], f"an interruption is no failure\n{self.said()}"

    def wait(self, condition: Callable[[], object], timeout_s: float, what: str) -> None:
        wait_until(condition, timeout_s, lambda: f"{what}\n{self.said()}")

    def said(self) -> str:
        queue = self.slurm.run("squeue", "--states=all", "--array")
        logs = sorted((self.folder / "logs").glob("*.log"))
        return "\n".join(
            [queue, *(f"--- {p.name}\n{p.read_text()[-3000:]}" for p in logs), self.fleet.logs()]
        )

    def _saved(self) -> set[int]:
        """Return which trials have a whole checkpoint."""
        found = (parse_manifest_key(stat.key) for stat in self.store.list("checkpoints/"))
        return {checkpoint.trial for checkpoint in found if checkpoint is not None}


@contextmanager
def on_slurm(folder: Path, **settings: object) -> Iterator[OnSlurm]:
    with cluster(**settings) as slurm:  # type: ignore[arg-type]
        on = OnSlurm(slurm, folder)
        try:
            yield on
        finally:
            on.fleet.close()


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "further",
    ["", pytest.param("SlurmctldParameters=preempt_send_user_signal", marks=pytest.mark.slow)],
    ids=["SIGTERM", "SIGUSR1"],
)
def test_workers_that_are_preempted_in_mid_trial_go_on_and_every_trial_ends_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, further: str
) -> None:
    with on_slurm(tmp_path, further=further, grace_s=GRACE_S) as on:
        on.begin(3, "--grace", str(GRACE_S))
        monkeypatch.setenv("SLURM_CONF", on.slurm.environment["SLURM_CONF"])
        order = on.order()
        again = TARGET.launch(order)
        assert again.workers == WORKERS and sum(on.states().values()) == WORKERS, "nothing was started twice"

        first = on.authors(LinkKind.CLAIM)
        began = on.now()
        on.slurm.run("sbatch", "-p", "urgent", "--gres=gpu:2", "--output=/dev/null", "--wrap=sleep 1")
        on.wait(lambda: on.authors(LinkKind.RELEASE) == first, SOON_S, "both to give back")
        released = max(link.at for link in on.links() if link.kind is LinkKind.RELEASE) - began
        on.wait(lambda: len(on.authors(LinkKind.CLAIM) - first) == WORKERS, LATER_S, "both at work again")
        working = max(link.at for link in on.links() if link.kind is LinkKind.CLAIM) - began
        print(
            f"\npreempted: given back after {released:.1f} s, at work again after {working:.1f} s",
            file=sys.stderr,
        )
        assert released < GRACE_S, "long before their grace is over"

        on.finish()
        resumed = [link for link in on.links() if link.kind is LinkKind.CLAIM and link.checkpoint is not None]
        assert len(resumed) >= WORKERS, "they went on from where they were"
        assert {dict(link.machine)["gpus"] for link in on.links() if link.kind is LinkKind.CLAIM} == {"1"}
        told = "\n".join(TARGET.logs(order, again.jobs, None, 100))
        assert "dealt: 0" in told and "dealt: 1" in told, "each worker has a GPU of its own"
        on.wait(lambda: on.states() == {"COMPLETED": WORKERS}, SOON_S, "the jobs' end")
        assert TARGET.look(order, ()).alive == 0
        row = dict(zip(*(line.split("\t") for line in on.submit("status").splitlines()[:2]), strict=True))
        assert (row["target"], row["state"], row["done"]) == ("slurm", "ended", str(WORKERS))


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_preempted_job_that_was_written_by_hand_goes_back_into_the_queue_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_slurm(tmp_path, grace_s=GRACE_S) as on:
        on.create(1)
        for name, value in on.env.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "logs").mkdir()
        worker = [sys.executable, "-m", "hpo_pipe", "worker", on.url, "--requeue", "--grace", str(GRACE_S)]
        log = ("--open-mode=append", f"--output={tmp_path}/logs/hand.log")
        begin = f"exec srun {shlex.join(worker)}"
        job = on.slurm.run("sbatch", "--parsable", "--requeue", "--gres=gpu:1", *log, f"--wrap={begin}")
        on.in_mid_trial(1)
        first = on.authors(LinkKind.CLAIM)
        on.slurm.run("sbatch", "-p", "urgent", "--gres=gpu:2", "--output=/dev/null", "--wrap=sleep 1")
        on.wait(lambda: on.authors(LinkKind.RELEASE) == first, SOON_S, "it to give back")
        on.wait(lambda: on.authors(LinkKind.CLAIM) > first, LATER_S, "it to be at work again")
        on.finish()
        states = ("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}")
        on.wait(lambda: on.slurm.run(*states) == "COMPLETED", SOON_S, "the job's end")
        assert f"Slurm's job {job} is back in the queue" in (tmp_path / "logs/hand.log").read_text()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_job_whose_time_is_nearly_up_goes_back_into_the_queue_and_goes_on(tmp_path: Path) -> None:
    with on_slurm(tmp_path) as on:
        on.begin(2, "--gpus-per-task", "1", "--time", "2", "--signal-seconds", "20", "--grace", "10")
        first = on.authors(LinkKind.CLAIM)
        on.wait(lambda: on.authors(LinkKind.RELEASE) == first, 150, "both to give back")
        on.wait(lambda: len(on.authors(LinkKind.CLAIM) - first) == WORKERS, LATER_S, "both at work again")
        on.finish()
        on.wait(lambda: on.states() == {"COMPLETED": WORKERS}, SOON_S, "the jobs' end")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_worker_that_is_killed_leaves_its_trial_to_the_other_one(tmp_path: Path) -> None:
    with on_slurm(tmp_path) as on:
        on.begin(3)
        victim = next(link.author for link in on.links() if link.kind is LinkKind.CLAIM)
        os.kill(int(victim.split("-")[-2]), signal.SIGKILL)
        on.let_go()
        on.wait(lambda: on.count(LinkKind.FENCE) == 1, SOON_S, "the end of its lease")
        on.finish()
        on.wait(lambda: on.states() == {"FAILED": 1, "COMPLETED": 1}, SOON_S, "one job lost, one at its end")


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("by_hand", [False, True], ids=["submit-cancel", "scancel"])
def test_workers_that_are_cancelled_give_back_and_do_not_come_again(tmp_path: Path, by_hand: bool) -> None:
    with on_slurm(tmp_path) as on:
        on.begin(3, "--array-parallelism", "2")
        if by_hand:
            on.slurm.run("scancel", f"--name={on.order().name}")
        else:
            on.submit("cancel", "--all")
        on.wait(lambda: len(on.authors(LinkKind.RELEASE)) == WORKERS, SOON_S, "both to give back")
        ended = "CANCELLED" if by_hand else "FAILED"
        on.wait(lambda: on.states() == {ended: WORKERS}, SOON_S, "the jobs' end")
        on.submit("slurm", "--workers", "1", "--logs", str(tmp_path / "logs"), "--chdir", str(tmp_path))
        on.finish()
        assert on.states() == {ended: WORKERS}, "they did not come again"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_slurm_itself_is_asked_whether_it_would_take_it(tmp_path: Path) -> None:
    with on_slurm(tmp_path) as on:
        on.fleet.create(trials=1)
        common = ("--logs", str(tmp_path / "my logs"), "--dry-run", "--test")
        on.submit("slurm", "--gpus", "2", *common)
        with pytest.raises(AssertionError, match=r"sbatch --test-only: .*Requested node configuration"):
            on.submit("slurm", "--gpus", "3", *common)
        with pytest.raises(AssertionError, match=r"sbatch --test-only: .*invalid partition"):
            on.submit("slurm", "--partition", "nowhere", *common)
