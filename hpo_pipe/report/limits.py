"""How much of each limit of a study is used, and what its budget leaves out."""

from __future__ import annotations

from dataclasses import dataclass

from hpo_pipe.advance import idle
from hpo_pipe.report.state import StudyState
from hpo_pipe.report.words import counted, duration, number, percent


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitUse:
    """How much of one limit is used."""

    name: str
    used: float
    limit: float
    text: str

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return min(1.0, self.used / self.limit) if self.limit > 0 else 1.0


def limit_uses(state: StudyState) -> list[LimitUse]:
    """Return the limits that are set and how much of each is used; a target is not among them."""
    limits, history = state.history.limits, state.history
    unit = state.study.resource.name if state.study.resource else "run"
    found = (
        ("trials", len(history.trials), limits.trials, ""),
        ("total_resource", history.issued_resource, limits.total_resource, f" {unit}s"),
        ("wall_s", state.elapsed_s, limits.wall_s, ""),
        ("gpu_hours", history.gpu_s / 3600, limits.gpu_hours, " GPU hours"),
        ("cost", history.spent, limits.cost, " dollars"),
        ("not_improving", idle(history), limits.not_improving, " trials"),
    )
    return [_limit_use(name, used, limit, unit) for name, used, limit, unit in found if limit is not None]


def _limit_use(name: str, used: float, limit: float, unit: str) -> LimitUse:
    say = duration if name == "wall_s" else number
    text = f"{say(round(used, 2))} of {say(limit)}{unit} ({percent(used, limit)})"
    return LimitUse(name=name, used=used, limit=limit, text=text)


def uncounted(state: StudyState) -> str:
    """Return what the study's budget does not count, or an empty string where there is none, or nothing is left out."""
    history = state.history
    if history.limits.cost is None or not history.unpriced:
        return ""
    return f"the budget leaves out {counted(history.unpriced, 'attempt')} whose cost is not known: no price was given"
