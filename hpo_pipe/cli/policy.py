"""``hpo-pipe submit policy``: the rights that a study's people and machines need, as JSON."""

from __future__ import annotations

import click

from hpo_pipe.cli.arguments import examples, url_argument
from hpo_pipe.cli.output import print_json, say

BUCKET = "bucket"
_ROLES = ("worker", "coordinator", "submitter", "observer", BUCKET)
_PARTITIONS = ("aws", "aws-cn", "aws-us-gov")


@click.command(
    short_help="Print the IAM policy of a role.",
    epilog=examples(
        "hpo-pipe submit policy s3://bucket/studies/first --role worker > worker.json",
        "hpo-pipe submit policy s3://bucket/studies/first --role worker --with-ticks",
        "hpo-pipe submit policy s3://bucket/studies/first --role bucket",
    ),
)
@url_argument
@click.option(
    "--role",
    type=click.Choice(_ROLES),
    required=True,
    help="Whose; `bucket`: what the bucket's own policy should have.",
)
@click.option("--with-ticks", is_flag=True, help="A worker that may also run a coordinator's tick.")
@click.option("--partition", type=click.Choice(_PARTITIONS), default="aws", show_default=True)
@click.option("--kms-key", metavar="ARN", help="The key that the bucket encrypts with, if it is one's own.")
@click.option(
    "--list-whole-bucket",
    is_flag=True,
    help="For stores that answer a missing key with 403 although its prefix may be listed.",
)
def policy(
    url: str, role: str, with_ticks: bool, partition: str, kms_key: str | None, list_whole_bucket: bool
) -> None:
    """Print the least that a role needs for one study in S3, as a policy document. Asks no store.

    Roles: a worker trains; a coordinator decides; a submitter creates the study, steers it and looks; an observer
    looks.
    """
    from hpo_pipe.launch.iam import Role, bucket_policy, role_policy

    if role == BUCKET:
        if with_ticks or kms_key or list_whole_bucket:
            raise click.UsageError("--role bucket takes no --with-ticks, --kms-key or --list-whole-bucket")
        print_json(bucket_policy(url, partition=partition))
        say("add these statements to what the bucket's policy has; take them out again to delete the study")
        return
    print_json(
        role_policy(
            url,
            Role(role),
            with_ticks=with_ticks,
            partition=partition,
            kms_key=kms_key,
            list_whole_bucket=list_whole_bucket,
        )
    )
