"""``hpo-pipe cost``."""

from __future__ import annotations

import click

from hpo_pipe.cli.arguments import examples, json_option, url_argument
from hpo_pipe.cli.output import print_json, print_lines
from hpo_pipe.count_type import Number
from storage_schema.machine import MAX_PRICE


@click.command(
    short_help="Tell what a study has cost, and what became of it.",
    epilog=examples(
        "hpo-pipe cost ./study --price-per-hour 1.2",
        "hpo-pipe cost s3://bucket/studies/first --prices prices.toml",
        "hpo-pipe cost s3://bucket/studies/first --prices aws",
        "hpo-pipe cost s3://bucket/studies/first --json | jq .training.repeated",
    ),
)
@url_argument
@click.option(
    "--price-per-hour",
    type=Number(0, MAX_PRICE),
    metavar="DOLLARS",
    help="Of every machine, whatever the workers or the file say.",
)
@click.option(
    "--prices",
    "source",
    metavar="FILE|aws",
    help="TOML: on_demand and spot per hour of each instance type; or the word aws: AWS is asked.",
)
@json_option
def cost(url: str, price_per_hour: float | None, source: str | None, as_json: bool) -> None:
    """Tell what a study has cost: what was useful, repeated, lost and idle, per trial, and what spot saved.

    Prices are those of --price-per-hour, else what each worker was started with (its own --price-per-hour, or
    HPO_PIPE_PRICE_PER_HOUR), else those of --prices, by the worker's HPO_PIPE_INSTANCE_TYPE, _REGION and _LIFECYCLE.
    Without one a cost is unknown. `--prices aws` asks ec2:DescribeSpotPriceHistory (the mean over the region's zones
    at the time of use) and pricing:GetProducts, with the AWS CLI's credentials; what it cannot learn is unknown. A
    machine counts from its worker's start to the last thing that it recorded. Not counted: coordinators, storage
    itself, and workers that never had a trial.

    \b
    A price file:
      ["g5.xlarge"]
      on_demand = 1.006
      spot = 0.42
      ["g5.xlarge".regions.eu-west-1]
      on_demand = 1.123
    """
    from hpo_pipe.pricing.source import pricing_from
    from hpo_pipe.report.bill import bill_json, bill_lines
    from hpo_pipe.report.cost import cost_of
    from hpo_pipe.study import open_study

    prices = pricing_from(source, price_per_hour)
    study = open_study(url)
    state = study.look()
    found = cost_of(study.store, state, prices)
    if as_json:
        print_json(bill_json(state, found))
        return
    print_lines(bill_lines(state, found))
