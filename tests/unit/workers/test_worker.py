"""The whole worker, with its threads, on a store in memory; only the trials are played."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage_schema.clock import SystemClock
from storage_schema.errors import UserError
from storage_schema.keys import SpecId
from storage_schema.records import Entry, LinkKind, Resume, Study
from tests.unit.workers.stage import FakeLauncher, FakeTrial, Script, Stage, issue, study, with_timing
from tests.waiting import wait_until
from workers.assembly import Plan, assemble
from workers.attempt import NotStartable
from workers.budget import PriceWanted, lasts_s
from workers.lease import Machine
from workers.loop import Ends, Pace
from workers.trial_process import Ended

Steps = Iterator[Ended | None]


class Company:
    """A worker in a thread, and what it said."""

    def __init__(
        self,
        folder: Path,
        script: Script,
        *,
        slots: int = 1,
        study: Study,
        grace_s: float | None = None,
        **ends: Any,
    ) -> None:
        self.stage = Stage(folder, clock=SystemClock(), study=study, grace_s=grace_s)
        self.launchers: list[FakeLauncher] = []
        self.ticks = 0
        plan = Plan(
            machine=Machine(name="w", host="w", pid=1, slots=slots, gpus=0),
            gpus=[()] * slots,
            scratch=folder,
            pace=Pace(first_s=0.01, most_s=0.05),
            ends=Ends(**ends),
        )

        def launcher() -> FakeLauncher:
            self.launchers.append(FakeLauncher(script, SystemClock()))
            return self.launchers[-1]

        self.worker = assemble(
            self.stage.world,
            study,
            plan,
            interruption=self.stage.interruption,
            make_launcher=launcher,
            start_coordinator=self._tick,
        )
        self.status: int | BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Company:
        self._thread.start()
        return self

    def end(self, timeout_s: float = 20.0) -> int | BaseException | None:
        self._thread.join(timeout_s)
        assert not self._thread.is_alive(), self.stage.said
        assert all(launcher.closed for launcher in self.launchers)
        return self.status

    def _run(self) -> None:
        try:
            self.status = self.worker.run()
        except BaseException as error:
            self.status = error

    def _tick(self) -> None:
        self.ticks += 1


QUICK = with_timing(study(), flush_s=0.1, lease_s=5.0, tick_s=0.05, grace_s=1.0)


def test_it_takes_all_that_is_open_and_ends_with_the_study(tmp_path: Path) -> None:
    company = Company(tmp_path, _at_once, slots=3, study=QUICK)
    stage = company.stage
    stage.publish(*(issue(trial) for trial in range(20)))
    company.start()
    wait_until(
        lambda: all(len(stage.chain(SpecId(0, place))) == 2 for place in range(20)), 20.0, "20 closed chains"
    )
    stage.finish(1)
    stage.offer(1, 0, 1, trials=[], finished=1)
    assert company.end() == 0
    assert all(stage.chain(SpecId(0, place))[-1].kind is LinkKind.DONE for place in range(20))
    heartbeats = [stage.read(key) for key in stage.keys("workers/")]
    assert len(heartbeats) == 1
    assert b'"slots":0' in heartbeats[0]


def test_a_finish_that_the_log_does_not_hold_is_not_believed(tmp_path: Path) -> None:
    company = Company(tmp_path, _at_once, study=QUICK, idle_timeout_s=0.5)
    company.stage.publish(issue())
    company.stage.offer(0, 1, 1, trials=[0], finished=0)
    assert company.start().end() == 0
    assert any("nothing to do for 0.5 s" in line for line in company.stage.said)
    assert company.stage.chain()[-1].kind is LinkKind.DONE


def test_drain_ends_when_nothing_is_claimable(tmp_path: Path) -> None:
    company = Company(tmp_path, _at_once, study=QUICK, drain=True, slots=2)
    company.stage.publish(*(issue(trial) for trial in range(5)))
    assert company.start().end() == 0
    assert all(len(company.stage.chain(SpecId(0, place))) == 2 for place in range(5))


def test_an_interruption_gives_everything_back_and_ends_with_75(tmp_path: Path) -> None:
    company = Company(tmp_path, _until_asked, slots=2, study=QUICK)
    stage = company.stage
    stage.publish(issue(0, to=9), issue(1, to=9), issue(2, to=9))
    company.start()
    wait_until(lambda: sum(len(x.trials) for x in company.launchers) == 2, 10.0, "two running trials")
    stage.interruption.request("SIGTERM")
    assert company.end() == 75
    kinds = [[link.kind for link in stage.chain(SpecId(0, place))] for place in range(3)]
    assert sorted(kinds, key=len) == [
        [],
        [LinkKind.CLAIM, LinkKind.RELEASE],
        [LinkKind.CLAIM, LinkKind.RELEASE],
    ]


def test_max_runtime_is_an_interruption(tmp_path: Path) -> None:
    company = Company(tmp_path, _until_asked, study=QUICK, max_runtime_s=0.3)
    company.stage.publish(issue(0, to=9))
    assert company.start().end() == 75
    assert company.stage.chain()[-1].kind is LinkKind.RELEASE


def test_spent_money_gives_back_what_is_held_and_nobody_is_to_try_again(tmp_path: Path) -> None:
    company = Company(tmp_path, _until_asked, study=QUICK, max_cost_s=0.3)
    company.stage.publish(issue(0, to=9))
    assert company.start().end() == 0
    assert company.stage.chain()[-1].kind is LinkKind.RELEASE


@pytest.mark.parametrize(("price", "lasts"), [("3600", 2.5), ("0.5", 18_000.0), ("0", None)])
def test_how_long_money_lasts(price: str, lasts: float | None) -> None:
    assert lasts_s(2.5, (("price_per_hour", price),)) == lasts
    assert lasts_s(None, ()) is None
    with pytest.raises(PriceWanted, match=r"--max-cost 2\.5, and nothing says"):
        lasts_s(2.5, (("instance_type", "g5.xlarge"),))


def test_a_finished_study_stops_what_still_runs(tmp_path: Path) -> None:
    slow = with_timing(QUICK, flush_s=60.0, lease_s=240.0)
    company = Company(tmp_path, _until_asked, study=slow)
    stage = company.stage
    stage.publish(issue(0, to=9))
    company.start()
    wait_until(lambda: company.launchers[0].trials, 10.0, "a running trial")
    stage.finish(1)
    stage.link(2, LinkKind.STOP, author="c-other-1", reason="the study has ended")
    stage.offer(1, 0, 1, trials=[], finished=1)
    assert company.end() == 0
    assert company.launchers[0].trials[0].asked == ["stop"]


def test_a_program_that_cannot_be_started_gives_the_spec_back_and_ends_the_worker(tmp_path: Path) -> None:
    company = Company(tmp_path, _at_once, study=QUICK)
    company.stage.publish(issue())

    def refuse(*args: object) -> FakeTrial:
        raise UserError("command not found: 'pythn'")

    company.launchers[0].start = refuse  # type: ignore[method-assign]
    status = company.start().end()
    assert isinstance(status, NotStartable)
    assert "pythn" in str(status)
    assert company.stage.chain()[-1].kind is LinkKind.RELEASE


def test_a_damaged_log_entry_ends_the_worker_and_is_named(tmp_path: Path) -> None:
    company = Company(tmp_path, _at_once, study=QUICK)
    company.stage.publish(issue())
    company.stage.store.inner.replace("log/00000000.json", b"{}")
    status = company.start().end()
    assert isinstance(status, Exception)
    assert "log/00000000.json" in str(status)


def test_a_stale_board_starts_a_coordinator(tmp_path: Path) -> None:
    company = Company(tmp_path, _at_once, study=QUICK).start()
    wait_until(lambda: company.ticks, 10.0, "a tick of a coordinator")
    company.stage.interruption.request("SIGTERM")
    assert company.end() == 75


def test_a_paused_study_that_a_user_resumed_is_ticked_by_its_worker(tmp_path: Path) -> None:
    company = Company(tmp_path, _at_once, study=QUICK)
    company.stage.publish(issue(0), paused=True)
    company.start()
    wait_until(lambda: company.stage.store.calls.count(("get", "log/00000001.json")) > 20, 10.0, "some looks")
    assert not company.ticks, "a study that is paused needs nobody to decide"
    resume = Entry(entry=1, token="r", author="user", facts=None, decisions=(Resume(reason="user"),))
    company.stage.store.inner.create("log/00000001.json", resume.to_bytes())
    wait_until(lambda: company.ticks, 10.0, "a tick of a coordinator")
    company.stage.interruption.request("SIGTERM")
    assert company.end() == 75


def test_the_first_tick_of_a_study_is_not_waited_for(tmp_path: Path) -> None:
    slow = with_timing(QUICK, tick_s=600.0)
    company = Company(tmp_path, _at_once, study=slow).start()
    wait_until(lambda: company.ticks, 10.0, "a tick of a coordinator")
    company.stage.interruption.request("SIGTERM")
    assert company.end() == 75


def test_a_store_that_is_away_is_waited_for(tmp_path: Path) -> None:
    company = Company(tmp_path, _at_once, study=QUICK)
    store = company.stage.store
    store.down = True
    company.start()
    wait_until(lambda: len(store.calls) > 4, 10.0, "several tries")
    store.down = False
    company.stage.publish(issue())
    wait_until(lambda: len(company.stage.chain()) == 2, 20.0, "a closed chain")
    company.stage.interruption.request("SIGTERM")
    assert company.end() == 75


def _at_once(trial: FakeTrial) -> Steps:
    for epoch in (1, 2, 3):
        trial.report(epoch, loss=1 / epoch)
    yield Ended(status=0, signal=None, reason="finished")


def _until_asked(trial: FakeTrial) -> Steps:
    while not trial.asked:
        yield None
    yield Ended(status=75, signal=None, reason="interrupted")
