"""One process in a tuner's own environment: reads runs from standard input, writes a row for each, as JSON lines.

``python -m tests.benchmarks.quality.child [--taskset FOLDER]``. Needs numpy alone, and what the tuners need.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpo_pipe.simulate.curves import Curve
from tests.benchmarks.quality.accounting import Goal, Ran, measured
from tests.benchmarks.quality.asked import AskedStudy
from tests.benchmarks.quality.peers import PEERS
from tests.benchmarks.quality.tasks import Task, tasks


class TimedTask:
    """A task whose curves' own computing time is known, for it is no part of a search's."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.cpu_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def curve(self, parameters: Mapping[str, Any], units: int) -> Curve:
        began = time.process_time()
        found = self.task.curve(parameters, units)
        self.cpu_s += time.process_time() - began
        return found


def row(run: Mapping[str, Any], known: Mapping[str, Task]) -> dict[str, Any]:
    """Do one run.

    Args:
        run: tuner, task, workers, seed, budget; ``algorithm`` besides where the tuner is hpo-pipe's.
        known: tasks by name.
    """
    task = TimedTask(known[run["task"]])
    goal = Goal.of(task.task, run["budget"], run["workers"])
    began = time.process_time()
    ran, version = _ran(run, task, goal)
    cpu_s = time.process_time() - began - task.cpu_s
    named = {name: run[name] for name in ("tuner", "task", "workers", "seed", "budget")}
    return {**named, **measured(task.task, ran, goal), "cpu_s": round(cpu_s, 3), "version": version}


def _ran(run: Mapping[str, Any], task: TimedTask, goal: Goal) -> tuple[Ran, str]:
    if "algorithm" in run:
        from tests.benchmarks.quality.ours import search

        found = search(task, run["algorithm"], run["seed"], run["workers"], goal)
        return found, importlib.metadata.version("hpo-pipe")
    peer = PEERS[run["tuner"]]
    maker = peer.maker()
    tuner = maker(task.task, run["seed"], run["workers"], **peer.options)
    found = AskedStudy(tuner, task, run["workers"]).until(goal.reached)
    return found, importlib.metadata.version(maker.package) if maker.package else ""


def main() -> None:
    """Answer until the input ends; a run that fails is answered with its traceback."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--taskset", type=Path)
    known = tasks(parser.parse_args().taskset)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a peer prints is no answer
    for line in sys.stdin:
        run = json.loads(line)
        try:
            answer = row(run, known)
        except Exception:
            answer = {"failed": traceback.format_exc(), **run}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
