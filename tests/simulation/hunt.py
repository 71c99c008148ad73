"""Looking for a planted fault, seed by seed, or fault by fault."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from storage_schema.errors import HpoPipeError
from tests.simulation.history import Outcome, run_seed
from tests.simulation.mutants import MUTANTS
from tests.simulation.single import run_single, singles

_PARTICULARS = re.compile(r"[\w/.-]*\d[\w/.-]*|\{.*\}|\[.*\]|\(.*\)")


@dataclass(slots=True, kw_only=True)
class Catch:
    """What a hunt has found."""

    name: str
    tried: int = 0
    first: int | None = None
    """The number of the first history that found it: a seed, or the place of a single fault."""
    words: str = ""
    """What that one said."""
    found: int = 0
    shapes: Counter[str] = field(default_factory=Counter)
    """What was said, without numbers and names, and how often."""
    seconds: float = 0.0

    def take(self, number: int, violations: tuple[str, ...]) -> None:
        """Take in what became of one history."""
        self.tried += 1
        if violations:
            self.found += 1
            self.shapes[shape(violations[0])] += 1
            if self.first is None:
                self.first, self.words = number, violations[0]

    def line(self) -> str:
        """Return a line of the table."""
        first = "-" if self.first is None else str(self.first)
        by = self.shapes.most_common(1)[0][0] if self.shapes else "NOT FOUND"
        return (
            f"{self.name:28} {first:>5}  {self.found:>4} of {self.tried:<5} {self.seconds:6.1f} s  {by[:110]}"
        )


HEAD = f"{'mutant':28} {'first':>5}  {'found in':13} {'time':>7}   by"


def shape(words: str) -> str:
    """Return the words of a violation without its particulars."""
    return _PARTICULARS.sub("…", words.splitlines()[0])


def run_planted(name: str, seed: int) -> Outcome | HpoPipeError:
    """Run the history of a seed with a planted fault; what the books at its end stumble over is a finding too."""
    with MUTANTS[name].how():
        try:
            return run_seed(seed)
        except HpoPipeError as error:
            return error


def hunt(name: str, seeds: Iterable[int], *, to_the_end: bool = True) -> Catch:
    """Run seeds with a planted fault; stop at the first finding unless `to_the_end`."""
    catch, began = Catch(name=name), time.perf_counter()
    for seed in seeds:
        found = run_planted(name, seed)
        catch.take(seed, (f"the books: {found}",) if isinstance(found, HpoPipeError) else found.violations)
        if catch.found and not to_the_end:
            break
    catch.seconds = time.perf_counter() - began
    return catch


def hunt_singly(name: str, stride: int, *, to_the_end: bool = False) -> Catch:
    """Do the same with single faults: every `stride`-th call of small studies x every fault."""
    catch, began = Catch(name=name), time.perf_counter()
    with MUTANTS[name].how():
        whats = singles(stride)
    for number, what in enumerate(whats):
        with MUTANTS[name].how():
            try:
                violations = run_single(what).violations
            except HpoPipeError as error:
                violations = (f"the books: {error}",)
        catch.take(number, violations)
        if catch.found and not to_the_end:
            break
    catch.seconds = time.perf_counter() - began
    return catch


def hunt_all(seeds: int, jobs: int) -> Iterator[Catch]:
    """Hunt every planted fault through the same seeds."""
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(hunt, MUTANTS, [range(seeds)] * len(MUTANTS))
