"""What a launcher's variables say of a machine, and what becomes of nonsense."""

from __future__ import annotations

import pytest

from storage_schema.errors import UserError
from storage_schema.machine import VARIABLES, Machine, facts_of, machine_of

ALL = {
    "HPO_PIPE_PROVIDER": "aws",
    "HPO_PIPE_INSTANCE_TYPE": "g5.xlarge",
    "HPO_PIPE_REGION": "us-east-1",
    "HPO_PIPE_LIFECYCLE": "spot",
    "HPO_PIPE_PRICE_PER_HOUR": "0.25",
    "HPO_PIPE_SUBMISSION": "7",
}


def test_what_is_told_is_read_back() -> None:
    assert set(ALL) == set(VARIABLES)
    facts = facts_of({**ALL, "AWS_SECRET_ACCESS_KEY": "hidden", "PATH": "/bin"})
    assert machine_of(facts) == Machine(
        provider="aws", instance_type="g5.xlarge", region="us-east-1", lifecycle="spot", price_per_hour=0.25
    )
    assert dict(facts)["submission"] == "7"
    assert "hidden" not in str(facts)


def test_nothing_told_is_nothing_known() -> None:
    assert facts_of({}) == facts_of(dict.fromkeys(ALL, "")) == ()
    assert machine_of(()) == Machine()


def test_the_option_goes_before_the_variable() -> None:
    assert machine_of(facts_of(ALL, 2.0)).price_per_hour == 2.0
    assert machine_of(facts_of(ALL, 0.0)).price_per_hour == 0.0


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "HPO_PIPE_LIFECYCLE",
            "ondemand",
            "'ondemand', expected spot or on-demand .did you mean 'on-demand'",
        ),
        ("HPO_PIPE_PRICE_PER_HOUR", "1,5", "'1,5', expected dollars for an hour, from 0 to 100000"),
        ("HPO_PIPE_PRICE_PER_HOUR", "nan", "expected dollars"),
        ("HPO_PIPE_PRICE_PER_HOUR", "-1", "expected dollars"),
        ("HPO_PIPE_PRICE_PER_HOUR", "1e9", "expected dollars"),
        ("HPO_PIPE_INSTANCE_TYPE", "g5.xlarge\x1b[2J", "expected 1 to 64 letters"),
        ("HPO_PIPE_PROVIDER", "a" * 65, "expected 1 to 64 letters"),
        ("HPO_PIPE_REGION", "us east", "expected 1 to 64 letters"),
    ],
)
def test_a_variable_that_makes_no_sense_is_refused_by_name(name: str, value: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        facts_of({name: value})
    assert name in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-1", "1" * 50])
def test_a_strangers_nonsense_counts_as_not_said(text: str) -> None:
    names = ("price_per_hour", "slots", "gpus", "started_at", "lifecycle", "other")
    assert machine_of([(name, text) for name in names]) == Machine()


def test_no_machine_has_less_than_one_slot() -> None:
    assert machine_of([("slots", "0")]).slots is None
    assert machine_of([("slots", "4"), ("gpus", "0")]) == Machine(slots=4, gpus=0)
