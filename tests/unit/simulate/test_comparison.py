"""What is compared with what, and what comes out as tables and pictures."""

from __future__ import annotations

import csv
import io
import math
from xml.etree import ElementTree

import numpy as np
import pytest

from hpo_pipe.simulate.axis import Axis
from hpo_pipe.simulate.chart import chart
from hpo_pipe.simulate.comparison import Comparison, Estimate, Setting, compare
from hpo_pipe.simulate.contenders import contender
from hpo_pipe.simulate.plots import panels
from hpo_pipe.simulate.sources import source
from hpo_pipe.simulate.svg import svg
from hpo_pipe.simulate.tables import cell, comparison_csv, comparison_json, cost_grid, quality_grid
from storage_schema.errors import UserError
from storage_schema.records import Limits

FOUND = source("synthetic", "power_law", None)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    contenders = [contender(FOUND.study, text, Limits()) for text in ("asha", "none+random", "asha(eta=4)")]
    return compare(contenders, FOUND.curves, Setting(workers=4, units=810), range(3))


def test_an_algorithm_is_a_scheduler_a_searcher_or_both():
    assert contender(FOUND.study, "asha(eta=4, brackets=2)").study.scheduler["brackets"] == 2
    assert contender(FOUND.study, "asha(eta=4)").study.resource.rungs == (1, 4, 16, 64, 81)
    assert contender(FOUND.study, "hyperband(min=3) + kde").study.resource.rungs == (3, 9, 27, 81)
    assert contender(FOUND.study, "kde+hyperband").study.searcher["name"] == "kde"
    assert contender(FOUND.study, "random").study.scheduler["name"] == "asha"
    assert contender(FOUND.study, "median").study.resource.milestones
    default = contender(FOUND.study, "auto(random_share=0.3, eta=4)").study
    assert (default.scheduler["name"], default.scheduler["adaptive_grace"], default.scheduler["eta"]) == (
        "asha",
        True,
        4,
    )
    assert (default.searcher["name"], default.searcher["random_share"]) == ("auto", 0.3)
    bohb = contender(FOUND.study, "bohb(num_samples=32)").study
    assert (bohb.scheduler["name"], bohb.searcher["num_samples"]) == ("hyperband", 32)
    whole = contender(FOUND.study, "hyper_tune(brackets=2)").study
    assert (whole.scheduler["brackets"], whole.scheduler["learn_brackets"]) == (2, True)
    assert contender(FOUND.study, "asha+hyper_tune").study.scheduler["name"] == "asha"
    assert contender(FOUND.study, "study", Limits(trials=3)).study.limits.trials == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ashaa", "did you mean 'asha'"),
        ("asha(etta=4)", "did you mean 'eta'"),
        ("asha(eta=1)", "from 2 to 1000"),
        ("bohb(num_sample=1)", "did you mean 'num_samples'"),
        ("bohb+asha", "bohb is not known"),
        ("asha+hyperband", "both schedulers"),
        ("asha(eta=4", "expected NAME"),
        ("asha(eta)", "expected option=value"),
        ("asha(brackets=9)", "at most 5"),
        ("asha(eta=4)" * 100, "more than 500"),
        ("", "expected NAME"),
    ],
)
def test_what_is_no_algorithm_is_refused_with_what_is_allowed(text, message):
    with pytest.raises(UserError, match=message):
        contender(FOUND.study, text)


def test_runs_are_compared_at_the_same_budget(comparison):
    for runs in comparison.outcomes.values():
        assert {len(run.times) for run in runs} == {810}
        assert [run.seed for run in runs] == [0, 1, 2]
        for run in runs:
            assert run.at_units(810) == run.losses[-1] and run.at_units(0) == math.inf
            assert run.at_time(run.times[0]) == run.losses[0]
    means = [comparison.over_units("asha", share).mean for share in (0.1, 0.25, 0.5, 1.0)]
    assert means == sorted(means, reverse=True)
    assert means[-1] >= comparison.best


def test_estimates():
    assert Estimate.of([1.0, 3.0]) == Estimate(2.0, 1.0)
    assert math.isnan(Estimate.of([1.0, math.inf]).mean)
    assert [cell(e) for e in (Estimate(0.12345, 0.00123), Estimate(12.3, 4.56), Estimate(2.0, math.nan))] == [
        "0.1235 ± 0.0012",
        "12.3 ± 4.6",
        "2",
    ]
    assert cell(Estimate(math.nan, math.nan)) == "-"
    assert cell(Estimate(12150.0, 1e-12)) == "12150"


def test_tables(comparison):
    grid = quality_grid(comparison)
    assert len(grid.rows) == 3 * 4 and {len(row) for row in grid.rows} == {len(grid.columns)}
    assert [row[0] for row in cost_grid(comparison).rows] == ["asha", "none+random", "asha(eta=4)"]
    rows = list(csv.DictReader(io.StringIO(comparison_csv(comparison))))
    assert len(rows) == 9 and all(float(row["resource_100"]) >= 0.1 for row in rows)
    found = comparison_json(comparison)
    assert found["algorithms"][0]["runs"][0]["units"] == 810
    assert found["algorithms"][0]["at"][3]["regret"] == pytest.approx(
        found["algorithms"][0]["at"][3]["mean"] - 0.1
    )


def test_the_picture_is_well_formed_and_names_every_line(comparison):
    drawn = svg(list(panels(comparison)), "a <title> & more")
    root = ElementTree.fromstring(drawn)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"asha", "none+random", "asha(eta=4)", "a <title> & more"} <= set(texts)
    assert "nan" not in drawn and "<script" not in drawn
    assert drawn.count('fill="none" stroke="#0072b2"') == 3  # in both panels and the legend


def test_the_chart_has_the_size_that_was_asked_for(comparison):
    rows = list(chart(next(panels(comparison)), 80, 12))
    assert len(rows) == 14
    assert {len(row) for row in rows} == {80}
    assert {owner for row in rows for _, owner in row} == {-1, 0, 1, 2}


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis(0.0, 810.0), (0, 200, 400, 600, 800)),
        (Axis(0.0, 1.0), (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (Axis(0.001, 1.0, log=True), (0.001, 0.01, 0.1, 1.0)),
        (Axis(0.1, 0.3, log=True), (0.1, 0.15, 0.2, 0.25, 0.3)),
    ],
)
def test_ticks_are_round_numbers(axis, ticks):
    assert axis.ticks() == pytest.approx(ticks)
    assert (np.diff(axis.places(np.array(axis.ticks()))) > 0).all()


def test_an_axis_holds_one_value_too():
    for log in (False, True):
        axis = Axis.around(0.5, 0.5, log)
        assert 0 < axis.places(np.array([0.5]))[0] < 1
