"""A real Slurm cluster of one node with two pretended GPUs, in a folder of its own, with daemons of its own.

Its configuration is that of a usual site where others may preempt: a partition ``spot`` whose jobs are put back into
the queue for those of ``urgent``. A job that was put back waits 10 s here and not 120 (``cred_expire``).

It needs root. Debian's packages slurm-wlm and munge are installed where they are absent, which takes about 10 s and is
said on the terminal; where that is impossible the tests are skipped, and name them.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.s3 import free_port, start_server
from tests.waiting import wait_until

START_S = 30
GPUS = 2
TOOLS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol", "srun")
INSTALL = """
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge
"""
CONFIGURATION = """
ClusterName=hpo
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
JobRequeue=1
KillWait={kill_wait_s}
MinJobAge=300
InactiveLimit=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PreemptExemptTime=0
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
GresTypes=gpu
{further}
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=4000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=spot Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE \
GraceTime={grace_s}
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=off
"""


class Cluster:
    """Runs while the ``with`` block lasts. Whatever its jobs started has ended after it."""

    def __init__(self, folder: Path, *, grace_s: int, kill_wait_s: int, further: str) -> None:
        self.folder = folder
        self.host = socket.gethostname().partition(".")[0]
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._settings = {
            "folder": folder,
            "host": self.host,
            "gpus": GPUS,
            "grace_s": grace_s,
            "kill_wait_s": kill_wait_s,
            "further": further,
            "controller_port": free_port(),
            "node_port": free_port(),
        }

    @property
    def environment(self) -> dict[str, str]:
        """What leads Slurm's programs here."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> None:
        """Start it, and wait until the node takes jobs."""
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        for number in range(GPUS):  # a number that no driver has here; nothing opens it
            os.mknod(self.folder / f"gpu{number}", 0o666 | stat.S_IFCHR, os.makedev(240, number))
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(128))
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(**self._settings))
        (self.folder / "gres.conf").write_text(
            f"NodeName={self.host} Name=gpu File={self.folder}/gpu[0-{GPUS - 1}]\n"
        )
        self._daemon("munged", "--foreground", "--force", *self._munge_files())
        wait_until((self.folder / "munge.socket").exists, START_S, self.said)
        self._daemon("slurmctld", "-D", "-f", self.environment["SLURM_CONF"])
        self._daemon("slurmd", "-D", "-f", self.environment["SLURM_CONF"], "-N", self.host)
        wait_until(lambda: self._ready(), START_S, self.said)

    def run(self, *command: str) -> str:
        """Run one of Slurm's programs, and return what it printed."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, f"{command}: {done.stderr}\n{self.said()}"
        return done.stdout.strip()

    def said(self) -> str:
        """Return the ends of the daemons' logs."""
        return "\n".join(f"--- {log.name}\n{log.read_text()[-1500:]}" for log in self.folder.glob("*.log"))

    def stop(self) -> None:
        """End daemons and jobs at once."""
        for daemon in self._daemons:  # the node first: it starts nothing more
            daemon.kill()
            daemon.wait()
        wait_until(lambda: not self._kill_rest(), 10, "the end of the jobs' processes")

    def _ready(self) -> bool:
        assert all(daemon.poll() is None for daemon in self._daemons), self.said()
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%t"],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return set(done.stdout.split()) == {"idle"}

    def _daemon(self, *command: str) -> None:
        log = self.folder / f"{command[0]}.log"
        environment = {**os.environ, **self.environment}
        self._daemons.insert(
            0, start_server([shutil.which(command[0]) or "", *command[1:]], environment, log)
        )

    def _munge_files(self) -> list[str]:
        return [f"--{kind}-file={self.folder}/munge.{kind}" for kind in ("key", "pid", "seed")] + [
            f"--log-file={self.folder}/munged.log",
            f"--socket={self.folder}/munge.socket",
        ]

    def _kill_rest(self) -> int:
        """Kill what has this folder in its environment: step daemons, scripts and workers; return how many."""
        mark = f"SLURM_CONF={self.folder}/".encode()
        count = 0
        for process in Path("/proc").iterdir():
            if not process.name.isdigit() or int(process.name) == os.getpid():
                continue
            try:
                mine = mark in (process / "environ").read_bytes()
            except OSError:
                continue
            if mine:
                count += 1
                try:
                    os.kill(int(process.name), signal.SIGKILL)
                except ProcessLookupError:
                    continue
        return count


@contextmanager
def cluster(*, grace_s: int = 20, kill_wait_s: int = 5, further: str = "") -> Iterator[Cluster]:
    """Run a cluster while the block lasts, or skip the test.

    Args:
        grace_s: of the partition that is preempted.
        kill_wait_s: between SIGTERM and SIGKILL of a job that Slurm ends.
        further: lines of slurm.conf.
    """
    _provide()
    with tempfile.TemporaryDirectory(prefix="hpo-slurm-") as name:
        Path(name).chmod(0o755)
        made = Cluster(Path(name), grace_s=grace_s, kill_wait_s=kill_wait_s, further=further)
        try:
            made.start()
            yield made
        finally:
            made.stop()


def _provide() -> None:
    """Install Slurm where it is absent and can be, or skip."""
    if os.geteuid() != 0:
        pytest.skip("a Slurm cluster needs root")
    if _missing() and shutil.which("apt-get"):
        with Path(tempfile.gettempdir(), "hpo-pipe-install-slurm.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one of several test processes
            if _missing():
                print("installing slurm-wlm and munge, for tests on a real cluster", file=sys.__stderr__)
                for line in INSTALL.strip().splitlines():
                    subprocess.run(
                        ["sh", "-c", line],
                        capture_output=True,
                        check=False,
                        timeout=150,
                        stdin=subprocess.DEVNULL,
                    )
    if missing := _missing():
        pytest.skip(f"slurm-wlm and munge are not installed: no {missing[0]}")


def _missing() -> list[str]:
    return [tool for tool in TOOLS if shutil.which(tool) is None]
