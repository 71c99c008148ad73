"""The policy documents, and the evaluator that the tests judge them by."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from hpo_pipe.cli.group import cli
from hpo_pipe.launch.iam import RIGHTS, Role, bucket_policy, role_policy
from storage_schema.errors import UserError
from tests.servers.iam import Ask, allowed, asked

URL = "s3://bucket/studies/first"
KMS = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ALL = [
    *(role_policy(URL, role) for role in Role),
    role_policy(URL, Role.WORKER, with_ticks=True, kms_key=KMS),
    bucket_policy(URL),
    role_policy(URL, Role.COORDINATOR, scales=True),
]


@pytest.mark.parametrize("document", ALL, ids=lambda d: d["Statement"][0]["Sid"])
def test_documents_are_narrow_and_fit_where_they_go(document: dict[str, Any]) -> None:
    sids = [statement["Sid"] for statement in document["Statement"]]
    assert len(set(sids)) == len(sids) and all(sid.isalnum() for sid in sids)
    for statement in document["Statement"]:
        resources = statement["Resource"]
        assert resources == sorted(resources) and len(set(resources)) == len(resources)
        if statement["Effect"] == "Allow":
            assert "*" not in "".join(statement["Action"])
            assert all(r == "arn:aws:s3:::bucket" or "studies/first/" in r or r == KMS for r in resources)
            assert not any(r.endswith(":::bucket/studies/first/*") for r in resources)
    assert len(json.dumps(document, separators=(",", ":"))) < 6144  # of a managed policy, in characters


def test_only_who_writes_may_write() -> None:
    observer = RIGHTS[Role.OBSERVER]
    assert not observer.created | observer.replaced | observer.deleted
    for role in (Role.WORKER, Role.COORDINATOR, Role.SUBMITTER):
        assert not RIGHTS[role].created & RIGHTS[role].replaced
    assert not any(
        pattern.startswith(("log/", "chain/", "study.json", "submissions/", "code/"))
        for rights in RIGHTS.values()
        for pattern in rights.replaced | rights.deleted
    )


def test_a_key_of_ones_own_is_used_through_s3_only() -> None:
    reads = role_policy(URL, Role.OBSERVER, kms_key=KMS)["Statement"][-1]
    assert reads["Action"] == ["kms:Decrypt"] and reads["Resource"] == [KMS]
    assert reads["Condition"] == {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}
    writes = role_policy(URL, Role.WORKER, kms_key=KMS)["Statement"][-1]
    assert writes["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    china = "arn:aws-cn:kms:cn-north-1:111122223333:key/1234abcd"
    statement = role_policy(URL, Role.WORKER, partition="aws-cn", kms_key=china)["Statement"][-1]
    assert "s3.cn-north-1.amazonaws.com.cn" in str(statement)


def test_other_partitions() -> None:
    for partition in ("aws-cn", "aws-us-gov"):
        text = json.dumps(
            [role_policy(URL, Role.WORKER, partition=partition), bucket_policy(URL, partition=partition)]
        )
        assert f"arn:{partition}:s3:::bucket/studies/first/log/*" in text and "arn:aws:" not in text


def test_a_study_that_fills_a_bucket() -> None:
    document = role_policy("s3://bucket", Role.WORKER)
    assert "arn:aws:s3:::bucket/chain/*" in document["Statement"][0]["Resource"]


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("file:///data/first", {}),
        ("s3://bucket/a*b", {}),
        ("s3://bucket/${aws:username}", {}),
        (URL, {"partition": "azure"}),
        (URL, {"kms_key": "alias/mine"}),
        (URL, {"kms_key": KMS, "partition": "aws-cn"}),
    ],
)
def test_what_no_policy_can_be_made_of(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        role_policy(url, Role.WORKER, **options)


def test_ticks_are_for_workers() -> None:
    with pytest.raises(UserError, match="role worker"):
        role_policy(URL, Role.OBSERVER, with_ticks=True)


def test_only_who_starts_workers_records_that() -> None:
    assert {role for role in Role if "submissions/*" in RIGHTS[role].created} == {Role.SUBMITTER}
    scaling = role_policy(URL, Role.COORDINATOR, scales=True)
    record = "arn:aws:s3:::bucket/studies/first/submissions/*"
    assert record in str(scaling) and record not in str(role_policy(URL, Role.COORDINATOR))
    with pytest.raises(UserError, match="only a coordinator scales"):
        role_policy(URL, Role.WORKER, scales=True)


def test_the_command_prints_what_can_be_piped_on() -> None:
    run = CliRunner()
    for role in Role:
        found = run.invoke(cli, ["submit", "policy", URL, "--role", role.value])
        assert found.exit_code == 0 and json.loads(found.stdout) == role_policy(URL, role)
    found = run.invoke(cli, ["submit", "policy", URL, "--role", "bucket"])
    assert json.loads(found.stdout) == bucket_policy(URL) and "take them out" in found.stderr
    refused = run.invoke(cli, ["submit", "policy", "./study", "--role", "worker"])
    assert refused.exit_code == 2 and "a folder is its owner's alone" in refused.stderr
    refused = run.invoke(cli, ["submit", "policy", URL, "--role", "bucket", "--with-ticks"])
    assert refused.exit_code == 2
    assert "policy" in run.invoke(cli, ["submit", "--help"]).stdout


def test_plain_http_is_denied() -> None:
    get = asked("GET", "/bucket/studies/first/study.json", {}, tls=False)
    identity = [role_policy(URL, Role.WORKER)]
    assert allowed(get, identity)
    assert not allowed(get, identity, bucket_policy(URL))
    assert allowed(asked("GET", "/bucket/studies/first/study.json", {}), identity, bucket_policy(URL))


# The evaluator itself.


def document(effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": effect, "Action": "s3:Get*", "Resource": "arn:aws:s3:::b/a*", **more}]}


GET = Ask("s3:GetObject", "b", "a/x", {"s3:prefix": "p/q"})


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ([], False),
        ([document()], True),
        ([document(), document("Deny")], False),
        ([document("Deny"), document()], False),
        ([document(Resource="arn:aws:s3:::b/b*")], False),
        ([document(Resource="arn:aws:s3:::b/a?x")], True),
        ([document(Resource="arn:aws:s3:::b/a?")], False),
        ([document(Action="s3:getobject")], True),
        ([document(Action=["s3:PutObject", "s3:ListBucket"])], False),
        ([document(Condition={"StringLike": {"s3:prefix": ["x/*", "p/*"]}})], True),
        ([document(Condition={"StringLike": {"s3:prefix": "x/*"}})], False),
        ([document(Condition={"StringEquals": {"s3:prefix": "p/*"}})], False),
        ([document(Condition={"StringEquals": {"other": "p/q"}})], False),
        ([document(Condition={"StringEqualsIfExists": {"other": "p/q"}})], True),
        ([document(Condition={"Null": {"s3:prefix": "false"}})], True),
        ([document(Condition={"Null": {"s3:prefix": "true"}})], False),
        ([document(Condition={"Null": {"other": "true"}, "StringLike": {"s3:prefix": "z"}})], False),
        ([document(Condition={"Bool": {"s3:prefix": "p/Q"}})], True),
    ],
)
def test_the_evaluator(documents: list[dict[str, Any]], expected: bool) -> None:
    assert allowed(GET, documents) is expected


def test_the_evaluator_knows_not_action_and_the_buckets_policy() -> None:
    but = {"Effect": "Deny", "NotAction": "s3:GetObject", "Resource": "*", "Principal": "*"}
    assert allowed(GET, [document()], {"Statement": [but]})
    assert not allowed(GET, [document()], {"Statement": [{**but, "NotAction": "s3:Put*"}]})


@pytest.mark.parametrize(
    "statement",
    [
        {"NotResource": "x"},
        {"Effect": "Maybe"},
        {"Condition": {"NumericLessThan": {"s3:max-keys": "1"}}},
    ],
)
def test_the_evaluator_guesses_at_nothing(statement: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError)):
        allowed(GET, [document(**statement)])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/b/k?uploads"),
        ("PUT", "/b/k?acl"),
        ("DELETE", "/b"),
        ("GET", "/b?policy"),
        ("PATCH", "/b/k"),
    ],
)
def test_requests_that_nobody_of_us_sends_are_errors(method: str, path: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        asked(method, path, {})


@given(st.text(alphabet="ab*?./", max_size=8), st.text(alphabet="ab./", max_size=8))
def test_a_resource_without_wildcards_fits_itself_only(pattern: str, key: str) -> None:
    found = allowed(Ask("s3:GetObject", "b", key), [document(Resource=f"arn:aws:s3:::b/{pattern}")])
    if not set(pattern) & {"*", "?"}:
        assert found is (pattern == key)
    if pattern == "*":
        assert found
