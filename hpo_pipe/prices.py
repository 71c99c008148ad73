"""What an hour of a machine costs: what the user or the worker says, a price file, or a provider. Never a guess.

A price file is TOML; a table for each instance type, and within it one for each region whose prices differ::

    ["g5.xlarge"]
    on_demand = 1.006
    spot = 0.42

    ["g5.xlarge".regions.eu-west-1]
    on_demand = 1.123
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from hpo_pipe.options import Refused, mistake, option, read_options, together
from hpo_pipe.study_file.load import load
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError
from storage_schema.machine import MAX_PRICE, SPOT, Machine

SUFFIX = ".toml"
WANTED = "dollars for an hour, here or as `spot`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Dollars for an hour of one whole machine; None: unknown."""

    paid: float | None = None
    on_demand: float | None = None
    """What it would have cost on demand."""
    note: str = ""
    """For people: why it is unknown, or how it was found."""


class Pricing(Protocol):
    """Prices a worker by what it said of its machine, and by when it ended; None: as of now."""

    def __call__(self, machine: Machine, until: float | None = None) -> Rate:
        """Return the rates."""
        ...


class PriceSource(Protocol):
    """A price file, or a provider's API."""

    def of(self, machine: Machine, until: float | None = None) -> Rate:
        """Return the rates; None within them: not known."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Dollars for an hour of one instance type, as a table of a price file holds them."""

    on_demand: float | None = option(None, low=0, high=MAX_PRICE)
    spot: float | None = option(None, low=0, high=MAX_PRICE)
    regions: dict[str, Any] = field(default_factory=dict)
    """Region to a table like this one; what it leaves out is as outside of it."""

    def __post_init__(self) -> None:
        if self.on_demand is None and self.spot is None and not self.regions:
            raise Refused("on_demand", None, WANTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _RegionPrice:
    on_demand: float | None = option(None, low=0, high=MAX_PRICE)
    spot: float | None = option(None, low=0, high=MAX_PRICE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Prices by instance type and region (an empty region: any other)."""

    table: Mapping[tuple[str, str], Price] = field(default_factory=dict)

    def of(self, machine: Machine, until: float | None = None) -> Rate:
        """Return the file's rates; both None for a type that it does not have."""
        price = self.table.get((machine.instance_type, machine.region))
        price = price or self.table.get((machine.instance_type, ""))
        if price is None or not machine.instance_type:
            return Rate()
        paid = {SPOT: price.spot, "on-demand": price.on_demand}.get(machine.lifecycle)
        return Rate(paid=paid, on_demand=price.on_demand)


def pricing(prices: PriceSource, price_per_hour: float | None = None) -> Pricing:
    """Return what prices workers: by `price_per_hour` for all, else as each worker said, else by the source."""

    def rate(machine: Machine, until: float | None = None) -> Rate:
        found = prices.of(machine, until)
        said = machine.price_per_hour if price_per_hour is None else price_per_hour
        return found if said is None else replace(found, paid=said, note="")

    return rate


def read_prices(path: Path) -> Prices:
    """Read a price file.

    Raises:
        StudyFileError: not TOML, or one line for each mistake with file, key, what was found and what is allowed.
    """
    if path.suffix.lower() != SUFFIX:
        raise StudyFileError(f"{path}: price files end with {SUFFIX}")
    mistakes: list[StudyFileError] = []
    table: dict[tuple[str, str], Price] = {}
    for name, given in load(path).items():
        try:
            table |= _type_prices(str(path), name, given)
        except StudyFileError as error:
            mistakes.append(error)
    together(mistakes)
    return Prices(table=table)


def _type_prices(where: str, name: str, given: Json) -> dict[tuple[str, str], Price]:
    key = f'"{name}"' if "." in name else name
    if isinstance(given, Mapping) and given and all(isinstance(value, Mapping) for value in given.values()):
        inner = next(iter(given))
        if inner not in ("regions", "region"):
            raise StudyFileError(
                f'{where}: {name}.{inner} reads as two names: write an instance type in quotes, ["{name}.{inner}"]'
            )
    price = read_options(Price, given, where, key)
    found = {(name, ""): price}
    for region, inner in price.regions.items():
        own = read_options(_RegionPrice, inner, where, f"{key}.regions.{region}")
        if own == _RegionPrice():
            raise mistake(where, f"{key}.regions.{region}.on_demand", None, WANTED)
        spot = price.spot if own.spot is None else own.spot
        on_demand = price.on_demand if own.on_demand is None else own.on_demand
        found[name, region] = Price(on_demand=on_demand, spot=spot)
    return found
