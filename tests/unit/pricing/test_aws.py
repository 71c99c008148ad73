"""Prices that AWS is asked for: the requests as they are sent, and every failure: unknown, with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.session import Session
from botocore.stub import Stubber
from moto import mock_aws

from hpo_pipe.prices import Rate, pricing
from hpo_pipe.pricing import aws, price_list, spot
from hpo_pipe.pricing.aws import SPOT_NOTE, AwsPrices
from hpo_pipe.pricing.source import price_of, pricing_from
from hpo_pipe.pricing.unknown import Unknown
from hpo_pipe.service_model import check_request
from storage_schema.errors import UserError
from storage_schema.machine import Machine
from tests.servers.loopback import Answer, LoopbackServer, Request
from tests.unit.pricing.test_price_list import G5, TRAINING, item
from tests.unit.pricing.test_spot import HOUR, row
from tests.unit.workers.stage import MovedClock

NOW = 1000 * HOUR
SPOT = Machine(instance_type="g5.xlarge", region="eu-west-1", lifecycle="spot", started_at=990 * HOUR)
ON_DEMAND = Machine(instance_type="g5.xlarge", region="eu-west-1", lifecycle="on-demand")


class Aws:
    """AWS as far as prices go: real clients, whose answers are told, and whose requests must be the ones told."""

    def __init__(self) -> None:
        self.clients: dict[tuple[str, str], tuple[Any, Stubber]] = {}
        clock = MovedClock()
        clock.time = NOW
        self.prices = AwsPrices(self.connect, clock)

    def connect(self, service: str, region: str) -> Any:
        return self.stub(service, region)[0]

    def stub(self, service: str, region: str) -> tuple[Any, Stubber]:
        if (service, region) not in self.clients:
            made = Session().create_client(
                service, region_name=region, aws_access_key_id="test", aws_secret_access_key="test"
            )
            stubber = Stubber(made)
            stubber.activate()
            self.clients[service, region] = made, stubber
        return self.clients[service, region]

    def on_demand(self, *items: str, instance_type: str = "g5.xlarge", region: str = "eu-west-1") -> None:
        answer = {"FormatVersion": "aws_v1", "PriceList": list(items)}
        asked = price_list.request(instance_type, region)
        self.stub("pricing", "us-east-1")[1].add_response("get_products", answer, asked)

    def spot(self, *rows: Any, since: float, token: str = "", after: str = "") -> None:
        answer = {"SpotPriceHistory": list(rows), "NextToken": token}
        asked = spot.request("g5.xlarge", since, NOW) | ({"NextToken": after} if after else {})
        self.stub("ec2", "eu-west-1")[1].add_response("describe_spot_price_history", answer, asked)

    def refuses(self, service: str, region: str, method: str, code: str, status: int = 400) -> None:
        self.stub(service, region)[1].add_client_error(method, code, "because", http_status_code=status)

    def all_asked(self) -> None:
        for _, stubber in self.clients.values():
            stubber.assert_no_pending_responses()


@pytest.fixture
def told() -> Iterator[Aws]:
    found = Aws()
    yield found
    found.all_asked()


def test_the_requests_are_right_by_aws_own_models() -> None:
    for instance_type in ("g5.xlarge", "ml.g5.xlarge"):
        check_request(
            "pricing", price_list.OPERATION, price_list.request(instance_type, "eu-west-1"), "asked"
        )
    asked = spot.request("g5.xlarge", 0.0, NOW)
    plain = {name: value for name, value in asked.items() if name not in ("StartTime", "EndTime")}
    check_request("ec2", spot.OPERATION, plain, "asked")


def test_a_machine_on_demand_is_asked_about_once(told: Aws) -> None:
    told.on_demand(item(G5))
    assert told.prices.of(ON_DEMAND) == Rate(paid=1.123, on_demand=1.123)
    assert told.prices.of(ON_DEMAND, NOW) == Rate(paid=1.123, on_demand=1.123)


def test_a_spot_machine_is_priced_by_its_time_and_all_of_a_type_by_one_question(told: Aws) -> None:
    told.on_demand(item(G5))
    told.spot(row("a", 960, "0.2"), since=966 * HOUR, token="more")
    told.spot(row("a", 995, "0.4"), since=966 * HOUR, after="more")
    found = told.prices.of(SPOT, 1000 * HOUR)
    assert (found.paid, found.on_demand, found.note) == (pytest.approx(0.3), 1.123, SPOT_NOTE)
    later = Machine(instance_type="g5.xlarge", region="eu-west-1", lifecycle="spot", started_at=996 * HOUR)
    assert told.prices.of(later, 999 * HOUR).paid == pytest.approx(0.4)


def test_one_that_started_earlier_is_asked_about_again(told: Aws) -> None:
    told.on_demand(item(G5))
    told.spot(row("a", 960, "0.2"), since=966 * HOUR)
    told.spot(row("a", 900, "0.1"), row("a", 960, "0.2"), since=926 * HOUR)
    assert told.prices.of(SPOT, 1000 * HOUR).paid == pytest.approx(0.2)
    early = Machine(instance_type="g5.xlarge", region="eu-west-1", lifecycle="spot", started_at=950 * HOUR)
    assert told.prices.of(early, 970 * HOUR).paid == pytest.approx(0.15)


def test_an_offer_is_priced_as_of_now(told: Aws) -> None:
    told.on_demand(item(G5))
    told.spot(row("a", 960, "0.2"), row("b", 999, "0.4"), since=976 * HOUR)
    found = price_of(pricing(told.prices), "aws-batch", "g5.xlarge", "eu-west-1", "spot")
    assert found.paid == pytest.approx(0.3)


def test_sagemakers_on_demand_is_known_and_its_spot_is_not(told: Aws) -> None:
    told.on_demand(item(TRAINING, "1.57"), instance_type="ml.g5.xlarge")
    prices = pricing(told.prices)
    assert price_of(prices, "sagemaker", "ml.g5.xlarge", "eu-west-1", "on-demand").paid == 1.57
    found = price_of(prices, "sagemaker", "ml.g5.xlarge", "eu-west-1", "spot")
    assert (found.paid, found.on_demand) == (None, 1.57)
    assert "bills spot machines for billable seconds" in found.note


def test_what_the_worker_said_goes_first_and_what_it_would_have_cost_on_demand_is_asked(told: Aws) -> None:
    told.on_demand(item(G5))
    told.refuses("ec2", "eu-west-1", "describe_spot_price_history", "UnauthorizedOperation", 403)
    said = Machine(instance_type="g5.xlarge", region="eu-west-1", lifecycle="spot", price_per_hour=0.5)
    assert pricing(told.prices)(said) == Rate(paid=0.5, on_demand=1.123)


@pytest.mark.parametrize(("code", "status"), [("AccessDeniedException", 400), ("ThrottlingException", 400)])
def test_a_refused_price_list_is_unknown_and_not_asked_again(told: Aws, code: str, status: int) -> None:
    told.refuses("pricing", "us-east-1", "get_products", code, status)
    found = told.prices.of(ON_DEMAND)
    assert (found.paid, found.on_demand) == (None, None)
    assert f"GetProducts: {code}: because" in found.note
    assert told.prices.of(ON_DEMAND) == found


@pytest.mark.parametrize(("code", "status"), [("UnauthorizedOperation", 403), ("RequestLimitExceeded", 503)])
def test_a_refused_history_leaves_the_price_on_demand(told: Aws, code: str, status: int) -> None:
    told.on_demand(item(G5))
    told.refuses("ec2", "eu-west-1", "describe_spot_price_history", code, status)
    found = told.prices.of(SPOT, NOW)
    assert (found.paid, found.on_demand) == (None, 1.123)
    assert f"DescribeSpotPriceHistory: {code}: because" in found.note


def test_a_time_that_aws_has_forgotten_is_unknown(told: Aws) -> None:
    told.on_demand(item(G5))
    told.spot(row("a", 995, "0.4"), since=966 * HOUR)
    found = told.prices.of(SPOT, NOW)
    assert found.paid is None
    assert "AWS has no spot price for g5.xlarge in eu-west-1 at that time" in found.note


def test_half_an_answer_is_none(told: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "MAX_PAGES", 2)
    told.on_demand(item(G5))
    told.spot(row("a", 999, "0.4"), since=966 * HOUR, token="one")
    told.spot(row("a", 998, "0.4"), since=966 * HOUR, token="two", after="one")
    found = told.prices.of(SPOT, NOW)
    assert found.paid is None
    assert "more than 2 pages" in found.note


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        (Machine(region="eu-west-1"), "need the instance type"),
        (Machine(instance_type="g5.xlarge"), "need the region"),
        (Machine(instance_type="g5.xlarge", region="cellar"), "cellar is no region of AWS"),
    ],
)
def test_who_does_not_say_what_it_is_costs_nobody_a_request(told: Aws, machine: Machine, why: str) -> None:
    found = told.prices.of(machine)
    assert (found.paid, found.on_demand) == (None, None)
    assert why in found.note


def test_without_a_lifecycle_only_the_price_on_demand_is_known(told: Aws) -> None:
    told.on_demand(item(G5))
    found = told.prices.of(Machine(instance_type="g5.xlarge", region="eu-west-1"))
    assert (found.paid, found.on_demand) == (None, 1.123)
    assert "lifecycle" in found.note


def test_without_credentials_all_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    found = AwsPrices().of(SPOT, NOW)
    assert (found.paid, found.on_demand) == (None, None)
    assert "no credentials for AWS" in found.note


def test_retries_are_adaptive_and_few() -> None:
    made = aws.make_client("pricing", aws.LIST_REGION)
    assert made.meta.config.retries == {"mode": "adaptive", "total_max_attempts": aws.ATTEMPTS}
    assert made.meta.endpoint_url == "https://api.pricing.us-east-1.amazonaws.com"


class Throttling(LoopbackServer):
    """EC2 when it has been asked too much."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def answer(self, request: Request) -> Answer:
        self.asked += 1
        told = b"<Code>RequestLimitExceeded</Code><Message>Request limit exceeded.</Message>"
        body = b"<Response><Errors><Error>" + told + b"</Error></Errors><RequestID>r</RequestID></Response>"
        return Answer(503, {}, body)


def test_a_server_that_throttles_is_asked_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr(aws, "ATTEMPTS", 2)
    with Throttling() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", server.endpoint)
        with pytest.raises(Unknown, match="RequestLimitExceeded: Request limit exceeded"):
            AwsPrices().spot_price(SPOT, None)
    assert server.asked == 2


def test_a_history_of_a_whole_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    machine = Machine(instance_type="g4dn.xlarge", region="eu-west-1", lifecycle="spot", started_at=1.6e9)
    with mock_aws():
        prices = AwsPrices()
        assert prices.spot_price(machine, 1.6e9 + 60) == pytest.approx(0.00001)
        assert prices.spot_price(machine, None) == pytest.approx(0.00001)
        assert datetime.fromtimestamp(1.6e9, UTC).year == 2020


def test_a_word_that_is_neither_a_file_nor_a_provider() -> None:
    with pytest.raises(UserError, match=r"--prices is 'asw', expected aws, or a file that ends with \.toml"):
        pricing_from("asw")
