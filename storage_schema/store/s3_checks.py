"""What `doctor` says about a bucket's settings: rules that delete, keep or copy objects behind a study."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from storage_schema.store.check import Check, Verdict

_NOT_SET = {
    "NoSuchLifecycleConfiguration",
    "ReplicationConfigurationNotFoundError",
    "ObjectLockConfigurationNotFoundError",
}


class Bucket(Protocol):
    """What the checks need of an S3 store."""

    bucket: str

    def ask(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Send one request."""
        ...


def check_bucket(store: Bucket) -> tuple[Check, ...]:
    """Return the findings about lifecycle rules, versioning, object lock and replication; none refuses a store."""
    return tuple(_look(store, name, operation, judge) for name, operation, judge in _SETTINGS)


def _look(store: Bucket, name: str, operation: str, judge: Callable[[dict[str, Any]], str]) -> Check:
    try:
        answer = store.ask(operation, Bucket=store.bucket)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))[:60]
        if code in _NOT_SET:
            return Check(name=name, verdict=Verdict.OK, detail="none")
        return Check(
            name=name, verdict=Verdict.OK, detail=f"not looked at: {operation} is not permitted ({code})"
        )
    except (BotoCoreError, OSError, TimeoutError) as error:
        return Check(
            name=name, verdict=Verdict.OK, detail=f"not looked at: no answer ({type(error).__name__})"
        )
    problem = judge(answer)
    return Check(name=name, verdict=Verdict.WARNING if problem else Verdict.OK, detail=problem or "none")


def _lifecycle(answer: dict[str, Any]) -> str:
    rules = [rule for rule in answer.get("Rules", ()) if rule.get("Status") == "Enabled"]
    deleting = [rule.get("ID", "without a name") for rule in rules if "Expiration" in rule]
    moving = [rule.get("ID", "without a name") for rule in rules if rule.get("Transitions")]
    problems = []
    if deleting:
        problems.append(
            f"rules that delete objects ({', '.join(deleting)}): on log/ or chain/ of an open study a deleted name "
            "could be created a second time; exclude the study's prefix"
        )
    if moving:
        problems.append(
            f"rules that move objects to another class ({', '.join(moving)}): requests get dearer"
        )
    return "; ".join(problems)


def _versioning(answer: dict[str, Any]) -> str:
    if answer.get("Status") != "Enabled":
        return ""
    return "on: heartbeats and boards keep every version; add a rule that deletes noncurrent versions after a day"


def _object_lock(answer: dict[str, Any]) -> str:
    rule = answer.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention")
    return (
        f"retention by default ({rule.get('Mode', '?')}): old checkpoints cannot be deleted" if rule else ""
    )


def _replication(answer: dict[str, Any]) -> str:
    rules = [
        r for r in answer.get("ReplicationConfiguration", {}).get("Rules", ()) if r.get("Status") == "Enabled"
    ]
    return "on: never run one study on both sides; the copy lags behind" if rules else ""


_SETTINGS: tuple[tuple[str, str, Callable[[dict[str, Any]], str]], ...] = (
    ("lifecycle rules", "get_bucket_lifecycle_configuration", _lifecycle),
    ("versioning", "get_bucket_versioning", _versioning),
    ("object lock", "get_object_lock_configuration", _object_lock),
    ("replication", "get_bucket_replication", _replication),
)
