"""Real coordinator and worker processes over one study, and the means to kill them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.waiting import wait_until

SCRIPT = Path(__file__).with_name("slow_training.py")

STUDY = """
name = "survival"
command = ["{python}", "{script}"]

[metric]
name = "loss"
goal = "minimize"

[parameters]
lr = {{ type = "float", min = 0.0, max = 0.2 }}

[resource]
name = "epoch"
min = 1
max = 9
eta = 3

[algorithm]
scheduler = "{scheduler}"
searcher = "random"

[limits]
trials = {trials}

[worker]
flush = 0.5
lease = 3
grace = 2
tick = 0.5
max_attempts = 200
"""


def hpo_pipe(*arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 60) -> str:
    """Run a command to its end and return what it printed on stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "hpo_pipe", *arguments],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"hpo-pipe {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}"
    return done.stdout


class Fleet:
    """Processes of one study. Leaves nothing running."""

    def __init__(
        self,
        url: str,
        folder: Path,
        env: Mapping[str, str] | None = None,
        epoch_s: float = 0.1,
        cwd: Path | None = None,
    ) -> None:
        self.url = url
        self.folder = folder
        self._cwd = cwd
        self._env = {**os.environ, **(env or {}), "TEST_EPOCH_S": str(epoch_s)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.kills = 0
        self._started = 0

    def create(self, trials: int, scheduler: str = "asha") -> None:
        """Create the study from a study file, as a user does."""
        path = self.folder / "study.toml"
        text = STUDY.format(python=sys.executable, script=SCRIPT, trials=trials, scheduler=scheduler)
        path.write_text(text)
        hpo_pipe("create", str(path), self.url, env=self._env)

    def start(self, role: str, *arguments: str) -> str:
        """Start a coordinator or worker; return its name here."""
        self._started += 1
        name = f"{role}-{self._started}"
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                self.command(role, *arguments),
                env=self._env,
                cwd=self._cwd,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return name

    def command(self, role: str, *arguments: str) -> list[str]:
        """Return the argument list of a coordinator or worker."""
        return [sys.executable, "-m", "hpo_pipe", role, self.url, *arguments]

    def signal(self, name: str, number: int) -> None:
        """Send a signal to one process, not to its children."""
        if self.processes[name].poll() is None:
            self.processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        """kill -9."""
        self.signal(name, signal.SIGKILL)
        self.processes[name].wait(10)
        self.kills += 1

    def log(self, name: str) -> str:
        """Return what a process printed."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def harry(
        self,
        rng: random.Random,
        *,
        coordinators: int,
        workers: int,
        kills: int,
        every_s: float,
        until_s: float,
    ) -> None:
        """Keep so many of each running, kill one at random every so often, then let them finish.

        Fails, with all logs, when the study is not over in time or a process ended on its own with an error.
        """
        for _ in range(coordinators):
            self.start("coordinator", "--until-done")
        for _ in range(workers):
            self.start("worker")
        next_kill = time.monotonic() + every_s

        def over() -> bool:
            nonlocal next_kill
            running = [name for name, p in self.processes.items() if p.poll() is None]
            if self.kills < kills and running and time.monotonic() >= next_kill:
                victim = rng.choice(running)
                self.kill(victim)
                self.start(*_restart(victim))
                next_kill = time.monotonic() + every_s * (0.5 + rng.random())
            return not running

        wait_until(over, until_s, lambda: f"the study's end; logs:\n{self.logs()}")
        codes = {name: p.returncode for name, p in self.processes.items()}
        assert set(codes.values()) <= {0, -signal.SIGKILL}, f"{codes}\n{self.logs()}"

    def logs(self) -> str:
        """Return the ends of all logs."""
        return "\n".join(f"--- {name}\n{self.log(name)[-2000:]}" for name in self.processes)

    def close(self) -> None:
        """Kill what is left."""
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait(10)


def _restart(victim: str) -> tuple[str, ...]:
    role = victim.partition("-")[0]
    return (role, "--until-done") if role == "coordinator" else (role,)
