"""Laws of the fold and of rungs: a draft leaves no trace, and the same log gives the same state."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_pipe.conformance import picture, toy_study
from hpo_pipe.decide import decide
from hpo_pipe.view import View
from storage_schema.errors import ProtocolViolation
from storage_schema.history import History
from storage_schema.records import (
    Enqueue,
    Entry,
    Facts,
    Issue,
    Limits,
    Pause,
    Resume,
    RetryTrial,
    SetLimits,
    SettledSpec,
    StopTrial,
)
from storage_schema.rung import Rung

STUDY = toy_study(limits=Limits(trials=12))


@st.composite
def logs(draw):
    """A log as coordinators, users and workers write it together."""
    view = View.of(History(STUDY))
    history, log = view.history, []
    for number in range(draw(st.integers(1, 14))):
        if draw(st.integers(0, 3)):
            facts = Facts(
                now=float(number), demand=draw(st.integers(0, 5)), settled=tuple(draw(settled(history)))
            )
            entry = Entry(
                entry=number, token="t", author="coordinator", facts=facts, decisions=decide(view, facts)
            )
        else:
            entry = Entry(
                entry=number, token="t", author="user", facts=None, decisions=(draw(wishes(history)),)
            )
        log.append(Entry.from_bytes(entry.to_bytes(), number))  # as readers see it
        history.fold(log[-1])
    return log


@st.composite
def settled(draw, history):
    found = []
    for spec in sorted(history.open):
        outcome = draw(st.sampled_from(["open", "done", "done", "fail", "stop"]))
        if outcome == "open":
            continue
        value = draw(st.sampled_from([0.1, 0.2, 0.3, 0.4, None]))
        curves = {"loss": ((history.open[spec].issue.to, value),)} if draw(st.booleans()) else {}
        money = {"cost": 0.5, "priced": 1} if draw(st.booleans()) else {}
        fact = SettledSpec(
            spec=spec, link=2, outcome=outcome, curves=curves, wall_s=1.0, gpu_s=2.0, attempts=2, **money
        )
        found.append(fact)
    return found


@st.composite
def wishes(draw, history):
    kinds = [
        *[Enqueue(parameters={"layers": n}, reason="") for n in (1, 2, 3)],
        Pause(reason=""),
        Resume(reason=""),
        SetLimits(limits=Limits(trials=20), reason=""),
    ]
    if history.trials:
        trial = draw(st.integers(0, len(history.trials) - 1))
        kinds += [StopTrial(trial=trial, reason="wished"), RetryTrial(trial=trial, reason="")] * 2
    return draw(st.sampled_from(kinds))


def folded(log):
    history = History(STUDY)
    for entry in log:
        history.fold(entry)
    return history


@settings(deadline=None, max_examples=150)
@given(logs())
def test_the_fold_is_deterministic_and_reads_bytes_alike(log):
    again = [Entry.from_bytes(entry.to_bytes(), entry.entry) for entry in log]
    assert again == log
    assert picture(folded(again)) == picture(folded(log))


@settings(deadline=None, max_examples=150)
@given(logs(), st.data())
def test_a_draft_leaves_no_trace(log, data):
    cut = data.draw(st.integers(0, len(log)))
    history = folded(log[:cut])
    before = picture(history)
    with history.draft():
        for entry in log[cut:]:
            history.fold(entry)
        assert picture(history) == picture(folded(log))
    assert picture(history) == before
    for entry in log[cut:]:  # and it can still be gone on with
        history.fold(entry)
    assert picture(history) == picture(folded(log))


@settings(deadline=None)
@given(logs())
def test_a_draft_that_fails_leaves_no_trace_either(log):
    history = folded(log)
    before = picture(history)
    with pytest.raises(ProtocolViolation), history.draft():
        history.fold_decision(Pause(reason=""))
        history.fold_decision(StopTrial(trial=999, reason=""))
    assert picture(history) == before


@settings(deadline=None)
@given(logs())
def test_accounts(log):
    history = folded(log)
    assert set(history.open) == {s for s, state in history.specs.items() if state.settled is None}
    assert [t.number for t in history.trials] == list(range(len(history.trials)))
    for trial in history.trials:
        assert sum(spec.settled is None for spec in trial.specs) <= 1
    issued = [d for e in log for d in e.decisions if isinstance(d, Issue)]
    assert history.issued_resource == sum(i.to - i.start for i in issued)
    settled = [fact for e in log if e.facts for fact in e.facts.settled]
    assert history.gpu_s == 2.0 * len(settled)
    assert history.cost == 0.5 * sum(fact.priced for fact in settled)
    assert history.unpriced == 2 * len(settled) - sum(fact.priced for fact in settled)


@pytest.mark.parametrize(
    "wrong",
    [
        Entry(entry=1, token="t", author="user", facts=None, decisions=()),
        Entry(entry=0, token="t", author="user", facts=None, decisions=(StopTrial(trial=0, reason=""),)),
    ],
)
def test_a_log_that_contradicts_itself_is_refused(wrong):
    with pytest.raises(ProtocolViolation):
        History(STUDY).fold(wrong)


def test_a_trial_is_not_issued_while_it_is_open():
    view = View.of(History(STUDY))
    (issue,) = decide(view, Facts(now=0.0, demand=1))
    view.history.fold_decision(issue)
    with pytest.raises(ProtocolViolation, match="issued again"):
        view.history.fold_decision(replace(issue, to=3, rung=1))


# -- rungs ----------------------------------------------------------------------------------------------------------

LOSSES = st.floats(0, 1) | st.just(math.inf)


class PlainRung:
    """What a rung is, said without bisection."""

    def __init__(self):
        self.loss, self.promoted, self.dropped = {}, set(), set()

    def ranking(self):
        return sorted((loss, trial) for trial, loss in self.loss.items())

    def waiting(self):
        return [
            (v, t) for v, t in self.ranking() if math.isfinite(v) and t not in self.promoted | self.dropped
        ]


@given(st.lists(st.tuples(st.sampled_from("adprux"), st.integers(0, 6), LOSSES), max_size=40))
def test_a_rung_is_what_it_says(steps):
    rung, plain = Rung(1), PlainRung()
    for step, trial, loss in steps:
        member = trial in plain.loss
        if step == "a" and not member:
            rung.add(trial, loss)
            plain.loss[trial] = loss
        elif step == "x" and member:
            rung.remove(trial)
            del plain.loss[trial]
            plain.dropped.discard(trial)
        elif step == "p" and member:
            rung.promote(trial)
            plain.promoted.add(trial)
        elif step == "u" and trial in plain.promoted and trial not in plain.dropped:
            rung.unpromote(trial)
            plain.promoted.discard(trial)
        elif step == "d" and member:
            rung.drop(trial)
            plain.dropped.add(trial)
        elif step == "r" and trial in plain.dropped and trial not in plain.promoted:
            rung.restore(trial)
            plain.dropped.discard(trial)
        assert rung.ranking == plain.ranking()
        assert rung.waiting == plain.waiting()
        assert rung.promoted == plain.promoted
        assert [rung.rank(t) for _, t in rung.ranking] == list(range(len(rung)))
