"""Where in S3 a study lies: the bucket and the prefix of its URL. Imports no client, so that naming costs nothing."""

from __future__ import annotations

import re

from storage_schema.errors import UserError
from storage_schema.redaction import redacted
from storage_schema.store.key_rules import is_key

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")


def bucket_and_prefix(url: str) -> tuple[str, str]:
    """Return the bucket of ``s3://bucket/prefix``, and the prefix with a slash at its end (empty for none).

    Raises:
        UserError: no such URL, or a bucket or prefix that a study cannot have.
    """
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not _BUCKET.fullmatch(bucket):
        shown = (
            redacted(url) if ":" in bucket else f"{redacted(url)!r}: {bucket[:80]!r}"
        )  # a key with a slash in it
        raise UserError(f"study URL {shown} is no bucket name, as in s3://bucket/prefix")
    if bucket.endswith("--x-s3"):
        raise UserError(
            f"study URL {url!r}: directory buckets (S3 Express) do not list in order; use another bucket"
        )
    if prefix and (not is_key(prefix) or len(prefix) > 300):
        raise UserError(
            f"study URL {redacted(url)!r}: a prefix is made of letters, digits and ._+=@- with / between"
        )
    return bucket, prefix + "/" if prefix else ""
