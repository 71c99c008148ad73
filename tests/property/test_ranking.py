"""Fronts, hypervolume, and the order of trials with several objectives or bounds: by definition, and by law."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_pipe.conformance import METRICS, simulated, toy_study
from hpo_pipe.models.pareto import SPREAD, Fronts, hypervolume, nondominated, spread
from hpo_pipe.order import Order
from hpo_pipe.outcomes import Outcome
from storage_schema.records import Issue, Limits, StopTrial

KINDS = ["several", "bounded", "both"]
COARSE = st.integers(0, 6).map(float)
POINTS = st.integers(2, 3).flatmap(lambda m: st.lists(st.tuples(*[COARSE] * m), min_size=1, max_size=30))
EXCESS = st.sampled_from([0.0, 0.0, 0.5, 1.0, 4.0, math.inf])
LOSS = COARSE | st.sampled_from([math.inf])


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def peeled(points):
    """Return the front of each point, by the definition."""
    left, found, front = dict(enumerate(points)), {}, 0
    while left:
        best = [k for k, p in left.items() if not any(dominates(q, p) for q in left.values())]
        found |= dict.fromkeys(best, front)
        left = {k: p for k, p in left.items() if k not in best}
        front += 1
    return [found[k] for k in range(len(points))]


def farthest_first(names, points):
    """Return the epsilon-net order, one after another."""
    points = dict(zip(names, map(np.array, points), strict=True))
    whole = np.array(list(points.values()))
    width = np.where(np.ptp(whole, axis=0) > 0, np.ptp(whole, axis=0), 1.0)
    scaled = {name: (p - whole.min(axis=0)) / width for name, p in points.items()}
    order = [min(points, key=lambda name: (tuple(points[name]), name))]
    while len(order) < len(points):
        apart = {
            name: min(float(np.round(((p - scaled[o]) ** 2).sum(), 12)) for o in order)
            for name, p in scaled.items()
            if name not in order
        }
        order.append(min(apart, key=lambda name: (-apart[name], name)))
    return order


def ranked_by_definition(outcomes):
    """Return trials best first, from {trial: Outcome}."""
    failed = sorted(t for t, o in outcomes.items() if not all(map(math.isfinite, o.losses)))
    whole = {t: o for t, o in outcomes.items() if t not in failed}
    scales = []
    for column in zip(*(o.excess for o in whole.values()), strict=True):
        missed = [e for e in column if 0 < e < math.inf]
        scales.append(median(missed) if missed else 1.0)
    beyond = {
        t: sum(e / s for e, s in zip(o.excess, scales, strict=True))
        for t, o in whole.items()
        if any(o.excess)
    }
    within = [t for t in whole if t not in beyond]
    fronts = dict(zip(within, peeled([whole[t].losses for t in within]), strict=True))
    order = []
    for front in range(max(fronts.values(), default=-1) + 1):
        members = sorted(t for t in within if fronts[t] == front)
        order += farthest_first(members, [whole[t].losses for t in members])
    order += sorted(beyond, key=lambda t: (beyond[t], whole[t].losses, t))
    return [*order, *failed]


@given(POINTS, st.randoms())
def test_fronts_are_what_peeling_gives_in_whatever_order_points_come(points, rng):
    expected = peeled(points)
    names = list(range(len(points)))
    rng.shuffle(names)
    fronts = Fronts(len(points[0]))
    for name in names:
        fronts.add(name, points[name])
    assert [fronts.front_of(k) for k in range(len(points))] == expected
    assert [sorted(fronts.best_first(k).tolist()) for k in range(len(fronts))] == [
        [n for n, front in enumerate(expected) if front == k] for k in range(max(expected) + 1)
    ]
    assert nondominated(np.array(points)).tolist() == [front == 0 for front in expected]
    assert [fronts.size(k) for k in range(len(fronts))] == [expected.count(k) for k in range(len(fronts))]


@given(POINTS)
def test_a_front_is_spread_as_the_definition_says(points):
    names = np.arange(len(points)) * 7 % 31
    order = names[spread(names, np.array(points))]
    assert order.tolist() == farthest_first(names.tolist(), points)


def test_beyond_the_cap_a_front_is_still_in_one_order():
    x = np.linspace(0.0, 1.0, 3 * SPREAD)
    order = spread(np.arange(len(x)), np.stack([x, 1.0 - x], axis=1))
    assert sorted(order.tolist()) == list(range(len(x)))
    assert order[:2].tolist() == [0, len(x) - 1]


@given(st.permutations(range(12)))
def test_a_dominated_chain_in_any_order_has_the_ranks_of_the_chain(places):
    """N1. Who takes the order for the ranks, as Syne Tune's MO-ASHA does, fails here."""
    order = Order(toy_study(metrics=METRICS["several"]))
    for trial, place in enumerate(places):
        order.put(trial, Outcome((float(place), 2.0 * place), ()))
    assert [order.rank(trial) for trial in range(12)] == list(places)
    assert [places[trial] for trial in order.best_first()] == list(range(12))


@given(POINTS.filter(lambda p: len(p[0]) == 2), st.integers(1, 30))
def test_the_best_share_holds_all_of_the_first_front_if_it_is_large_enough(points, share):
    """N2."""
    order = Order(toy_study(metrics=METRICS["several"]))
    for trial, losses in enumerate(points):
        order.put(trial, Outcome(losses, ()))
    first = {t for t, front in enumerate(peeled(points)) if front == 0}
    best = set(list(order.best_first())[:share])
    assert first <= best if len(first) <= share else best < first or len(best) == share


@given(
    st.sampled_from([(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (3, 2)]).flatmap(
        lambda shape: st.lists(
            st.tuples(
                st.integers(0, 14),
                st.none()
                | st.builds(Outcome, st.tuples(*[LOSS] * shape[0]), st.tuples(*[EXCESS] * shape[1])),
            ),
            min_size=1,
            max_size=40,
        ).map(lambda steps: (shape[0], steps))
    )
)
@settings(max_examples=150)
def test_an_order_is_that_of_the_definition_whatever_came_and_went(drawn):
    objectives, steps = drawn
    order = Order(toy_study(metrics=METRICS[{1: "one", 2: "several", 3: "both"}[objectives]]))
    order._objectives = objectives  # the toy studies have at most two and three
    known = {}
    for place, (trial, outcome) in enumerate(steps):
        order.put(trial, outcome)
        known.pop(trial, None) if outcome is None else known.__setitem__(trial, outcome)
        if place % 5 == 0 or place == len(steps) - 1:
            expected = ranked_by_definition(known)
            assert list(order.best_first()) == expected
            assert [order.rank(trial) for trial in expected] == list(range(len(known))) and len(order) == len(
                known
            )
            grades = [order.grade(trial) for trial in expected]
            assert grades == sorted(grades)


@given(st.integers(2, 3), st.integers(1, 25), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_hypervolume_is_what_random_points_say(m, n, seed):
    rng = np.random.default_rng(seed)
    points, reference = rng.random((n, m)) * 1.2, np.ones(m)
    drawn = rng.random((20_000, m))
    share = (points[:, None] <= drawn).all(axis=2).any(axis=0).mean()
    assert hypervolume(points, reference) == pytest.approx(share, abs=0.02)


@given(POINTS)
def test_hypervolume_counts_the_front_alone_and_only_grows(points):
    points = np.array(points)
    reference = np.full(points.shape[1], 5.0)
    whole = hypervolume(points, reference)
    assert hypervolume(points[nondominated(points)], reference) == pytest.approx(whole)
    parts = [hypervolume(points[:k], reference) for k in range(len(points) + 1)]
    assert parts[0] == 0.0 and all(a <= b + 1e-9 for a, b in pairwise(parts))


def test_hypervolume_by_hand():
    assert hypervolume(np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([3.0, 3.0])) == 3.0
    assert hypervolume(np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 2.0]]), np.array([3.0, 3.0, 3.0])) == 9.0
    with pytest.raises(ValueError, match="4 objectives"):
        hypervolume(np.zeros((1, 4)), np.ones(4))


def outcomes_at(history, place):
    """Return {trial: Outcome} of a rung, read off the curves."""
    study, level, found = history.study, history.rungs[place].level, {}
    for trial in history.trials:
        if trial.number not in history.rungs[place]:
            continue
        curves = {m.name: dict(trial.curve(m.name)) for m in study.metrics}
        failed = not math.isfinite(history.rungs[place].loss(trial.number))
        values = {name: None if failed else curve.get(level) for name, curve in curves.items()}
        found[trial.number] = Outcome(
            tuple(m.loss(values[m.name]) for m in study.objectives),
            tuple(m.excess(values[m.name]) for m in study.bounded),
        )
    return found


def rough(seed):
    """A loss by trial alone, with crashes and what is not a number."""

    def objective(parameters, resource):
        u = math.modf(parameters["lr"] * 1e6 * (seed % 89 + 1))[0]
        return None if u < 0.05 else math.nan if u < 0.1 else u + 1.0 / resource

    return objective


def promotions(moment):
    return [d for d in moment.entry.decisions if isinstance(d, Issue) and d.rung > 0]


@pytest.mark.parametrize("metrics", KINDS)
@given(st.integers(0, 2**32), st.integers(2, 4))
@settings(max_examples=6, deadline=None)
def test_asha_promotes_the_best_that_wait(metrics, seed, eta):
    """A1 to A4, and: nothing out of bounds is promoted while something within bounds waits among the best."""
    study = toy_study(
        scheduler={"name": "asha", "eta": eta}, searcher={"name": "random"}, metrics=METRICS[metrics],
        top=eta**2, eta=eta, seed=seed % 999,
    )  # fmt: skip
    seen, history = set(), None
    for moment in simulated(study, rough(seed), seed=seed):
        history = moment.history()
        history.fold_facts(moment.facts)
        for decision in moment.entry.decisions:
            if isinstance(decision, Issue) and decision.rung > 0:
                place = decision.rung - 1
                assert (decision.trial, place) not in seen, "promoted twice"
                seen.add((decision.trial, place))
                known = outcomes_at(history, place)
                best = ranked_by_definition(known)[: len(known) // eta]
                waiting = [t for t in best if not known[t].failed and t not in history.rungs[place].promoted]
                assert waiting[0] == decision.trial
            history.fold_decision(decision)
    for place in range(len(history.rungs) - 1):  # A3: at the end nobody is left waiting
        known = outcomes_at(history, place)
        best = ranked_by_definition(known)[: len(known) // eta]
        assert all(known[t].failed or t in history.rungs[place].promoted for t in best)
    assert seen


@pytest.mark.parametrize("metrics", KINDS)
@given(st.integers(0, 2**32), st.sampled_from([2, 3]))
@settings(max_examples=6, deadline=None)
def test_survivors_of_a_bracket_are_its_best(metrics, seed, eta):
    """S1 to S3, over the members of the bracket alone."""
    study = toy_study(
        scheduler={"name": "hyperband", "eta": eta, "rounds": 1}, searcher={"name": "random"},
        metrics=METRICS[metrics], limits=Limits(), top=eta**2, eta=eta, seed=seed % 999,
    )  # fmt: skip
    there, history = {}, None
    for moment in simulated(study, rough(seed), seed=seed):
        for issue in (d for d in moment.entry.decisions if isinstance(d, Issue)):
            there.setdefault((issue.bracket, issue.rung), set()).add(issue.trial)
        history = moment.view.history
    for (bracket, place), members in there.items():
        if place + 1 == len(history.rungs):
            continue
        unmeasured = Outcome(
            (math.inf,) * len(study.objectives), (math.inf,) * len(study.bounded)
        )  # crashed without a report
        known = outcomes_at(history, place)
        known = {t: known.get(t, unmeasured) for t in members}
        first = len(there[bracket, min(p for b, p in there if b == bracket)])
        stage = place - min(p for b, p in there if b == bracket)
        best = ranked_by_definition(known)[: first // eta**stage // eta]
        assert there.get((bracket, place + 1), set()) == {t for t in best if not known[t].failed}


@pytest.mark.parametrize("metrics", KINDS)
@given(st.integers(0, 2**32))
@settings(max_examples=5, deadline=None)
def test_the_stopping_variant_stops_by_rank(metrics, seed):
    study = toy_study(
        scheduler={"name": "asha_stopping"}, searcher={"name": "random"}, metrics=METRICS[metrics]
    )
    judged = 0
    for moment in simulated(study, rough(seed), seed=seed):
        history = moment.history()
        history.fold_facts(moment.facts)
        stopped = {d.trial for d in moment.entry.decisions if isinstance(d, StopTrial)}
        for trial, level in history.news:
            known = {}
            for other in history.trials:
                curves = {m.name: dict(other.curve(m.name)) for m in study.metrics}
                if level in curves["loss"]:
                    known[other.number] = Outcome(
                        tuple(m.loss(curves[m.name][level]) for m in study.objectives),
                        tuple(m.excess(curves[m.name][level]) for m in study.bounded),
                    )
            order = ranked_by_definition(known)
            judged += 1
            assert (trial in stopped) == (order.index(trial) >= max(1, len(order) // 3))
    assert judged
