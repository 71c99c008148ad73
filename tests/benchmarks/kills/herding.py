"""Workers of any system: started, killed and frozen by one schedule, and started again when they die."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

STEP_S = 0.05
RESTART_S = 0.5


@dataclass(frozen=True)
class Deed:
    """Something that is done to a worker."""

    at_s: float
    slot: int
    kind: Literal["kill", "freeze"]
    lasts_s: float = 0.0


def schedule(seed: int, deeds: int, every_s: float, workers: int, lease_s: float) -> list[Deed]:
    """Return the same deeds for every system: two of three kill, the third freezes for 1.5 leases."""
    rng, at_s, found = random.Random(seed), 0.0, []
    for number in range(deeds):
        at_s += every_s * rng.uniform(0.5, 1.5)
        freeze = number % 3 == 2
        lasts_s = 1.5 * lease_s if freeze else 0.0
        found.append(Deed(at_s, rng.randrange(workers), "freeze" if freeze else "kill", lasts_s))
    return found


@dataclass
class Ran:
    """How it went."""

    seconds: float
    ended: bool
    """All workers ended by themselves within the limit."""
    counts: Counter[str]
    last_words: list[str]
    """Ends of the logs of workers that ended with an error of their own."""


class Slots:
    """One process per command; slot i runs ``commands[i]``."""

    def __init__(self, commands: Sequence[Sequence[str]], env: Mapping[str, str], folder: Path) -> None:
        self._commands = commands
        self._env = dict(env)
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._thaw: dict[int, float] = {}
        self._signalled: set[int] = set()
        self._again: dict[int, float] = {}
        self._counts: Counter[str] = Counter()
        self._words: list[str] = []

    def run(self, deeds: Sequence[Deed], limit_s: float) -> Ran:
        """Run until every process has ended with status 0, or the time is over."""
        begin = time.monotonic()
        self._processes = [self._start(slot) for slot in range(len(self._commands))]
        left = list(deeds)
        try:
            while (now := time.monotonic() - begin) < limit_s:
                while left and left[0].at_s <= now:
                    self._do(left.pop(0), now)
                if self._tended(now):
                    break
                time.sleep(STEP_S)
            return Ran(now, now < limit_s, self._counts, self._words)
        finally:
            self._end()

    def _do(self, deed: Deed, now: float) -> None:
        process = self._processes[deed.slot]
        if process.poll() is not None or deed.slot in self._thaw:
            self._counts["came too late"] += 1
            return
        self._counts[deed.kind] += 1
        if deed.kind == "kill":
            self._signalled.add(process.pid)
            process.kill()
        else:
            process.send_signal(signal.SIGSTOP)
            self._thaw[deed.slot] = now + deed.lasts_s

    def _tended(self, now: float) -> bool:
        """Continue, note ends, start again; return whether all have ended well."""
        for slot in [slot for slot, at in self._thaw.items() if at <= now]:
            del self._thaw[slot]
            self._processes[slot].send_signal(signal.SIGCONT)
        over = True
        for slot, process in enumerate(self._processes):
            if process.poll() == 0:
                continue
            over = False
            if process.poll() is not None:
                self._restart(slot, now)
        return over

    def _restart(self, slot: int, now: float) -> None:
        if slot not in self._again:
            self._again[slot] = now + RESTART_S
            if self._processes[slot].pid not in self._signalled:
                self._counts["ended by an error"] += 1
                self._words.append(self._log(slot).read_text(errors="replace")[-800:])
        elif now >= self._again[slot]:
            del self._again[slot]
            self._counts["started again"] += 1
            self._processes[slot] = self._start(slot)

    def _log(self, slot: int) -> Path:
        return self._folder / f"slot-{slot}.log"

    def _start(self, slot: int) -> subprocess.Popen[bytes]:
        with self._log(slot).open("ab") as log:
            return subprocess.Popen(
                list(self._commands[slot]),
                env=self._env,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
