"""The parts that policy documents are made of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from storage_schema.codec import Json
from storage_schema.errors import UserError

PARTITIONS = ("aws", "aws-cn", "aws-us-gov")
MAX_MANAGED_POLICY = 6144
"""Characters of a managed policy, white space apart (IAM User Guide, "IAM and AWS STS quotas")."""

Statement = dict[str, Json]


def statement(
    sid: str,
    actions: Iterable[str],
    resources: Iterable[str],
    *,
    effect: str = "Allow",
    condition: Mapping[str, Json] | None = None,
) -> Statement:
    """Return a statement, its resources sorted; one without resources is dropped by :func:`document`."""
    made: Statement = {"Sid": sid, "Effect": effect, "Action": list(actions), "Resource": sorted(resources)}
    return made | ({"Condition": dict(condition)} if condition else {})


def document(statements: Iterable[Statement]) -> dict[str, Json]:
    """Return a policy document of all statements that have a resource."""
    return {"Version": "2012-10-17", "Statement": [made for made in statements if made["Resource"]]}


def joined(*documents: Mapping[str, Json]) -> dict[str, Json]:
    """Return one document with the statements of all."""
    return document(made for each in documents for made in each["Statement"])


def checked_partition(partition: str) -> str:
    """Return a partition of AWS, or raise UserError."""
    if partition not in PARTITIONS:
        raise UserError(f"partition {partition[:40]!r}: known are {', '.join(PARTITIONS)}")
    return partition
