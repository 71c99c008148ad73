"""What is kept of another study, what is tried first, and what counts as whose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpo_pipe.conformance import simulated, toy_study
from hpo_pipe.decide import decide
from hpo_pipe.ranking import best_trial
from hpo_pipe.results import snapshot
from hpo_pipe.rung_models.evidence import at_rung, furthest, highest_rung
from hpo_pipe.space import Space
from hpo_pipe.toy_world import METRICS, SPACE
from hpo_pipe.transfer.choice import best_first, kept, thinned, to_try
from hpo_pipe.transfer.parent import best_parent
from hpo_pipe.transfer.rows import borrowed, counted, parent_levels, parents_of, trial_name
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.records import Facts, Issue, Limits
from tests.unit.warm_starts import result, searched, source, warmed

HERE = Space.from_json(SPACE)


def config(layers: int, lr: float = 0.01) -> dict:
    return {"lr": lr, "layers": layers, "size": 16, "activation": "relu", "momentum": 0.9}


def curve(*values, levels=(1, 3, 9)):
    return tuple(zip(levels, values, strict=False))


STUDY = toy_study()
RESULTS = [
    result(0, config(1), loss=curve(0.1)),
    result(1, config(2), loss=curve(0.9, 0.5)),
    result(2, config(3), loss=curve(0.8, 0.4, 0.3)),
    result(3, config(4), loss=curve(0.7, 0.3, 0.2)),
    result(4, config(5), failed=True, loss=curve(0.0, 0.0)),
    result(5, config(6), loss=curve(0.6, None, None)),
    result(6, config(4), loss=curve(0.7, 0.3, 0.25)),
]


def test_who_came_further_comes_first_and_failures_last():
    ranked = best_first(STUDY, (1, 3, 9), RESULTS)
    assert [r.trial for r in ranked] == [3, 6, 2, 1, 0, 5, 4]


def test_the_best_different_configurations_with_a_value_are_tried():
    ranked = best_first(STUDY, (1, 3, 9), RESULTS)
    assert to_try(STUDY, HERE, (1, 3, 9), ranked, 3) == (3, 2, 1)
    assert to_try(STUDY, HERE, (1, 3, 9), ranked, 100) == (3, 2, 1, 0)
    assert to_try(STUDY, HERE, (1, 3, 9), ranked, 0) == ()


def test_maximised_metrics_rank_the_other_way():
    study = replace(STUDY, metrics=(replace(STUDY.metrics[0], goal="maximize"),))
    assert best_first(study, (1, 3, 9), RESULTS)[0].trial == 2


def test_what_is_out_of_bounds_is_not_tried_first():
    study = replace(STUDY, metrics=METRICS["bounded"])
    found = [
        replace(r, curves={**r.curves, "latency": curve(*(9.0 if r.trial == 3 else 1.0,) * 3)})
        for r in RESULTS
    ]
    assert to_try(study, HERE, (1, 3, 9), best_first(study, (1, 3, 9), found), 2) == (6, 2)


@pytest.mark.parametrize(("count", "cap"), [(0, 5), (5, 5), (6, 5), (100, 7), (1000, 300), (3, 1)])
def test_the_better_half_is_kept_and_some_of_the_rest(count, cap):
    ranked = [result(k, {}) for k in range(count)]
    stays = [r.trial for r in kept(ranked, cap)]
    assert len(stays) == min(count, cap)
    assert stays == sorted(set(stays))
    half = min(count, (cap + 1) // 2)
    assert stays[:half] == list(range(half))
    if count > 2 * cap > 8:
        assert max(stays) > 0.6 * count


def test_curves_keep_what_rungs_see_and_their_ends():
    long = tuple((r, float(r)) for r in range(1, 8))
    assert thinned(long, (1, 3, 9)) == ((1, 1.0), (3, 3.0), (7, 7.0))
    assert thinned(((2, 0.5), (5, 0.1)), (1, 3, 4)) == ((2, 0.5), (5, 0.1))
    assert thinned((), (1, 3)) == ()


@pytest.mark.parametrize(
    ("there", "here", "starts"),
    [
        ((1, 3, 9), (1, 3, 9), [1, 3, 9]),
        ((1, 3, 9), (1, 4, 12), [1, 3, 9]),
        ((2, 6), (1, 3, 9), [1, 2, 6]),  # nothing was measured at 1; who got to 2 counts at 3
        ((27,), (1, 3, 9), [1, 3, 9]),
        ((1,), (1,), [1]),
        ((1,), (1, 3, 9), [1, 3, 9]),  # what ended at 1 says nothing about 3
    ],
)
def test_from_where_on_a_result_counts(there, here, starts):
    assert parent_levels(there, here) == starts


def identical(*sources, **more):
    return warmed(toy_study(**more), *sources, mode="identical")


def test_the_last_report_at_or_below_a_rung_counts():
    rows = [
        result(0, config(1), loss=curve(0.5, 0.4, 0.3, levels=(1, 3, 9))),
        result(1, config(2), loss=((1, 0.9), (2, 0.8))),
    ]
    study = identical(source(rows, rungs=(1, 3, 9)), top=12, eta=4)  # rungs 1, 4, 12
    found = snapshot(View.of(History(study)), 0).parents
    assert found is not None
    np.testing.assert_array_equal(found.rungs, [[0.5, 0.4, 0.3], [0.9, np.nan, np.nan]])


def test_results_of_others_are_rows_for_models_and_nothing_else():
    study = identical(source(searched(toy_study())), searcher={"name": "gp"}, limits=Limits(trials=10))
    history = list(simulated(study))[-1].view.history
    view = View.of(history)
    count = parents_of(view)
    found = snapshot(view, len(history.trials))
    assert count == 24
    assert len(found.unit) == len(history.trials) and len(found.alone.unit) == len(history.trials)
    data = at_rung(found, 0)
    assert data.trials.min() == -count and (np.diff(data.trials) > 0).all()
    assert len(data.trials) == len(at_rung(found.alone, 0).trials) + sum(data.trials < 0)
    assert highest_rung(found, 3) == 2 or highest_rung(found.alone, 3) is None
    assert furthest(found).trials[0] < 0
    assert max(len(rung) for rung in history.rungs) <= len(history.trials)
    assert all(0 <= trial < 10 for rung in history.rungs for _, trial in rung.ranking)
    assert history.best_seen is not None and history.best_seen.trial >= 0
    assert trial_name(view, -1).endswith("of parent") and trial_name(view, 3) == "trial 3"
    assert counted(view, np.array([-2, -1, 0])) == "3 results (2 of other studies)"


def test_where_results_are_another_tasks_no_row_is_added():
    view = View.of(History(warmed(toy_study(), source(searched(toy_study())))))
    assert snapshot(view, 0).parents is None and parents_of(view) == 0
    assert len(borrowed(view).sources[0].results) == 24


def first_trials(study, count=6):
    view = View.of(History(study))
    return [d for d in decide(view, Facts(now=0.0, demand=count)) if isinstance(d, Issue)]


def test_the_best_of_each_come_first_and_the_users_own_before_them():
    one = source(
        [result(7, config(1), loss=curve(0.1, 0.1, 0.05)), result(3, config(2), loss=curve(0.2))], "one"
    )
    two = source([result(1, config(3), loss=curve(0.3)), result(2, config(1), loss=curve(0.3))], "two")
    study = warmed(  # the second one's own second is the first one's first
        replace(STUDY, enqueued=(config(8),)),
        replace(one, first=(7, 3)),
        replace(two, first=(1, 2)),
        best_first=2,
    )
    issued = first_trials(study)
    assert [i.parameters["layers"] for i in issued[:4]] == [8, 1, 3, 2]
    assert [i.origin for i in issued] == [
        "enqueued",
        "warm_start",
        "warm_start",
        "warm_start",
        "sobol",
        "sobol",
    ]
    told = "warm start: the best of one (memory://one), trial 7 there: loss 0.05 at epoch 9; "
    assert issued[1].reason.startswith(told)
    assert issued[3].reason.startswith(
        "warm start: number 2 of one (memory://one), trial 3 there: loss 0.2 at epoch 1"
    )


def test_what_a_user_enqueued_is_not_tried_again():
    one = source([result(7, config(1), loss=curve(0.1)), result(3, config(2), loss=curve(0.2))], first=(7, 3))
    issued = first_trials(warmed(replace(STUDY, enqueued=(config(1),)), one), 3)
    assert [(i.parameters["layers"], i.origin) for i in issued[:2]] == [(1, "enqueued"), (2, "warm_start")]
    assert issued[2].origin == "sobol"


def test_what_is_stored_and_not_of_the_space_is_passed_over():
    strange = [
        result(0, {"lr": 5.0}, loss=curve(0.1)),
        result(1, {}, loss=curve(0.1)),
        result(2, config(2), loss=curve(0.4)),
    ]
    study = warmed(STUDY, source(strange, first=(0, 1, 2, 99)))
    assert first_trials(study, 2)[0].parameters == config(2)
    assert len(borrowed(View.of(History(study))).sources[0].results) == 1


def grown(study, *, upto=None):
    history = History(study)
    for moment in list(simulated(study))[:upto]:
        history.fold(moment.entry)
    return history


@pytest.mark.parametrize("metrics", ["one", "bounded"])
def test_a_parent_is_the_best_only_where_nothing_here_comes_up_to_it(metrics):
    study = toy_study(metrics=METRICS[metrics], limits=Limits(trials=15))
    others = {} if metrics == "one" else {"latency": curve(2.0, 2.0, 2.0)}
    good = source([result(5, config(3), loss=curve(0.0, 0.0, -1.0), **others)])
    bad = source([result(5, config(3), loss=curve(9.0, 9.0, 9.0), **others)])
    found = best_parent(grown(warmed(study, good, mode="identical")))
    assert found is not None and (found.result.trial, found.rung) == (5, 2)
    history = grown(warmed(study, bad, mode="identical"))
    assert best_trial(history) is not None and best_trial(history)[1] == 2
    assert best_parent(history) is None
    assert best_parent(grown(warmed(study, good))) is None, "of another task"
    early = best_parent(grown(warmed(study, bad, mode="identical"), upto=2))
    assert early is not None and early.rung == 2, "further than anything here"
    out = source([result(5, config(3), loss=curve(0.0, 0.0, -1.0), latency=curve(99.0, 99.0, 99.0))])
    assert metrics == "one" or best_parent(grown(warmed(study, out, mode="identical"))) is None


def test_an_equal_result_of_the_study_itself_is_the_best():
    study = toy_study(limits=Limits(trials=15))
    history = grown(study)
    trial, place = best_trial(history)
    equal = source([result(0, config(3), loss=curve(9.0, 9.0, history.rungs[place].loss(trial)))])
    assert best_parent(grown(warmed(study, equal, mode="identical", best_first=0))) is None
