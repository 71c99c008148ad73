"""``s3://bucket/prefix``: a study in a bucket of S3, or of a server that speaks S3 and keeps its conditions.

Requests go through the client and the event loop of s3fs, one HTTP request per verb. The retries of s3fs and
botocore are off: below us they turn one's own landed PUT into "exists"; callers settle that by reading back
(`create_settled`). aiohttp still sends a PUT again, once, when a kept-alive connection dies under it, so even a
refused connection does not prove that nothing was sent. Endpoint, region and credentials come from the ordinary
AWS environment and nowhere else.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError
from fsspec.asyn import sync
from s3fs import S3FileSystem

from storage_schema.errors import (
    DamagedRecord,
    HpoPipeError,
    ProtocolViolation,
    StoreRefused,
    StoreUnavailable,
    UserError,
)
from storage_schema.store.check import Check
from storage_schema.store.key_rules import MAX_OBJECT_BYTES, checked_key, checked_prefix, is_key, max_bytes
from storage_schema.store.protocol import Blob, Created, Stat, Unchanged
from storage_schema.store.s3_checks import check_bucket
from storage_schema.store.s3_errors import credentials_are_stale, explained
from storage_schema.store.s3_place import bucket_and_prefix

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
"""Without a byte from the server."""
CALL_TIMEOUT_S = 60.0
"""For a whole request, and on top of it one second for each `SLOWEST_BYTES_PER_S` of its body."""
SLOWEST_BYTES_PER_S = 50_000
CONNECTIONS = 32

_FAILURES = (ClientError, BotoCoreError, OSError, TimeoutError, asyncio.TimeoutError, EOFError)
# OSError: s3fs and aiohttp wrap some failures in it.


class S3Store:
    """A store in a bucket. One per process: it must not be carried over a fork."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.bucket, self._base = bucket_and_prefix(self.url)
        self._pid = os.getpid()
        self._connecting = threading.Lock()
        self._files: S3FileSystem | None = None

    def create(self, key: str, data: bytes) -> Created:
        """Create `key` with `data` if it is absent (PutObject with ``If-None-Match: *``)."""
        where = self._where(key)
        try:
            self.ask("put_object", **where, Body=data, IfNoneMatch="*")
        except _FAILURES as error:
            if _status(error) == 412:
                return Created.EXISTS
            raise self._explained(error, "create", key, uncertain=True) from error
        return Created.CREATED

    def get(self, key: str, unless: str | None = None) -> Blob | Unchanged | None:
        """Return the object, None where it is absent, or UNCHANGED where its version equals `unless`."""
        condition = {"IfNoneMatch": unless} if unless is not None else {}
        try:
            answer = self._ask("get_object", {**self._where(key), **condition}, max_bytes(key))
        except _TooLarge as error:
            raise DamagedRecord(key, str(error)) from None
        except _FAILURES as error:
            if _status(error) == 304:
                return Unchanged.UNCHANGED
            # No other 404 counts: a missing bucket and a gateway's page say nothing about the object.
            if _code(error) == "NoSuchKey":
                return None
            raise self._explained(error, "get", key) from error
        return Blob(data=answer["Body"], version=answer["ETag"], modified=answer["LastModified"].timestamp())

    def list(self, prefix: str, start_after: str = "") -> Iterator[Stat]:
        """Yield what lies under `prefix` in ascending key order, from the first key > `start_after`."""
        where = {"Bucket": self.bucket, "Prefix": self._base + checked_prefix(prefix)}
        position = {"StartAfter": self._base + start_after} if start_after else {}
        last = start_after
        while True:
            try:
                page = self.ask("list_objects_v2", **where, **position)
            except _FAILURES as error:
                raise self._explained(error, "list", prefix) from error
            for item in page.get("Contents", ()):
                key = item["Key"][len(self._base) :]
                if key <= start_after or not is_key(
                    key
                ):  # a server that ignores StartAfter; a stranger's object
                    continue
                if key <= last:
                    raise StoreRefused(f"list {self.url}/{prefix}: keys do not come in ascending order")
                last = key
                modified = item["LastModified"].timestamp()
                yield Stat(key=key, size=item["Size"], version=item["ETag"], modified=modified)
            if not page.get("IsTruncated"):
                return
            position = {"ContinuationToken": page["NextContinuationToken"]}

    def replace(self, key: str, data: bytes) -> None:
        """Write `key`, whether or not it exists."""
        try:
            self.ask("put_object", **self._where(key), Body=data)
        except _FAILURES as error:
            raise self._explained(error, "replace", key) from error

    def delete(self, key: str) -> None:
        """Remove `key`; no error where it is absent."""
        try:
            self.ask("delete_object", **self._where(key))
        except _FAILURES as error:
            if _code(error) != "NoSuchKey":
                raise self._explained(error, "delete", key) from error

    def own_checks(self) -> tuple[Check, ...]:
        """Report what about the bucket's settings endangers a study: lifecycle rules, versioning, replication."""
        return check_bucket(self)

    def ask(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Send one request, and return botocore's answer with the body read; raises botocore's errors."""
        return self._ask(operation, parameters, MAX_OBJECT_BYTES)

    def _ask(self, operation: str, parameters: dict[str, Any], most_bytes: int) -> dict[str, Any]:
        files = self._connection()
        answer: dict[str, Any] = sync(files.loop, _send, files, operation, parameters, most_bytes)
        return answer

    def _where(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self._base + checked_key(key)}

    def _explained(
        self, error: BaseException, verb: str, key: str, *, uncertain: bool = False
    ) -> HpoPipeError:
        if credentials_are_stale(error):
            self._files = None  # the next request looks for credentials anew: somebody may have renewed them
        return explained(error, f"{verb} {self.url}/{key}".rstrip("/"), self.bucket, uncertain=uncertain)

    def _connection(self) -> S3FileSystem:
        if os.getpid() != self._pid:
            raise ProtocolViolation(f"{self.url} was opened in another process; open it again after a fork")
        files = self._files
        if files is None:
            with self._connecting:
                files = self._files = self._files or _connected()
        return files


def _connected() -> S3FileSystem:
    session = AioSession()
    factory = session.get_component("response_parser_factory")
    factory.set_parser_defaults(timestamp_parser=_time)  # dateutil takes 0.1 s of CPU per page of a listing
    files = S3FileSystem(
        session=session,
        use_listings_cache=False,  # else an object that exists may be "not found"
        skip_instance_cache=True,
        config_kwargs={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            "max_pool_connections": CONNECTIONS,
            "user_agent_extra": "hpo-pipe",
        },
    )
    files.retries = 1
    try:
        client = files.s3
    except ValueError:  # botocore's own words hold the endpoint, and that may hold a password
        raise UserError(
            "the S3 endpoint of the environment or the profile (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL) is no URL, "
            "as in http://host:9000"
        ) from None
    model = client.meta.service_model.operation_model("PutObject")
    if "IfNoneMatch" not in model.input_shape.members:
        raise StoreRefused("the installed botocore cannot send If-None-Match: install botocore 1.36 or newer")
    return files


async def _send(
    files: S3FileSystem, operation: str, parameters: dict[str, Any], most_bytes: int
) -> dict[str, Any]:
    client = await files.set_session()
    size = len(parameters.get("Body", b""))
    send = getattr(client, operation)
    answer: dict[str, Any] = await asyncio.wait_for(send(**parameters), _patience_s(size))
    if "Body" in answer:
        async with answer["Body"] as body:
            if answer["ContentLength"] > most_bytes:
                raise _TooLarge(f"{answer['ContentLength']} bytes, more than {most_bytes}")
            answer["Body"] = await asyncio.wait_for(body.read(), _patience_s(answer["ContentLength"]))
        if len(answer["Body"]) != answer["ContentLength"]:
            raise StoreUnavailable(f"{operation}: the answer was cut short")
    return answer


class _TooLarge(Exception):
    """The object is larger than one of its key may be; its body is not read."""


def _patience_s(size: int) -> float:
    return CALL_TIMEOUT_S + size / SLOWEST_BYTES_PER_S


def _time(text: Any) -> datetime:
    """Parse a listing's ISO time or a header's HTTP date; both are UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _status(error: BaseException) -> int:
    response = getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: BaseException) -> str:
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
