"""Every algorithm that is in a dict keeps the shipped laws."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from hpo_pipe.conformance import LAWS, SPACES, simulated, toy_study
from hpo_pipe.schedulers import SCHEDULERS
from hpo_pipe.searchers import SEARCHERS
from storage_schema.codec import decode, encode, sha256
from storage_schema.records import Limits

POPULATION = {"population_size": 6, "interval": 2}
SCHEDULING = {
    "asha": ({}, {"brackets": 3}, {"eta": 2}),
    "d_asha": ({}, {"brackets": 2, "learn_brackets": True}),
    "hyperband": ({}, {"eta": 2}),
    "pbt": (POPULATION, {**POPULATION, "synchronous": False}),
    "pb2": (POPULATION,),
}
SEARCHING = {  # small enough that their models take part in a study of 30 trials
    "grid": ({}, {"shuffle": True}),
    "tpe": ({"n_startup_trials": 5},),
    "gp": ({"initial": 5},),
    "forest": ({"initial": 5},),
    "hyper_tune": ({"initial": 5},),
    "rgpe": ({"initial": 5},),
    "freeze_thaw": ({"initial": 5},),
    "cma_es": ({"population": 4},),
    "evolution": ({"population": 6, "sample": 3},),
    "differential_evolution": ({"population": 4},),
}


def variants(names, options):
    return [{"name": name, **given} for name in names for given in options.get(name, ({},))]


def named(algorithm):
    return "-".join(map(str, algorithm.values()))


PAIRS = [  # all schedulers with one searcher, and all searchers with and without promotions
    pytest.param(scheduler, searcher, id=f"{named(scheduler)}-{named(searcher)}")
    for scheduler, searcher in (
        *((scheduler, {"name": "random"}) for scheduler in variants(SCHEDULERS, SCHEDULING)),
        *(
            ({"name": name}, searcher)
            for name in ("asha", "none")
            for searcher in variants(SEARCHERS, SEARCHING)
        ),
    )
]


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize(("scheduler", "searcher"), PAIRS)
def test_law(law, scheduler, searcher):
    law(toy_study(scheduler=scheduler, searcher=searcher, eta=scheduler.get("eta", 3)))


def copes(searcher):
    """Whether a searcher takes spaces with conditions and with what is forbidden: it says so where it does not."""
    return getattr(searcher, "copes_with_conditions", True) and getattr(
        searcher, "copes_with_forbidden", True
    )


COPING = variants([name for name, searcher in SEARCHERS.items() if copes(searcher)], SEARCHING)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("searcher", COPING, ids=named)
def test_law_with_conditions_priors_and_what_is_forbidden(law, searcher):
    space, constraints = SPACES["conditional"]
    law(toy_study(searcher=searcher, space=space, constraints=constraints))


def digest(scheduler, searcher) -> str:
    """One number for all that a pair of algorithms decides in a small study."""
    study = toy_study(scheduler=scheduler, searcher=searcher, limits=Limits(trials=12))
    entries = (decode(moment.entry.to_bytes(), "an entry") for moment in simulated(study))
    return sha256(b"".join(map(encode, entries)))  # what they say, without their checks


def digests() -> dict[str, str]:
    """Pair to digest."""
    return {str(pair.id): digest(*pair.values) for pair in PAIRS}


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_other_processes_decide_the_same(hash_seed):
    code = "import json; from tests.conformance.test_algorithms import digests; print(json.dumps(digests()))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == digests()
