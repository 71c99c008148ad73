"""AWS's price list: what is asked of it, and that only the one price that was asked for is taken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hpo_pipe.pricing import price_list
from hpo_pipe.pricing.unknown import Unknown

G5 = {
    "servicecode": "AmazonEC2",
    "location": "EU (Ireland)",
    "regionCode": "eu-west-1",
    "instanceType": "g5.xlarge",
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "licenseModel": "No License required",
    "usagetype": "EU-BoxUsage:g5.xlarge",
    "operation": "RunInstances",
    "marketoption": "OnDemand",
}
TRAINING = {
    "servicecode": "AmazonSageMaker",
    "regionCode": "eu-west-1",
    "instanceName": "ml.g5.xlarge",
    "component": "Training",
    "usagetype": "EU-Train:ml.g5.xlarge",
}


def item(attributes: dict[str, str], dollars: str = "1.1230000000", **dimension: Any) -> str:
    """Return a product as `GetProducts` answers it."""
    own = {
        "unit": "Hrs",
        "beginRange": "0",
        "endRange": "Inf",
        "description": "$1.123 per On Demand Linux g5.xlarge Instance Hour",
        "appliesTo": [],
        "rateCode": "2YX6R8XQZAY8BPZD.JRTCKXETXF.6YS6EN2CT7",
        "pricePerUnit": {"USD": dollars},
        **dimension,
    }
    term = {
        "priceDimensions": {"2YX6R8XQZAY8BPZD.JRTCKXETXF.6YS6EN2CT7": own},
        "sku": "2YX6R8XQZAY8BPZD",
        "effectiveDate": "2026-11-01T00:00:00Z",
        "offerTermCode": "JRTCKXETXF",
        "termAttributes": {},
    }
    reserved = {"S.4NA7Y494T4": {"priceDimensions": {"x": {**own, "pricePerUnit": {"USD": "0.70"}}}}}
    product = {"productFamily": "Compute Instance", "attributes": attributes, "sku": "2YX6R8XQZAY8BPZD"}
    return json.dumps(
        {
            "product": product,
            "serviceCode": "AmazonEC2",
            "terms": {"OnDemand": {"S.J": term}, "Reserved": reserved},
        }
    )


def test_what_is_asked_of_a_machine_of_ec2() -> None:
    assert price_list.request("g5.xlarge", "eu-west-1") == {
        "ServiceCode": "AmazonEC2",
        "FormatVersion": "aws_v1",
        "MaxResults": 100,
        "Filters": [
            {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-west-1"},
            {"Type": "TERM_MATCH", "Field": "instanceType", "Value": "g5.xlarge"},
            {"Type": "TERM_MATCH", "Field": "operatingSystem", "Value": "Linux"},
            {"Type": "TERM_MATCH", "Field": "tenancy", "Value": "Shared"},
            {"Type": "TERM_MATCH", "Field": "preInstalledSw", "Value": "NA"},
            {"Type": "TERM_MATCH", "Field": "capacitystatus", "Value": "Used"},
        ],
    }


def test_sagemakers_machines_have_prices_of_their_own() -> None:
    asked = price_list.request("ml.g5.xlarge", "eu-west-1")
    assert asked["ServiceCode"] == "AmazonSageMaker"
    assert asked["Filters"] == [
        {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-west-1"},
        {"Type": "TERM_MATCH", "Field": "instanceName", "Value": "ml.g5.xlarge"},
        {"Type": "TERM_MATCH", "Field": "component", "Value": "Training"},
    ]
    hosting = item({**TRAINING, "component": "Hosting"}, "9.9")
    assert price_list.price([hosting, item(TRAINING, "1.57")], "ml.g5.xlarge", "eu-west-1") == 1.57


def test_the_one_price_on_demand_is_taken_though_a_filter_was_not_kept() -> None:
    others = [
        {**G5, "tenancy": "Dedicated"},
        {**G5, "operatingSystem": "Windows"},
        {**G5, "preInstalledSw": "SQL Std"},
        {**G5, "capacitystatus": "UnusedCapacityReservation"},
        {**G5, "instanceType": "g5.2xlarge"},
        {**G5, "regionCode": "us-east-1"},
        {**G5, "marketoption": "CapacityBlock"},
    ]
    items = [item(G5), item(G5), *(item(other, "7.7") for other in others)]
    assert price_list.price(items, "g5.xlarge", "eu-west-1") == 1.123


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ([], "the price list has no g5.xlarge on demand in eu-west-1"),
        ([item({**G5, "tenancy": "Host"})], "has no g5.xlarge"),
        ([item(G5), item(G5, "1.2")], "has several prices for g5.xlarge in eu-west-1: 1.123, 1.2"),
        ([item(G5, pricePerUnit={"CNY": "8.0"})], "is not understood (KeyError)"),
        ([item(G5, unit="Quantity")], "is not understood"),
        ([item(G5, beginRange="750")], "is not understood"),
        ([item(G5, "0.0000000000")], "is not understood"),
        ([item(G5, "nan")], "is not understood"),
        ([item(G5, "1e9")], "is not understood"),
        (["{"], "is not understood (JSONDecodeError)"),
        (["[]"], "is not understood"),
        (["{}"], "is not understood"),
        ([json.dumps({"product": {"attributes": G5}})], "is not understood"),
        ([None], "is not understood"),
    ],
)
def test_whatever_else_it_answers_is_no_price(items: list[Any], why: str) -> None:
    with pytest.raises(Unknown) as raised:
        price_list.price(items, "g5.xlarge", "eu-west-1")
    assert why in str(raised.value)
