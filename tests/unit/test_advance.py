"""Limits of progress: a search that does not improve any more, and one that has converged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpo_pipe.advance import Advance
from hpo_pipe.conformance import METRICS, simulated, toy_study
from hpo_pipe.decide import reached_limit
from hpo_pipe.following import following
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.keys import SpecId
from storage_schema.records import Entry, Facts, Finish, Issue, Limits, SettledSpec


def one_run(limits, metrics=METRICS["one"]):
    return replace(
        toy_study(scheduler={"name": "none"}, limits=limits, metrics=metrics),
        resource=None,
    )


class Results:
    """A study whose trials end one after another with given values."""

    def __init__(self, study):
        self.view = View.of(History(study))
        self.entries = 0

    def _fold(self, facts=None, decisions=()):
        author = "coordinator" if facts else "user"
        entry = Entry(entry=self.entries, token="t", author=author, facts=facts, decisions=tuple(decisions))
        self.view.history.fold(entry)
        self.entries += 1

    def end(self, *together, outcome="done"):
        """Fold one entry with a result for each of `together`: a loss, or values by metric."""
        first = len(self.view.history.trials)
        issues = [
            Issue(
                trial=first + k, start=0, to=1, rung=0, bracket=0, parameters={"lr": 0.01}, origin="x",
                checkpoint=None, reason="",
            )
            for k in range(len(together))
        ]  # fmt: skip
        self._fold(None, issues)
        settled = []
        for k, found in enumerate(together):
            values = found if isinstance(found, dict) else {"loss": found}
            curves = {name: ((1, value),) for name, value in values.items()}
            settled.append(
                SettledSpec(spec=SpecId(self.entries - 1, k), link=2, outcome=outcome, curves=curves)
            )
        self._fold(Facts(now=0.0, demand=1, settled=tuple(settled)))
        return reached_limit(self.view)


def test_it_ends_after_so_many_trials_without_improvement():
    study = Results(one_run(Limits(not_improving=3)))
    ended = [bool(study.end(loss)) for loss in (5.0, 4.0, 4.0, 4.5, 3.9, 4.0, 9.0, 3.9)]
    assert ended == [False] * 7 + [True]
    assert "3 trials came back without improving loss: the limit is 3" in reached_limit(study.view)


def test_failures_do_not_improve_either():
    study = Results(one_run(Limits(not_improving=2)))
    assert not study.end(1.0, outcome="fail")
    assert study.end(None)


def test_results_of_one_entry_are_simultaneous():
    for order in ((3.0, 9.0), (9.0, 3.0)):
        study = Results(one_run(Limits(not_improving=1)))
        assert not study.end(5.0)
        assert not study.end(*order)
        assert study.end(4.0)


def test_out_of_bounds_is_no_improvement():
    study = Results(one_run(Limits(not_improving=2), METRICS["bounded"]))
    assert not study.end({"loss": 5.0, "latency": 2.0})
    assert not study.end({"loss": 4.0, "latency": 3.5})
    assert study.end({"loss": 3.0})
    assert study.view.history.best_seen.loss == 5.0, "the target is reached within bounds only"


def test_with_several_objectives_whatever_changes_the_front_improves():
    study = Results(one_run(Limits(not_improving=2), METRICS["several"]))
    assert not study.end({"loss": 1.0, "size": 9.0})
    assert not study.end({"loss": 2.0, "size": 8.0})
    assert not study.end({"loss": 2.0, "size": 8.0})
    assert not study.end({"loss": 0.5, "size": 20.0})
    assert not study.end({"loss": 3.0, "size": 9.0})
    assert study.end({"loss": 4.0, "size": 8.5})


def test_a_search_that_still_finds_better_ones_has_not_converged():
    study = Results(one_run(Limits(convergence=0.01)))
    assert not any(study.end(10.0 - 0.1 * k) for k in range(90))


def test_best_results_that_agree_have_converged():
    """From 20 results on, whose newest quarter gains nothing and whose best are alike."""
    rng = np.random.default_rng(1)
    study = Results(one_run(Limits(convergence=0.01)))
    for k in range(200):
        if said := study.end(float(1.0 + rng.random()) if k % 2 else 1.0 + 0.01 / (k + 1)):
            break
    assert 19 <= k < 60 and "the search for loss has converged" in said


def test_luck_does_not_end_a_search():
    """One early best far ahead of the rest is no convergence, however long nothing follows."""
    rng = np.random.default_rng(1)
    study = Results(one_run(Limits(convergence=0.01)))
    assert not any(study.end(0.0 if k == 3 else float(1.0 + rng.random())) for k in range(100))


def test_a_front_that_does_not_change_has_converged():
    study = Results(one_run(Limits(convergence=0.01), METRICS["several"]))
    assert not any(study.end({"loss": float(k), "size": -float(k)}) for k in range(30))
    rest = [bool(study.end({"loss": 40.0, "size": 40.0})) for _ in range(31)]
    assert rest.index(True) == 29, "none of the newer half"


@pytest.mark.parametrize("metrics", METRICS)
@pytest.mark.parametrize("limits", [{"not_improving": 8}, {"convergence": 0.2}])
@pytest.mark.parametrize("scheduler", ["asha", "asha_stopping", "none"])
def test_who_follows_a_study_knows_what_a_newcomer_computes(metrics, limits, scheduler):
    """Kept step by step, through drafts that were taken back, it is what it would be from the beginning."""
    study = toy_study(
        scheduler={"name": scheduler}, metrics=METRICS[metrics], limits=Limits(trials=60, **limits)
    )
    for moment in simulated(study):
        known, afresh = (following(view, Advance) for view in (moment.view, View.of(moment.history())))
        assert vars(known) == vars(afresh)
        last = moment.entry.decisions
    assert not last or isinstance(last[-1], Finish)
