"""AWS's price list: what is asked of it, and the one price for an hour on demand that an answer holds. Pure.

A product counts only where all of its attributes say what was asked for, and only if all that count agree: the list
holds the same machine for other systems, tenancies, reservations and uses under the same name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hpo_pipe.pricing.unknown import Unknown
from storage_schema.codec import Json
from storage_schema.machine import MAX_PRICE

OPERATION = "GetProducts"
PAGE = 100
HOURS = ("hr", "hrs", "hour", "hours")
MAX_ITEM_CHARS = 1_000_000

_EC2 = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
}
_SAGEMAKER = {"component": "Training"}


def is_sagemaker(instance_type: str) -> bool:
    """Tell whether a name is one of SageMaker's own, which have prices of their own."""
    return instance_type.startswith("ml.")


def attributes(instance_type: str, region: str) -> dict[str, str]:
    """Return what the attributes of the product must be."""
    if is_sagemaker(instance_type):
        return {"regionCode": region, "instanceName": instance_type, **_SAGEMAKER}
    return {"regionCode": region, "instanceType": instance_type, **_EC2}


def request(instance_type: str, region: str) -> dict[str, Json]:
    """Return the parameters of :data:`OPERATION`."""
    wanted = attributes(instance_type, region)
    return {
        "ServiceCode": "AmazonSageMaker" if is_sagemaker(instance_type) else "AmazonEC2",
        "FormatVersion": "aws_v1",
        "MaxResults": PAGE,
        "Filters": [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()],
    }


def price(items: Iterable[str], instance_type: str, region: str) -> float:
    """Return dollars for an hour on demand.

    Args:
        items: the `PriceList` of all pages, each a JSON document.
        instance_type, region: what was asked for.

    Raises:
        Unknown: no such product, several prices, another currency, or an answer that is not understood.
    """
    wanted = attributes(instance_type, region)
    try:
        found = {dollars for item in items for dollars in _prices(item, wanted)}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unknown(f"the price list answered what is not understood ({type(error).__name__})") from None
    if not found:
        raise Unknown(f"the price list has no {instance_type} on demand in {region}")
    if len(found) > 1:
        several = ", ".join(f"{dollars:g}" for dollars in sorted(found)[:4])
        raise Unknown(f"the price list has several prices for {instance_type} in {region}: {several}")
    return found.pop()


def _prices(item: str, wanted: Mapping[str, str]) -> Iterator[float]:
    if len(item) > MAX_ITEM_CHARS:
        raise ValueError("too long")
    read: Any = json.loads(item)
    own = read["product"]["attributes"]
    if any(own.get(name) != value for name, value in wanted.items()):
        return
    if own.get("marketoption", "OnDemand") != "OnDemand":  # capacity blocks are paid when they are reserved
        return
    for term in read["terms"].get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            if dimension["unit"].lower() not in HOURS or dimension.get("beginRange", "0") != "0":
                raise ValueError("not a price for every hour")
            dollars = float(dimension["pricePerUnit"]["USD"])
            if not (math.isfinite(dollars) and 0 < dollars <= MAX_PRICE):
                raise ValueError("not a price")
            yield dollars
