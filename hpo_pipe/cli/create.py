"""``hpo-pipe create``."""

from __future__ import annotations

from pathlib import Path

import click

from hpo_pipe.cli.arguments import examples, url_argument
from hpo_pipe.cli.output import print_lines, say
from hpo_pipe.count_type import Count


@click.command(
    short_help="Create a study; print the commands to run next.",
    epilog=examples(
        "hpo-pipe create study.toml s3://bucket/studies/first",
        "hpo-pipe create sweep.yaml /shared/studies/first --seed 7",
    ),
)
@click.argument("study_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@url_argument
@click.option(
    "--seed", type=Count(min=0), help="Of all random draws; else the study file's, or a random one."
)
def create(study_file: Path, url: str, seed: int | None) -> None:
    """Create a study, and print the commands that work on it.

    The store is proved first, and refused (78) where it does not keep a rule that safety rests on. The same study
    may be created again; a different one at the same URL is an error that names the differences.
    """
    from hpo_pipe.creation import create as created
    from hpo_pipe.creation import drafted
    from hpo_pipe.space_summary import space_lines
    from storage_schema.store import open_store

    store = open_store(url)
    draft = drafted(study_file)
    creation = created(store, draft, seed=seed, say=say)
    say(f"{'created' if creation.created else 'exists already, and is the same:'} {store.url}")
    for line in space_lines(draft.space):
        say(line)
    say(f"sha256 of study.json: {creation.sha256}")
    say("Next, anywhere and as often as you like (workers in the folder of the training script):")
    print_lines([f"hpo-pipe coordinator {store.url}", f"hpo-pipe worker {store.url}"])
