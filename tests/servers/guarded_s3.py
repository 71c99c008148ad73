"""An S3 server that lets callers do what their policies say, and nothing else.

Each request is judged twice. MiniStack with ``AUTH=true`` checks the SigV4 signature and evaluates actions, resources,
`s3:prefix` and the bucket's policy; it does not know the condition key `s3:if-none-match`, so its copy of the policies
goes without what is said of that key. A proxy before it evaluates the whole documents (tests/servers/iam.py), and
answers 403 for a missing key whose caller may not list it, as S3 does.
"""

from __future__ import annotations

import copy
import json
import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.servers.iam import Ask, Document, allowed, asked
from tests.servers.loopback import Answer, Request
from tests.servers.proxy import Proxy
from tests.servers.s3 import S3Server, _running, ministack, s3_environment

_CALLER = re.compile(r"Credential=([^/,]+)/")
_NEW_KEY = "s3:if-none-match"
ROOT = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}


@dataclass(frozen=True)
class Seen:
    """One request, and how it was judged."""

    caller: str
    ask: Ask
    verdict: str
    """``allowed``, ``denied`` by the documents, or ``denied by the server`` although they allow it."""


@dataclass
class Caller:
    """Somebody with a key of its own."""

    name: str
    key: str
    secret: str
    policies: list[Document] = field(default_factory=list)


class GuardedS3(Proxy):
    """Call it as a context manager; ``as_(caller)`` are the variables that make a process that caller."""

    def __init__(self, upstream: S3Server) -> None:
        super().__init__(upstream.endpoint)
        self.server = upstream
        self.bucket = f"guarded-{secrets.token_hex(6)}"
        self.requests: list[Seen] = []
        self.missing_has_prefix = True
        """Whether the key of a missing object counts as `s3:prefix` when S3 looks whether its caller may list it."""
        self._bucket_policy: Document | None = None
        self._callers: dict[str, Caller] = {}
        self._judging = threading.Lock()
        _client("s3", upstream).create_bucket(Bucket=self.bucket)

    def caller(self, name: str, *policies: Document) -> Caller:
        """Make a user with these policies and a key."""
        iam, user = _client("iam", self.server), f"{name}-{secrets.token_hex(4)}"
        iam.create_user(UserName=user)
        made = iam.create_access_key(UserName=user)["AccessKey"]
        for place, document in enumerate(policies):
            text = json.dumps(_known_to_the_server(document))
            iam.put_user_policy(UserName=user, PolicyName=f"p{place}", PolicyDocument=text)
        caller = Caller(name, made["AccessKeyId"], made["SecretAccessKey"], list(policies))
        self._callers[caller.key] = caller
        return caller

    def set_bucket_policy(self, document: Document) -> None:
        """Give the bucket its policy."""
        self._bucket_policy = document
        rest = _known_to_the_server(document, drop=True)
        _client("s3", self.server).put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(rest))

    def as_(self, caller: Caller) -> dict[str, str]:
        """Return the variables by which a process is `caller`."""
        own = {"AWS_ACCESS_KEY_ID": caller.key, "AWS_SECRET_ACCESS_KEY": caller.secret}
        return {**s3_environment(self.endpoint), **own}

    def client(self, caller: Caller) -> Any:
        """Return a boto3 client of `caller`, which tries once."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=caller.key,
            aws_secret_access_key=caller.secret,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def stored(self, prefix: str = "") -> dict[str, bytes]:
        """Return all objects, read past all policies."""
        s3 = _client("s3", self.server)
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        found = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {key: s3.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in found}

    def answer(self, request: Request) -> Answer:
        found = _CALLER.search(request.headers.get("Authorization", ""))
        caller = self._callers.get(found[1] if found else "")
        # The servers of these tests speak plain HTTP; what a policy says of TLS is tested on the evaluator alone.
        ask = asked(request.method, request.path, request.headers)
        if caller is None or not self._may(caller, ask):
            self._saw(caller, ask, "denied")
            return _denied()
        answer = super().answer(request)
        self._saw(caller, ask, "denied by the server" if answer.status == 403 else "allowed")
        if answer.status == 404 and ask.action == "s3:GetObject" and b"NoSuchKey" in answer.body:
            context = {"aws:SecureTransport": "true"}
            if self.missing_has_prefix:
                context["s3:prefix"] = ask.key or ""
            if not self._may(caller, Ask("s3:ListBucket", ask.bucket, None, context)):
                return _denied()
        return answer

    def _may(self, caller: Caller, ask: Ask) -> bool:
        return allowed(ask, caller.policies, self._bucket_policy)

    def _saw(self, caller: Caller | None, ask: Ask, verdict: str) -> None:
        with self._judging:
            self.requests.append(Seen(caller.name if caller else "nobody", ask, verdict))


@pytest.fixture(scope="session")
def iam_server() -> Iterator[S3Server]:
    """MiniStack that checks signatures and enforces policies."""
    yield from _running("MiniStack with AUTH=true", _ministack_with_auth)


@pytest.fixture
def guarded(iam_server: S3Server) -> Iterator[GuardedS3]:
    """A guarded bucket of its own."""
    with GuardedS3(iam_server) as server:
        yield server


@contextmanager
def being(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process be a caller for a while."""
    with monkeypatch.context() as patch:
        patch.delenv("AWS_PROFILE", raising=False)
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


def _known_to_the_server(document: Document, *, drop: bool = False) -> Document:
    """Return `document` for a server that does not know s3:if-none-match and TLS.

    The condition is taken from what allows; what denies by it goes whole (`drop`).
    """
    known = copy.deepcopy(dict(document))
    statements = []
    for statement in known["Statement"]:
        condition = statement.get("Condition", {})
        unknown = any(key in (_NEW_KEY, "aws:SecureTransport") for keys in condition.values() for key in keys)
        if unknown and drop:
            continue
        if unknown:
            del statement["Condition"]
        statements.append(statement)
    known["Statement"] = statements
    return known


def _ministack_with_auth(port: int) -> tuple[list[str], dict[str, str]]:
    command, settings = ministack(port)
    own = {
        "SERVICES": "s3,iam,sts",
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    return command, {**settings, **own}


def _client(service: str, server: S3Server) -> Any:
    return boto3.client(service, endpoint_url=server.endpoint, **ROOT)


def _denied() -> Answer:
    body = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    return Answer(403, {"Content-Type": "application/xml"}, body)
