"""Orders as the tests of launch targets give them, and the wire as botocore would send it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import click
import pytest
from botocore import xform_name
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from hpo_pipe.launch.aws import client
from hpo_pipe.launch.order import Offer, Order, Plan
from hpo_pipe.launch.target import ApiCall, Target
from storage_schema.codec import Json
from tests.servers.s3 import lead_to

GOLDEN = Path(__file__).parents[2] / "golden" / "requests"
WRITE = "HPO_PIPE_WRITE_GOLDEN"
"""With this variable set, the golden files are written anew."""
PLAN = Plan(
    url="s3://bucket/studies/first",
    study="first study",
    study_sha256="ab" * 32,
    gpus=1,
    idle_timeout_s=300.0,
    env=(("EPOCHS", "9"),),
    tags=(("team", "vision"),),
)


def order(
    target: Target, given: Mapping[str, Json], workers: int = 1, number: int = 3, place: int = 0, **plan: Any
) -> Order:
    """Return an order of `target` with own options `given`, for its offer number `place`."""
    made = replace(PLAN, **plan)
    command = click.Command("submit", params=list(target.options))
    options = command.make_context("submit", [], resilient_parsing=True).params
    settings = target.settings({**options, **given}, made)
    kept = json.loads(json.dumps(settings))  # as a record gives them back
    offer = target.offers(kept, made)[place] if target.offers(kept, made) else Offer()
    return Order(number=number, target=target.name, workers=workers, offer=offer, plan=made, settings=kept)


def in_region(monkeypatch: pytest.MonkeyPatch, region: str = "eu-west-1") -> None:
    """Give this process credentials that are none, and a region; nothing leads anywhere."""
    lead_to("http://127.0.0.1:1", monkeypatch)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    monkeypatch.setenv("AWS_REGION", region)


def wire(call: ApiCall) -> dict[str, Json]:
    """Return what botocore would send for a call: method, URL, target header and body."""
    sent: list[AWSRequest] = []

    def keep(request: AWSRequest, **_: Any) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, 500, {}, _Empty())

    asked = client(call.service, {"region": "eu-west-1", "profile": None}, attempts=1)
    asked.meta.events.register("before-send", keep)
    with pytest.raises((ClientError, ResponseParserError)):  # the answer is nothing that EC2 would say
        getattr(asked, xform_name(call.operation))(**call.parameters)
    (request,) = sent
    body = request.body.decode() if isinstance(request.body, bytes) else request.body
    headers = {
        name: value for name, value in request.headers.items() if name in ("X-Amz-Target", "Content-Type")
    }
    headers = {name: value.decode() if isinstance(value, bytes) else value for name, value in headers.items()}
    try:
        told: Json = json.loads(body)
    except ValueError:
        told = dict(parse_qsl(body, keep_blank_values=True, strict_parsing=True))
    return {"method": request.method, "url": request.url, "headers": headers, "body": told}


class _Empty:
    def stream(self, **_: Any) -> Any:
        return iter((b"{}",))


def check_golden(name: str, calls: tuple[Any, ...]) -> None:
    """Hold the wire requests of `calls` against the golden file `name`."""
    path = GOLDEN / f"{name}.json"
    found = [wire(call) for call in calls]
    if os.environ.get(WRITE):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=2) + "\n")
    assert found == json.loads(path.read_text()), f"{path.name}: {WRITE}=1 writes it anew"
