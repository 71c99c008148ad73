"""``hpo-pipe submit local``: detached workers on this machine."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import click

from hpo_pipe.cli.arguments import examples, url_argument
from hpo_pipe.cli.output import print_lines, say
from hpo_pipe.isolation import isolated_command

MAX_WORKERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A process that was started."""

    pid: int
    log: Path


@click.command(
    epilog=examples(
        "hpo-pipe submit local ./study --workers 4",
        "hpo-pipe submit local s3://bucket/studies/first --workers 2 -- --slots 2 --idle-timeout 600",
    )
)
@url_argument
@click.option(
    "--workers", type=click.IntRange(1, MAX_WORKERS), default=1, show_default=True, help="How many."
)
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("hpo-pipe-studies/logs"),
    show_default=True,
    help="Folder for what the workers print.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- WORKER_OPTIONS...]")
def local(url: str, workers: int, logs: Path, arguments: tuple[str, ...]) -> None:
    """Start workers on this machine that stay when the terminal closes. Prints their process ids.

    They run in the current folder, where the study's command finds its files. End one with `kill PID`: it hands its
    trials back.
    """
    started = start_workers(url, workers, logs, [*_only_this_study(url, arguments), *arguments])
    print_lines([str(process.pid) for process in started])
    say(
        f"{len(started)} started; they print to {started[0].log.parent}; hpo-pipe status {url} shows them at work"
    )


def _only_this_study(url: str, arguments: tuple[str, ...]) -> list[str]:
    """Return the option by which workers run the study that stands there now, and no other; raises StudyNotFound."""
    from hpo_pipe.coordinator.log import study_bytes
    from storage_schema.codec import sha256
    from storage_schema.store import open_store

    found = sha256(study_bytes(open_store(url)))
    told = any(argument.partition("=")[0] == "--study-sha256" for argument in arguments)
    return [] if told else ["--study-sha256", found]


def start_workers(url: str, count: int, logs: Path, arguments: list[str]) -> list[Started]:
    """Start `count` workers in sessions of their own, each with a new log file in `logs`."""
    logs.mkdir(parents=True, exist_ok=True)
    return [_start(isolated_command("workers", url, *arguments), logs) for _ in range(count)]


def _start(command: list[str], logs: Path) -> Started:
    path, place = logs / "worker-1.log", 1
    while path.exists():
        place += 1
        path = logs / f"worker-{place}.log"
    with path.open("xb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    process.returncode = 0  # it is meant to outlive us: no ResourceWarning when this object goes
    return Started(pid=process.pid, log=path)
