"""Mistakes of other implementations, each as a law, with the mistaken form beside ours: the law refuses that one."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_pipe.conformance import simulated, toy_study
from hpo_pipe.creation import drafted
from hpo_pipe.decide import decide
from hpo_pipe.ranking import best_trial
from hpo_pipe.rungs import bracket_shares, levels, s_max
from hpo_pipe.schedulers import SCHEDULERS
from hpo_pipe.schedulers.asha import drawn_bracket
from hpo_pipe.schedulers.hyperband import hyperband_shapes
from hpo_pipe.view import View
from storage_schema.errors import StudyFileError
from storage_schema.history import History
from storage_schema.keys import SpecId
from storage_schema.records import Entry, Facts, Issue, Limits, Progress, SettledSpec, StopTrial

Count = Callable[[int, int, int], int]


def refused(law: Callable[..., None], *mistaken: object) -> None:
    with pytest.raises(AssertionError):
        law(*mistaken)


# A history by hand: trials that start together, and report and end as a test says.


class Hand:
    def __init__(self, trials, scheduler, **more):
        study = toy_study(
            scheduler=scheduler, searcher={"name": "random"}, limits=Limits(trials=trials), **more
        )
        self.view = View.of(History(study))
        self.trials = trials
        self.step()

    def step(self, settled=(), progress=()):
        """Decide and fold; return the decisions."""
        facts = Facts(
            now=float(self.view.history.head + 1),
            demand=self.trials,
            settled=tuple(settled),
            progress=tuple(progress),
        )
        decisions = decide(self.view, facts)
        entry = Entry(
            entry=self.view.history.head + 1,
            token="t",
            author="coordinator",
            facts=facts,
            decisions=decisions,
        )
        self.view.history.fold(entry)
        return decisions

    def spec(self, trial) -> SpecId:
        return self.view.history.trials[trial].last.id

    def ends(self, trial, *curve):
        return SettledSpec(spec=self.spec(trial), link=2, outcome="done", curves={"loss": curve})

    def says(self, trial, *curve):
        return Progress(spec=self.spec(trial), attempt=1, curves={"loss": curve})


def stops(decisions):
    return {d.trial for d in decisions if isinstance(d, StopTrial)}


# Optuna's Hyperband, Ray's ASHA, Syne Tune 0.15, HpBandSter, DEHB, SMAC3, NePS: a logarithm that is rounded down.


def counts_every_rung(count: Count) -> None:
    for eta in range(2, 11):
        for k in range(13):
            assert count(1, eta**k, eta) == k, (eta, k)


@pytest.mark.parametrize(
    "theirs",
    [
        lambda low, high, eta: int(math.log(high / low) / math.log(eta)),
        lambda low, high, eta: math.floor(math.log(high / low, eta)),
        lambda low, high, eta: -int(np.log(low / high) / np.log(eta)),
    ],
)
def test_no_rung_is_lost_to_a_logarithm(theirs):
    counts_every_rung(s_max)
    refused(counts_every_rung, theirs)
    assert s_max(1, 243, 3) == 5 == len(levels(1, 243, 3)) - 1
    assert s_max(1, 1000, 10) == 3 == len(levels(1, 1000, 10)) - 1


# The paper's Table 1, HpBandSter, DEHB, NePS: the bracket's size is rounded down before it is multiplied.


def has_the_sizes_of_algorithm_1(sizes: list[int]) -> None:
    assert sizes == [81, 34, 15, 8, 5]


def test_bracket_sizes_are_rounded_up_at_the_end():
    has_the_sizes_of_algorithm_1([shape.size for shape in hyperband_shapes(5, 3)])
    refused(has_the_sizes_of_algorithm_1, [5 // (s + 1) * 3**s for s in range(4, -1, -1)])


# Optuna: a trial's bracket is keyed by the study's name, and before 2.10 by the hash of this process.


def is_keyed_by_seed_and_trial(bracket: Callable[[View], int]) -> None:
    def drawn(**changes):
        study = replace(toy_study(scheduler={"name": "asha", "brackets": 3}, top=27), **changes)
        view, found = View.of(History(study)), []
        for number in range(30):
            found.append(bracket(view))
            view.history.trials.append(number)  # only their number counts
        return found

    assert drawn() == drawn(name="another name")
    assert drawn() != drawn(seed=2)


def test_a_bracket_is_keyed_by_seed_and_trial():
    is_keyed_by_seed_and_trial(lambda view: drawn_bracket(view, 3))
    refused(
        is_keyed_by_seed_and_trial,
        lambda view: zlib.crc32(f"{view.study.name}_{len(view.history.trials)}".encode()) % 3,
    )


# Syne Tune 0.15, Ray: brackets by a softmax of how many rungs they have.


def shares_out_the_resource(shares: Callable[[tuple[int, ...]], list[float]]) -> None:
    """Each bracket of Hyperband gets the same resource: n_s trials of (s + 1) rungs' worth of r_s each."""
    rungs = levels(1, 81, 3)
    spent = [
        share * r * (len(rungs) - s) for s, (share, r) in enumerate(zip(shares(rungs), rungs, strict=True))
    ]
    assert spent == pytest.approx([spent[0]] * len(rungs))


def test_brackets_share_out_the_resource():
    shares_out_the_resource(lambda rungs: list(bracket_shares(rungs, len(rungs))))

    def softmax(rungs):
        raw = np.exp(np.arange(len(rungs), 0, -1))
        return list(raw / raw.sum())

    refused(shares_out_the_resource, softmax)


# Optuna's "auto": resources are guessed from the first trial that completes, in each process for itself.

NEED_A_RESOURCE = [name for name, kind in SCHEDULERS.items() if kind.needs_resource]


@pytest.mark.parametrize("name", NEED_A_RESOURCE)
def test_resources_are_settings(name):
    definition = {
        "name": "s",
        "function": "train:main",
        "metric": {"name": "loss"},
        "parameters": {"lr": {"type": "float", "min": 0.0, "max": 1.0}},
        "algorithm": {"scheduler": name, "searcher": "random"},
        "limits": {"trials": 4},
    }
    with pytest.raises(StudyFileError, match="resource"):
        drafted(definition)
    drafted({**definition, "resource": {"name": "epoch", "max": 81}})


def test_the_first_trial_is_judged_as_all_are():
    """There, trial 0 only serves to guess the resources, and whoever is under way then is looked at too late."""
    hand = Hand(6, {"name": "asha_stopping"})
    hand.step(progress=[hand.says(trial, (1, 0.1 * trial)) for trial in range(1, 6)])
    assert stops(hand.step(progress=[hand.says(0, (1, 0.9))])) == {0}


# LCBench's first epoch is the untrained net: who knows that says where comparing begins.


def test_the_first_rung_is_where_the_user_says():
    definition = {
        "name": "s",
        "function": "train:main",
        "metric": {"name": "loss"},
        "parameters": {"lr": {"type": "float", "min": 0.0, "max": 1.0}},
        "resource": {"name": "epoch", "min": 3, "max": 52},
        "algorithm": {"scheduler": "asha"},
        "limits": {"trials": 4},
    }
    study = drafted(definition).study(token="t", created_at=0.0, seed=1, proof={}, timing=toy_study().timing)
    assert study.resource is not None and study.resource.rungs == (3, 9, 27, 52)


# Optuna, Ray, Syne Tune: "ASHA" is the variant that stops, and does not promote.


def test_schedulers_are_what_their_names_say():
    def decisions(name):
        study = toy_study(scheduler={"name": name}, searcher={"name": "random"})
        return [d for moment in simulated(study) for d in moment.entry.decisions]

    asha = decisions("asha")
    assert not stops(asha)
    assert {issue.trial for issue in asha if isinstance(issue, Issue) and issue.rung == 1}
    stopping = decisions("asha_stopping")
    issues = [d.trial for d in stopping if isinstance(d, Issue)]
    assert stops(stopping) and len(issues) == len(set(issues))


# Syne Tune: a quantile keeps ceil(n / eta), and 0.15 keeps floor(n / eta) + 1.


def keeps_one_in_eta(kept: Callable[[list[float], int], int]) -> None:
    for eta in (2, 3, 4):
        for n in range(1, 25):
            losses = [((7 * i) % n) / n for i in range(n)]
            assert kept(losses, eta) == n // eta, (n, eta)


def promoted_of(losses: list[float], eta: int) -> int:
    hand = Hand(len(losses), {"name": "asha", "eta": eta}, eta=eta)
    decisions = hand.step([hand.ends(trial, (1, loss)) for trial, loss in enumerate(losses)])
    return sum(isinstance(d, Issue) and d.rung == 1 for d in decisions)


@pytest.mark.parametrize(
    "theirs",
    [
        lambda losses, eta: int((np.array(losses) <= np.quantile(losses, 1 / eta)).sum()),
        lambda losses, eta: sum(sum(a < b for a in losses) / len(losses) <= 1 / eta for b in losses),
        lambda losses, eta: max(1, len(losses) // eta),
    ],
    ids=["a quantile", "how many are better", "at least one"],
)
def test_a_rung_keeps_one_in_eta(theirs):
    keeps_one_in_eta(promoted_of)
    refused(keeps_one_in_eta, theirs)


# HpBandSter: the place of a crashed configuration goes to a fresh one, at the higher budget.


def fills_no_place_of_a_crash(sizes: list[int]) -> None:
    assert sizes == [9, 1]


def test_the_place_of_a_crash_stays_empty():
    hand = Hand(9, {"name": "successive_halving", "rounds": 1})
    crashed = [SettledSpec(spec=hand.spec(trial), link=2, outcome="fail") for trial in range(8)]
    decisions = hand.step([*crashed, hand.ends(8, (1, 0.5))])
    sent = [d.trial for d in decisions if isinstance(d, Issue)]
    fills_no_place_of_a_crash([9, len(sent)])
    assert sent == [8]
    refused(fills_no_place_of_a_crash, [9, 9 // 3])


# Ray's BOHB: all trials are paused, and none is left to run.


@pytest.mark.parametrize("scheduler", ["hyperband", "successive_halving", "asha"])
def test_nobody_waits_for_what_never_comes(scheduler):
    """Half of all trials crash, some at a later rung; something is under way until the study has ended."""
    study = toy_study(
        scheduler={"name": scheduler}, searcher={"name": "kde"}, top=27, limits=Limits(trials=40)
    )

    def objective(parameters, resource):
        u = math.modf(parameters["lr"] * 1e6)[0]
        return None if u < 0.4 or (u < 0.6 and resource > 1) else u

    for moment in simulated(study, objective):
        history = moment.history()
        history.fold(moment.entry)
        assert history.open or history.finished is not None
    assert history.closed and "limit of 40 trials" in str(history.finished)


# DEHB: resources are powers of 1 / eta, and keys of dictionaries.


def are_whole(resources: list[float]) -> None:
    assert {*resources} == {1, 3, 9, 27, 81, 243, 729}


def test_resources_are_integers():
    found = levels(1, 729, 3)
    are_whole(list(found))
    assert all(type(level) is int for level in found)
    refused(are_whole, [729 * 3.0**-k for k in range(7)])


# Syne Tune's median rule: the trial's average, against those of everybody, running ones too.

MEDIAN = {"name": "median", "min_trials": 5, "grace": 1, "interval": 1}
CURVE = ((1, 0.9), (2, 0.3))


def by_the_median_rule(
    verdict: Callable[[list[list[float]], list[list[float]], list[float]], bool],
) -> None:
    """(curves of completed trials, curves of running ones, its own curve) to: stop it."""
    complete, good, bad = [[0.5, 0.5]] * 5, [[0.1, 0.1]] * 20, [[0.9, 0.9]] * 20
    own = [value for _, value in CURVE]
    assert not verdict(complete, [], own)  # its best so far is better than the median, its average is worse
    assert not verdict(complete, good, [0.4, 0.4])  # running ones say nothing
    assert verdict(complete, bad, [0.6, 0.6])


def stopped_by_ours(complete, running, own):
    hand = Hand(len(complete) + len(running) + 1, MEDIAN)
    ended = [
        hand.ends(trial, *((r + 1, v) for r, v in enumerate(curve)), (9, curve[-1]))
        for trial, curve in enumerate(complete)
    ]
    first = len(complete)
    said = [
        hand.says(first + i, *((r + 1, v) for r, v in enumerate(curve))) for i, curve in enumerate(running)
    ]
    hand.step(ended, said)
    last = first + len(running)
    return stops(hand.step(progress=[hand.says(last, *((r + 1, v) for r, v in enumerate(own)))])) == {last}


def stopped_by_theirs(complete, running, own):
    averages = [np.mean(curve) for curve in (*complete, *running)]
    return bool(np.mean(own) > np.median(averages))


def test_the_median_is_of_completed_trials_and_its_best_is_compared():
    by_the_median_rule(stopped_by_ours)
    refused(by_the_median_rule, stopped_by_theirs)


@given(st.permutations(range(7)), st.lists(st.integers(1, 99), min_size=8, max_size=8, unique=True))
@settings(max_examples=15, deadline=None)
def test_the_median_rule_does_not_ask_which_trial_is_which(order, losses):
    """M4: the same completed curves under other numbers, and told in another order, lead to the same verdict."""
    curves = [[loss / 100, loss / 200] for loss in losses[:7]]
    own = [losses[7] / 100, losses[7] / 150]
    assert stopped_by_ours(curves, [], own) == stopped_by_ours([curves[i] for i in order], [], own)


# Everyone: the incumbent is the lowest value that was seen anywhere, however noisy and early.


def test_the_incumbent_is_the_best_of_the_highest_rung_and_what_was_seen_is_told_beside_it():
    hand = Hand(4, {"name": "asha"})
    hand.step([hand.ends(trial, (1, loss)) for trial, loss in enumerate((0.3, 0.001, 0.2, 0.4))])
    hand.step([hand.ends(1, (1, 0.001), (3, 0.5))])
    history = hand.view.history
    assert best_trial(history) == (1, 1), "of the highest rung that has a value"
    assert history.best_seen is not None and (history.best_seen.trial, history.best_seen.resource) == (1, 1)
    assert history.best() is history.trials[1]
