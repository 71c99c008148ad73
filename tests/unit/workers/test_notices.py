"""Notices of EC2, read from a pretended metadata service over real HTTP."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.utils import InstanceMetadataFetcher

from storage_schema.clock import SystemClock
from storage_schema.errors import UserError
from tests.servers.imds import InstanceMetadata
from tests.servers.loopback import Answer, LoopbackServer, Request
from workers import imds
from workers.imds import Metadata, MetadataUnavailable, endpoint_of
from workers.interruption import Interruption
from workers.leaving import Leaving, certainty
from workers.notices import INSTANCE_ACTION, REBALANCE, Notices


class Instance:
    """A worker's eyes on the metadata of its machine."""

    def __init__(self, service: InstanceMetadata) -> None:
        self.service = service
        self.said: list[str] = []
        self.interruption = Interruption(SystemClock(), 120.0)

    def notices(self, **options: Any) -> Notices:
        clock = SystemClock()
        metadata = Metadata(self.service.endpoint, clock)
        return Notices(metadata, self.interruption, clock, self.said.append, **options)


@pytest.fixture
def instance() -> Iterator[Instance]:
    with InstanceMetadata() as service:
        yield Instance(service)


def test_the_pretended_service_is_one_to_botocore() -> None:
    with InstanceMetadata() as service:
        service.data["iam/security-credentials/"] = "a-role"
        service.data["iam/security-credentials/a-role"] = json.dumps(
            {
                "AccessKeyId": "AKIDEXAMPLE",
                "SecretAccessKey": "secret",
                "Token": "token",
                "Expiration": "2999-01-01T00:00:00Z",
            }
        )
        found = InstanceMetadataFetcher(base_url=service.endpoint, env={}).retrieve_iam_role_credentials()
        assert (found["role_name"], found["access_key"]) == ("a-role", "AKIDEXAMPLE")
        assert service.tokens == 1


def test_while_there_is_no_notice_nothing_happens_and_one_token_serves(instance: Instance) -> None:
    notices = instance.notices()
    assert all(notices.look() for _ in range(3))
    assert instance.interruption.count == instance.interruption.saves == 0
    assert instance.service.tokens == 1
    assert instance.service.asked(INSTANCE_ACTION) == instance.service.asked(REBALANCE) == 3
    assert instance.said == []


@pytest.mark.parametrize("action", ["terminate", "stop", "hibernate"])
def test_a_notice_is_an_interruption_with_its_time(instance: Instance, action: str) -> None:
    notices = instance.notices()
    assert notices.look()
    instance.service.give_notice(action, left_s=90.0)
    assert not notices.look()
    interruption = instance.interruption
    assert interruption.count == 1
    assert interruption.reason.startswith(f"EC2 spot notice: {action} in ")
    assert interruption.deadline == pytest.approx(SystemClock().monotonic() + 90.0, abs=2.5)


@pytest.mark.parametrize(
    ("error_s", "left_s", "expected_s"), [(-3600, 100, 100), (3600, 100, 100), (0, -50, 5)]
)
def test_the_time_left_is_told_by_the_services_clock(
    instance: Instance, error_s: float, left_s: float, expected_s: float
) -> None:
    instance.service.clock_error_s = error_s
    instance.service.give_notice(left_s=left_s)
    assert not instance.notices().look()
    assert instance.interruption.deadline - SystemClock().monotonic() == pytest.approx(expected_s, abs=2.5)


def test_a_token_that_has_run_out_is_fetched_anew(instance: Instance) -> None:
    notices = instance.notices()
    assert notices.look()
    instance.service.forget_token()
    instance.service.give_notice()
    assert not notices.look()
    assert instance.service.tokens == 2


@pytest.mark.parametrize("status", [500, 503, 403, 401, 302])
def test_a_service_that_is_ill_is_asked_again(instance: Instance, status: int) -> None:
    notices = instance.notices()
    assert notices.look()
    instance.service.ill = status
    assert notices.look()
    assert notices.look()
    assert instance.interruption.count == 0
    assert len(instance.said) == 1
    assert str(status) in instance.said[0]
    instance.service.ill = None
    instance.service.give_notice()
    assert not notices.look()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "terminate",
        "[]",
        "null",
        '{"action": "terminate"}',
        '{"action": "explode", "time": "2030-01-01T00:00:00Z"}',
        '{"action": "terminate", "time": "soon"}',
        '{"action": "terminate", "time": "2030-13-01T00:00:00Z"}',
        '{"action": ["terminate"], "time": "2030-01-01T00:00:00Z"}',
        "[" * 4000,
        "\x1b[2J",
    ],
)
def test_what_is_no_notice_ends_nobody_and_is_said_once(instance: Instance, text: str) -> None:
    instance.service.data[INSTANCE_ACTION] = text
    instance.service.data[REBALANCE] = text
    notices = instance.notices()
    assert notices.look()
    assert notices.look()
    assert instance.interruption.count == instance.interruption.saves == 0
    assert len(instance.said) == 2
    assert all("cannot be read" in line and "\x1b" not in line for line in instance.said)


def test_an_answer_without_end_is_not_read(instance: Instance) -> None:
    instance.service.data[INSTANCE_ACTION] = "x" * 10_000_000
    assert instance.notices().look()
    assert "too long" in instance.said[0]


@pytest.mark.parametrize(
    ("policy", "saves", "draining", "looks"),
    [("ignore", 0, "", 0), ("checkpoint", 1, "", 1), ("drain", 0, "EC2 recommends to rebalance", 1)],
)
def test_a_recommendation_is_answered_once_as_the_user_wants(
    instance: Instance, policy: str, saves: int, draining: str, looks: int
) -> None:
    instance.service.recommend_rebalance()
    notices = instance.notices(on_rebalance=policy)
    assert notices.look()
    assert notices.look()
    assert (instance.interruption.saves, instance.interruption.draining) == (saves, draining)
    assert instance.service.asked(REBALANCE) == looks
    assert instance.interruption.count == 0
    instance.service.give_notice()
    assert not notices.look()
    assert instance.interruption.count == 1


def test_an_answer_that_trickles_takes_no_longer_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imds, "REQUEST_TIMEOUT_S", 0.5)
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def trickle() -> None:
        connection, _ = listener.accept()
        with connection:
            for letter in b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 1000:
                if over.wait(0.05):
                    return
                connection.sendall(bytes([letter]))

    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    began = time.monotonic()
    with pytest.raises(MetadataUnavailable, match="timed out"):
        Metadata(f"http://127.0.0.1:{listener.getsockname()[1]}", SystemClock()).get(INSTANCE_ACTION)
    assert time.monotonic() - began < 3.0
    over.set()
    thread.join(10.0)
    listener.close()


class Stranger(LoopbackServer):
    """Something else at that address."""

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        super().__init__()
        self._answer = answer
        self.requests = 0

    def answer(self, request: Request) -> Answer:
        self.requests += 1
        return self._answer(request)


@pytest.mark.parametrize("token", [b"", b"two words", b"a\nb", b"x" * 2000, "ü".encode()])
def test_a_token_that_is_none_is_not_sent_back(token: bytes) -> None:
    with Stranger(lambda request: Answer(200, {}, token)) as stranger:
        with pytest.raises(MetadataUnavailable, match="token"):
            Metadata(stranger.endpoint, SystemClock()).get(INSTANCE_ACTION)
        assert stranger.requests == 1


def test_where_it_was_a_guess_one_vain_try_ends_the_looking_without_a_word() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    said: list[str] = []
    clock = SystemClock()
    interruption = Interruption(clock)
    assert not Notices(Metadata(nobody, clock), interruption, clock, said.append, certain=False).look()
    assert said == []
    assert Notices(Metadata(nobody, clock), interruption, clock, said.append, certain=True).look()
    assert len(said) == 1
    with Stranger(lambda request: Answer(403, {})) as off:
        assert not Notices(
            Metadata(off.endpoint, clock), interruption, clock, said.append, certain=False
        ).look()
    assert interruption.deadline == math.inf


def test_a_proxy_is_never_asked(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    instance.service.give_notice()
    assert not instance.notices().look()


def leaving(notices: str = "auto") -> Leaving:
    return Leaving(grace_s=None, notices=notices, on_rebalance="checkpoint", requeue=False)


def machine(folder: Path, maker: str | None) -> Path:
    if maker is not None:
        (folder / "class/dmi/id").mkdir(parents=True)
        (folder / "class/dmi/id/sys_vendor").write_text(f"{maker}\n")
    return folder


@pytest.mark.parametrize(
    ("option", "provider", "maker", "expected"),
    [
        ("auto", "", None, None),
        ("auto", "", "LENOVO", None),
        ("auto", "", "Amazon EC2", False),
        ("auto", "slurm", "Amazon EC2", False),
        ("auto", "sagemaker", "Amazon EC2", None),
        ("auto", "local", "Amazon EC2", None),
        ("auto", "ec2", None, True),
        ("auto", "aws-batch", None, True),
        ("ec2", "", None, True),
        ("none", "ec2", "Amazon EC2", None),
    ],
)
def test_nobody_is_asked_but_on_machines_of_ec2(
    tmp_path: Path, option: str, provider: str, maker: str | None, expected: bool | None
) -> None:
    environment = {"HPO_PIPE_PROVIDER": provider}
    assert certainty(leaving(option), environment, machine(tmp_path, maker)) is expected


def test_who_forbids_the_metadata_service_is_heard(tmp_path: Path) -> None:
    forbidden = {"AWS_EC2_METADATA_DISABLED": "True", "HPO_PIPE_PROVIDER": "ec2"}
    assert certainty(leaving(), forbidden, machine(tmp_path, "Amazon EC2")) is None
    with pytest.raises(UserError, match="AWS_EC2_METADATA_DISABLED"):
        certainty(leaving("ec2"), forbidden, tmp_path)


def test_the_address_is_what_awss_own_tools_take() -> None:
    assert endpoint_of({}) == "http://169.254.169.254"
    assert endpoint_of({"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6"}) == "http://[fd00:ec2::254]"
    assert (
        endpoint_of({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1338/"})
        == "http://127.0.0.1:1338"
    )
    for bad in (
        "127.0.0.1",
        "https://x",
        "http://",
        "http://a:b",
        "http://a/b",
        "http://u:p@a",
        "http://a?b",
        "ftp://a",
    ):
        with pytest.raises(UserError, match="AWS_EC2_METADATA_SERVICE_ENDPOINT"):
            endpoint_of({"AWS_EC2_METADATA_SERVICE_ENDPOINT": bad})
