"""Trials that leave out an objective, or a metric with bounds."""

from __future__ import annotations

import pytest

from hpo_pipe.conformance import METRICS, toy_study
from hpo_pipe.decide import decide
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.keys import SpecId
from storage_schema.records import Entry, Facts, Finish, Issue, Limits, SettledSpec


def promoted(metrics, values, scheduler):
    """Run a study whose trials all report the same kind of values; return who was promoted."""
    study = toy_study(
        scheduler={"name": scheduler},
        searcher={"name": "random"},
        metrics=METRICS[metrics],
        limits=Limits(trials=9),
    )
    view, settled, found = View.of(History(study)), (), set()
    for number in range(60):
        facts = Facts(now=float(number), demand=4, settled=settled)
        decisions = decide(view, facts)
        view.history.fold(
            Entry(entry=number, token="t", author="coordinator", facts=facts, decisions=decisions)
        )
        issues = [d for d in decisions if isinstance(d, Issue)]
        found |= {issue.trial for issue in issues if issue.rung}
        if any(isinstance(d, Finish) for d in decisions):
            return found
        settled = tuple(
            SettledSpec(
                spec=SpecId(number, place),
                link=2,
                outcome="done",
                curves={n: ((issue.to, v + 0.01 * issue.trial),) for n, v in values.items()},
            )
            for place, issue in enumerate(issues)
        )
    raise AssertionError("it did not end")


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "pasha", "d_asha"])
def test_who_leaves_out_an_objective_has_failed(scheduler):
    assert not promoted("several", {"loss": 0.5}, scheduler)
    assert promoted("several", {"loss": 0.5, "size": 1.0}, scheduler)


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "pasha", "d_asha"])
def test_a_bound_that_nobody_reports_stops_no_search(scheduler):
    """All are out of it, by an amount that is not known; then the loss ranks them."""
    assert 0 in promoted("bounded", {"loss": 0.5}, scheduler)
