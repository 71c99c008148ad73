"""``hpo-pipe cost``."""

from __future__ import annotations

from pathlib import Path

import click

from hpo_pipe.cli.arguments import examples, json_option, url_argument
from hpo_pipe.cli.output import print_json, print_lines
from storage_schema.machine import MAX_PRICE


@click.command(
    short_help="Tell what a study has cost, and what became of it.",
    epilog=examples(
        "hpo-pipe cost ./study --price-per-hour 1.2",
        "hpo-pipe cost s3://bucket/studies/first --prices prices.toml",
        "hpo-pipe cost s3://bucket/studies/first --json | jq .training.repeated",
    ),
)
@url_argument
@click.option(
    "--price-per-hour",
    type=click.FloatRange(0, MAX_PRICE),
    metavar="DOLLARS",
    help="Of every machine, whatever the workers or the file say.",
)
@click.option(
    "--prices",
    "price_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="TOML: on_demand and spot per hour of each instance type.",
)
@json_option
def cost(url: str, price_per_hour: float | None, price_file: Path | None, as_json: bool) -> None:
    """Tell what a study has cost: what was useful, repeated, lost and idle, per trial, and what spot saved.

    Prices are those of --price-per-hour, else what each worker was started with (its own --price-per-hour, or
    HPO_PIPE_PRICE_PER_HOUR), else those of the file, by the worker's HPO_PIPE_INSTANCE_TYPE, _REGION and _LIFECYCLE.
    Without one a cost is unknown. A machine counts from its worker's start to the last thing that it recorded. Not
    counted: coordinators, storage itself, and workers that never had a trial.

    \b
    A price file:
      ["g5.xlarge"]
      on_demand = 1.006
      spot = 0.42
      ["g5.xlarge".regions.eu-west-1]
      on_demand = 1.123
    """
    from hpo_pipe.prices import Prices, pricing, read_prices
    from hpo_pipe.report.bill import bill_json, bill_lines
    from hpo_pipe.report.cost import cost_of
    from hpo_pipe.study import open_study

    prices = Prices() if price_file is None else read_prices(price_file)
    study = open_study(url)
    state = study.look()
    found = cost_of(study.store, state, pricing(prices, price_per_hour))
    if as_json:
        print_json(bill_json(state, found))
        return
    print_lines(bill_lines(state, found))
