"""Laws of the schedulers that stop running trials."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_pipe.conformance import simulated, toy_study
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.records import Issue, Limits, StopTrial

TRIALS = 40


def study(name, top=27, trials=TRIALS, **options):
    return toy_study(
        scheduler={"name": name, **options},
        searcher={"name": "random"},
        top=top,
        limits=Limits(trials=trials),
    )


def noisy(seed):
    """Curves that fall, each to its own end, with bumps that depend on the trial and the time alone."""

    def objective(parameters, resource):
        end = abs(math.log10(parameters["lr"]) + 2)
        bump = math.modf(parameters["lr"] * 1e7 * (resource + seed % 97 + 1))[0]
        return end + 3.0 / resource + 0.3 * bump

    return objective


def stops(the_study, objective, seed=0, workers=4):
    """Yield (moment, stopped trials, history with the moment's facts folded in)."""
    for moment in simulated(the_study, objective, seed=seed, workers=workers):
        history = moment.history()
        history.fold_facts(moment.facts)
        yield moment, {d.trial for d in moment.entry.decisions if isinstance(d, StopTrial)}, history


@given(st.integers(0, 2**32), st.sampled_from([2, 3, 4]))
@settings(max_examples=10, deadline=None)
def test_asha_stops_by_rank_among_what_was_known(seed, eta):
    """Whoever reports goes on if and only if its rank is below max(1, floor(n / eta)) on the recorded snapshot."""
    the_study = study("asha_stopping", eta=eta)
    objective, judged = noisy(seed), 0
    for _, stopped, history in stops(the_study, objective, seed):
        tables = {}
        for level in (1, 3, 9):
            reached = [t for t in history.trials if dict(t.curve("loss")).get(level) is not None]
            tables[level] = sorted((dict(t.curve("loss"))[level], t.number) for t in reached)
        for trial, level in history.news:
            table = tables[level]
            rank = [number for _, number in table].index(trial)
            judged += 1
            assert (trial in stopped) == (rank >= max(1, len(table) // eta))
    assert judged > TRIALS


def test_the_first_to_arrive_goes_on():
    first = next((moment, s) for moment, s, h in stops(study("asha_stopping"), noisy(1), workers=1) if h.news)
    assert first[1] == set()


def test_about_one_in_eta_goes_on():
    """On identically distributed values: between 1 / eta and somewhat more, for the first ones always do."""
    the_study = study("asha_stopping", trials=300)
    last = [h for *_, h in stops(the_study, lambda p, r: math.modf(p["lr"] * 1e9)[0])][-1]
    passed = sum(dict(t.curve("loss")).get(3) is not None for t in last.trials)
    assert 300 / 3 - 15 <= passed <= 300 / 3 + 4 * math.sqrt(300)


@given(st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_the_median_rule_to_the_letter(seed):
    """Best so far against the median of the running averages of completed trials (M1, M2)."""
    the_study = study("median", min_trials=3, grace=2, interval=1)
    objective, judged = noisy(seed), 0
    for _, stopped, history in stops(the_study, objective, seed):
        complete = [t for t in history.trials if history.state(t) == "COMPLETE"]
        for trial, level in dict(history.news).items():
            averages = [
                np.mean([v for r, v in t.curve("loss") if r <= level])
                for t in complete
                if max(r for r, _ in t.curve("loss")) >= level
            ]
            best = min(v for r, v in history.trials[trial].curve("loss") if r <= level)
            judged += 1
            if len(averages) < 3:
                assert trial not in stopped
            else:
                assert (trial in stopped) == (best > np.median(averages))
        everyone = [(min(v for _, v in t.curve("loss")), t.number) for t in history.trials if t.curve("loss")]
        assert not everyone or min(everyone)[1] not in stopped, "the best trial so far was stopped"
        assert level_of_first_stop(history, stopped) >= 2
    assert judged > TRIALS


def level_of_first_stop(history, stopped):
    return min((max(r for r, _ in history.trials[t].curve("loss")) for t in stopped), default=99)


@given(st.sampled_from(["median", "asha_stopping"]), st.floats(0.25, 8.0), st.floats(-3, 3))
@settings(max_examples=10, deadline=None)
def test_another_unit_changes_nothing(name, factor, zero):
    """M3: values are exact in binary, so that the affine map is."""
    factor, zero = 2.0 ** round(math.log2(factor)), round(zero * 4) / 4

    def plain(parameters, resource):
        return round(noisy(0)(parameters, resource) * 2**20) / 2**20

    def actions(objective):
        return [
            (d.trial, type(d))
            for moment, *_ in stops(study(name), objective)
            for d in moment.entry.decisions
            if isinstance(d, StopTrial | Issue)
        ]

    assert actions(plain) == actions(lambda p, r: factor * plain(p, r) + zero)


def test_with_stopped_trials_included_a_long_grace_does_not_starve():
    few = dict.fromkeys((False, True), 0)
    for included in few:
        the_study = study("median", min_trials=5, grace=1, interval=1, include_stopped=included)
        for _, stopped, _ in stops(the_study, noisy(3), workers=12):
            few[included] += len(stopped)
    assert few[True] != few[False] and min(few.values()) > 0


def test_what_was_decided_on_a_report_stands():
    """A trial that passed is not stopped for what others report later at the same rung."""
    the_study = study("asha_stopping")
    passed = set()
    for moment, stopped, history in stops(the_study, noisy(5)):
        assert stopped <= {trial for trial, _ in history.news}
        passed |= {trial for trial, _ in history.news} - stopped
        view = View.of(history)
        assert view.history is history and isinstance(moment.view.history, History)
    assert passed
