"""What trials are given of secrets, what is kept from them, and what is taken out of what they print: options."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from storage_schema.secret_refs import SecretRef
from workers.secrets import handed_over, parsed, parsed_names, resolved
from workers.withholding import without


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What a worker has read."""

    given: Mapping[str, str]
    """Variables of trials."""
    hidden: Mapping[str, str]
    """All that is taken out of what trials print: those, and what is withheld from them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrecy:
    """The user's options."""

    refs: tuple[SecretRef, ...]
    variables: tuple[str, ...]
    """Of the worker's own environment: whoever started the worker put secrets into them."""
    withhold: tuple[str, ...]

    def read(self, environment: Mapping[str, str]) -> Secrets:
        """Return the secrets; `environment`: the worker's own.

        Raises:
            SecretMissing: one of them cannot be had; the message names it, and not its value.
            StoreUnavailable: a service does not answer.
        """
        own = handed_over(self.variables, environment)
        asked = resolved(self.refs)
        return Secrets(given={**without(own, self.withhold), **asked}, hidden={**own, **asked})


def secrecy_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; it gets them as one argument, `secrecy`."""

    @functools.wraps(command)
    def wrapped(
        *, secret: tuple[str, ...], secret_variable: tuple[str, ...], withhold: tuple[str, ...], **others: Any
    ) -> None:
        refs = parsed(secret)
        names = parsed_names(secret_variable, refs)
        command(secrecy=Secrecy(refs=refs, variables=names, withhold=withhold), **others)

    for option in reversed(_OPTIONS):
        option(wrapped)
    return wrapped


_OPTIONS = (
    click.option(
        "--secret",
        multiple=True,
        metavar="NAME=REF",
        help="A variable for trials: an ARN of Secrets Manager (#KEY: of its JSON) or SSM, or file:/path; may be "
        "repeated.",
    ),
    click.option(
        "--secret-variable",
        multiple=True,
        metavar="NAME",
        help="A variable of this worker that holds a secret: it is taken out of what trials print; may be repeated.",
    ),
    click.option(
        "--withhold",
        multiple=True,
        metavar="NAME",
        help="A variable, such as 'AWS_*', that trials are not to have; may be repeated.",
    ),
)
