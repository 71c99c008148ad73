"""No early stopping: every trial trains to the greatest resource."""

from __future__ import annotations

from dataclasses import dataclass

from hpo_pipe.view import Move, Sample, View


class FullTraining:
    """Registered as ``none``."""

    needs_resource = False

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        """None."""

    def __init__(self, options: Options) -> None:
        pass

    def next_move(self, view: View) -> Move | None:
        """Return a new trial, always."""
        top = len(view.history.rungs) - 1
        return Sample(bracket=0, rung=top, reason="trained to the end; no trial is stopped early")

    def next_promotion(self, view: View) -> Move | None:
        """Return None: no trial ever waits."""
        return None
