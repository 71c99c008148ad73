"""`decide`: limits, queue, what is taken up again, and the reasons it gives."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpo_pipe.conformance import picture, toy_study
from hpo_pipe.decide import MAX_DECISIONS, decide
from hpo_pipe.replay import replay
from hpo_pipe.schedulers import SCHEDULERS
from hpo_pipe.view import View
from storage_schema.errors import StudyFileError
from storage_schema.history import History
from storage_schema.keys import CheckpointId, SpecId, manifest_key
from storage_schema.records import (
    CheckpointRef,
    Enqueue,
    Entry,
    Facts,
    Finish,
    Issue,
    Limits,
    Pause,
    Resume,
    RetryTrial,
    SetLimits,
    SettledSpec,
)


class Coordinator:
    """A study that is decided on step by step."""

    def __init__(self, study):
        self.view = View.of(History(study))
        self.log = []

    @property
    def history(self):
        return self.view.history

    def tick(self, demand=2, settled=(), now=0.0, open_cost=0.0):
        facts = Facts(now=now, demand=demand, settled=tuple(settled), open_cost=open_cost)
        before = picture(self.history)
        decisions = decide(self.view, facts)
        assert picture(self.history) == before
        self._append("coordinator", facts, decisions)
        return decisions

    def user(self, *decisions):
        self._append("user", None, decisions)

    def _append(self, author, facts, decisions):
        entry = Entry(entry=len(self.log), token="t", author=author, facts=facts, decisions=decisions)
        self.log.append(Entry.from_bytes(entry.to_bytes(), entry.entry))
        self.history.fold(self.log[-1])

    def done(self, trial, value=0.5, checkpoint=None, **more):
        spec = self.history.trials[trial].last
        curve = ((spec.issue.to, value),)
        return SettledSpec(
            spec=spec.id, link=2, outcome="done", curves={"loss": curve}, checkpoint=checkpoint, **more
        )

    def ended(self, trial, outcome, **more):
        return SettledSpec(spec=self.history.trials[trial].last.id, link=2, outcome=outcome, **more)


def checkpoint(trial, resource):
    key = manifest_key(CheckpointId(trial, resource, SpecId(0, 0), 1))
    return CheckpointRef(key=key, sha256="0" * 64, resource=resource)


def full_training(**more):
    return toy_study(scheduler={"name": "none"}, **more)


def test_fills_up_to_the_demand_and_no_further():
    study = Coordinator(full_training())
    assert [d.trial for d in study.tick(demand=3)] == [0, 1, 2]
    assert study.tick(demand=3) == ()
    assert [d.trial for d in study.tick(demand=5)] == [3, 4]
    assert study.tick(demand=0) == ()


def test_an_entry_holds_a_thousand_issues_at_most():
    study = Coordinator(full_training(limits=Limits(trials=3000)))
    assert len(study.tick(demand=2500)) == MAX_DECISIONS == 1000
    assert str(study.history.trials[-1].last.id) == "00000000-999"
    assert len(study.tick(demand=2500)) == 1000


def test_ends_after_the_last_trial_and_not_before():
    study = Coordinator(full_training(limits=Limits(trials=2)))
    study.tick(demand=4)
    assert study.tick(demand=4, settled=[study.done(0)]) == ()
    (finish,) = study.tick(demand=0, settled=[study.done(1)])  # no worker is left: it ends all the same
    assert finish == Finish(reason="the limit of 2 trials was reached, and none of them is to train further")
    assert study.tick(demand=4) == ()


def test_does_not_end_for_want_of_workers():
    study = Coordinator(full_training(limits=Limits(trials=2)))
    assert study.tick(demand=0) == ()


def test_total_resource_is_never_exceeded():
    study = Coordinator(full_training(limits=Limits(total_resource=20)))
    assert len(study.tick(demand=5)) == 2
    (finish,) = study.tick(settled=[study.done(0), study.done(1)])
    assert finish.reason == "18 of 20 epochs were given out, and the next step needs more"


def test_target():
    study = Coordinator(full_training(limits=Limits(target=0.1)))
    study.tick()
    assert study.tick(settled=[study.done(0, 0.2)]) != ()
    (finish,) = study.tick(settled=[study.done(1, 0.1)])
    assert finish.reason == "the target 0.1 of loss was reached: trial 1 reported 0.1 at 9"


def test_target_when_maximising():
    study = Coordinator(full_training(limits=Limits(target=0.9), goal="maximize"))
    study.tick()
    assert not isinstance(study.tick(settled=[study.done(0, 0.8)])[0], Finish)
    assert isinstance(study.tick(settled=[study.done(1, 0.95)])[0], Finish)


def test_wall_time_counts_from_the_first_entry():
    study = Coordinator(full_training(limits=Limits(wall_s=60)))
    study.tick(now=1000.0)
    assert study.tick(now=1059.0) == ()
    assert study.tick(now=1060.0) == (Finish(reason="the wall-time limit of 60 s was reached"),)


def test_gpu_hours():
    study = Coordinator(full_training(limits=Limits(gpu_hours=1)))
    study.tick()
    assert study.tick(settled=[study.done(0, gpu_s=3599.0)], demand=1) == ()
    assert isinstance(study.tick(settled=[study.done(1, gpu_s=1.0)])[0], Finish)


def test_a_budget_counts_what_is_settled_and_what_is_open():
    study = Coordinator(full_training(limits=Limits(cost=2)))
    study.tick()
    assert study.tick(settled=[study.done(0, cost=1.25, priced=1)], demand=1, open_cost=0.74) == ()
    (finish,) = study.tick(open_cost=0.75)
    assert finish.reason == "the budget of $2.00 was reached: training has cost $2.00"
    assert study.history.spent == 2.0
    assert study.history.unpriced == 0
    assert list(replay(study.history.study, study.log)) == []


def test_a_budget_is_not_reached_by_what_has_no_price_and_a_raised_one_opens_the_study():
    study = Coordinator(full_training(limits=Limits(cost=2)))
    study.tick()
    assert study.tick(settled=[study.done(0, wall_s=1e6, gpu_s=1e6)], demand=1) == ()
    assert study.history.unpriced == 1
    (finish,) = study.tick(settled=[study.done(1, cost=3.0, priced=1)])
    assert finish.reason == "the budget of $2.00 was reached: training has cost $3.00"
    study.user(SetLimits(limits=Limits(cost=3.5), reason="a user's"))
    assert len(study.tick()) == 2
    assert isinstance(study.tick(open_cost=0.5)[0], Finish)
    assert list(replay(study.history.study, study.log)) == []


def test_a_paused_study_decides_nothing_but_its_end():
    study = Coordinator(full_training(limits=Limits(wall_s=60)))
    study.user(Pause(reason="a user's"))
    assert study.tick() == ()
    assert isinstance(study.tick(now=60.0)[0], Finish)
    study.user(SetLimits(limits=Limits(), reason="a user's"), Resume(reason="a user's"))
    assert len(study.tick(now=61.0)) == 2


def test_enqueued_configurations_come_first_and_are_completed():
    study = Coordinator(full_training())
    study.user(Enqueue(parameters={"lr": 0.05, "layers": 2}, reason="a user's"))
    complete = {"lr": 0.001, "layers": 3, "size": 32, "activation": "relu"}
    study.user(Enqueue(parameters=complete, reason="a user's"))
    first, second, third = study.tick(demand=3)
    assert (first.parameters["lr"], first.parameters["layers"], first.parameters["momentum"]) == (
        0.05,
        2,
        0.9,
    )
    assert first.origin == second.origin == "enqueued"
    assert first.reason.startswith("enqueued by a user; the searcher chose size, activation; ")
    assert second.parameters == {**complete, "momentum": 0.9}
    assert third.origin == "sobol"
    assert study.history.queue == []


def test_a_queue_entry_that_makes_no_sense_never_breaks_a_tick():
    study = Coordinator(full_training())
    study.user(Enqueue(parameters={"lr": 5, "nonsense": [1], "layers": 2}, reason="a user's"))
    issue, following = study.tick()
    assert issue.parameters["layers"] == 2
    assert "lr is 5" in issue.reason and "nonsense is not known" in issue.reason
    study.view.space.check(issue.parameters)
    assert following.origin == "sobol"
    assert study.history.queue == []


def test_enqueued_ones_run_in_a_space_that_the_searcher_has_exhausted():
    space = ({"name": "layers", "type": "int", "min": 1, "max": 2},)
    study = Coordinator(full_training(space=space, limits=Limits()))
    assert len(study.tick(demand=5)) == 2
    study.user(
        Enqueue(parameters={"layers": 1}, reason="a user's"), Enqueue(parameters={}, reason="a user's")
    )
    assert [d.origin for d in study.tick(demand=5)] == ["enqueued", "enqueued"]
    ended = [study.done(t) for t in range(4)]
    (finish,) = study.tick(settled=ended)
    assert finish.reason == "every configuration has been tried: 4 trials"


def test_promotions_start_at_the_newest_checkpoint_that_leaves_work():
    study = Coordinator(toy_study(limits=Limits(trials=3)))
    study.tick(demand=3)
    settled = [study.done(0, 0.1, checkpoint(0, 1)), study.done(1, 0.2), study.done(2, 0.3)]
    (promotion,) = study.tick(demand=3, settled=settled)
    assert (promotion.trial, promotion.start, promotion.to, promotion.rung) == (0, 1, 3, 1)
    assert promotion.checkpoint == checkpoint(0, 1)
    assert study.history.issued_resource == 3 * 1 + 2


def test_promotion_without_a_checkpoint_starts_from_nothing():
    study = Coordinator(toy_study(limits=Limits(trials=3)))
    study.tick(demand=3)
    (promotion,) = study.tick(demand=3, settled=[study.done(t, 0.1 + t) for t in range(3)])
    assert (promotion.start, promotion.to, promotion.checkpoint) == (0, 3, None)


def test_a_checkpoint_beyond_the_target_is_not_a_start():
    study = Coordinator(toy_study(limits=Limits(trials=3)))
    study.tick(demand=3)
    settled = [study.done(0, 0.1, checkpoint(0, 3)), study.done(1, 0.2), study.done(2, 0.3)]
    (promotion,) = study.tick(demand=3, settled=settled)
    assert (promotion.start, promotion.checkpoint) == (0, None)


def test_interrupted_trials_are_taken_up_when_a_study_is_reopened():
    study = Coordinator(full_training(limits=Limits(trials=3, wall_s=10)))
    study.tick(demand=2)
    study.tick(now=20.0)
    study.tick(
        now=21.0, settled=[study.ended(0, "stop", checkpoint=checkpoint(0, 4)), study.ended(1, "stop")]
    )
    assert study.history.closed
    study.user(SetLimits(limits=Limits(trials=3), reason="a user's"))
    first, second, third = study.tick(demand=3, now=22.0)
    assert (first.trial, first.start, first.to, first.reason) == (0, 4, 9, "taken up again from 4")
    assert (second.trial, second.start, second.reason) == (1, 0, "taken up again from the beginning")
    assert third.trial == 2


def test_retried_trials_go_on_from_their_checkpoint():
    study = Coordinator(full_training(limits=Limits(trials=1)))
    study.tick()
    assert isinstance(study.tick(settled=[study.ended(0, "fail", checkpoint=checkpoint(0, 5))])[0], Finish)
    study.user(RetryTrial(trial=0, reason="a user's"))
    (again,) = study.tick()
    assert (again.trial, again.start, again.to, again.rung) == (0, 5, 9, 2)


def test_without_a_resource_each_trial_is_one_run():
    study = Coordinator(replace(full_training(limits=Limits(trials=1)), resource=None))
    (issue,) = study.tick()
    assert (issue.start, issue.to, issue.rung) == (0, 1, 0)
    study.tick(
        settled=[SettledSpec(spec=SpecId(0, 0), link=2, outcome="done", curves={"loss": ((70, 0.25),)})]
    )
    assert study.history.best().number == 0
    assert study.history.state(study.history.trials[0]) == "COMPLETE"


def test_replay_names_the_entry_that_was_tampered_with():
    study = Coordinator(toy_study(limits=Limits(trials=5)))
    study.tick(demand=3)
    study.user(Enqueue(parameters={"layers": 1}, reason="a user's"))
    study.tick(settled=[study.done(0), study.done(1), study.done(2)])
    assert list(replay(study.view.study, study.log)) == []
    issue = study.log[0].decisions[1]
    assert isinstance(issue, Issue)
    tampered = replace(issue, parameters={**issue.parameters, "layers": 99})
    forged = replace(study.log[0], decisions=(study.log[0].decisions[0], tampered, study.log[0].decisions[2]))
    (mismatch,) = replay(study.view.study, [forged, *study.log[1:]])
    assert mismatch.entry == 0
    assert mismatch.recorded[1] == tampered
    assert mismatch.expected[1] == issue


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"scheduler": {"name": "ahsa"}},
            f"scheduler.name is 'ahsa', expected {' or '.join(sorted(SCHEDULERS))} (did you mean 'asha'?)",
        ),
        ({"scheduler": {"name": "asha", "etta": 3}}, "scheduler.etta is not known (did you mean 'eta'?)"),
        ({"scheduler": {"name": "asha", "eta": 1}}, "scheduler.eta is 1, expected an integer from 2 to 1000"),
        ({"searcher": {"name": "grid", "shuffle": 1}}, "searcher.shuffle is 1, expected true or false"),
        ({"searcher": {}}, "searcher has no name"),
    ],
)
def test_a_study_of_unknown_algorithms_is_refused(change, message):
    study = replace(toy_study(), **change)
    with pytest.raises(StudyFileError, match=r"study\.json: .*") as caught:
        decide(View.of(History(study)), Facts(now=0.0, demand=1))
    assert message in str(caught.value)


def test_constraints_of_a_later_version_are_refused():
    study = replace(toy_study(), constraints={"linear": [{"lr": 1}]})
    with pytest.raises(StudyFileError, match=r"constraints\.linear is not known"):
        View.of(History(study))
