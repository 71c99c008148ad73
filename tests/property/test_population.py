"""Laws of population based training (B1 to B5), over populations whose members fail, tie and end in any order."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_pipe.conformance import CONDITIONAL, FORBIDDEN, SPACE, simulated, toy_objective, toy_study
from hpo_pipe.schedulers.exploring import Exploration, explored
from hpo_pipe.space import Space
from hpo_pipe.view import View
from storage_schema.history import History
from storage_schema.records import Issue, Limits, StopTrial

SIZE, QUANTILE = 8, 0.25
TOP = 12
HOW = Exploration(resample=0.0, down=0.8, up=1.25, step=0.1)


def population(name="pbt", seed=1, synchronous=True, **more):
    options = {
        "population_size": SIZE,
        "interval": 3,
        "quantile_fraction": QUANTILE,
        "synchronous": synchronous,
    }
    return toy_study(
        scheduler={"name": name, **options, **more.pop("options", {})},
        searcher={"name": "random"},
        top=TOP,
        seed=seed,
        **{"limits": Limits(), **more},
    )


def troubled(parameters, resource):
    """A loss with ties, with members that diverge, and with members that crash late."""
    if parameters["layers"] == 7 and resource > 3:
        return None
    if parameters["layers"] == 8:
        return math.nan
    return round(toy_objective(parameters, resource), 1)


def worsening(parameters, resource):
    """A loss that rises with training, so that who lags behind looks good."""
    return toy_objective(parameters, 1) + 0.2 * resource


@dataclass
class Taken:
    """One decision, and the history just before it."""

    decision: object
    history: History


def taken(study, objective=troubled, workers=5, seed=0):
    """Yield every decision of a study at the moment when it was taken; at last None, and the end."""
    for moment in simulated(study, objective, workers=workers, seed=seed):
        history = moment.history()
        with history.draft():
            history.fold_facts(moment.facts)
            for decision in moment.entry.decisions:
                yield Taken(decision, history)
                history.fold_decision(decision)
    yield Taken(None, moment.view.history)


def members(history):
    """Each member's trials, by the bracket that they share."""
    found = defaultdict(list)
    for trial in history.trials:
        found[trial.bracket].append(trial)
    return found


def result(history, trial, rung):
    """The loss at a rung, +inf for what is not there."""
    return history.rungs[rung].loss(trial.number) if trial.number in history.rungs[rung] else math.inf


def newest(history, line):
    """The rung of a member's newest result, and the trial; a member that failed stands where it failed."""
    if not line[-1].open and (line[-1].failed or line[-1].stopped):
        return line[-1].rung, line[-1]
    for trial in reversed(line):
        for rung in reversed(range(len(history.rungs))):
            if trial.number in history.rungs[rung]:
                return rung, trial
    return None


def standing(history, synchronous, generation):
    """Those that are compared, best first: (loss, trial, rung)."""
    found = []
    for line in members(history).values():
        if synchronous:
            there = [t for t in line if t.specs[0].issue.rung <= generation <= t.rung]
            trial, rung = (there or line)[-1], generation
        elif (known := newest(history, line)) is None:
            continue
        else:
            rung, trial = known
        found.append((result(history, trial, rung), trial.number, rung))
    return sorted(found)


seeds = st.integers(0, 2**32)
kinds = st.sampled_from(["pbt", "pb2"])


@given(
    seeds,
    st.integers(0, 99),
    st.integers(1, 12),
    st.booleans(),
    st.sampled_from(["pbt", "pbt", "pb2"]),
    st.sampled_from([troubled, worsening]),
)
@settings(max_examples=40, deadline=None)
def test_laws_of_a_population(seed, order, workers, synchronous, name, objective):
    study = population(name, seed, synchronous)
    decided = Counter()
    for step in taken(study, objective, workers=workers, seed=order):
        history, issue = step.history, step.decision
        if isinstance(issue, StopTrial):
            line = members(history)[history.trials[issue.trial].bracket]
            assert line[-1].number != issue.trial, "a member was stopped before another took its place"
        if not isinstance(issue, Issue):
            continue
        decided[issue.bracket, issue.rung] += 1
        if issue.parent is None:
            continue
        # B4: a line goes back to earlier trials
        if issue.trial < len(history.trials):
            assert history.trials[issue.trial].parent == issue.parent
            continue
        assert issue.parent < issue.trial
        check_clone(study, history, issue, synchronous)
    # B5: a member is sent to each generation once
    assert set(decided.values()) == {1}
    check_end(step.history)


def check_clone(study, history, issue, synchronous):
    """B2: from the top quantile into the bottom one, or a failed one's place; from a committed checkpoint."""
    target = members(history)[issue.bracket][-1]
    ranked = standing(history, synchronous, target.rung)
    share = min(math.ceil(QUANTILE * len(ranked)), len(ranked) // 2)
    place = {trial: k for k, (_, trial, _) in enumerate(ranked)}
    assert place[issue.parent] < share
    lost = target.failed or math.isinf(result(history, target, target.rung))
    assert lost or place[target.number] >= len(ranked) - share
    assert issue.parent != target.number
    source = history.trials[issue.parent]
    compared = next(rung for _, trial, rung in ranked if trial == issue.parent)
    left = [s.settled.checkpoint for s in source.specs if s.settled and s.settled.outcome == "done"]
    assert issue.checkpoint in left
    assert issue.checkpoint.resource == issue.start == history.rungs[compared].level
    assert (issue.rung, issue.to) == (compared + 1, history.rungs[compared + 1].level)
    assert compared >= target.rung
    assert Space.from_json(study.space).check(issue.parameters) == issue.parameters


def check_end(history):
    """B1: as many members as ever, each one trial, which got to the end unless it failed."""
    lines = members(history)
    assert sorted(lines) == list(range(SIZE))
    for line in lines.values():
        *before, now = line
        assert all(t.stopped or t.failed for t in before if result(history, t, t.rung) < math.inf)
        assert history.state(now) == "COMPLETE" or now.failed or result(history, now, now.rung) == math.inf
    spent = sum(i.to - i.start for t in history.trials for i in (s.issue for s in t.specs))
    assert history.issued_resource == spent <= SIZE * TOP


@given(seeds, st.integers(0, 99), st.integers(1, 12))
@settings(max_examples=10, deadline=None)
def test_a_synchronous_population_does_not_depend_on_who_comes_first(seed, order, workers):
    study = population(seed=seed)

    def issues(*arrival):
        steps = taken(study, workers=arrival[0], seed=arrival[1])
        return [replace(s.decision, checkpoint=None) for s in steps if isinstance(s.decision, Issue)]

    assert issues(workers, order) == issues(SIZE, 0)


def test_clones_are_made_at_all_and_more_of_them_where_more_fail():
    def clones(objective, **more):
        *_, end = taken(population(**more), objective)
        return sum(trial.parent is not None for trial in end.history.trials)

    generations = TOP // 3 - 1
    assert clones(toy_objective) == generations * SIZE * QUANTILE
    assert clones(toy_objective, synchronous=False) > 0
    assert clones(lambda p, r: None if p["layers"] > 3 and r > 3 else r) > clones(toy_objective)


@given(seeds, st.sampled_from([(SPACE, {}), (CONDITIONAL, FORBIDDEN)]))
@settings(max_examples=60, deadline=None)
def test_what_is_explored_is_near_its_source_and_in_the_space(seed, where):
    """B3: in bounds, active ones only, none forbidden; numbers times a factor, or a step aside."""
    space = Space.from_json(where[0], constraints=where[1])
    rng = View.of(History(population(seed=seed))).rng("test", 0)
    for _ in range(100):
        before = space.decode(rng.random(len(space.dimensions)))
        if space.allowed(before):
            break
    after = explored(space, before, HOW, rng)
    assert space.check(after) == after
    if after == before:
        assert space.forbidden, "nothing was changed, though all of it is permitted"
        return
    ratio = after["lr"] / before["lr"]
    assert any(math.isclose(ratio, factor, rel_tol=1e-9) for factor in (0.8, 1.25))
    low, high = 1, next(p.max for p in space.parameters if p.name == "layers")
    assert after["layers"] != before["layers"]
    assert abs(after["layers"] - before["layers"]) == 1, f"a step of a tenth of {low} to {high} is one layer"
    if "size" in before and "size" in after:
        sizes = [16, 32, 64]
        assert abs(sizes.index(after["size"]) - sizes.index(before["size"])) == 1
    if "momentum" in before and "momentum" in after and any(p.name == "nesterov" for p in space.parameters):
        factor = (1 - after["momentum"]) / (1 - before["momentum"])
        assert any(math.isclose(factor, f, rel_tol=1e-6) for f in (0.8, 1.25))


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_numbers_neither_leave_their_range_nor_get_stuck_at_its_ends(seed):
    """Ray's: perturbed without bounds, and int(x * 0.8) goes from 1 to 0 and stays there."""
    space = Space.from_json(
        (
            {"name": "batch", "type": "int", "min": 1, "max": 64, "log": True},
            {"name": "depth", "type": "int", "min": 0, "max": 3},
            {"name": "shift", "type": "float", "min": -1.0, "max": 1.0},
            {"name": "rate", "type": "float", "min": 0.001, "max": 0.1, "log": True},
            {"name": "keep", "type": "float", "min": 0.1, "max": 0.9, "scale": "logit"},
            {"name": "share", "type": "float", "min": 0.0, "max": 0.5, "step": 0.1},
            {"name": "narrow", "type": "float", "min": 1.0, "max": 1.1, "log": True},
        )
    )
    rng = View.of(History(population(seed=seed))).rng("test", 1)
    now = {"batch": 1, "depth": 0, "shift": -0.4, "rate": 0.001, "keep": 0.9, "share": 0.5, "narrow": 1.0}
    seen = defaultdict(set)
    for _ in range(120):
        then = explored(space, now, HOW, rng)
        assert space.check(then) == then
        stuck = [name for name in now if then[name] == now[name]]
        assert not stuck, f"{stuck} did not move from {now}"
        for name, value in then.items():
            seen[name].add(value)
        now = then
    assert len(seen["depth"]) == 4
    assert len(seen["batch"]) > 4
    assert min(seen["shift"]) < 0, "negative values move as well"


@pytest.mark.parametrize("resample", [0.0, 1.0])
def test_what_is_resampled_comes_from_the_users_prior(resample):
    space = Space.from_json(
        (
            {
                "name": "lr",
                "type": "float",
                "min": 0.0,
                "max": 1.0,
                "prior": {"value": 0.9, "confidence": 0.95},
            },
        )
    )
    rng = View.of(History(population())).rng("test", 2)
    how = replace(HOW, resample=resample)
    drawn = [explored(space, {"lr": 0.2}, how, rng)["lr"] for _ in range(50)]
    near_prior = sum(abs(value - 0.9) < 0.2 for value in drawn)
    assert near_prior == (50 if resample else 0)
    assert resample or {round(value, 9) for value in drawn} == {0.1, 0.3}
