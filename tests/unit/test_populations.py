"""Populations at their edges: options, limits, failures, lost checkpoints, and what users do to members."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpo_pipe.conformance import simulated, toy_objective, toy_study
from hpo_pipe.decide import decide
from hpo_pipe.models.time_varying import TimeVarying, time_varying
from hpo_pipe.ranking import best_trial
from hpo_pipe.report.lineage import schedule_lines, schedule_of
from hpo_pipe.schedulers.exploring import explored
from hpo_pipe.study_file import read_study_mapping
from hpo_pipe.toy_world import next_entry
from hpo_pipe.view import View
from storage_schema.errors import Contradiction, StudyFileError
from storage_schema.history import History
from storage_schema.records import Entry, Facts, Finish, Issue, Limits, Resume, SettledSpec, StopTrial


def population(name="pbt", **options):
    limits = options.pop("limits", Limits())
    scheduler = {"name": name, "population_size": 4, "interval": 3, **options}
    return toy_study(scheduler=scheduler, searcher={"name": "random"}, top=9, limits=limits)


def drafted(resource=None, **algorithm):
    return read_study_mapping(
        {
            "command": ["true"],
            "metric": {"name": "loss"},
            "parameters": {"lr": {"type": "float", "min": 0.0, "max": 1.0}},
            "resource": {"name": "epoch", "max": 90, **(resource or {})},
            "algorithm": {"scheduler": "pbt", **algorithm},
        }
    )


def ended(study, objective=toy_objective, **world):
    """The history of a whole study, and its entries."""
    entries = []
    for moment in simulated(study, objective, **world):
        entries.append(moment.entry)
        history = moment.view.history
    return history, entries


def until_first_clone(study, objective=toy_objective):
    """The history just after the first clone was issued, and that issue."""
    for moment in simulated(study, objective):
        clones = [d for d in moment.entry.decisions if isinstance(d, Issue) and d.parent is not None]
        if clones:
            history = moment.history()
            history.fold(moment.entry)
            return history, clones[0]
    raise AssertionError("nothing was cloned")


def say(history, *decisions):
    """Fold a user's entry."""
    history.fold(Entry(entry=history.head + 1, token="u", author="user", facts=None, decisions=decisions))


# what a study file says


def test_levels_are_multiples_of_the_interval_and_the_end():
    assert drafted(interval=20).resource.rungs == (20, 40, 60, 80, 90)
    assert drafted().resource.rungs == tuple(range(9, 91, 9))
    assert drafted({"min": 25}, interval=10).resource.rungs == (30, 40, 50, 60, 70, 80, 90)


def test_checkpoints_are_kept_and_no_limit_is_needed():
    draft = drafted()
    assert (draft.keep_checkpoints, draft.limits) == ("all", Limits())
    asha = drafted(scheduler="asha")
    assert asha.keep_checkpoints == "newest"


@pytest.mark.parametrize(
    ("options", "resource", "message"),
    [
        ({"interval": 1}, {"max": 1000}, "interval is 1, expected at least 2: 500 generations at most"),
        ({"interval": 1}, {"max": 10**9}, "500 generations at most"),
        ({"interval": 90}, {}, "interval is 90, expected less"),
        ({"interval": 50}, {"min": 60}, "interval is 50, expected less"),
        ({"perturbation_factors": [1.2, 1.5]}, {}, "one from above 1"),
        ({"perturbation_factors": [0.5]}, {}, "one from above 1"),
        ({"population_size": 1}, {}, "population_size is 1"),
        ({"quantile_fraction": 0.6}, {}, "quantile_fraction is 0.6"),
    ],
)
def test_options_that_are_refused(options, resource, message):
    with pytest.raises(StudyFileError, match=message):
        drafted(resource, **options)


# limits and failures


def test_at_the_limit_on_trials_members_go_on_as_they_are():
    history, entries = ended(population(limits=Limits(trials=4)))
    assert len(history.trials) == 4
    assert {history.state(trial) for trial in history.trials} == {"COMPLETE"}
    reasons = " ".join(d.reason for e in entries for d in e.decisions)
    assert "the limit on trials is reached" in reasons


def test_a_population_of_failures_ends_and_says_so():
    history, _ = ended(population(), lambda p, r: None)
    assert history.finished.startswith("0 of 4 members of the population have trained to epoch 9")
    assert len(history.trials) == 4


def test_a_training_without_checkpoints_is_never_cloned():
    study = replace(population(), keep_checkpoints="newest")  # the toy world then leaves none
    history, entries = ended(study)
    assert len(history.trials) == 4
    assert "no better one has left a checkpoint" in " ".join(d.reason for e in entries for d in e.decisions)


def test_a_small_space_makes_a_small_population_that_still_clones():
    study = replace(
        population(population_size=10),
        space=({"name": "lr", "type": "ordinal", "values": [0.1, 0.01, 0.001, 1.0]},),
    )
    history, _ = ended(study, lambda p, r: p["lr"] + 1 / r)
    assert len({trial.bracket for trial in history.trials}) == 4
    assert any(trial.parent is not None for trial in history.trials)
    assert history.finished.startswith("all 4 members")


def test_a_resource_limit_counts_what_clones_train_and_no_more():
    history, entries = ended(population(limits=Limits(total_resource=20)))
    issues = [d for e in entries for d in e.decisions if isinstance(d, Issue)]
    assert history.issued_resource == sum(i.to - i.start for i in issues) <= 20
    assert any(i.parent is not None and i.to - i.start == 3 for i in issues)


# checkpoints


def test_a_source_that_saved_late_is_cloned_from_its_older_checkpoint():
    _, entries = ended(study := population())
    history = History(study)
    for entry in entries:
        facts = replace(entry.facts, settled=tuple(saved_late(s) for s in entry.facts.settled))
        decisions = decide(View.of(history), facts)
        clones = [d for d in decisions if isinstance(d, Issue) and d.parent is not None]
        if clones:
            assert {(clone.start, clone.checkpoint.resource, clone.to) for clone in clones} == {(2, 2, 6)}
            return
        history.fold(next_entry(entry.entry, facts, decisions))
    raise AssertionError("nothing was cloned")


def saved_late(settled):
    return replace(settled, checkpoint=replace(settled.checkpoint, resource=settled.resource - 1))


def test_a_clone_that_was_stopped_with_the_study_is_taken_up_at_its_parents_checkpoint():
    history, clone = until_first_clone(population())
    spec = history.trials[clone.trial].last.id
    say(history, Finish(reason="enough"))
    stopped = Facts(now=99.0, demand=8, settled=(SettledSpec(spec=spec, link=1, outcome="stop"),))
    history.fold(next_entry(history.head + 1, stopped, ()))
    say(history, Resume(reason="on"))
    again = decide(View.of(history), Facts(now=99.0, demand=8))
    taken_up = next(d for d in again if isinstance(d, Issue) and d.trial == clone.trial)
    assert (taken_up.start, taken_up.checkpoint) == (clone.start, clone.checkpoint)
    assert taken_up.parent == clone.parent


@pytest.mark.parametrize("wrong", ["itself", "unknown", "place"])
def test_a_clone_of_what_was_never_committed_is_damage(wrong):
    history, clone = until_first_clone(population())
    other = {
        "itself": {"parent": len(history.trials)},
        "unknown": {"checkpoint": replace(clone.checkpoint, sha256="1" * 64)},
        "place": {"start": clone.start - 1},
    }[wrong]
    issue = replace(clone, trial=len(history.trials), **other)
    with pytest.raises(Contradiction, match=r"checkpoint of trial|is named before"):
        history.fold(next_entry(history.head + 1, Facts(now=99.0, demand=8), (issue,)))


# people


def test_the_place_of_a_member_that_a_user_stopped_is_taken():
    study = population()
    moments = simulated(study)
    next(moments)
    history = next(moments).view.history
    say(history, StopTrial(trial=0, reason="a user's"))
    settled = tuple(
        SettledSpec(spec=s, link=2, outcome="stop")
        if o.issue.trial == 0
        else SettledSpec(
            spec=s,
            link=2,
            outcome="done",
            resource=3,
            curves={"loss": ((3, float(s.index)),)},
            checkpoint=until_first_clone(study)[1].checkpoint,
        )
        for s, o in sorted(history.open.items())
    )
    decisions = decide(View.of(history), Facts(now=5.0, demand=4, settled=settled))
    (clone,) = (d for d in decisions if isinstance(d, Issue) and d.parent is not None)
    assert clone.bracket == 0


def test_the_best_is_the_best_of_all_generations_with_the_schedule_that_led_to_it():
    history, _ = ended(population(), lambda p, r: toy_objective(p, r) + (5.0 if r == 9 else 0.0))
    number, rung = best_trial(history)
    assert rung == 1
    everything = [loss for table in history.rungs for loss, _ in table.ranking]
    assert history.rungs[rung].loss(number) == min(everything)
    clone = next(trial for trial in history.trials if trial.parent is not None)
    schedule = schedule_of(history, clone.number, 9)
    assert [s.trial for s in schedule][-2:] == [clone.parent, clone.number]
    assert [s.start for s in schedule] == [0, *(s.to for s in schedule[:-1])]
    assert schedule[-1].to == 9
    assert len(schedule_lines(history, clone.number, 9)) == 1 + len(schedule)
    assert schedule_lines(history, 0, 9) == []


# PB2


def test_the_bandit_finds_numbers_that_are_far_from_all_members():
    """All begin with rates that are 1.9 to 2.5 orders too great; steps of a factor take many generations."""
    far = tuple({"lr": 0.1 * 0.9**k} for k in range(8))

    def usual(name):
        study = replace(
            population(name, population_size=8, interval=1, resample_probability=0.0), enqueued=far
        )
        history, entries = ended(study, lambda p, r: -r / (1 + abs(np.log10(p["lr"]) + 3.5)))
        said = " ".join(d.reason for e in entries for d in e.decisions)
        assert ("a bandit over" in said) == (name == "pb2")
        late = [t for t in history.trials if t.parent is not None and t.specs[0].issue.rung >= 5]
        return np.median([abs(np.log10(trial.parameters["lr"]) + 3.5) for trial in late])

    assert usual("pb2") < 1.0 < usual("pbt")


def test_what_was_seen_long_ago_says_less():
    rng = np.random.default_rng(0)
    rows = np.column_stack([np.repeat([0.0, 5.0], 20), rng.random(40)])
    before_and_after = np.where(rows[:, 0] == 0.0, 1.0, -1.0) * (rows[:, 1] - 0.5)
    drifting = time_varying(rows, before_and_after / before_and_after.std())
    constant = time_varying(rows, (rows[:, 1] - 0.5) / (rows[:, 1] - 0.5).std())
    assert drifting.rate > constant.rate == 0.0
    now, later = np.array([[5.0, 0.9]]), np.array([[25.0, 0.9]])
    assert drifting.posterior(later)[1] > drifting.posterior(now)[1]
    believing = drifting.believing(later)
    assert isinstance(believing, TimeVarying)
    assert believing.posterior(later)[1] < drifting.posterior(later)[1]
    assert believing.posterior(now)[0] == drifting.posterior(now)[0]


def test_where_nearly_everything_is_forbidden_a_clone_stays_as_its_source():
    study = population()
    space = View.of(History(study)).space
    everything = {"lr": {"min": 1e-4}, "layers": [1, 2, 4, 5, 6, 7, 8]}
    tight = type(space).from_json(study.space, constraints={"forbidden": [everything]})
    source = {"lr": 0.01, "layers": 3, "size": 32, "activation": "relu", "momentum": 0.9}
    from hpo_pipe.schedulers.exploring import Exploration

    how = Exploration(resample=0.0, down=0.8, up=1.25, step=0.01)
    rng = View.of(History(study)).rng("x", 0)
    assert explored(tight, source, how, rng) == source
