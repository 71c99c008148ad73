"""Studies whose trials do nothing: started as a user starts them, measured by what lies in the store afterwards."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from storage_schema.keys import CHAIN, parse_link_key
from storage_schema.records import Link, LinkKind
from storage_schema.store import Blob, open_store

MODES = {"warm function": 'function = "noop:main"', "command": 'command = ["sh", "noop.sh"]'}

FUNCTION = """
from hpo_pipe.trial import current_trial

def main():
    current_trial().report(loss=0.5)
"""

COMMAND = """
metrics=$(sed -n 's/.*"metrics_file":"\\([^"]*\\)".*/\\1/p' "$HPO_PIPE_TRIAL")
echo '{"loss": 0.5}' >> "$metrics"
"""

STUDY = """
name = "noop"
{program}
seed = 1
[metric]
name = "loss"
[parameters]
x = {{ type = "float", min = 0.0, max = 1.0 }}
[algorithm]
searcher = "random"
[limits]
trials = {trials}
"""

LIMIT_S = 110


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A study that has ended."""

    url: str
    whole_s: float
    """From the first process's start to the last one's end."""

    @cached_property
    def links(self) -> list[Link]:
        """All chain links, read from the store when they are first asked for."""
        return read_links(self.url)

    @property
    def done(self) -> int:
        """Trials that ended well."""
        return sum(link.kind is LinkKind.DONE for link in self.links)

    @property
    def busy_s(self) -> float:
        """From the first claim to the last result."""
        times = [link.at for link in self.links]
        return max(times) - min(times)

    def gaps_ms(self) -> list[float]:
        """Return the time from each result to the same worker's next claim, milliseconds."""
        gaps = []
        for author in {link.author for link in self.links}:
            own = sorted((link for link in self.links if link.author == author), key=lambda link: link.at)
            for before, after in itertools.pairwise(own):
                if before.kind is LinkKind.DONE and after.kind is LinkKind.CLAIM:
                    gaps.append(1e3 * (after.at - before.at))
        return gaps


def run_noop(folder: Path, url: str, mode: str, *, trials: int, workers: int) -> Ran:
    """Run a study of no-op trials to its end with ``hpo-pipe run``, one slot per worker."""
    folder.mkdir(parents=True)
    (folder / "noop.py").write_text(FUNCTION)
    (folder / "noop.sh").write_text(COMMAND)
    (folder / "study.toml").write_text(STUDY.format(program=MODES[mode], trials=trials))
    command = [sys.executable, "-I", "-m", "hpo_pipe", "run", "study.toml", url]
    command += ["--workers", str(workers), "--slots", "1", "--gpus-per-trial", "0"]
    begin = time.perf_counter()
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        with ended(process):
            status = process.wait(LIMIT_S)
    whole_s = time.perf_counter() - begin
    if status:
        raise RuntimeError(f"status {status}: {(folder / 'output').read_text()[-2000:]}")
    return Ran(url=url, whole_s=whole_s)


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Interrupt `process` on the way out if it still runs."""
    try:
        yield
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGINT)
            process.wait(20)


def read_links(url: str) -> list[Link]:
    """Return all chain links of a study."""
    store = open_store(url)
    links = []
    for stat in store.list(CHAIN):
        id, blob = parse_link_key(stat.key), store.get(stat.key)
        if id is not None and isinstance(blob, Blob):
            links.append(Link.from_bytes(blob.data, id))
    return links
