"""Secrets: read once when the worker starts, given to trials as variables, and written nowhere.

They lie where ``--secret NAME=REF`` says, or are in the worker's environment already: ``--secret-variable NAME``.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from storage_schema.errors import StoreUnavailable, UserError
from storage_schema.redaction import LEAST_CHARACTERS
from storage_schema.secret_refs import SecretRef, checked_variable, parse_secret

MAX_SECRETS = 64
MAX_SECRET_BYTES = 64 * 1024  # what Secrets Manager takes at most
_CONNECT_S = 5
_READ_S = 10
_TRIES = 5
_PERMISSION = {"secretsmanager": "secretsmanager:GetSecretValue", "ssm": "ssm:GetParameter"}
_AWAY = {
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "InternalServiceError",
    "ServiceUnavailable",
}


class SecretMissing(UserError):
    """A secret cannot be had: it is not there, may not be read, or is none."""


def parsed(texts: Iterable[str]) -> tuple[SecretRef, ...]:
    """Read the options; raises UserError."""
    found = tuple(parse_secret(text) for text in texts)
    names = [ref.name for ref in found]
    if len(found) > MAX_SECRETS:
        raise UserError(f"--secret: {len(found)} of them, allowed are {MAX_SECRETS}")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"--secret {twice}: given twice")
    return found


def parsed_names(names: Iterable[str], refs: Iterable[SecretRef]) -> tuple[str, ...]:
    """Return ``--secret-variable`` options, each name once; raises UserError: no name, or one that `refs` have."""
    found = tuple(dict.fromkeys(checked_variable("--secret-variable", name) for name in names))
    if len(found) > MAX_SECRETS:
        raise UserError(f"--secret-variable: {len(found)} of them, allowed are {MAX_SECRETS}")
    if twice := next((ref.name for ref in refs if ref.name in found), None):
        raise UserError(f"--secret-variable {twice}: --secret gives it already")
    return found


def handed_over(names: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return what whoever started the worker put into its environment.

    Raises:
        SecretMissing: a variable that is not set, or empty: nothing would be taken out, and trials would lack it.
    """
    found = {name: environment.get(name, "") for name in names}
    missing = [name for name, value in found.items() if not value]
    if missing:
        raise SecretMissing(
            f"--secret-variable {', '.join(missing)}: not set, or empty, in this worker's environment; whoever starts "
            "the worker has to put the secret there"
        )
    return found


def resolved(refs: Iterable[SecretRef]) -> dict[str, str]:
    """Return the secrets by name.

    Raises:
        SecretMissing: one of them cannot be had; the message names it, and not its value.
        StoreUnavailable: the service does not answer.
    """
    clients: dict[tuple[str, str], Any] = {}
    return {ref.name: _checked(ref, _read(ref, clients)) for ref in refs}


def redacted_forms(secrets: Mapping[str, str]) -> tuple[str, ...]:
    """Return all texts by which somebody could print a secret: whole, line by line, and the values of a JSON object."""
    found = {form for value in secrets.values() for form in _forms(value)}
    return tuple(sorted(form for form in found if len(form) >= LEAST_CHARACTERS))


def warnings(secrets: Mapping[str, str]) -> Iterator[str]:
    """Yield what a user should know about secrets that will not be kept out of what is stored."""
    for name, value in secrets.items():
        if len(value) < LEAST_CHARACTERS:
            yield f"{name} has fewer than {LEAST_CHARACTERS} characters: it is not taken out of what trials print"


def _read(ref: SecretRef, clients: dict[tuple[str, str], Any]) -> str:
    if ref.service == "file":
        return _of_file(ref)
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = clients.get((ref.service, ref.region)) or _client(ref)
        clients[ref.service, ref.region] = client
        if ref.service == "ssm":
            return str(client.get_parameter(Name=ref.place, WithDecryption=True)["Parameter"]["Value"])
        answer = client.get_secret_value(SecretId=ref.place)
    except ClientError as error:
        raise _refusal(ref, error.response) from None
    except BotoCoreError as error:
        raise _away(ref, error) from None
    if "SecretString" not in answer:
        raise SecretMissing(f"--secret {ref.name}: {ref.place} holds bytes; a variable holds text")
    return _part(ref, str(answer["SecretString"]))


def _client(ref: SecretRef) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        retries={"mode": "standard", "total_max_attempts": _TRIES},
    )
    make: Any = boto3.session.Session().client
    return make(ref.service, region_name=ref.region, config=config)


def _refusal(ref: SecretRef, response: Mapping[str, Any]) -> SecretMissing | StoreUnavailable:
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    asked = f"--secret {ref.name}: {ref.place}"
    if code in _AWAY or status >= 500:
        return StoreUnavailable(f"{asked}: {ref.service} does not answer ({code or status})")
    if code in ("ResourceNotFoundException", "ParameterNotFound", "ParameterVersionNotFound"):
        return SecretMissing(f"{asked}: there is none ({code})")
    if "AccessDenied" in code or status in (401, 403):
        return SecretMissing(f"{asked}: this worker's role needs {_PERMISSION[ref.service]} on it ({code})")
    return SecretMissing(f"{asked}: {ref.service} refuses ({code or status})")


def _away(ref: SecretRef, error: Exception) -> SecretMissing | StoreUnavailable:
    """Tell a service that is out of reach from a machine without credentials; botocore's texts hold no secret."""
    from botocore.exceptions import ConnectionError as Unreachable
    from botocore.exceptions import HTTPClientError

    asked = f"--secret {ref.name}: {ref.place}"
    if isinstance(error, HTTPClientError | Unreachable):
        return StoreUnavailable(f"{asked}: {ref.service} cannot be reached: {type(error).__name__}")
    return SecretMissing(f"{asked}: {error}")


def _part(ref: SecretRef, text: str) -> str:
    if not ref.key:
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise SecretMissing(
            f"--secret {ref.name}: {ref.place} is no JSON object, and has no #{ref.key}"
        ) from None
    if not isinstance(found, dict) or ref.key not in found:
        raise SecretMissing(f"--secret {ref.name}: {ref.place} has no #{ref.key}")
    value = found[ref.key]
    return value if isinstance(value, str) else json.dumps(value)


def _of_file(ref: SecretRef) -> str:
    try:
        descriptor = os.open(ref.place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SecretMissing(f"--secret {ref.name}: {ref.place} is no plain file")
            data = file.read(MAX_SECRET_BYTES + 3)
        return data.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise SecretMissing(f"--secret {ref.name}: {ref.place}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretMissing(f"--secret {ref.name}: {ref.place} is not UTF-8") from None


def _checked(ref: SecretRef, value: str) -> str:
    for wrong, is_so in (
        ("is empty", not value),
        (f"is larger than {MAX_SECRET_BYTES // 1024} KiB", len(value.encode()) > MAX_SECRET_BYTES),
        ("holds a NUL character, which no variable can", "\0" in value),
    ):
        if is_so:
            raise SecretMissing(f"--secret {ref.name}: {ref.place} {wrong}")
    return value


def _forms(value: str) -> Iterator[str]:
    yield value
    yield value.strip()
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield from (line.strip() for line in value.splitlines())
    try:
        inner = json.loads(value)
    except (ValueError, RecursionError):
        return
    if isinstance(inner, dict):
        yield from (text for text in inner.values() if isinstance(text, str))
