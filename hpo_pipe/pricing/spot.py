"""AWS's spot prices: what is asked, and a machine's mean price from the history of its region's zones. Pure.

Which zone a machine is in is not known: its price is the mean over the region's zones that offer the type, and over its
time in each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hpo_pipe.pricing.unknown import Unknown
from storage_schema.codec import Json
from storage_schema.machine import MAX_PRICE

OPERATION = "DescribeSpotPriceHistory"
PRODUCT = "Linux/UNIX"
PRODUCTS = (PRODUCT, f"{PRODUCT} (Amazon VPC)")
"""What is asked for, and what the same goes by in accounts of old."""
PAGE = 1000

Changes = dict[str, list[tuple[float, float]]]
"""Zone to (when, dollars for an hour from then on), rising."""


def request(instance_type: str, start: float, until: float) -> dict[str, Any]:
    """Return the parameters of :data:`OPERATION`; times in seconds since the epoch.

    The answer begins with the last change before `start`, which is the price at `start`.
    """
    parameters: dict[str, Json] = {
        "InstanceTypes": [instance_type],
        "ProductDescriptions": [PRODUCT],
        "MaxResults": PAGE,
    }
    times = {"StartTime": start, "EndTime": until}
    return parameters | {name: datetime.fromtimestamp(int(at), UTC) for name, at in times.items()}


def changes(rows: Iterable[Mapping[str, Any]], instance_type: str, region: str) -> Changes:
    """Return the history that an answer's rows tell; local zones, which have prices of their own, are left out.

    Raises:
        Unknown: an answer that is not understood.
    """
    zone = re.compile(re.escape(region) + "[a-z]")
    found: Changes = {}
    try:
        for row in rows:
            dollars = float(row["SpotPrice"])
            if not (math.isfinite(dollars) and 0 < dollars <= MAX_PRICE):
                raise ValueError("not a price")
            asked = row["InstanceType"] == instance_type and row["ProductDescription"] in PRODUCTS
            if asked and zone.fullmatch(row["AvailabilityZone"]):
                found.setdefault(row["AvailabilityZone"], []).append((row["Timestamp"].timestamp(), dollars))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unknown(f"the spot price history is not understood ({type(error).__name__})") from None
    return {name: sorted(points) for name, points in found.items()}


def newest(history: Changes) -> float | None:
    """Return the mean of the zones' newest prices; None where there is none."""
    return _mean([points[-1][1] for points in history.values()])


def mean(history: Changes, start: float, until: float) -> float | None:
    """Return the mean price from `start` to `until`, seconds; None where no zone has one from the start on."""
    found = [_zone_mean(points, start, max(start, until)) for points in history.values()]
    return _mean([dollars for dollars in found if dollars is not None])


def _zone_mean(points: Sequence[tuple[float, float]], start: float, until: float) -> float | None:
    if points[0][0] > start:
        return None
    ends = [at for at, _ in points[1:]] + [math.inf]
    total = covered = 0.0
    last = points[0][1]
    for (at, dollars), end in zip(points, ends, strict=True):
        if at <= start:
            last = dollars
        seconds = min(end, until) - max(at, start)
        if seconds > 0:
            total += dollars * seconds
            covered += seconds
    return total / covered if covered else last


def _mean(prices: Sequence[float]) -> float | None:
    return sum(prices) / len(prices) if prices else None
