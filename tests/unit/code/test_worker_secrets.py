"""Secrets as a worker reads them: from a real server that speaks for AWS, and from files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from storage_schema.errors import StoreUnavailable, UserError
from storage_schema.redaction import Redactor
from tests.servers.loopback import Answer, LoopbackServer, Request
from tests.servers.s3 import S3Server, lead_to
from workers.secrecy import Secrecy
from workers.secrets import (
    MAX_SECRET_BYTES,
    MAX_SECRETS,
    SecretMissing,
    parsed,
    parsed_names,
    redacted_forms,
    resolved,
    warnings,
)

VALUE = "correct horse battery staple"
NOWHERE = "arn:aws:secretsmanager:us-east-1:123456789012:secret:nowhere-AbCdEf"


def read(*texts: str) -> dict[str, str]:
    return resolved(parsed(texts))


class Aws:
    def __init__(self) -> None:
        self.secrets: Any = boto3.client("secretsmanager", region_name="us-east-1")
        self.parameters: Any = boto3.client("ssm", region_name="us-east-1")

    def secret(self, **content: Any) -> str:
        name = f"test/{time.monotonic_ns()}"
        return str(self.secrets.create_secret(Name=name, **content)["ARN"])

    def parameter(self, value: str) -> str:
        name = f"/test/{time.monotonic_ns()}"
        self.parameters.put_parameter(Name=name, Value=value, Type="SecureString")
        return str(self.parameters.get_parameter(Name=name)["Parameter"]["ARN"])


@pytest.fixture
def aws(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Aws:
    lead_to(moto_server.endpoint, monkeypatch)
    return Aws()


def test_secrets_are_read(aws: Aws) -> None:
    both = aws.secret(SecretString=json.dumps({"user": "trainer", "password": VALUE, "port": 5432}))
    found = read(
        f"A={aws.secret(SecretString=VALUE)}",
        f"B={both}#password",
        f"C={both}#port",
        f"D={both}",
        f"E={aws.parameter(VALUE)}",
    )
    assert {name: found[name] for name in "ABCE"} == {"A": VALUE, "B": VALUE, "C": "5432", "E": VALUE}
    assert json.loads(found["D"])["user"] == "trainer"


def test_what_is_not_there_is_said_without_a_value(aws: Aws) -> None:
    plain = aws.secret(SecretString=VALUE)
    for text, said in {
        f"A={NOWHERE}": rf"--secret A: {NOWHERE}: there is none \(ResourceNotFoundException\)",
        f"A={aws.parameter('x')}gone": r"there is none \(ParameterNotFound\)",
        f"A={plain}#key": "is no JSON object, and has no #key",
        f"A={aws.secret(SecretString='[1]')}#key": "has no #key",
        f"A={aws.secret(SecretBinary=b'123')}": "holds bytes",
    }.items():
        with pytest.raises(SecretMissing, match=said) as found:
            read(text)
        assert VALUE not in str(found.value)


class Refusing(LoopbackServer):
    """A service that answers every request with one error."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__()
        self.status, self.code, self.asked = status, code, 0

    def answer(self, request: Request) -> Answer:
        self.asked += 1
        body = json.dumps({"__type": self.code, "message": f"no {VALUE} for you"}).encode()
        return Answer(self.status, {"Content-Type": "application/x-amz-json-1.1"}, body)


@pytest.mark.parametrize(
    ("status", "code", "error", "said"),
    [
        (400, "AccessDeniedException", SecretMissing, "needs secretsmanager:GetSecretValue on it"),
        (403, "Forbidden", SecretMissing, "needs secretsmanager:GetSecretValue on it"),
        (400, "InvalidRequestException", SecretMissing, "refuses"),
        (400, "ThrottlingException", StoreUnavailable, "does not answer"),
        (500, "InternalServiceError", StoreUnavailable, "does not answer"),
    ],
)
def test_a_refusal_is_told_from_a_service_that_is_away(
    status: int, code: str, error: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.secrets._TRIES", 1)
    with Refusing(status, code) as server:
        lead_to(server.endpoint, monkeypatch)
        with pytest.raises(error, match=said) as found:
            read(f"A={NOWHERE}")
    assert server.asked == 1
    assert VALUE not in str(found.value)


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.secrets._TRIES", 1)
    lead_to("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        read(f"A={NOWHERE}")


def test_a_machine_without_credentials_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    lead_to("http://127.0.0.1:9", monkeypatch)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(SecretMissing, match="Unable to locate credentials"):
        read(f"A={NOWHERE}")


class TestFiles:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Iterator[Path]:
        yield tmp_path / "secret"

    @pytest.mark.parametrize("written", [VALUE, VALUE + "\n", VALUE + "\r\n"])
    def test_are_read_without_their_line_end(self, path: Path, written: str) -> None:
        path.write_bytes(written.encode())
        assert read(f"A=file:{path}") == {"A": VALUE}

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "is empty"),
            (b"\n", "is empty"),
            (b"\xff\xfe", "is not UTF-8"),
            (b"a\0b", "NUL"),
            (b"x" * (MAX_SECRET_BYTES + 1), "larger than 64 KiB"),
        ],
    )
    def test_that_hold_none_are_refused(self, path: Path, data: bytes, said: str) -> None:
        path.write_bytes(data)
        with pytest.raises(SecretMissing, match=said):
            read(f"A=file:{path}")

    def test_that_are_none_are_refused(self, path: Path) -> None:
        with pytest.raises(SecretMissing, match="No such file"):
            read(f"A=file:{path}")
        os.mkfifo(path)
        with pytest.raises(SecretMissing, match="no plain file"):
            read(f"A=file:{path}")
        with pytest.raises(SecretMissing, match=r"directory|no plain file"):
            read(f"A=file:{path.parent}")


def test_every_form_of_a_secret_is_known() -> None:
    secrets = {
        "A": 'pass"word\nsecond line here',
        "B": json.dumps({"password": "p/a+s=s words", "port": 1}),
        "C": "short",
    }
    redactor = Redactor(redacted_forms(secrets))
    for text in (
        *secrets["A"].splitlines(),
        json.dumps(secrets["A"]),
        "p/a+s=s words",
        "p%2Fa%2Bs%3Ds%20words",
        secrets["B"],
    ):
        assert set(redactor.text(text)) <= {"*", '"'}, text
    assert redactor.text("a short word") == "a short word"
    assert list(warnings(secrets)) == [
        "C has fewer than 8 characters: it is not taken out of what trials print"
    ]


def test_secrets_that_are_in_the_environment_already(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(VALUE)
    refs = parsed([f"A=file:{tmp_path}/a"])
    names = parsed_names(["DSN", "AWS_X", "DSN"], refs)
    assert names == ("DSN", "AWS_X")
    environment = {"DSN": "db://trainer", "AWS_X": "the worker's own", "B": "b"}
    found = Secrecy(refs=refs, variables=names, withhold=("AWS_*",)).read(environment)
    assert found.given == {"A": VALUE, "DSN": "db://trainer"}
    assert found.hidden == {"A": VALUE, "DSN": "db://trainer", "AWS_X": "the worker's own"}
    with pytest.raises(SecretMissing, match=r"^--secret-variable DSN, AWS_X: not set, or empty, in this"):
        Secrecy(refs=(), variables=names, withhold=()).read({"DSN": ""})


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["A"], "--secret-variable A: --secret gives it already"),
        (["1A"], "--secret-variable '1A': a variable's name"),
        (
            ["HPO_PIPE_TRIAL"],
            "--secret-variable HPO_PIPE_TRIAL: variables that begin with HPO_PIPE_ are ours",
        ),
        ([f"V{at}" for at in range(MAX_SECRETS + 1)], "--secret-variable: 65 of them, allowed are 64"),
    ],
)
def test_names_that_are_none(names: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        parsed_names(names, parsed(["A=file:/a"]))
