"""Mistakes of other implementations of models, each as a law, with the mistaken form beside ours."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpo_pipe.conformance import simulated, toy_study
from hpo_pipe.models.dimensions import Dimensions
from hpo_pipe.models.kernel_density import KernelDensity, reference_bandwidths
from hpo_pipe.models.pareto import Fronts
from hpo_pipe.models.rung_ensemble import shares
from hpo_pipe.parameters import IntParameter
from hpo_pipe.results import snapshot
from hpo_pipe.rung_models.evidence import at_rung
from hpo_pipe.schedulers import SCHEDULERS
from hpo_pipe.schedulers.asha import AshaScheduler
from hpo_pipe.searchers import kde, priorband
from storage_schema.records import Issue, Limits
from tests.property.test_bugs_of_schedulers import refused
from tests.unit.searchers.worlds import Search, uniform

# HpBandSter, NNI, Ray, Syne Tune: the bandwidth of a category is the deviation of its arbitrary codes.


def favours_the_most_frequent(mass) -> None:
    """(codes, how many there may be) to the mass of each category."""
    for seed in range(30):
        rng = np.random.Generator(np.random.PCG64(seed))
        levels = int(rng.integers(4, 11))
        codes = np.concatenate([rng.integers(0, levels, 8), np.full(6, int(rng.integers(0, levels)))])
        found, counts = mass(codes, levels), np.bincount(codes, minlength=levels)
        assert (found >= 0).all() and np.isfinite(found).all()
        assert counts[int(np.argmax(np.round(found, 9)))] == counts.max()


def our_mass(codes, levels):
    dimensions, place = Dimensions((levels,), (True,)), lambda c: (np.asarray(c)[:, None] + 0.5) / levels
    rows = place(codes)
    density = KernelDensity(dimensions, rows, reference_bandwidths(dimensions, rows))
    return np.exp(density.log_density(place(range(levels)))) / levels


def aitchison_aitken_of_the_codes(codes, levels):
    present = len(np.unique(codes))
    with np.errstate(divide="ignore", invalid="ignore"):
        h = 1.06 * codes.std() * len(codes) ** -0.2
        kernels = np.where(codes[:, None] == np.arange(levels), 1 - h, h / np.float64(present - 1))
    return kernels.mean(axis=0)


def test_the_bandwidth_of_a_category_comes_from_counts():
    favours_the_most_frequent(our_mass)
    refused(favours_the_most_frequent, aitchison_aitken_of_the_codes)


# HpBandSter, issue 100: a category of which the data has one value divides by zero.


def is_finite_with_one_value(mass) -> None:
    assert np.isfinite(mass(np.full(9, 2), 4)).all()


def test_one_value_of_a_category_is_no_division_by_zero():
    is_finite_with_one_value(our_mass)
    refused(is_finite_with_one_value, aitchison_aitken_of_the_codes)


# HpBandSter: inactive entries are imputed `while np.any(nan_indices)`, which is False where the only one is the first.


def leaves_nothing_open(density_of) -> None:
    rows = np.array([[np.nan, 0.3], [0.2, np.nan], [np.nan, 0.7]])
    for row in rows:
        assert np.isfinite(density_of(row[None, :])).all()


def imputed_by_theirs(rows):
    rows = rows.copy()
    for row in rows:
        where = np.argwhere(np.isnan(row)).flatten()
        while np.any(where):
            row[where[0]] = 0.5
            where = np.argwhere(np.isnan(row)).flatten()
    return rows.sum(axis=1)


def test_an_inactive_first_parameter_is_not_overlooked():
    dimensions = Dimensions((0, 0), (False, False))
    rows = np.array([[0.1, 0.2], [np.nan, 0.5], [0.6, np.nan]])
    leaves_nothing_open(KernelDensity(dimensions, rows, reference_bandwidths(dimensions, rows)).log_density)
    refused(leaves_nothing_open, imputed_by_theirs)


# HpBandSter: densities below 1e-32 are all the same, so that in many dimensions the choice is arbitrary.

MANY = 200


def tells_apart_in_many_dimensions(log_ratio) -> None:
    assert log_ratio(np.full((1, MANY), 0.2)) > log_ratio(np.full((1, MANY), 0.0))


def test_densities_do_not_underflow():
    dimensions = Dimensions((0,) * MANY, (False,) * MANY)
    good = 0.5 + 0.02 * (np.random.Generator(np.random.PCG64(0)).random((20, MANY)) - 0.5)
    bad = np.random.Generator(np.random.PCG64(1)).random((40, MANY))
    widths = [reference_bandwidths(dimensions, rows) for rows in (good, bad)]

    def in_logs(rows):
        likely, unlikely = (
            KernelDensity(dimensions, data, h, prior_weight=0.0)
            for data, h in zip((good, bad), widths, strict=True)
        )
        return likely.log_density(rows) - unlikely.log_density(rows)

    def clipped(rows):
        found = []
        for data, h in zip((good, bad), widths, strict=True):
            kernels = np.exp(-0.5 * ((rows[0] - data) / h) ** 2) / (h * math.sqrt(2 * math.pi))
            found.append(max(1e-32, float(kernels.prod(axis=1).mean())))
        return math.log(found[0] / found[1])

    tells_apart_in_many_dimensions(in_logs)
    refused(tells_apart_in_many_dimensions, clipped)


# Optuna: TPE under Hyperband sees only the trials of its own bracket, and starts up in each.


def pools_all_brackets(rows_of) -> None:
    search = Search("kde", random_fraction=0.0)
    for number, parameters in enumerate(uniform(0, 12)):
        search.add(parameters, float(number))
        search.history.trials[-1].bracket = number % 4
    assert len(rows_of(search)) == 12


def of_one_bracket(search):
    trials = search.history.trials
    return [t for t in at_rung(snapshot(search.view, 12), 0).trials if trials[t].bracket == 0]


def test_models_pool_the_results_of_all_brackets():
    pools_all_brackets(lambda search: at_rung(snapshot(search.view, 12), 0).trials)
    refused(pools_all_brackets, of_one_bracket)
    search = Search("kde", random_fraction=0.0)
    for number, parameters in enumerate(uniform(0, 12)):
        search.add(parameters, float(number))
        search.history.trials[-1].bracket = number % 4  # 3 of each: too few for a model of their own
    found = kde.candidates(search.view, 12)
    assert found is not None and "of 12 results" in found.reason(0.0)


# Syne Tune's KDE: in the encoding of an integer its lower bound does not occur, and a logarithm neither.


def gives_every_integer_an_equal_cell(encode) -> None:
    """(value, lowest, highest) to the unit interval."""
    for low, high in ((1, 4), (10, 12), (-3, 3)):
        n = high - low + 1
        assert [encode(v, low, high) for v in range(low, high + 1)] == pytest.approx(
            [(i + 0.5) / n for i in range(n)]
        )


def theirs_of_an_integer(value, low, high):
    a = 1 / (2 * (high - low + 1))
    return (value - a) / (high - a)


def test_an_integer_owns_a_cell_of_the_unit_interval():
    gives_every_integer_an_equal_cell(
        lambda value, low, high: IntParameter(name="n", min=low, max=high).encode(value)
    )
    refused(gives_every_integer_an_equal_cell, theirs_of_an_integer)


def spreads_evenly_over_a_logarithm(encode) -> None:
    middle = encode(100, 1, 10_000)
    assert 0.4 < middle < 0.6


def test_a_logarithm_is_one():
    spreads_evenly_over_a_logarithm(
        lambda value, low, high: IntParameter(name="n", min=low, max=high, log=True).encode(value)
    )
    refused(spreads_evenly_over_a_logarithm, theirs_of_an_integer)


# Syne Tune's MO-ASHA: an order of places is taken for the ranks of the points.


def ranks_a_shuffled_chain(rank_of_each) -> None:
    """Points that dominate one another in a row, told in another order, have the ranks of the row."""
    places = [3, 0, 4, 1, 5, 2]
    points = [(float(place), float(place)) for place in places]
    assert list(rank_of_each(points)) == places


def ranks_of_ours(points):
    fronts = Fronts(2)
    fronts.extend(enumerate(points))
    return [fronts.front_of(name) for name in range(len(points))]


def test_the_rank_of_a_point_is_not_who_has_that_rank():
    ranks_a_shuffled_chain(ranks_of_ours)
    refused(ranks_a_shuffled_chain, lambda points: np.argsort([p[0] for p in points]))


# DyHPO's port, freeze-thaw searches: new configurations are always more promising than any that was begun.


def trains_somebody_to_the_end(scheduler: dict[str, object]) -> None:
    """In a world where no curve ever falls, within 20 eta**K decisions."""
    study = toy_study(scheduler=scheduler, searcher={"name": "random"}, limits=Limits(trials=180))
    issued = [
        decision
        for moment in simulated(study, lambda parameters, resource: 0.5)
        for decision in moment.entry.decisions
        if isinstance(decision, Issue)
    ][: 20 * 3**2]
    assert any(decision.to == 9 for decision in issued)


class NothingButNew(AshaScheduler):
    """Always another new trial."""

    def next_promotion(self, view):
        return None


@pytest.mark.parametrize(
    "name", sorted(SCHEDULERS.keys() - {"pasha"})
)  # whose cap rises with disagreement only
def test_somebody_is_trained_to_the_end(name):
    trains_somebody_to_the_end({"name": name})


def test_a_dead_lock_on_new_configurations_is_refused(monkeypatch):
    monkeypatch.setitem(SCHEDULERS, "asha", NothingButNew)
    refused(trains_somebody_to_the_end, {"name": "asha"})


# Hyper-Tune's repository: predictions of the cross-validation are kept in an array of integers.


def tells_a_good_rung_from_a_bad_one(predicted) -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    observed = rng.random(12)
    good, bad = observed + 0.01 * rng.standard_normal((50, 12)), rng.random((50, 12))
    assert shares([predicted(bad), predicted(good)], observed).tolist() == [0.0, 1.0]


def in_integers(draws):
    kept = np.array([[0] * draws.shape[1]] * len(draws))
    kept[:] = draws
    return kept


def test_predictions_are_no_integers():
    tells_a_good_rung_from_a_bad_one(lambda draws: draws)
    refused(tells_a_good_rung_from_a_bad_one, in_integers)


# NePS' PriorBand: `(array == x).any() is False` is never so; costs are multiplied by the rung's number; == for >=.


def waits_for_something_to_compare(active) -> None:
    """(how many have finished, epochs spent, members of the highest rung) to: the incumbent takes part."""
    assert not active(0, 100, 5)
    assert not active(1, 20, 5)
    assert not active(1, 100, 2)
    assert active(1, 27, 3) and active(2, 100, 4)


def ours_takes_part(finished, spent, members):
    """A study of three rungs, 1, 3 and 9, with eta = 3: a bracket of successive halving costs 27."""
    search = Search("priorband")
    rest = spent - 9 * finished
    for parameters in uniform(0, finished):
        search.add(parameters, 0.1, rung=2)
    for parameters in uniform(1, max(members - finished, 0)):
        search.add(parameters, 0.2, rung=0)
        rest -= 1
    if members > 2:
        for parameters in uniform(2, max(rest, 0)):
            search.add(parameters, 0.3, rung=0)
    return priorband.shares(search.view, snapshot(search.view, len(search.history.trials)), 0)[2] > 0


def theirs_takes_part(finished, spent, members):
    at_top = np.arange(5) < finished
    not_yet = at_top.any() is False  # a numpy bool is not the object False
    return not (not_yet or members != 3)


def test_the_incumbent_waits_for_something_to_compare():
    waits_for_something_to_compare(ours_takes_part)
    refused(waits_for_something_to_compare, theirs_takes_part)
