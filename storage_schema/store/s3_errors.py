"""What an answer of S3, or its absence, means for a verb: whose fault it is, in words, without secrets."""

from __future__ import annotations

from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    InvalidEndpointConfigurationError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from storage_schema.errors import (
    AccessDenied,
    HpoPipeError,
    OutcomeUnknown,
    StoreRefused,
    StoreUnavailable,
    UserError,
)
from storage_schema.redaction import redacted

_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    SSOError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
_SETTINGS = (
    ProfileNotFound,
    NoRegionError,
    InvalidRegionError,
    InvalidEndpointConfigurationError,
    ParamValidationError,
)
_STALE = {
    "ExpiredToken": "the credentials have expired; renew them",
    "ExpiredTokenException": "the credentials have expired; renew them",
    "TokenRefreshRequired": "the credentials have expired; renew them",
    "RequestExpired": "the credentials have expired; renew them",
    "InvalidToken": "the session token is not valid",
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key does not fit the access key",
}
_IN_WORDS = {
    "AllAccessDisabled": "access to the bucket is disabled",
    "RequestTimeTooSkewed": "this machine's clock is more than 15 minutes off",
    "SlowDown": "the store asks for fewer requests",
    "ServiceUnavailable": "the store is overloaded or down",
    "InternalError": "an error inside the store",
    "ConditionalRequestConflict": "two conditional writes collided",
    "PermanentRedirect": "the bucket is in another region; set AWS_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set AWS_REGION",
}
_NEEDED = {
    "create": "s3:PutObject",
    "replace": "s3:PutObject",
    "get": "s3:GetObject, or s3:ListBucket, without which an absent object looks forbidden",
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
}
"""What each verb needs on the key that it names."""
_NOT_IMPLEMENTED = {"NotImplemented", "UnsupportedHeader"}


def credentials_are_stale(error: BaseException) -> bool:
    """Tell whether looking for credentials anew may help."""
    return isinstance(error, _NO_CREDENTIALS) or _answer(error)[1] in _STALE


def explained(error: BaseException, request: str, bucket: str, *, uncertain: bool) -> HpoPipeError:
    """Return our error for `error`, which a request ended with.

    Args:
        error: what botocore, aiohttp or s3fs raised.
        request: verb and URL, for the message.
        bucket: for the message.
        uncertain: True for `create`, where no answer means that the object may exist: 409, 5xx, time-outs.
    """
    unknown: type[StoreUnavailable] = OutcomeUnknown if uncertain else StoreUnavailable
    if isinstance(error, _NO_CREDENTIALS):
        found = "AWS_ACCESS_KEY_ID, a profile, or the machine's role"
        return AccessDenied(
            f"{request}: no usable AWS credentials ({type(error).__name__}); looked for {found}"
        )
    if isinstance(error, _SETTINGS):
        return UserError(redacted(f"{request}: {error}"))  # it may name an endpoint with a password in it
    if not isinstance(error, ClientError):
        return unknown(f"{request}: no answer ({_failure(error)})")
    status, code = _answer(error)
    label = f"{status} {code}" if code and code != str(status) else str(status)
    if code == "NoSuchBucket":
        return UserError(f"{request}: the bucket {bucket!r} does not exist at this endpoint")
    if code in _NOT_IMPLEMENTED and uncertain:
        return StoreRefused(
            f"{request}: the store does not know conditional writes ({label}): no study is safe there"
        )
    if code == "EntityTooLarge":
        return UserError(
            f"{request}: larger than the 5 GiB that one object may have when it is written at once"
        )
    if code in _STALE or status in (401, 403):
        reason = _STALE.get(code) or _IN_WORDS.get(code) or _denied(request)
        return AccessDenied(f"{request}: {reason} ({label})")
    reason = f"{_IN_WORDS[code]} ({label})" if code in _IN_WORDS else f"answered {label}"
    definite = 400 <= status < 500 and status not in (408, 409, 429)
    return (StoreUnavailable if definite else unknown)(f"{request}: {reason}")


def _denied(request: str) -> str:
    needed = _NEEDED.get(request.partition(" ")[0])
    hint = "hpo-pipe submit policy prints what each role needs"
    return f"access denied: not granted is {needed}; {hint}" if needed else f"access denied; {hint}"


def _answer(error: BaseException) -> tuple[int, str]:
    response = getattr(error, "response", None) or {}
    code = str(response.get("Error", {}).get("Code", ""))[:60]
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)), code


def _failure(error: BaseException) -> str:
    """Name the failure; its own text may hold an endpoint with a password in it, so it is left out."""
    names = {
        "ConnectTimeoutError": "could not connect in time",
        "ReadTimeoutError": "timed out",
        "AioReadTimeoutError": "timed out",
        "TimeoutError": "timed out",
        "EndpointConnectionError": "could not connect",
        "ConnectionClosedError": "the connection was closed",
        "ProxyConnectionError": "the HTTP proxy could not be reached",
        "SSLError": "the server's certificate was not accepted",
    }
    name = type(error).__name__
    return names.get(name, name)
