"""Models compute in one thread, and nothing else is held to that."""

from __future__ import annotations

import os

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from hpo_pipe.conformance import toy_study
from hpo_pipe.models.threads import one_thread
from hpo_pipe.searchers import candidates
from hpo_pipe.toy_world import simulated
from storage_schema.records import Limits


def threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def several_threads():
    import scipy.linalg  # noqa: F401

    with threadpool_limits(limits=2, user_api="blas"):
        yield


def test_the_limit_holds_for_the_block_alone():
    assert threads() == {2}
    environment = dict(os.environ)
    with one_thread():
        assert threads() == {1}
        assert os.environ == environment  # what is started from here keeps its threads
    assert threads() == {2}


def test_a_block_that_fails_gives_the_threads_back():
    with pytest.raises(ZeroDivisionError), one_thread():
        raise ZeroDivisionError
    assert threads() == {2}


def test_a_searcher_asks_its_model_in_one_thread(monkeypatch):
    seen = []
    search = candidates.search

    def watched(*arguments, **named):
        seen.append(threads())
        return search(*arguments, **named)

    monkeypatch.setattr(candidates, "search", watched)
    study = toy_study(searcher={"name": "gp", "initial": 3, "random_share": 0.0}, limits=Limits(trials=30))
    assert len(list(simulated(study))) > 1
    assert seen and all(found == {1} for found in seen)
    assert threads() == {2}
