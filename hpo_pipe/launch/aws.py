"""Asking AWS: sessions, clients with bounded retries, and what an error means. Shared by the targets that ask it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

import click

from hpo_pipe.launch.hurry import check_time, timing
from hpo_pipe.launch.target import ApiCall, Refusal, TargetUnavailable
from hpo_pipe.service_model import check_request
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError, UserError
from storage_schema.redaction import redacted
from storage_schema.terminal import one_line

ATTEMPTS = 6
"""Of one request, all together: adaptive retries, so that many requests at once slow down by themselves."""
CONNECT_S = 10.0
READ_S = 60.0
MAX_MESSAGE = 300
MAX_PAGES = 200
"""Of one listing."""
MAX_TAGS = 50

REGION: Final = click.Option(
    ["--region"], metavar="NAME", help="AWS region.  [default: as the AWS CLI finds it]"
)
PROFILE: Final = click.Option(["--profile"], metavar="NAME", help="Profile of ~/.aws/config to ask with.")

_THROTTLED = {
    *("RequestLimitExceeded", "BandwidthLimitExceeded", "SlowDown", "PriorRequestNotComplete"),
    *("RequestThrottled", "EC2Throttled", "RequestTimeout", "ServiceUnavailable", "Unavailable"),
    *("InternalError", "InternalFailure", "InternalServerError", "InternalServer", "Server"),
}
"""Codes without the ``Exception`` that some services put behind them; so the next ones."""
_QUOTA = re.compile(r"(?:LimitExceeded|QuotaExceeded|CountExceeded)(?:Fault)?$")
_CAPACITY = {
    *("CapacityError", "UnfulfillableCapacity", "SpotMaxPriceTooLow", "InsufficientFreeAddressesInSubnet"),
    "Unsupported",  # EC2: this instance type is not offered in that zone; another offer may be
}
_DENIED = {
    *("AuthFailure", "AuthorizationError", "Blocked", "Forbidden", "IncompleteSignature"),
    *("InvalidClientTokenId", "InvalidSignature", "MissingAuthenticationToken", "NotAuthorized"),
    *("OptInRequired", "PendingVerification", "RequestExpired", "SignatureDoesNotMatch"),
    "UnrecognizedClient",
}
_FORBIDDEN = re.compile("AccessDenied|Unauthorized|AuthorizationError|NotAuthorized|Forbidden")
"""Codes of those that mean a right, and no login."""
_DENIED_PREFIXES = ("AccessDenied", "ExpiredToken", "Unauthorized")
_LOGIN = "check the credentials that the AWS CLI uses, as with `aws sts get-caller-identity`"


def placed(given: Mapping[str, Json]) -> dict[str, Json]:
    """Return what a record keeps of ``--region`` and ``--profile``; reads this machine's configuration only.

    Raises:
        UserError: no such profile, or no region, here.
    """
    profile = given.get("profile") or None
    try:
        found = _session(profile).get_config_variable("region")
    except TargetUnavailable as error:
        raise UserError(f"--profile: {error}") from None
    region = given.get("region") or found
    if not region:
        raise UserError("--region is missing, and neither AWS_DEFAULT_REGION nor the profile has one")
    if not isinstance(region, str) or not _REGION.fullmatch(region):
        raise UserError(f"--region is {str(region)[:40]!r}, expected a region such as eu-west-1")
    return {"region": region, "profile": profile}


def client(service: str, settings: Mapping[str, Json], *, attempts: int | None = None) -> Any:
    """Return a client of an AWS service.

    Args:
        service: the SDK's name of it.
        settings: as :func:`placed` made them.
        attempts: of one request, ATTEMPTS where it is None; 1 for requests that must not be sent twice.

    Raises:
        UserError: the service or the region is not known.
        TargetUnavailable: this machine lacks the profile that the submission was made with.
    """
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    mode = "standard" if attempts == 1 else "adaptive"
    retries = {"mode": mode, "total_max_attempts": attempts or ATTEMPTS}
    usual = {"retries": retries, "connect_timeout": CONNECT_S, "read_timeout": READ_S}
    config = Config(**timing(attempts, usual), user_agent_extra="hpo-pipe")
    session = _session(settings.get("profile"))
    try:
        return session.create_client(service, region_name=settings["region"], config=config)
    except BotoCoreError as error:
        raise _told(error) from error


def ask(asked: Any, operation: str, parameters: Mapping[str, Json]) -> Any:
    """Send one request and return the answer.

    Args:
        asked: a client.
        operation: the service's name of it, as in ``SubmitJob``.
        parameters: of the operation.

    Raises:
        ClientError: botocore's: the service answered, and refused; :func:`refusal_of` says what it means.
        TargetUnavailable: no answer; it may have been done.
        UserError: there are no credentials, or the request is none.
    """
    from botocore import xform_name
    from botocore.exceptions import BotoCoreError

    check_time(operation)
    try:
        return getattr(asked, xform_name(operation))(**parameters)
    except BotoCoreError as error:
        raise _told(error) from error


def learn(asked: Any, operation: str, parameters: Mapping[str, Json]) -> Any:
    """Do as :func:`ask`, where a refusal means that nothing is learnt: it raises TargetUnavailable."""
    from botocore.exceptions import ClientError

    try:
        return ask(asked, operation, parameters)
    except ClientError as error:
        raise unanswered(asked, operation, error) from error


def unanswered(asked: Any, operation: str, error: Exception) -> TargetUnavailable:
    """Return what a refusal of `operation` is where only an answer would do; a right that is missing is named."""
    message = refusal_of(error)[1]
    # Operations that are only asked to learn or to end something are named like the rights to them.
    right = f"{asked.meta.service_model.signing_name}:{operation}"
    if _FORBIDDEN.match(code_of(error)) and right not in message:
        message += f"; the right {right} is missing, which `hpo-pipe submit policy` has"
    return TargetUnavailable(f"{operation}: {message}")


def pages(asked: Any, operation: str, parameters: Mapping[str, Json], most: int = MAX_PAGES) -> Iterator[Any]:
    """Yield the answers of a listing, page after page, at most `most`; raises what :func:`learn` raises."""
    token: dict[str, Json] = {}
    for _ in range(most):
        answer = learn(asked, operation, {**parameters, **token})
        yield answer
        found = next((name for name in ("NextToken", "nextToken") if answer.get(name)), None)
        if found is None:
            return
        token = {found: answer[found]}


def code_of(error: Exception) -> str:
    """Return the code of botocore's ClientError, or an empty text."""
    found = getattr(error, "response", {}).get("Error", {}).get("Code")
    return str(found) if found else ""


def refusal_of(error: Exception) -> tuple[Refusal, str]:
    """Return what a refusal means, and one line for people, without secrets.

    Args:
        error: what botocore raised.

    Raises:
        TargetUnavailable: it is no answer of the service.
        UserError: there are no credentials, or the request is none.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, BotoCoreError):
        raise _told(error) from error
    if not isinstance(error, ClientError):
        raise error
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    said = error.response.get("Error", {}).get("Message") or "nothing more was said"
    return _refusal(code, status), said_line(f"{code or status}: {said}")


def said_line(text: str) -> str:
    """Return what a provider said as one line, bounded, without secrets."""
    text = one_line(redacted(" ".join(text.split())))
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 3] + "..."


def check_calls(calls: Sequence[ApiCall], options: Mapping[str, str]) -> None:
    """Hold requests against their services' models.

    Args:
        calls: the requests.
        options: where something stands in a request, such as ``ResourceConfig.VolumeSizeInGB``, to the option that
            put it there.

    Raises:
        UserError: one line for each mistake, beginning with the option.
    """
    lines: dict[str, None] = {}
    for call in calls:
        try:
            check_request(call.service, call.operation, call.parameters, call.operation)
        except StudyFileError as error:
            lines |= dict.fromkeys(
                _by_option(line, call.operation, options) for line in str(error).split("\n")
            )
    if lines:
        raise UserError("\n".join(lines))


def tags_of(given: Mapping[str, str], most: int = MAX_TAGS) -> dict[str, str]:
    """Return tags, checked as all services of AWS that we ask do it.

    Raises:
        UserError: too many, or characters that are not allowed.
    """
    if len(given) > most:
        own = sum(name.startswith("hpo-pipe:") for name in given)
        raise UserError(
            f"--tag: {len(given)} tags with the {own} of hpo-pipe itself, expected at most {most}"
        )
    for name, value in given.items():
        for text, long in ((name, 128), (value, 256)):
            if len(text) > long or not _TAG.fullmatch(text):
                raise UserError(
                    f"--tag {name[:80]!r}: {text[:80]!r}, expected at most {long} letters, digits, spaces and _.:/=+-@"
                )
    return dict(given)


_REGION = re.compile(r"[a-z]{2,5}(-[a-z]{2,12}){1,3}-[0-9]{1,2}")
_TAG = re.compile(r"[\w\s.:/=+\-@]*")


def _by_option(line: str, operation: str, options: Mapping[str, str]) -> str:
    where, _, rest = line.partition(": ")
    path = rest.partition(" ")[0]
    for prefix, option in options.items():
        if path == prefix or path.startswith((f"{prefix}.", f"{prefix}[")):
            return f"{option} ({operation} {path}){rest[len(path) :]}"
    return f"{where}: {rest}"


def _session(profile: str | None) -> Any:
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    session = Session(profile=profile)
    session.register_component("data_loader", _loader())
    try:
        if profile is not None and profile not in session.available_profiles:
            raise TargetUnavailable(
                f"the profile {profile[:80]!r} is not in the AWS configuration of this machine"
            )
        session.get_scoped_config()
    except BotoCoreError as error:  # a configuration file that cannot be read
        raise _told(error) from error
    return session


@cache
def _loader() -> Any:
    """Return what reads the services' models: one for all clients, since SageMaker's takes a while."""
    from botocore.loaders import Loader

    return Loader()


def _refusal(code: str, status: int) -> Refusal:
    """Codes go before statuses: EC2 says with a 500 that it has no capacity."""
    code = code.removesuffix("Exception")
    if code in _THROTTLED or "Throttl" in code or "TooManyRequests" in code:
        return Refusal.THROTTLED
    if code in _CAPACITY or code.startswith("Insufficient"):
        return Refusal.CAPACITY
    if _QUOTA.search(code):
        return Refusal.QUOTA
    if code in _DENIED or code.startswith(_DENIED_PREFIXES) or status in (401, 403):
        return Refusal.DENIED
    return Refusal.THROTTLED if status == 429 or status >= 500 else Refusal.INVALID


def _told(error: Exception) -> Exception:
    """Return our error for one of botocore's that is no answer of a service."""
    from botocore import exceptions as e

    text = said_line(str(error))
    mistakes = (e.ParamValidationError, e.UnknownServiceError, e.InvalidRegionError, e.UnknownRegionError)
    logins = (
        *(e.NoCredentialsError, e.PartialCredentialsError, e.CredentialRetrievalError),
        *(e.TokenRetrievalError, e.SSOError, e.ConfigNotFound, e.ConfigParseError),
    )
    if isinstance(error, logins):
        return UserError(f"no credentials for AWS: {text}; {_LOGIN}")
    if isinstance(error, mistakes):
        return UserError(text)
    return TargetUnavailable(text)
