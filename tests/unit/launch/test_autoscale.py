"""Rounds beside a coordinator: what fails is said once, and the next round is made all the same."""

from __future__ import annotations

import pytest

from hpo_pipe.launch.autoscale import PAUSE_S, QUICK_S, Autoscaler, autoscaling
from hpo_pipe.launch.reconcile import Reconciler, Round
from storage_schema.clock import SystemClock
from storage_schema.errors import StoreUnavailable
from tests.unit.launch.test_reconcile import Scene, stop
from tests.waiting import wait_until


class Failing(Reconciler):
    """A reconciler whose target has a bad day."""

    error: Exception | None = None

    def run(self) -> Round:
        if self.error is not None:
            raise self.error
        return super().run()


@pytest.fixture
def failing(request: pytest.FixtureRequest) -> Failing:
    made = Scene(request.node.name).reconciler()
    return Failing(made._desk, made._look, made._find, made._bounds)


def test_what_is_new_is_said_once(failing: Failing) -> None:
    said: list[str] = []
    scaler = Autoscaler(failing, SystemClock(), said.append)
    assert scaler.round() == QUICK_S
    assert [scaler.round() for _ in range(3)] == [PAUSE_S] * 3
    waiting = "autoscale: wanted 8, alive 8, of them 8 waiting for a machine"
    assert said == ["autoscale: wanted 8, alive 0, 8 started", waiting]


@pytest.mark.parametrize("error", [StoreUnavailable("no route"), KeyError("a target's own mistake")])
def test_a_failure_ends_nothing(failing: Failing, error: Exception) -> None:
    said: list[str] = []
    scaler = Autoscaler(failing, SystemClock(), said.append)
    failing.error = error
    assert [scaler.round(), scaler.round()] == [PAUSE_S, PAUSE_S]
    failing.error = None
    assert scaler.round() == QUICK_S
    assert len(said) == 2 and str(error.args[0]) in said[0]


@pytest.mark.parametrize("once", [True, False])
def test_a_last_round_is_made_behind_the_coordinator(request: pytest.FixtureRequest, once: bool) -> None:
    scene, said = Scene(request.node.name), list[str]()
    with autoscaling(Autoscaler(scene.reconciler(), SystemClock(), said.append), once=once):
        if not once:
            wait_until(lambda: said, 10, "a round in its thread")
        assert len(said) == (0 if once else 1)
        stop(scene)
    assert said[-1].startswith("autoscale: wanted 0")
    assert not scene.cloud.alive()
