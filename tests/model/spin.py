"""Runs spin on a model: translate, compile, search, and read what the search says of itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MAX_DEPTH = 500_000
"""Steps; a search that gets there is not exhaustive, and says so."""
MAX_MEMORY_MIB = 4000
BITSTATE_BITS = 33
"""Base-two logarithm of the bits in the table of a bit-state search: 1 GiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What pan, the compiled search, reported."""

    errors: int
    complaint: str
    """The first error, as pan puts it."""
    stored: int
    """States."""
    transitions: int
    depth: int
    seconds: float
    memory_mib: float
    exhaustive: bool
    """Neither a limit on depth, memory or time, nor a hash table that forgets, left anything out."""
    unreached: tuple[str, ...]
    """Statements that no behaviour got to, ``file:line text``, without the ends of processes that never end."""

    def row(self) -> str:
        """Return the figures as one line."""
        return (
            f"{self.stored:,} states, {self.transitions:,} transitions, depth {self.depth:,}, "
            f"{self.seconds:.1f} s, {self.memory_mib:.0f} MiB"
        )


def missing_tool() -> str | None:
    """Return the name of a tool that these tests need and that is not here, or None."""
    return next((tool for tool in ("spin", "gcc") if shutil.which(tool) is None), None)


def search(model: str, defines: Sequence[str], folder: Path, *, minutes: int | None = None) -> Search:
    """Search a model.

    Args:
        model: ``chain`` or ``log``.
        defines: macros, such as ``NW=2`` or ``M_EXISTS``. With ``LIVE`` the search is for a behaviour, fair to all
            processes, that never comes to its end; else for one that breaks an assertion or comes to a standstill.
        folder: an empty one, to work in.
        minutes: None: a search of everything. Else a search by bit-state hashing, which forgets some states and
            ends after so long, of a model that is too large for the other.
    """
    live = "LIVE" in defines
    flags = [f"-D{define}" for define in defines]
    shutil.copy(HERE / f"{model}.pml", folder / f"{model}.pml")
    # -o3: no merging of statements, which would hide some that are not reached. The states are the same.
    _run(["spin", "-a", "-o3", *flags, f"{model}.pml"], folder)
    kind = ["-DNFAIR=4"] if live else ["-DSAFETY", "-DNOFAIR"]
    store = ["-DCOLLAPSE"] if minutes is None else ["-DBITSTATE"]
    limits = ["-DVECTORSZ=1024", f"-DMEMLIM={MAX_MEMORY_MIB}"]
    _run(["gcc", "-O2", "-w", *kind, *store, *limits, "-o", "pan", "pan.c"], folder)
    how = ["-a", "-f"] if live else []
    bits = [] if minutes is None else [f"-w{BITSTATE_BITS}", f"-Q{minutes}"]
    return _parsed(_run(["./pan", f"-m{MAX_DEPTH}", *how, *bits], folder), exhaustive=minutes is None)


def _run(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0 or command[0] == "./pan", f"{' '.join(command)}: {said}"
    return said


def _parsed(said: str, *, exhaustive: bool) -> Search:
    def number(pattern: str) -> float:
        found = re.search(pattern, said)
        assert found, f"no {pattern!r} in what pan said:\n{said}"
        return float(found[1])

    complaint = re.search(r"^pan:\s*\d+: (.*)$", said, re.MULTILINE)
    cut = re.search(r"search depth too small|Search not completed|reached -DMEMLIM|out of memory", said)
    time = re.search(r"elapsed time ([\d.e+]+) seconds", said)
    return Search(
        errors=int(number(r"errors: (\d+)")),
        complaint=complaint[1] if complaint else "",
        stored=int(number(r"([\d.e+]+) states, stored")),
        transitions=int(number(r"([\d.e+]+) transitions \(=")),
        depth=int(number(r"depth reached (\d+)")),
        seconds=float(time[1]) if time else 0.0,
        memory_mib=number(r"([\d.]+)\s+total actual memory usage"),
        exhaustive=exhaustive and cut is None,
        unreached=_unreached(said),
    )


def _unreached(said: str) -> tuple[str, ...]:
    """Return the unreached statements of the processes; the property itself, a never claim, has an end of its own."""
    found: list[tuple[str, str]] = []
    inside = False
    for line in said.splitlines():
        if line.startswith("unreached in "):
            inside = not line.startswith("unreached in claim")
        elif inside and (place := re.match(r'\t(\S+:\d+), state \d+, (".*")', line)):
            found.append((place[1], place[2]))
    return tuple(f"{place} {text}" for place, text in found if text != '"-end-"')
