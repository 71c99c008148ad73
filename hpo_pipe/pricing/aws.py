"""Prices that AWS itself names, asked once for each instance type and region. What cannot be learnt is unknown."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from hpo_pipe.launch.aws import client, pages
from hpo_pipe.launch.target import TargetUnavailable
from hpo_pipe.prices import Rate
from hpo_pipe.pricing import price_list, spot
from hpo_pipe.pricing.unknown import Unknown
from storage_schema.clock import Clock, SystemClock
from storage_schema.errors import UserError
from storage_schema.machine import ON_DEMAND, SPOT, Machine

LIST_REGION = "us-east-1"
"""The price list of all regions is asked there."""
ATTEMPTS = 4
MAX_PAGES = 20
"""Of one question."""
AHEAD_S = 86_400.0
"""So much more of the past is asked for than the first machine needs: the next one may have started earlier."""
SPOT_NOTE = "spot prices are means: over the zones of the region, and over each machine's time"
_BILLED = "SageMaker bills spot machines for billable seconds, which the study does not know"

T = TypeVar("T")
_REGION = re.compile(r"[a-z]{2}(-[a-z]{2,12}){1,3}-[0-9]{1,2}")
MakeClient = Callable[[str, str], Any]
"""(service, region) to a client of it."""


def make_client(service: str, region: str) -> Any:
    """Return a client with bounded, adaptive retries, with the credentials that the AWS CLI finds."""
    return client(service, {"region": region, "profile": None}, attempts=ATTEMPTS)


class AwsPrices:
    """Prices machines by ec2:DescribeSpotPriceHistory and pricing:GetProducts. Remembers answers and failures."""

    def __init__(self, connect: MakeClient = make_client, clock: Clock | None = None) -> None:
        self._connect = connect
        self._clock = clock or SystemClock()
        self._on_demand: dict[tuple[str, str], float | Unknown] = {}
        self._history: dict[tuple[str, str], tuple[float, spot.Changes | Unknown]] = {}

    def of(self, machine: Machine, until: float | None = None) -> Rate:
        """Return what a machine costs, and would cost on demand.

        Args:
            machine: type, region and lifecycle; a spot machine that says when it started is priced by its time.
            until: when that ended, seconds since the epoch; None: the price of now.
        """
        if not machine.instance_type or not machine.region:
            missing = "region" if machine.instance_type else "instance type"
            return Rate(note=f"AWS's prices need the {missing} of a machine")
        if not _REGION.fullmatch(machine.region):
            return Rate(note=f"{machine.region} is no region of AWS")
        on_demand, why = _known(lambda: self.on_demand_price(machine.instance_type, machine.region))
        if machine.lifecycle == ON_DEMAND:
            return Rate(paid=on_demand, on_demand=on_demand, note=why)
        if machine.lifecycle != SPOT:
            return Rate(
                on_demand=on_demand, note="AWS's prices need the lifecycle of a machine: spot or on-demand"
            )
        paid, why_not = _known(lambda: self.spot_price(machine, until))
        return Rate(paid=paid, on_demand=on_demand, note="; ".join(filter(None, (why_not or SPOT_NOTE, why))))

    def on_demand_price(self, instance_type: str, region: str) -> float:
        """Return dollars for an hour on demand; raises Unknown."""
        key = instance_type, region
        if key not in self._on_demand:
            self._on_demand[key] = _kept(lambda: self._ask_on_demand(instance_type, region))
        return _or_raise(self._on_demand[key])

    def spot_price(self, machine: Machine, until: float | None) -> float:
        """Return dollars for an hour of a spot machine, over its time or now; raises Unknown."""
        if price_list.is_sagemaker(machine.instance_type):
            raise Unknown(_BILLED)
        if until is None or machine.started_at is None:
            found = spot.newest(self._changes(machine, self._clock.now()))
        else:
            found = spot.mean(self._changes(machine, machine.started_at), machine.started_at, until)
        if found is None:
            raise Unknown(
                f"AWS has no spot price for {machine.instance_type} in {machine.region} at that time"
            )
        return found

    def _changes(self, machine: Machine, start: float) -> spot.Changes:
        key = machine.instance_type, machine.region
        known = self._history.get(key)
        if known is None or (start < known[0] and not isinstance(known[1], Unknown)):
            begin = max(0.0, start - AHEAD_S)
            known = self._history[key] = (begin, _kept(lambda: self._ask_changes(*key, begin)))
        return _or_raise(known[1])

    def _ask_on_demand(self, instance_type: str, region: str) -> float:
        asked = self._connect("pricing", LIST_REGION)
        parameters = price_list.request(instance_type, region)
        items = _rows(asked, price_list.OPERATION, parameters, "PriceList")
        return price_list.price(items, instance_type, region)

    def _ask_changes(self, instance_type: str, region: str, start: float) -> spot.Changes:
        asked = self._connect("ec2", region)
        parameters = spot.request(instance_type, start, self._clock.now())
        return spot.changes(
            _rows(asked, spot.OPERATION, parameters, "SpotPriceHistory"), instance_type, region
        )


def _rows(asked: Any, operation: str, parameters: dict[str, Any], name: str) -> list[Any]:
    """Return the rows of all pages; half an answer is none."""
    rows: list[Any] = []
    more: object = None
    for answer in pages(asked, operation, parameters, MAX_PAGES):
        rows += answer.get(name, ())
        more = answer.get("NextToken")
    if more:
        raise Unknown(f"{operation} answers more than {MAX_PAGES} pages")
    return rows


def _kept(ask: Callable[[], T]) -> T | Unknown:
    """Return what is learnt, or why nothing is."""
    try:
        return ask()
    except Unknown as error:
        return error
    except (TargetUnavailable, UserError) as error:
        return Unknown(str(error))


def _or_raise(found: T | Unknown) -> T:
    if isinstance(found, Unknown):
        raise Unknown(str(found))
    return found


def _known(ask: Callable[[], float]) -> tuple[float | None, str]:
    try:
        return ask(), ""
    except Unknown as error:
        return None, str(error)
