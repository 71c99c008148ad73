"""Does what is missing: children in the tuners' environments, rows appended to one file as they come."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage_schema.errors import UserError
from tests.benchmarks.quality.peers import ENVIRONMENTS, PEERS
from tests.benchmarks.quality.runs import Key, Wanted

ROOT = Path(__file__).parents[3]
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass
class Driver:
    """Runs searches in processes of their own."""

    wanted: Wanted
    out: Path
    peers: Path | None
    """A folder of virtual environments."""
    taskset: Path | None
    until: float = float("inf")
    """No run begins after this time, of ``time.monotonic()``."""
    failed: list[dict[str, Any]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, batches: Iterable[list[Key]], jobs: int) -> None:
        """Do all of it, `jobs` at a time.

        Raises:
            UserError: a peer's environment is not there.
        """
        for tuner in self.wanted.tuners:
            self.python(tuner)
        with ThreadPoolExecutor(jobs) as pool:
            for done in [pool.submit(self._batch, batch) for batch in batches]:
                done.result()

    def python(self, tuner: str) -> str:
        """Return the interpreter that runs a tuner.

        Raises:
            UserError: its environment is not there.
        """
        if tuner in self.wanted.algorithms or (name := PEERS[tuner].environment) is None:
            return sys.executable
        found = self.peers / name / "bin" / "python" if self.peers else None
        if found is None or not found.exists():
            place = self.peers or Path("FOLDER")
            raise UserError(
                f"{tuner} needs a virtual environment of its own, named with --peers FOLDER:\n"
                f"python -m venv {place / name} && {place / name}/bin/pip install {ENVIRONMENTS[name]}"
            )
        return str(found)

    def _batch(self, batch: list[Key]) -> None:
        if time.monotonic() > self.until:
            return
        with tempfile.TemporaryDirectory(prefix="quality-") as scratch, self._child(batch, scratch) as child:
            assert child.stdin and child.stdout
            for key in batch:
                if time.monotonic() > self.until:
                    break
                child.stdin.write(json.dumps(self.wanted.run(key)) + "\n")
                child.stdin.flush()
                self._take(key, child.stdout.readline())
            child.stdin.close()

    def _child(self, batch: list[Key], scratch: str) -> subprocess.Popen[str]:
        command = [self.python(batch[0][0]), "-m", "tests.benchmarks.quality.child"]
        if self.taskset:
            command += ["--taskset", str(self.taskset.resolve())]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=_environment(scratch),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _take(self, key: Key, line: str) -> None:
        """Keep an answer, and say how it went."""
        answer = json.loads(line) if line else {"failed": "its process ended", **self.wanted.run(key)}
        tuner, task, workers, seed, _ = key
        with self._lock:
            if "failed" in answer:
                self.failed.append(answer)
                said = f"FAILED\n{answer['failed']}"
            else:
                with self.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(answer) + "\n")
                said = f"epochs {_shown(answer['epochs'])} clock {_shown(answer['clock'])} cpu {answer['cpu_s']:.1f} s"
            print(f"# {tuner} {task} {workers} workers seed {seed}: {said}", file=sys.stderr, flush=True)
        if not line:
            raise UserError(f"{tuner}: its process ended")


def _environment(scratch: str) -> dict[str, str]:
    """Return a child's: one thread, the same hashes every time, temporary files where they are removed."""
    kept: dict[str, str] = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | dict.fromkeys(_ONE_THREAD, "1") | {"PYTHONHASHSEED": "0", "TMPDIR": scratch}


def _shown(regrets: Mapping[str, float]) -> str:
    return " ".join(_figures(regrets))


def _figures(regrets: Mapping[str, float]) -> Iterator[str]:
    for regret in regrets.values():
        yield f"{regret:.3f}"
