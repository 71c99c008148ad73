"""What became of every attempt's time: known chains to the second, and laws for any of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_pipe.report.attempts import Attempt
from hpo_pipe.report.ledger import FATES, Share, trial_shares
from storage_schema.history import History
from storage_schema.keys import SpecId
from storage_schema.machine import Machine
from storage_schema.records import LinkKind, SettledSpec
from storage_schema.trial_state import SpecState, TrialState
from tests.unit.cli.told_study import STUDY_RECORD, issue

DONE, FAIL, RELEASE, FENCE, STOP = (
    LinkKind.DONE,
    LinkKind.FAIL,
    LinkKind.RELEASE,
    LinkKind.FENCE,
    LinkKind.STOP,
)
REST = {"useful": 0.0, "repeated": 0.0, "lost": 0.0, "open": 0.0}


def attempt(
    spec: int, number: int, end: LinkKind | None, units: tuple[int, int], seconds: float = 0.0
) -> Attempt:
    return Attempt(
        trial=0,
        spec=SpecId(spec, 0),
        number=number,
        worker="w-a-1-000000",
        machine=Machine(),
        end=end,
        start=units[0],
        reached=units[1],
        claimed_at=0.0,
        seconds=seconds or 10.0 * max(1, units[1] - units[0]),
    )


def trial(*pieces: tuple[int, int, str | None], stopped: str = "", told: bool = False) -> TrialState:
    """Return a trial of pieces (start, to, how it was settled or None)."""
    specs = []
    for number, (start, to, outcome) in enumerate(pieces):
        spec = SpecState(id=SpecId(number, 0), issue=issue(0, start, to, number, "r"))
        if outcome:
            curves = {"val_loss": ((to, 0.5),)} if told else {}
            spec.settled = SettledSpec(spec=spec.id, link=2, outcome=outcome, curves=curves)
        specs.append(spec)
    return TrialState(number=0, parameters={}, origin="random", bracket=0, specs=specs, stopped=stopped)


def sums(found: TrialState, *attempts: Attempt) -> dict[str, float]:
    shares = trial_shares(History(STUDY_RECORD), found, attempts)
    assert [share.attempt for share in shares] == list(attempts), "each attempt once, in order"
    return {fate: math.fsum(getattr(share, fate) for share in shares) for fate in FATES}


def test_what_was_recorded_is_useful() -> None:
    both = trial((0, 3, "done"), (3, 9, "done"))
    assert sums(both, attempt(0, 1, DONE, (0, 3)), attempt(1, 1, DONE, (3, 9))) == REST | {"useful": 90.0}


@pytest.mark.parametrize("end", [FENCE, RELEASE, FAIL])
def test_what_lies_behind_the_checkpoint_is_repeated(end: LinkKind) -> None:
    """Nine units of 10 s; seven were done when it ended, and the next one went on from unit 5."""
    found = sums(trial((0, 9, "done")), attempt(0, 1, end, (0, 7)), attempt(0, 3, DONE, (5, 9)))
    assert found == REST | {"useful": 90.0, "repeated": 20.0}


def test_an_attempt_that_reported_nothing_is_repeated() -> None:
    found = sums(trial((0, 9, "done")), attempt(0, 1, FAIL, (0, 0), 4.0), attempt(0, 3, DONE, (0, 9)))
    assert found == REST | {"useful": 90.0, "repeated": 4.0}


def test_a_checkpoint_that_was_passed_over_later_was_of_no_use() -> None:
    found = sums(
        trial((0, 9, "done")),
        attempt(0, 1, FENCE, (0, 5)),
        attempt(0, 3, FENCE, (5, 7)),
        attempt(0, 5, DONE, (0, 9)),
    )
    assert found == REST | {"useful": 90.0, "repeated": 70.0}


def test_a_promotion_without_a_checkpoint_repeats_what_was_recorded() -> None:
    found = sums(
        trial((0, 3, "done"), (3, 9, "done")), attempt(0, 1, DONE, (0, 3)), attempt(1, 1, DONE, (0, 9))
    )
    assert found == REST | {"useful": 90.0, "repeated": 30.0}


def test_a_piece_that_failed_for_good_is_lost_and_what_was_recorded_before_is_not() -> None:
    found = sums(
        trial((0, 3, "done"), (3, 9, "fail")),
        attempt(0, 1, DONE, (0, 3)),
        attempt(1, 1, RELEASE, (3, 6)),
        attempt(1, 3, FAIL, (5, 8)),
    )
    assert found == REST | {"useful": 30.0, "lost": 50.0, "repeated": 10.0}


def test_a_failed_piece_that_a_user_had_retried_was_not_lost() -> None:
    again = trial((0, 3, "fail"), (0, 3, "done"))
    found = sums(again, attempt(0, 1, FAIL, (0, 2)), attempt(1, 1, DONE, (1, 3)))
    assert found == REST | {"useful": 30.0, "repeated": 10.0}


def test_a_trial_stopped_for_what_it_reported_was_useful_and_one_that_the_end_cut_off_is_lost() -> None:
    cut = (attempt(0, 1, STOP, (0, 4)),)
    assert sums(trial((0, 9, "stop"), stopped="median", told=True), *cut) == REST | {"useful": 40.0}
    assert sums(trial((0, 9, "stop"), stopped="median"), *cut) == REST | {"lost": 40.0}
    assert sums(trial((0, 9, "stop"), told=True), *cut) == REST | {"lost": 40.0}


@pytest.mark.parametrize("end", [None, RELEASE, FENCE])
def test_what_runs_or_waits_is_open(end: LinkKind | None) -> None:
    found = sums(trial((0, 9, None)), attempt(0, 1, FENCE, (0, 5)), attempt(0, 3, end, (4, 6)))
    assert found == REST | {"open": 60.0, "repeated": 10.0}


CHAINS = st.lists(
    st.tuples(
        st.sampled_from([FENCE, RELEASE, FAIL]),
        st.integers(0, 12),
        st.integers(0, 12),
        st.floats(0, 1e6),
    ),
    max_size=6,
)
ENDS = st.sampled_from([("done", DONE), ("fail", FAIL), ("stop", STOP), ("stop", RELEASE), (None, None)])


@given(
    first=CHAINS,
    second=CHAINS,
    end=ENDS,
    last=st.tuples(st.integers(0, 12), st.integers(0, 12), st.floats(0, 1e6)),
)
def test_useful_repeated_lost_and_open_are_all_there_is(first, second, end, last) -> None:
    outcome, link = end
    chain = [(0, *piece) for piece in first] + [(1, *piece) for piece in second] + [(1, link, *last)]
    attempts = [
        attempt(spec, 2 * place + 1, kind, (start, reached), seconds)
        for place, (spec, kind, start, reached, seconds) in enumerate(chain)
    ]
    shares: list[Share] = trial_shares(
        History(STUDY_RECORD), trial((0, 3, "fail"), (3, 9, outcome)), attempts
    )
    assert [share.attempt for share in shares] == attempts
    for share in shares:
        parts = [getattr(share, fate) for fate in FATES]
        assert min(parts) >= 0
        assert math.fsum(parts) == pytest.approx(share.attempt.seconds)
    undecided = math.fsum(share.open for share in shares)
    assert outcome is None or undecided == 0
