"""Hyperband and successive halving, synchronous: Li et al., JMLR 18(185), 2018, arXiv:1603.06560, Algorithm 1.

Brackets are run in the order s = s_max, ..., 0, again and again. A worker that finds no work in the brackets that are
under way begins the next one, so that nobody waits at a rung's end for the slowest member.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from hpo_pipe.following import following
from hpo_pipe.options import Refused, option
from hpo_pipe.ranking import bracket_figures
from hpo_pipe.schedulers.brackets import Members, Shape, Stage, stages
from hpo_pipe.view import Done, Move, Promote, Sample, View


@lru_cache(maxsize=64)
def hyperband_shapes(rungs: int, eta: int) -> tuple[Shape, ...]:
    """Return the brackets s = s_max, ..., 0 over so many rungs.

    n = ceil((s_max + 1) / (s + 1) * eta**s), in integers, as in Algorithm 1; the paper's Table 1 rounds down before
    it multiplies and so has 27, 9, 6 where this has 34, 15, 8 (R = 81, eta = 3).
    """
    top = rungs - 1
    return tuple(
        Shape(first=top - s, size=-(-(top + 1) * eta**s // (s + 1)), eta=eta) for s in range(top, -1, -1)
    )


class SynchronousHalving:
    """Fills brackets of given shapes, each bracket's rungs one after another."""

    def __init__(self, shape: Callable[[int, int], Shape], last: int | None = None) -> None:
        """Take `shape(rungs, bracket)` for bracket 0, 1, ..., the last one being `last`."""
        self._shape = shape
        self._last = last

    def next_move(self, view: View) -> Move | None:
        """Return the next promotion or new trial of the oldest bracket that has one."""
        members = following(view, Members)
        for bracket in members.live():
            if self._last is not None and bracket > self._last:
                break
            shape = self._shape(len(view.history.rungs), bracket)
            inside = members.of(bracket)
            if len(inside) < shape.size:
                return self._sample(view, bracket, shape, len(inside))
            if (move := self._in_bracket(view, members, bracket, shape)) is not None:
                return move
        return self._end(view, members)

    def next_promotion(self, view: View) -> Move | None:
        """Return the next promotion. A bracket that cannot be filled any more goes on with what it has."""
        members = following(view, Members)
        for bracket in members.live():
            shape = self._shape(len(view.history.rungs), bracket)
            inside = members.of(bracket)
            if inside and len(inside) < shape.size:
                shape = Shape(first=shape.first, size=len(inside), eta=shape.eta)
            if inside and (move := self._in_bracket(view, members, bracket, shape)) is not None:
                return move
        return None

    def _in_bracket(self, view: View, members: Members, bracket: int, shape: Shape) -> Promote | None:
        inside = members.of(bracket)
        if members.resting(bracket, shape.size):
            return None
        for stage in stages(view, shape, inside):
            if not stage.complete:
                members.rest(bracket, shape.size)
                return None
            move = self._promotion(view, bracket, stage)
            if move is not None:
                return move
        if len(inside) == self._shape(len(view.history.rungs), bracket).size:
            members.end(bracket)  # one that is not full may be filled after all: a user can raise the limits
        return None

    def _promotion(self, view: View, bracket: int, stage: Stage) -> Promote | None:
        if stage.rung + 1 == len(view.history.rungs):
            return None
        rung = view.history.rungs[stage.rung]
        for place, (_, trial) in enumerate(stage.survivors()):
            waiting = trial not in rung.promoted and not view.history.trials[trial].stopped
            if waiting and not view.history.trials[trial].open:
                return Promote(
                    trial=trial, rung=stage.rung + 1, reason=self._why(view, bracket, stage, place, trial)
                )
        return None

    def _why(self, view: View, bracket: int, stage: Stage, place: int, trial: int) -> str:
        level = view.history.rungs[stage.rung].level
        unit = view.study.resource.name if view.study.resource else "step"
        return (
            f"rank {place + 1} of {len(stage.members)} in bracket {bracket} at {unit} {level}, "
            f"{bracket_figures(view, stage.rung, trial)}; the rung is complete and the best "
            f"{stage.kept} {'is' if stage.kept == 1 else 'are'} promoted"
        )

    def _sample(self, view: View, bracket: int, shape: Shape, place: int) -> Sample:
        unit = view.study.resource.name if view.study.resource else "step"
        level = view.history.rungs[shape.first].level
        return Sample(
            bracket=bracket,
            rung=shape.first,
            reason=f"trial {place + 1} of {shape.size} in bracket {bracket}, which starts with {unit} {level}",
        )

    def _end(self, view: View, members: Members) -> Done | None:
        if self._last is None or any(bracket <= self._last for bracket in members.live()):
            return None
        return Done(reason=f"all {self._last + 1} brackets are complete")


class HyperbandScheduler(SynchronousHalving):
    """Registered as ``hyperband``. With the searcher ``kde`` it is BOHB."""

    needs_resource = True

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """Of the paper: eta."""

        eta: int = option(3, low=2, high=1000)
        rounds: int | None = option(None, low=1, high=1_000_000)
        """How often all brackets are run; without it, until a limit ends the study."""

    def __init__(self, options: Options) -> None:
        self._eta = options.eta
        self._rounds = options.rounds
        super().__init__(self._hyperband)

    def next_move(self, view: View) -> Move | None:
        """Return the next move; where rounds are limited, Done after the last one."""
        if self._rounds is not None:
            self._last = self._rounds * len(view.history.rungs) - 1
        return super().next_move(view)

    def _hyperband(self, rungs: int, bracket: int) -> Shape:
        shapes = hyperband_shapes(rungs, self._eta)
        return shapes[bracket % len(shapes)]


class SuccessiveHalvingScheduler(SynchronousHalving):
    """Registered as ``successive_halving``: one bracket shape, from the first rung, again and again."""

    needs_resource = True

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """Of the algorithm: n and eta."""

        eta: int = option(3, low=2, high=1000)
        size: int | None = option(None, low=1, high=1_000_000)
        """Trials of a bracket; eta**s_max, so that one of them reaches the top."""
        rounds: int | None = option(None, low=1, high=1_000_000)
        """How many brackets are run; without it, until a limit ends the study."""

    def __init__(self, options: Options) -> None:
        self._eta = options.eta
        self._size = options.size
        super().__init__(self._bracket, None if options.rounds is None else options.rounds - 1)

    @staticmethod
    def check(options: Options, rungs: tuple[int, ...]) -> None:
        """Raise Refused where no member of a bracket could reach the top."""
        least = options.eta ** (len(rungs) - 1)
        if options.size is not None and options.size < least:
            allowed = f"at least {least} (eta ** {len(rungs) - 1}), so that a trial reaches the last rung"
            raise Refused("size", options.size, allowed)

    def _bracket(self, rungs: int, bracket: int) -> Shape:
        return Shape(first=0, size=self._size or self._eta ** (rungs - 1), eta=self._eta)
