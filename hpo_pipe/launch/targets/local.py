"""``hpo-pipe submit local``: detached workers on this machine.

A worker's log file is its identity: the worker holds a lock on it for as long as it lives (flock(2), inherited with its
standard output), so whether it runs, ran or was never started can be told by anybody on this machine, whatever died.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path

import click

from hpo_pipe.isolation import isolated_command
from hpo_pipe.launch.order import Offer, Order, Plan
from hpo_pipe.launch.target import Call, CommandCall, Job, JobState, Launched, Look, TargetUnavailable
from storage_schema import status_file
from storage_schema.codec import Json
from storage_schema.errors import UserError
from storage_schema.machine import VARIABLES
from storage_schema.terminal import one_line

TAIL_BYTES = 1024 * 1024
INTERRUPTED = 75
"""A worker's exit code: start it again to go on."""
MAX_WORKERS = 1000


class _State(Enum):
    NEW = "new"
    """Never started: there is no file, or an empty one that nobody holds."""
    RUNS = "runs"
    ENDED = "ended"


class Local:
    """Workers as detached processes of this machine."""

    name = "local"
    summary = "Detached processes on this machine."
    help = """Start workers on this machine that stay when the terminal closes.

    They run in the current folder, where the study's command finds its files, end when they have nothing to do for
    --idle-timeout, and with the study. What is left over are their log files. `hpo-pipe submit cancel` ends them
    sooner: they hand their trials back.
    """
    examples = (
        "hpo-pipe submit local ./study --workers 4",
        "hpo-pipe submit local s3://bucket/studies/first --workers 2 --slots 2 --idle-timeout 10min",
    )
    options: Sequence[click.Option] = (
        click.Option(
            ["--logs"],
            type=click.Path(file_okay=False, path_type=Path),
            default=Path("hpo-pipe-studies/logs"),
            show_default=True,
            help="Folder for what the workers print.",
        ),
    )
    takes = frozenset({"code", "env", "secret"})
    repeats_safely = True
    grace_s: float | None = None

    def settings(self, given: Mapping[str, Json], plan: Plan) -> dict[str, Json]:
        """Return where the workers run and print; raises UserError for a secret's file that cannot be read here."""
        for name, ref in plan.secrets:
            path = Path(ref.removeprefix("file:"))
            if ref.startswith("file:") and not os.access(path, os.R_OK):
                problem = "cannot be read" if path.exists() else "is not there"
                raise UserError(
                    f"--secret {name}: {path} {problem}, and workers on this machine would need it"
                )
        return {
            "host": socket.gethostname(),
            "folder": str(Path.cwd()),
            "logs": str(Path(given["logs"]).absolute()),
        }

    def offers(self, settings: Mapping[str, Json], plan: Plan) -> tuple[Offer, ...]:
        """There is one machine."""
        return (Offer(),)

    def calls(self, order: Order) -> tuple[Call, ...]:
        """Return the command lines, and the variables that each worker has beside those of who starts it."""
        command = isolated_command("workers", *order.worker_arguments(None))
        given = order.worker_environment()
        return tuple(
            CommandCall(
                argv=tuple(command),
                environment=tuple(sorted({**given, status_file.VARIABLE: str(_status_file(log))}.items())),
            )
            for log in _all_logs(order)
        )

    def launch(self, order: Order) -> Launched:
        """Start the workers that were never started."""
        self._here(order)
        folder = Path(order.settings["logs"])
        folder.mkdir(parents=True, exist_ok=True)
        jobs = []
        for log, call in zip(_all_logs(order), self.calls(order), strict=True):
            assert isinstance(call, CommandCall)
            jobs.append(_start(log, call, order))
        return Launched(jobs=tuple(jobs), workers=len(jobs))

    def look(self, order: Order, jobs: Sequence[str]) -> Look:
        """Try the locks."""
        self._here(order)
        found = []
        for path in _logs(order):
            state = _state(path)
            if state is _State.RUNS:
                found.append(Job(id=_job(path), state=JobState.RUNNING, detail=str(path)))
            elif state is _State.ENDED:
                found.append(_ended(path))
        return Look(counts=Counter(job.state for job in found), jobs=tuple(found))

    def cancel(self, order: Order, jobs: Sequence[str], *, pending_only: bool = False) -> int:
        """Send SIGTERM to those that run; nothing ever waits here."""
        if pending_only:
            return 0
        self._here(order)
        running = [path for path in _logs(order) if _state(path) is _State.RUNS]
        return sum(_terminate(path) for path in running)

    def logs(self, order: Order, jobs: Sequence[str], job: str | None, lines: int) -> Iterator[str]:
        """Yield the ends of log files."""
        self._here(order)
        for path in _logs(order):
            if job in (None, _job(path)):
                yield f"==> {_job(path)} <=="
                yield from _tail(path, lines)

    def _here(self, order: Order) -> None:
        host = order.settings["host"]
        if host != socket.gethostname():
            raise TargetUnavailable(f"its workers are processes of {host}: ask there")


TARGET = Local()


def _logs(order: Order) -> list[Path]:
    return [path for path in _all_logs(order) if path.exists()]


def _all_logs(order: Order) -> list[Path]:
    folder = Path(order.settings["logs"])
    return [folder / f"{order.job_name(index)}.log" for index in range(order.workers)]


def _job(path: Path) -> str:
    return path.stem


def _status_file(path: Path) -> Path:
    return path.with_suffix(".status")


def _ended(path: Path) -> Job:
    """Tell how a worker ended that runs no more: by what it wrote itself; who was killed could not."""
    code = status_file.read(_status_file(path)).exit_code
    if code == 0:
        return Job(id=_job(path), state=JobState.DONE, detail=str(path))
    if code == INTERRUPTED:
        return Job(id=_job(path), state=JobState.CANCELLED, detail=f"gave back what it held; {path}")
    how = "killed, or this machine went down" if code is None else f"exit code {code}"
    said = next((line for line in reversed(_tail(path, 20)) if line.strip()), "")
    return Job(id=_job(path), state=JobState.FAILED, detail=f"{how}; {path}: {one_line(said[:300])}")


def _start(path: Path, call: CommandCall, order: Order) -> str:
    """Start one worker if it never was; return its job's id. Its lock is taken before there is a process."""
    with path.open("ab") as log:
        if log.tell():
            return _job(path)
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another launcher, at this very moment
            return _job(path)
        if path.stat().st_size:
            return _job(path)
        log.write(f"hpo-pipe submit local: {order.name}\n".encode())
        log.flush()
        process = subprocess.Popen(
            call.argv,
            cwd=order.settings["folder"],
            env=_inherited() | dict(call.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        status_file.begin(_status_file(path), process.pid, replace=False)
        process.returncode = 0  # it is meant to outlive us: no ResourceWarning when this object goes
    return _job(path)


def _inherited() -> dict[str, str]:
    """Return this process's environment without what it says of another machine's hire."""
    return {name: value for name, value in os.environ.items() if name not in VARIABLES}  # noqa: TID251 (an edge)


def _state(path: Path) -> _State:
    with path.open("rb") as log:
        if not log.read(1):
            return _State.NEW  # and not locked here: a launcher may be about to
        try:
            fcntl.flock(log, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _State.RUNS
        return _State.ENDED


def _terminate(path: Path) -> bool:
    """Send SIGTERM to the worker that holds a log's lock; its number is written right after its start."""
    pid = status_file.read(_status_file(path)).pid
    with contextlib.suppress(OSError):
        if pid:
            os.kill(pid, signal.SIGTERM)
            return True
    return False


def _tail(path: Path, lines: int) -> list[str]:
    with path.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
        return log.read().decode("utf-8", "replace").splitlines()[-lines:]
