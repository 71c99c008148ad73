"""The same kills for hpo-pipe and its peers: what is lost, what is done again, and what ends.

``python -m tests.benchmarks.kill``. All train the same trials with checkpoints after each epoch, with as many workers,
under one schedule: two of three deeds are kill -9, the third is a SIGSTOP for 1.5 leases; who dies is started again.
hpo-pipe's coordinator is killed besides, with every third deed. NePS needs torch, and is installed into a virtual
environment of its own, 6 GB; ``--neps-python`` names one that has it, ``--without neps`` leaves it out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.kills.herding import Deed, Ran, Slots, schedule
from tests.benchmarks.kills.systems import HpoPipe, Peer, System, Task, environment
from tests.benchmarks.tables import heading, table
from tests.torture.training import EPOCH_S, TRAINED

COLUMNS = {
    "trials begun": "begun",
    "finished": "finished",
    "begun, never finished": "lost",
    "left running": "left running",
    "recorded twice": "recorded twice",
    "wrong values": "wrong values",
    "curves with gaps": "gaps",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run every system, and print what became of it."""
    options = _options(arguments)
    task = Task(trials=options.trials, epochs=options.epochs, workers=options.workers, lease_s=options.lease)
    deeds = schedule(options.seed, options.deeds, options.every, task.workers, task.lease_s)
    heading("kill", "The same kills for all")
    print(
        f"{task.trials} trials of {task.epochs} epochs of {options.epoch:g} s, {task.workers} workers, lease or grace "
        f"{task.lease_s} s; {len(deeds)} deeds in {deeds[-1].at_s:.0f} s, seed {options.seed}; "
        f"limit {options.limit:g} s\n",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="kill-") as place:
        rows: dict[str, list[object]] = {}
        for system in _systems(options, Path(place)):
            folder = Path(place) / system.name.replace(" ", "-").replace(",", "")
            folder.mkdir()
            rows[system.name] = _run(system, task, deeds, folder, options)
            print(f"# {system.name} is done", flush=True)
    labels = [
        "version",
        "ended by itself",
        "seconds",
        *COLUMNS,
        *_HAPPENED,
        "epochs trained",
        "of them again, %",
    ]
    labels.append("of them for trials that never finished, %")
    table(["", *rows], ([label, *cells] for label, *cells in zip(labels, *rows.values(), strict=True)))


_HAPPENED = {
    "killed": "kill",
    "frozen": "freeze",
    "started again": "started again",
    "ended by an error": "ended by an error",
}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.kill")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--epoch", type=float, default=0.5, help="seconds")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--lease", type=int, default=10, help="seconds")
    parser.add_argument("--deeds", type=int, default=30)
    parser.add_argument("--every", type=float, default=4.0, help="mean seconds between two deeds")
    parser.add_argument("--limit", type=float, default=400.0, help="seconds for each system")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--neps-python", help="a Python that has neural-pipeline-search")
    parser.add_argument("--without", action="append", default=[], choices=["hpo-pipe", "optuna", "neps"])
    return parser.parse_args(arguments)


def _systems(options: argparse.Namespace, place: Path) -> list[System]:
    found: list[System] = []
    if "hpo-pipe" not in options.without:
        found.append(HpoPipe())
    if "optuna" not in options.without:
        found.append(Peer("Optuna, journal file", "optuna_worker.py", sys.executable, "journal"))
        found.append(Peer("Optuna, SQLite, heartbeat", "optuna_worker.py", sys.executable, "rdb"))
    if "neps" not in options.without:
        python = options.neps_python or _neps(place)
        found.append(Peer("NePS", "neps_worker.py", python))
    return found


def _neps(place: Path) -> str:
    print("# installing neural-pipeline-search", flush=True)
    venv.create(place / "neps", with_pip=True)
    python = str(place / "neps/bin/python")
    subprocess.run([python, "-m", "pip", "install", "-q", "neural-pipeline-search==0.17.0"], check=True)
    return python


def _run(
    system: System, task: Task, deeds: Sequence[Deed], folder: Path, options: argparse.Namespace
) -> list[object]:
    trained = folder / "trained"
    env = environment({TRAINED: str(trained), EPOCH_S: str(options.epoch)})
    system.prepare(task, folder, env)
    commands = system.commands(task, folder)
    besides = [Deed(deed.at_s, task.workers, "kill") for deed in deeds[2::3] if len(commands) > task.workers]
    ran = Slots(commands, env, folder).run(sorted([*deeds, *besides], key=lambda d: d.at_s), options.limit)
    for words in ran.last_words[:2]:
        print(f"# {system.name}, an error: ...{' '.join(words.split())[-300:]}")
    return _row(ran, system.books(task, folder, env), trained, task)


def _row(ran: Ran, books: dict[str, object], trained: Path, task: Task) -> list[object]:
    lines = trained.read_text().splitlines()
    again = len(lines) - len(set(lines))
    epochs = Counter(line.rsplit(" ", 1)[0] for line in set(lines))
    wasted = sum(count for count in epochs.values() if count < task.epochs)
    row: list[object] = [books["version"], "yes" if ran.ended else "no", ran.seconds]
    row += [books.get(name, "-") for name in COLUMNS.values()]
    row += [ran.counts[name] for name in _HAPPENED.values()]
    total = max(1, len(lines))
    return [*row, len(lines), 100 * again / total, 100 * wasted / total]


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
