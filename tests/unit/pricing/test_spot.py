"""Spot prices over a machine's time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hpo_pipe.pricing import spot
from hpo_pipe.pricing.unknown import Unknown

HOUR = 3600.0


def row(zone: str, hours: float, price: str, **other: Any) -> dict[str, Any]:
    """Return one line of an answer; `hours` since the epoch."""
    return {
        "AvailabilityZone": f"eu-west-1{zone}",
        "InstanceType": "g5.xlarge",
        "ProductDescription": "Linux/UNIX",
        "SpotPrice": price,
        "Timestamp": datetime.fromtimestamp(hours * HOUR, UTC),
        **other,
    }


def history(*rows: dict[str, Any]) -> spot.Changes:
    return spot.changes(rows, "g5.xlarge", "eu-west-1")


def test_what_is_asked() -> None:
    assert spot.request("g5.xlarge", 1.5 * HOUR, 2 * HOUR + 0.9) == {
        "InstanceTypes": ["g5.xlarge"],
        "ProductDescriptions": ["Linux/UNIX"],
        "MaxResults": 1000,
        "StartTime": datetime(1970, 1, 1, 1, 30, tzinfo=UTC),
        "EndTime": datetime(1970, 1, 1, 2, 0, tzinfo=UTC),
    }


def test_each_price_counts_for_as_long_as_it_stood() -> None:
    told = history(
        row("a", 3, "0.6"), row("a", 0, "0.2"), row("a", 9, "5.0")
    )  # newest first, as AWS does, or not
    assert spot.mean(told, 1 * HOUR, 3 * HOUR) == pytest.approx(0.2)
    assert spot.mean(told, 1 * HOUR, 5 * HOUR) == pytest.approx(0.4)
    assert spot.mean(told, 4 * HOUR, 5 * HOUR) == pytest.approx(0.6)
    assert spot.mean(told, 4 * HOUR, 4 * HOUR) == pytest.approx(0.6)
    assert spot.mean(told, 20 * HOUR, 10 * HOUR) == pytest.approx(5.0)


def test_zones_count_alike_and_one_without_a_price_at_the_start_does_not() -> None:
    told = history(row("a", 0, "0.2"), row("b", 0, "0.4"), row("c", 2, "9.0"))
    assert spot.mean(told, 1 * HOUR, 3 * HOUR) == pytest.approx(0.3)
    assert spot.newest(told) == pytest.approx(3.2)
    assert spot.mean(history(row("c", 2, "9.0")), 1 * HOUR, 3 * HOUR) is None
    assert spot.mean({}, 0.0, 1.0) is None
    assert spot.newest({}) is None


def test_what_was_not_asked_for_is_left_out() -> None:
    told = history(
        row("a", 0, "0.2"),
        row("b", 0, "0.4", ProductDescription="Linux/UNIX (Amazon VPC)"),
        row("a", 1, "7.0", InstanceType="g5.2xlarge"),
        row("a", 1, "7.0", ProductDescription="Windows"),
        row("a", 1, "7.0", AvailabilityZone="eu-west-1-lhr-1a"),
        row("a", 1, "7.0", AvailabilityZone="eu-west-2a"),
    )
    assert told == {"eu-west-1a": [(0.0, 0.2)], "eu-west-1b": [(0.0, 0.4)]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"SpotPrice": "much"},
        {"SpotPrice": "-1"},
        {"SpotPrice": "0"},
        {"SpotPrice": "inf"},
        {"SpotPrice": None},
        {"Timestamp": "yesterday"},
        {"AvailabilityZone": None},
    ],
)
def test_one_line_that_is_not_understood_makes_the_answer_unknown(wrong: dict[str, Any]) -> None:
    with pytest.raises(Unknown, match="the spot price history is not understood"):
        history(row("a", 0, "0.2"), row("b", 0, "0.2", **wrong))
