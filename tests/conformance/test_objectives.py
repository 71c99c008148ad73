"""Studies with several objectives and with bounds keep the shipped laws, under every scheduler that ranks."""

from __future__ import annotations

import pytest

from hpo_pipe.conformance import LAWS, METRICS, toy_study
from hpo_pipe.schedulers import SCHEDULERS
from hpo_pipe.searchers import SEARCHERS
from tests.conformance.test_algorithms import SEARCHING, named

QUICK = ("a_cold_start_decides_the_same", "bad_values_are_survived", "maximising_is_minimising_the_negative")
KINDS = [name for name in METRICS if name != "one"]


def copes(algorithm):
    return getattr(algorithm, "copes_with_objectives", True)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("metrics", KINDS)
@pytest.mark.parametrize("scheduler", [name for name, kind in SCHEDULERS.items() if copes(kind)])
def test_law_of_schedulers(law, metrics, scheduler):
    law(toy_study(scheduler={"name": scheduler}, searcher={"name": "random"}, metrics=METRICS[metrics]))


def quick(law):
    """The others say nothing of where losses come from; they take minutes for all searchers."""
    marks = [] if law in QUICK else [pytest.mark.slow, pytest.mark.timeout(300)]
    return pytest.param(LAWS[law], id=law, marks=marks)


@pytest.mark.parametrize("law", list(map(quick, LAWS)))
@pytest.mark.parametrize("metrics", ["both"])
@pytest.mark.parametrize(
    "searcher",
    [{"name": n, **SEARCHING.get(n, ({},))[0]} for n, kind in SEARCHERS.items() if copes(kind)],
    ids=named,
)
def test_law_of_searchers(law, metrics, searcher):
    law(toy_study(searcher=searcher, metrics=METRICS[metrics]))
