"""``hpo-pipe new``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpo_pipe.cli.arguments import examples
from hpo_pipe.cli.output import print_lines, say

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


@click.command(
    short_help="Write a commented study file, or a whole example.",
    epilog=examples(
        "hpo-pipe new                              writes study.toml, with every key explained",
        "hpo-pipe new resnet.toml",
        "hpo-pipe new --example digits digits      a whole example, in the folder digits",
    ),
)
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--name", metavar="NAME", help="The study's name; else the file's.")
@click.option("--example", metavar="NAME", help="Write a whole example instead: digits.")
def new(path: Path | None, name: str | None, example: str | None) -> None:
    """Write a study file with every key explained, or a whole example. Overwrites nothing."""
    if example is None:
        _write_template(path or Path("study.toml"), name)
    else:
        _write_example(path or Path(example), example)


def _write_template(path: Path, name: str | None) -> None:
    from hpo_pipe.study_file import study_template

    path = path / "study.toml" if path.is_dir() else path
    _write(path, study_template(name or path.stem, str(path)).encode())
    print_lines([str(path)])
    say(f"edit it, then: hpo-pipe run {path}")


def _write_example(folder: Path, example: str) -> None:
    from importlib.resources import files

    from storage_schema.errors import UserError, nearest

    shelf = files("hpo_pipe") / "examples"
    known = sorted(item.name for item in shelf.iterdir() if (item / "study.toml").is_file())
    if example not in known:
        raise UserError(f"example {example!r}: there are {', '.join(known)}{nearest(example, known)}")
    written = _copy(shelf / example, folder)
    print_lines([str(path) for path in written])
    say(f"now: hpo-pipe run {folder / 'study.toml'} --workers 2")


def _copy(source: Traversable, folder: Path) -> list[Path]:
    written = []
    for item in sorted(source.iterdir(), key=lambda item: item.name):
        if item.is_dir() and item.name != "__pycache__":
            written += _copy(item, folder / item.name)
        elif item.is_file():
            _write(folder / item.name, item.read_bytes())
            written.append(folder / item.name)
    return written


def _write(path: Path, data: bytes) -> None:
    from storage_schema.errors import UserError

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise UserError(f"{path} exists, and nothing is overwritten: name another path") from None
