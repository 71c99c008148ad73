"""What a coordinator's Lambda function is told: a tick of a schedule, S3 events, or a study by name. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from storage_schema import keys
from storage_schema.errors import UserError, nearest
from storage_schema.redaction import redacted
from storage_schema.store.s3_place import bucket_and_prefix

MAX_RECORDS = 10_000
"""Of one batch; SQS gives no more (Lambda Developer Guide, "Using Lambda with Amazon SQS")."""
MAX_BODY = 1 << 20
"""Characters of one message."""
MAX_KEY = 1024
"""Bytes of a key of S3, at most three characters for each where it is quoted."""
MATTERS = (keys.STUDY, keys.LOG, keys.CHAIN, keys.METRICS)
"""What a tick may act on. All else is written by coordinators themselves, or is seen when a chain moves on."""

_DIRECT = ("study",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an event asks for."""

    study: str
    """The study URL."""
    ignored: str = ""
    """Why there is nothing to do; empty: tick."""


def read_event(event: object, study: str) -> Told:
    """Return what an event asks for.

    Args:
        event: what Lambda hands over: ``{}``, ``{"study": URL}``, an event of a schedule, or S3 events, bare, from
            EventBridge or out of SQS.
        study: the URL that the function is for, empty for none; an event may not name another one.

    Raises:
        UserError: an event that none of them sends, or no study.
    """
    if event is None:
        event = {}
    if not isinstance(event, dict):
        raise UserError(f"event: expected an object, found {_shown(event)}")
    if set(event) <= set(_DIRECT):
        return _direct(event, study)
    if not study:
        raise UserError("HPO_PIPE_STUDY is not set: it names the study that events are about")
    written = list(_written(event))
    if not written or any(_concerns(bucket, key, study) for bucket, key in written):
        return Told(study=study)
    return Told(study=study, ignored=f"{len(written)} event(s), none about records of the study")


def _direct(event: Mapping[str, Any], study: str) -> Told:
    named = event.get("study", study)
    if not isinstance(named, str) or not 0 < len(named) <= 2000:
        if "study" in event:
            raise UserError(f"event: study: expected a study URL, found {_shown(named)}")
        raise UserError('no study: set HPO_PIPE_STUDY, or send {"study": "s3://bucket/prefix"}')
    if study and named.rstrip("/") != study.rstrip("/"):
        raise UserError(
            f"event: study: {_shown(redacted(named))} is not the one of HPO_PIPE_STUDY, {redacted(study)}"
        )
    return Told(study=named)


def _written(event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the bucket and key of every object that an event is about; none for a schedule's."""
    records = event.get("Records")
    if records is None:
        yield from _one(event, "event")
        return
    if not isinstance(records, list) or len(records) > MAX_RECORDS:
        raise UserError(f"event: Records: expected up to {MAX_RECORDS} records, found {_shown(records)}")
    for number, record in enumerate(records):
        where = f"event: Records[{number}]"
        if isinstance(record, dict) and record.get("eventSource") == "aws:sqs":
            yield from _message(record.get("body"), where)
        else:
            yield _notification(record, where)


def _message(body: object, where: str) -> Iterator[tuple[str, str]]:
    if not isinstance(body, str) or len(body) > MAX_BODY:
        raise UserError(f"{where}: body: expected up to {MAX_BODY} characters, found {_shown(body)}")
    try:
        inner = json.loads(body)
    except (ValueError, RecursionError):
        raise UserError(f"{where}: body: expected JSON, found {_shown(body)}") from None
    if not isinstance(inner, dict):
        raise UserError(f"{where}: body: expected an object, found {_shown(inner)}")
    if inner.get("Event") == "s3:TestEvent":  # what S3 sends when a notification is set up
        return
    if "Records" not in inner:
        yield from _one(inner, f"{where}: body")
        return
    records = inner["Records"]
    if not isinstance(records, list) or len(records) > MAX_RECORDS:
        raise UserError(f"{where}: body: Records: expected a list, found {_shown(records)}")
    for number, record in enumerate(records):
        yield _notification(record, f"{where}: body: Records[{number}]")


def _one(event: Mapping[str, Any], where: str) -> Iterator[tuple[str, str]]:
    """Read an event of EventBridge, or of its Scheduler."""
    source = event.get("source")
    if source in ("aws.scheduler", "aws.events"):
        return
    if source != "aws.s3":
        hint = "".join(nearest(name, _DIRECT) for name in list(event)[:1] if isinstance(name, str))
        names = ", ".join(sorted(map(str, event))[:5])
        raise UserError(
            f"{where}: expected study, Records, or an event of aws.s3 or aws.scheduler; found {names[:200]}{hint}"
        )
    detail = event.get("detail")
    yield _place(detail, f"{where}: detail")


def _notification(record: object, where: str) -> tuple[str, str]:
    """Read a record of S3's own notifications, whose keys are quoted as in a form."""
    if not isinstance(record, dict) or record.get("eventSource") not in ("aws:s3", "aws.s3"):
        raise UserError(f"{where}: expected a record of aws:sqs or aws:s3, found {_shown(record)}")
    bucket, key = _place(record.get("s3"), f"{where}: s3")
    return bucket, unquote_plus(key)


def _place(said: object, where: str) -> tuple[str, str]:
    bucket = said.get("bucket") if isinstance(said, dict) else None
    written = said.get("object") if isinstance(said, dict) else None
    name = bucket.get("name") if isinstance(bucket, dict) else None
    key = written.get("key") if isinstance(written, dict) else None
    if not isinstance(name, str) or not isinstance(key, str) or len(key) > 3 * MAX_KEY:
        raise UserError(f"{where}: expected bucket.name and object.key, found {_shown(said)}")
    return name, key


def _concerns(bucket: str, key: str, study: str) -> bool:
    """Tell whether a tick may find something new where `key` was written."""
    if not study.startswith("s3://"):
        return True  # a folder sends no events: whoever made this one up means it
    own, prefix = bucket_and_prefix(study)
    return bucket == own and key.startswith(tuple(prefix + part for part in MATTERS))


def _shown(found: object) -> str:
    return redacted(repr(found)[:120])
