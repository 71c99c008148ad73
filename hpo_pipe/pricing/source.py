"""Where prices come from, as ``--prices`` names it: a file, or a provider's API; and the price of one offer."""

from __future__ import annotations

from pathlib import Path

from hpo_pipe.prices import SUFFIX, Prices, Pricing, Rate, pricing, read_prices
from storage_schema.errors import UserError, nearest
from storage_schema.machine import Machine

AWS = "aws"
"""The word for AWS's own prices, in the place of a price file, whose name ends with ``.toml``."""


def pricing_from(source: str | None, price_per_hour: float | None = None) -> Pricing:
    """Return what prices workers.

    Args:
        source: :data:`AWS`, a price file's path, or None. Nothing is asked of a provider before a machine is priced.
        price_per_hour: dollars for every machine, whatever else is said.

    Raises:
        UserError: neither.
        StudyFileError: the file has mistakes, or there is none.
    """
    if source is None:
        return pricing(Prices(), price_per_hour)
    if source == AWS:
        from hpo_pipe.pricing.aws import AwsPrices

        return pricing(AwsPrices(), price_per_hour)
    if Path(source).suffix.lower() != SUFFIX:
        close = nearest(source, [AWS])
        raise UserError(
            f"--prices is {source[:80]!r}, expected {AWS}, or a file that ends with {SUFFIX}{close}"
        )
    return pricing(read_prices(Path(source)), price_per_hour)


def price_of(prices: Pricing, provider: str, instance_type: str, region: str, lifecycle: str) -> Rate:
    """Return what an offer costs now: `paid` is None where that is unknown, and `note` then says why.

    Args:
        prices: of :func:`pricing_from`; the same one for many offers, since it remembers what it was told.
        provider, instance_type, region, lifecycle: as in ``HPO_PIPE_PROVIDER`` and the like.
    """
    return prices(Machine(provider=provider, instance_type=instance_type, region=region, lifecycle=lifecycle))
