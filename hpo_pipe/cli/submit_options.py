"""The options that targets have in common, and the plan that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpo_pipe.cli.arguments import Duration
from hpo_pipe.cli.output import say
from hpo_pipe.count_type import Count, Number
from hpo_pipe.launch.order import HIRING, Plan, Price
from hpo_pipe.launch.target import OPTIONAL, Target
from storage_schema.codec import Json
from storage_schema.errors import UserError
from storage_schema.machine import MAX_PRICE, MAX_SLOTS, ON_DEMAND
from storage_schema.records.submission import MAX_WORKERS

if TYPE_CHECKING:
    from storage_schema.store import Store

TEXT, JSON = "text", "json"


def common_options(target: Target) -> list[click.Option]:
    """Return the common options that `target` has."""
    return [made for made in _all_options() if made.name in target.takes or made.name not in OPTIONAL]


def _all_options() -> list[click.Option]:
    return [*_how_many(), *_how_long(), *_what_they_run(), *_prices(), *_how_it_goes()]


def _how_many() -> list[click.Option]:
    return [
        click.Option(
            ["--workers"],
            type=Count(0, MAX_WORKERS),
            default=1,
            show_default=True,
            help="How many; 0 only records the rest, for `submit reconcile`.",
        ),
        click.Option(["--gpus"], type=Count(min=0), help="GPUs of each worker's machine."),
        click.Option(["--gpus-per-trial"], type=Count(min=0), help="GPUs dealt to each trial."),
        click.Option(["--slots"], type=Count(1, MAX_SLOTS), help="Trials at a time in each worker."),
        *(
            click.Option([f"--{way}", "hiring"], flag_value=way, default=None, help=words)
            for way, words in zip(HIRING, _HIRING_WORDS, strict=True)
        ),
    ]


def _how_long() -> list[click.Option]:
    return [
        click.Option(
            ["--idle-timeout"],
            type=Duration(),
            default=300.0,
            help="A worker with nothing to do for so long ends.  [default: 5min]",
        ),
        click.Option(
            ["--max-runtime"],
            type=Duration(positive=True),
            help="A worker gives back what it holds after so long, and ends.",
        ),
        click.Option(
            ["--max-cost"],
            type=Number(min=0, min_open=True),
            metavar="DOLLARS",
            help="The study's budget: sets its limit `cost`, where that is not lower already.",
        ),
    ]


def _what_they_run() -> list[click.Option]:
    return [
        click.Option(
            ["--image"],
            metavar="IMAGE",
            help="Container image with hpo-pipe, and the training's code or --code.",
        ),
        click.Option(
            ["--code"],
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            help="Folder that trials run in; packed into the study's store, without what .hpoignore names.",
        ),
        click.Option(
            ["--env"], multiple=True, metavar="NAME=VALUE", help="A variable for trials; no secrets."
        ),
        click.Option(
            ["--secret"],
            multiple=True,
            metavar="NAME=REFERENCE",
            help="For trials: an ARN of Secrets Manager or SSM, or file:/path, read where the workers run.",
        ),
        click.Option(["--tag"], multiple=True, metavar="KEY=VALUE", help="On what the provider makes."),
    ]


def _prices() -> list[click.Option]:
    return [
        click.Option(
            ["--price-per-hour"],
            type=Number(0, MAX_PRICE),
            metavar="DOLLARS",
            help="What one machine costs.",
        ),
        click.Option(["--prices"], metavar="FILE|aws", help="A price file, or ask AWS; see `hpo-pipe cost`."),
    ]


def _how_it_goes() -> list[click.Option]:
    return [
        click.Option(["--dry-run"], is_flag=True, help="Print the exact requests, checked; ask nobody."),
        click.Option(
            ["--output"],
            type=click.Choice([TEXT, JSON]),
            default=TEXT,
            show_default=True,
            help="Of what is printed.",
        ),
        click.Option(
            ["--wait"], is_flag=True, help="Stay until all jobs have ended; Ctrl-C leaves them running."
        ),
    ]


_HIRING_WORDS = (
    "Machines that may be taken back.",
    "Machines that stay.",
    "Spot where there is some, else machines that stay.",
)


def plan_of(given: Mapping[str, Any], store: Store, arguments: Sequence[str]) -> Plan:
    """Return the plan that the common options make; the study is read, and nothing is written.

    Raises:
        UserError: a wrong option, or no study.
    """
    from hpo_pipe.coordinator.log import study_bytes
    from hpo_pipe.launch.secrets import parse_variables
    from storage_schema.codec import sha256
    from storage_schema.records import Study

    data = study_bytes(store)
    env, secrets = parse_variables(given.get("env") or (), given.get("secret") or ())
    gpus, per_trial = given.get("gpus"), given["gpus_per_trial"]
    if gpus is not None and per_trial is not None and per_trial > gpus:
        raise UserError(f"--gpus-per-trial is {per_trial}, expected at most --gpus, {gpus}")
    return Plan(
        url=store.url,
        study=Study.from_bytes(data).name,
        study_sha256=sha256(data),
        gpus=gpus,
        gpus_per_trial=per_trial,
        slots=given["slots"],
        hiring=given.get("hiring") or "",
        idle_timeout_s=given["idle_timeout"],
        max_runtime_s=given["max_runtime"],
        image=given.get("image") or "",
        env=env,
        secrets=secrets,
        tags=tuple(sorted(dict(map(_tag, given.get("tag") or ())).items())),
        arguments=tuple(arguments),
    )


def with_prices(plan: Plan, target: Target, settings: Mapping[str, Json], given: Mapping[str, Any]) -> Plan:
    """Return the plan with what each offer's machine costs, as far as that is known; what is not is said.

    Raises:
        UserError: a wrong price file.
    """
    from hpo_pipe.pricing.source import AWS, price_of, pricing_from

    source = given["prices"]
    if source is None and given["price_per_hour"] is None:
        return plan
    if source == AWS and given["dry_run"]:
        say("note: a dry run asks nobody, so the request lacks the price that AWS would tell")
        return plan
    rates, region, found = (
        pricing_from(source, given["price_per_hour"]),
        str(settings.get("region") or ""),
        [],
    )
    offers = target.offers(settings, plan)
    for kind, way in [(kind, o.lifecycle) for o in offers for kind in o.instance_type.split(",")]:
        rate = price_of(rates, target.name, kind, region, way or ON_DEMAND)
        if rate.paid is None:
            shown = " ".join(filter(None, (kind, way))) or target.name
            say(f"note: the price of {shown} is unknown{f': {rate.note}' if rate.note else ''}")
            continue
        found.append(Price(instance_type=kind, lifecycle=way, dollars_per_hour=rate.paid))
    return replace(plan, prices=tuple(found))


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or len(name) > 128 or len(value) > 256 or not text.isprintable():
        raise UserError(f"--tag {text[:80]!r}, expected KEY=VALUE, at most 128 and 256 characters")
    if name.startswith(("aws:", "hpo-pipe:")):
        raise UserError(f"--tag {name[:80]!r}: names that begin with aws: and hpo-pipe: are taken")
    return name, value
