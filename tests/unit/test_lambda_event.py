"""What the coordinator's Lambda function makes of events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_pipe.launch.lambda_event import MAX_BODY, MAX_RECORDS, read_event
from hpo_pipe.launch.own_schedule import schedule_named
from storage_schema.errors import UserError

URL = "s3://bucket/studies/first"


def bridge(key: str, bucket: str = "bucket") -> dict[str, Any]:
    """Return what EventBridge sends of an object (Amazon S3 User Guide, "EventBridge event message structure")."""
    detail = {
        "version": "0",
        "bucket": {"name": bucket},
        "object": {"key": key, "size": 5},
        "reason": "PutObject",
    }
    return {"version": "0", "source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def notification(key: str, bucket: str = "bucket") -> dict[str, Any]:
    """Return a record of S3's own notifications."""
    return {"eventSource": "aws:s3", "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 5}}}


def queued(*bodies: object) -> dict[str, Any]:
    """Return a batch of SQS."""
    texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    return {"Records": [{"messageId": "m", "eventSource": "aws:sqs", "body": text} for text in texts]}


LINK = "studies/first/chain/00000000/000.0002.json"
SCHEDULED = {"version": "0", "source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": "{}"}


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        {"study": URL},
        {"study": URL + "/"},
        SCHEDULED,
        SCHEDULED | {"source": "aws.events"},
        bridge(LINK),
        bridge("studies/first/study.json"),
        bridge("studies/first/log/00000003.json"),
        bridge("studies/first/metrics/00000000/000.0001.000001.parquet"),
        {"Records": [notification(LINK)]},
        {"Records": [notification(LINK.replace("/", "%2F"))]},
        queued(bridge(LINK)),
        queued(bridge("studies/first/hints/board.json"), bridge(LINK)),
        queued({"Records": [notification(LINK)]}),
        queued({"Service": "Amazon S3", "Event": "s3:TestEvent"}, bridge(LINK)),
        queued(SCHEDULED),
        queued(),
    ],
    ids=lambda event: json.dumps(event)[:60],
)
def test_what_asks_for_a_tick(event: object) -> None:
    told = read_event(event, URL)
    assert told.study.rstrip("/") == URL and not told.ignored


@pytest.mark.parametrize(
    "event",
    [
        bridge("studies/first/hints/board.json"),
        bridge("studies/first/workers/w-1.json"),
        bridge("studies/first/snapshots/00000004.parquet"),
        bridge("studies/first/checkpoints/00000001/x"),
        bridge("studies/first/output/00000000/000.0001.txt"),
        bridge("studies/first2/log/00000000.json"),
        bridge("studies/second/log/00000000.json"),
        bridge("log/00000000.json"),
        bridge(LINK, "another-bucket"),
        {"Records": [notification("studies/first/hints/board.json")]},
        queued(bridge("studies/first/hints/board.json"), {"Records": [notification("other")]}),
    ],
    ids=lambda event: json.dumps(event)[-90:],
)
def test_what_cannot_matter_costs_nothing(event: object) -> None:
    assert "none about records of the study" in read_event(event, URL).ignored


def test_a_study_that_fills_a_bucket() -> None:
    assert not read_event(bridge("log/00000000.json"), "s3://bucket").ignored
    assert read_event(bridge("hints/board.json"), "s3://bucket").ignored


def test_a_function_for_no_study_in_particular() -> None:
    assert read_event({"study": URL}, "").study == URL
    for event in ({}, None):
        with pytest.raises(UserError, match="HPO_PIPE_STUDY"):
            read_event(event, "")
    with pytest.raises(UserError, match="HPO_PIPE_STUDY is not set"):
        read_event(bridge(LINK), "")


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ([], "expected an object, found \\[\\]"),
        ("study", "expected an object"),
        ({"study": ""}, "expected a study URL"),
        ({"study": 7}, "expected a study URL, found 7"),
        ({"study": "s3://other/study"}, "is not the one of HPO_PIPE_STUDY"),
        ({"study": "s3://user:verysecretpassword@other"}, "is not the one"),
        ({"study": "x" * 2001}, "expected a study URL"),
        ({"studi": URL}, "found studi \\(did you mean 'study'\\?\\)"),
        ({"study": URL, "x": 1}, "expected study, Records, or an event of"),
        ({"source": "aws.ec2"}, "expected study, Records, or an event of"),
        ({"source": "aws.s3"}, "event: detail: expected bucket.name and object.key, found None"),
        (
            {"source": "aws.s3", "detail": {"bucket": "b", "object": {"key": "k"}}},
            "detail: expected bucket.name",
        ),
        (bridge("k" * 4000), "expected bucket.name"),
        ({"Records": 5}, "Records: expected up to 10000 records, found 5"),
        ({"Records": [{}] * (MAX_RECORDS + 1)}, "Records: expected up to 10000"),
        ({"Records": ["x"]}, "Records\\[0\\]: expected a record of aws:sqs or aws:s3"),
        ({"Records": [{"eventSource": "aws:kinesis"}]}, "Records\\[0\\]: expected a record"),
        ({"Records": [{"eventSource": "aws:s3"}]}, "Records\\[0\\]: s3: expected bucket.name"),
        ({"Records": [{"eventSource": "aws:sqs"}]}, "Records\\[0\\]: body: expected up to"),
        (queued("x" * (MAX_BODY + 1)), "body: expected up to 1048576 characters"),
        (queued("{"), "Records\\[0\\]: body: expected JSON"),
        (queued("[" * 100_000), "body: expected JSON"),
        (queued([1]), "body: expected an object"),
        (queued({"Records": {}}), "body: Records: expected a list"),
        (queued({}, {"detail": 1}), "Records\\[0\\]: body: expected study"),
        (queued(queued(bridge(LINK))), "body: Records\\[0\\]: expected a record"),
    ],
)
def test_what_nobody_sends_is_refused_by_its_place(event: object, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        read_event(event, URL)
    assert "verysecretpassword" not in str(refused.value) and len(str(refused.value)) < 600


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "study",
                    "Records",
                    "source",
                    "detail",
                    "bucket",
                    "object",
                    "key",
                    "name",
                    "s3",
                    "body",
                    "eventSource",
                ]
            ),
            inner | st.sampled_from(["aws.s3", "aws:sqs", "aws:s3", "aws.scheduler"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_no_event_breaks_anything(event: object) -> None:
    try:
        assert read_event(event, URL).study
    except UserError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "place"), [("tick", ("default", "tick")), ("studies/tick-1", ("studies", "tick-1"))]
)
def test_names_of_schedules(text: str, place: tuple[str, str]) -> None:
    assert schedule_named(text) == place


@pytest.mark.parametrize(
    "text", ["a/b/c", "", "/x", "a b", "arn:aws:scheduler:eu-west-1:1:schedule/a/b", "x" * 65]
)
def test_what_names_no_schedule(text: str) -> None:
    with pytest.raises(UserError, match="expected name or group/name"):
        schedule_named(text)
