"""``--secret`` and ``--env`` of ``submit``: what a launcher passes on, checked before anything is stored or started."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from storage_schema.errors import UserError
from storage_schema.redaction import is_secret_name, redacted
from storage_schema.secret_refs import checked_variable
from storage_schema.secret_refs import parse_secret as _parse_secret

MAX_VARIABLES = 64
"""Of each, ``--env`` and ``--secret``."""
MAX_VALUE_BYTES = 4096
MAX_ALL_BYTES = 16 * 1024
"""All names and values of ``--env`` together: providers take a few ten KiB for a whole request."""

RESERVED = (
    *(
        "AWS_BATCH_*",
        "AWS_EXECUTION_ENV",
        "AWS_CONTAINER_CREDENTIALS_*",
        "ECS_*",
        "SLURM_*",
        "SLURMD_*",
        "SBATCH_*",
    ),
    *(
        "SM_*",
        "SAGEMAKER_*",
        "TRAINING_JOB_*",
        "KUBERNETES_*",
        "JOB_COMPLETION_INDEX",
        "CUDA_VISIBLE_DEVICES",
    ),
    *("NVIDIA_VISIBLE_DEVICES", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "PYTHONHOME", "PATH", "HOME"),
)
"""What a provider, a machine or hpo-pipe itself sets; HPO_PIPE_* is refused as well."""


def parse_secret(text: str) -> tuple[str, str]:
    """Read ``NAME=REF``: the variable's name, and where the secret lies (`storage_schema.secret_refs`).

    Raises:
        UserError: no such name or place, or a name that is reserved.
    """
    ref = _parse_secret(text)
    check_not_reserved("--secret", ref.name)
    return ref.name, str(ref).partition("=")[2]


def parse_env(text: str) -> tuple[str, str]:
    """Read ``NAME=VALUE``.

    Raises:
        UserError: no such name, one that is reserved, a value that is too large, or one that should be a secret:
            variables are stored with the submission, and providers show them. A secret is not repeated.
    """
    name, mark, value = text.partition("=")
    if not mark:
        raise UserError(f"--env: expected NAME=VALUE, found {redacted(name)[:40]!r} without a value")
    checked_variable("--env", name)
    check_not_reserved("--env", name)
    if is_secret_name(name) or redacted(value) != value:
        why = "is named as a secret" if is_secret_name(name) else "holds what looks like a key or a password"
        raise UserError(
            f"--env {name} {why}, and whoever sees the submission could read it; put it into Secrets Manager or "
            f"SSM, and write --secret {name}=arn:aws:secretsmanager:..."
        )
    if "\0" in value:
        raise UserError(f"--env {name}: it holds a NUL character, which no variable can")
    if (size := len(value.encode("utf-8", "surrogateescape"))) > MAX_VALUE_BYTES:
        raise UserError(f"--env {name}: it has {size:,} bytes, allowed are {MAX_VALUE_BYTES:,}")
    return name, value


def parse_variables(
    env: Iterable[str], secrets: Iterable[str]
) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """Read all ``--env`` and ``--secret`` of a submission, sorted; each name stands once.

    Raises:
        UserError: see :func:`parse_env` and :func:`parse_secret`; or too many, too large, or a name given twice.
    """
    plain = tuple(sorted(parse_env(text) for text in env))
    refs = tuple(sorted(parse_secret(text) for text in secrets))
    for option, count in (("--env", len(plain)), ("--secret", len(refs))):
        if count > MAX_VARIABLES:
            raise UserError(f"{option}: {count} of them, allowed are {MAX_VARIABLES}")
    if (
        size := sum(len(name) + len(value.encode("utf-8", "surrogateescape")) for name, value in plain)
    ) > MAX_ALL_BYTES:
        raise UserError(f"--env: all together have {size:,} bytes, allowed are {MAX_ALL_BYTES:,}")
    names = [name for name, _ in plain] + [name for name, _ in refs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"--env and --secret: {twice} is given twice")
    return plain, refs


def check_not_reserved(option: str, name: str) -> None:
    """Raise UserError for a variable that is not the user's to set."""
    found = next((pattern for pattern in RESERVED if fnmatchcase(name.upper(), pattern)), None)
    if found is not None:
        raise UserError(f"{option} {name}: reserved ({found}): the provider or hpo-pipe sets it")
