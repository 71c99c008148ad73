"""Looking for a planted fault, seed by seed, or fault by fault."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from tests.simulation.history import run_seed
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
    """Of processor time."""

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


def hunt(name: str, count: int | None = None, *, to_the_end: bool = True) -> Catch:
    """Run seeds with a planted fault, `count` of those that may find it; stop at the first finding unless `to_the_end`.

    The fault is planted anew for each history, so that what it remembers is forgotten, and a seed stays one history.
    """
    catch, began = Catch(name=name), time.process_time()
    for seed in MUTANTS[name].candidates(count):
        with MUTANTS[name].how():
            catch.take(seed, run_seed(seed).violations)
        if catch.found and not to_the_end:
            break
    catch.seconds = time.process_time() - began
    return catch


def hunt_singly(name: str, stride: int, *, to_the_end: bool = True) -> Catch:
    """Do the same with single faults: every `stride`-th call of small studies x every fault."""
    catch, began = Catch(name=name), time.process_time()
    with MUTANTS[name].how():
        whats = singles(stride)
    for number, what in enumerate(whats):
        with MUTANTS[name].how():
            catch.take(number, run_single(what).violations)
        if catch.found and not to_the_end:
            break
    catch.seconds = time.process_time() - began
    return catch


def hunt_all(
    names: Iterable[str], count: int | None, *, jobs: int, stride: int = 0, to_the_end: bool = True
) -> Iterator[Catch]:
    """Hunt planted faults through `count` seeds each, or with a `stride` through single faults."""
    names = list(names)
    one = partial(hunt_singly, stride=stride) if stride else partial(hunt, count=count)
    if jobs <= 1 or len(names) == 1:
        yield from (one(name, to_the_end=to_the_end) for name in names)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(partial(one, to_the_end=to_the_end), names)
