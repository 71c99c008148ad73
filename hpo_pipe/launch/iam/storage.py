"""Who may do what to a study in S3: one table, and the policy documents that follow from it. Pure.

A role's document goes to an IAM role or user; the bucket's own goes to the bucket. What each role does was found by
watching it at work; a test holds this table to that (tests/e2e/test_roles.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hpo_pipe.launch.iam.documents import Statement, checked_partition, document, statement
from storage_schema import keys
from storage_schema.codec import Json
from storage_schema.errors import UserError
from storage_schema.store.s3_place import bucket_and_prefix

_KMS_KEY = re.compile(r"arn:(aws|aws-cn|aws-us-gov):kms:([a-z0-9-]{4,30}):[0-9]{12}:key/[A-Za-z0-9-]{1,80}")


class Role(StrEnum):
    """What somebody is to a study."""

    COORDINATOR = "coordinator"
    WORKER = "worker"
    SUBMITTER = "submitter"
    """Creates the study, steers it, and looks."""
    OBSERVER = "observer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """Patterns of keys, relative to the study; ``*`` stands for anything."""

    read: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()
    """Prefixes that are listed."""
    created: frozenset[str] = frozenset()
    """Written where nothing is, never over something."""
    replaced: frozenset[str] = frozenset()
    deleted: frozenset[str] = frozenset()
    bucket_settings: bool = False
    """Lifecycle rules, versioning, object lock and replication, which `doctor` looks at."""

    def __or__(self, other: Rights) -> Rights:
        """Return what either allows."""
        replaced = self.replaced | other.replaced
        return Rights(
            read=self.read | other.read,
            listed=self.listed | other.listed,
            created=(self.created | other.created) - replaced,
            replaced=replaced,
            deleted=self.deleted | other.deleted,
            bucket_settings=self.bucket_settings or other.bucket_settings,
        )


def _below(*prefixes: str) -> frozenset[str]:
    return frozenset(prefix + "*" if prefix.endswith(("/", "-")) else prefix for prefix in prefixes)


_WORKERS_OWN = keys.WORKERS + "w-"
_COORDINATORS_OWN = keys.WORKERS + "c-"

_OBSERVER = Rights(
    read=_below(
        keys.STUDY,
        keys.LOG,
        keys.CHAIN,
        keys.METRICS,
        keys.OUTPUT,
        keys.WORKERS,
        keys.SNAPSHOTS,
        keys.SUBMISSIONS,
    ),
    listed=_below(keys.OUTPUT, keys.WORKERS, keys.SNAPSHOTS, keys.SUBMISSIONS),
)
RIGHTS: Mapping[Role, Rights] = {
    Role.COORDINATOR: Rights(
        read=_below(keys.STUDY, keys.LOG, keys.CHAIN, keys.METRICS, keys.WORKERS, keys.BOARD, keys.SNAPSHOTS),
        listed=_below(keys.WORKERS, keys.SNAPSHOTS),
        created=_below(keys.LOG, keys.CHAIN),
        replaced=_below(_COORDINATORS_OWN, keys.BOARD, keys.SNAPSHOTS),
        deleted=_below(keys.WORKERS),
    ),
    Role.WORKER: Rights(
        read=_below(
            keys.STUDY,
            keys.LOG,
            keys.CHAIN,
            keys.METRICS,
            keys.CHECKPOINTS,
            keys.BOARD,
            keys.PROOF,
            keys.CODE,
        ),
        listed=_below(keys.CHECKPOINTS),
        created=_below(keys.CHAIN, keys.METRICS, keys.CHECKPOINTS, keys.PROOF),
        replaced=_below(_WORKERS_OWN, keys.OUTPUT),
        deleted=_below(keys.CHECKPOINTS, keys.PROOF),
    ),
    Role.OBSERVER: _OBSERVER,
    Role.SUBMITTER: _OBSERVER
    | Rights(
        read=_below(keys.PROOF, keys.CODE),
        listed=_below(keys.PROOF),
        created=_below(keys.STUDY, keys.LOG, keys.SUBMISSIONS, keys.CODE),
        replaced=_below(keys.PROOF),
        deleted=_below(keys.PROOF),
        bucket_settings=True,
    ),
}
SCALING = Rights(
    read=_below(keys.SUBMISSIONS), listed=_below(keys.SUBMISSIONS), created=_below(keys.SUBMISSIONS)
)
"""What a coordinator that starts workers needs besides."""

_SETTINGS = (
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetBucketVersioning",
    "s3:GetLifecycleConfiguration",
    "s3:GetReplicationConfiguration",
)
_OVER_PLAIN_HTTP: Mapping[str, Json] = {"Bool": {"aws:SecureTransport": "false"}}
RECORDS = _below(keys.STUDY, keys.LOG, keys.CHAIN, keys.SUBMISSIONS)
"""What nobody may write over or delete (PROTOCOL.md, section 3, rule 1)."""


def role_policy(
    url: str,
    role: Role,
    *,
    with_ticks: bool = False,
    partition: str = "aws",
    kms_key: str | None = None,
    list_whole_bucket: bool = False,
    scales: bool = False,
) -> dict[str, Json]:
    """Return the least that `role` needs, as the document of an IAM policy.

    Args:
        url: the study, in S3.
        role: whose.
        with_ticks: a worker that also runs a coordinator's tick where no coordinator lives.
        partition: one of PARTITIONS; the key's own with `kms_key`.
        kms_key: ARN of the key that the bucket encrypts with, where that is not S3's own.
        list_whole_bucket: for stores that answer a missing key with 403 although its prefix may be listed.
        scales: a coordinator that also starts workers; what that takes of the provider is in `launching`.

    Raises:
        UserError: no S3 URL, no such partition or key, or `with_ticks` for another role than a worker,
            or `scales` for another than a coordinator.
    """
    if with_ticks and role is not Role.WORKER:
        raise UserError("--with-ticks is for the role worker")
    if scales and role is not Role.COORDINATOR:
        raise UserError("only a coordinator scales: any submitter may start workers")
    rights = RIGHTS[role] | (RIGHTS[Role.COORDINATOR] if with_ticks else Rights())
    rights |= SCALING if scales else Rights()
    place = _Place(url, partition)
    seen = sorted(place.prefix + key for key in rights.read | rights.listed)
    statements = [
        statement("ReadObjects", ["s3:GetObject"], place.objects(rights.read)),
        statement(
            "ListAndTellWhatIsAbsent",
            ["s3:ListBucket"],
            [place.bucket],
            condition=None if list_whole_bucket else {"StringLike": {"s3:prefix": seen}},
        ),
        statement(
            "CreateObjectsOnce",
            ["s3:PutObject"],
            place.objects(rights.created),
            condition={"Null": {"s3:if-none-match": "false"}},
        ),
        statement("ReplaceObjects", ["s3:PutObject"], place.objects(rights.replaced)),
        statement("DeleteObjects", ["s3:DeleteObject"], place.objects(rights.deleted)),
    ]
    if rights.bucket_settings:
        statements.append(statement("ReadBucketSettings", _SETTINGS, [place.bucket]))
    if kms_key is not None:
        statements.append(kms_statement(kms_key, partition, writes=bool(rights.created or rights.replaced)))
    return document(statements)


def bucket_policy(url: str, *, partition: str = "aws") -> dict[str, Json]:
    """Return the statements that a bucket's own policy should have for a study; they bind everybody.

    To delete a whole study, its statements are taken out of the bucket's policy first.
    """
    place = _Place(url, partition)
    records = place.objects(RECORDS)
    deletes = ("s3:DeleteObject", "s3:DeleteObjectVersion")
    return document(
        _for_everybody(made)
        for made in (
            statement(
                "RecordsAreCreatedOnce",
                ["s3:PutObject"],
                records,
                effect="Deny",
                condition={"Null": {"s3:if-none-match": "true"}},
            ),
            statement("RecordsAreKept", deletes, records, effect="Deny"),
            statement(
                "OverTlsOnly", ["s3:*"], place.objects(["*"]), effect="Deny", condition=_OVER_PLAIN_HTTP
            ),
        )
    )


def tls_policy(bucket: str, *, partition: str = "aws") -> dict[str, Json]:
    """Return the statement by which a whole bucket, named `bucket`, is reached over TLS only."""
    arn = _Place(f"s3://{bucket}", partition).bucket
    made = statement(
        "BucketOverTlsOnly", ["s3:*"], [arn, arn + "/*"], effect="Deny", condition=_OVER_PLAIN_HTTP
    )
    return document([_for_everybody(made)])


def kms_statement(key: str, partition: str = "aws", *, writes: bool = True) -> Statement:
    """Return the use of a bucket's own key, through S3 only.

    Raises:
        UserError: no ARN of a key of that partition.
    """
    found = _KMS_KEY.fullmatch(key)
    if not found or found[1] != partition:
        raise UserError(
            f"KMS key {key[:120]!r}: expected its ARN, as in arn:{partition}:kms:eu-west-1:111122223333:key/..."
        )
    domain = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    actions = ["kms:Decrypt", "kms:GenerateDataKey"] if writes else ["kms:Decrypt"]
    condition = {"StringEquals": {"kms:ViaService": f"s3.{found[2]}.{domain}"}}
    return statement("UseTheBucketsKey", actions, [key], condition=condition)


class _Place:
    """A study's ARNs."""

    def __init__(self, url: str, partition: str) -> None:
        if not url.startswith("s3://"):
            raise UserError(
                f"study URL {url!r}: policies are for studies in S3; a folder is its owner's alone (mode 0700)"
            )
        name, self.prefix = bucket_and_prefix(url)
        self.bucket = f"arn:{checked_partition(partition)}:s3:::{name}"

    def objects(self, patterns: Iterable[str]) -> list[str]:
        return [f"{self.bucket}/{self.prefix}{pattern}" for pattern in patterns]


def _for_everybody(made: Statement) -> Statement:
    return made | {"Principal": "*"}
