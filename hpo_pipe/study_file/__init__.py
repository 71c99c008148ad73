"""Study files: TOML and YAML, and W&B's sweep files as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hpo_pipe.study_file.draft import StudyDraft, default_timing
from hpo_pipe.study_file.load import check_bounds, load
from hpo_pipe.study_file.read import read_tables
from hpo_pipe.study_file.template import study_template
from hpo_pipe.study_file.wandb import from_sweep, is_sweep
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError

__all__ = ["StudyDraft", "default_timing", "read_study_file", "read_study_mapping", "study_template"]


def read_study_file(path: str | Path) -> StudyDraft:
    """Read a study file or a W&B sweep file.

    Raises:
        StudyFileError: with one line for each mistake: file, key, what was found, what is allowed.
    """
    return read_study_mapping(load(Path(path)), str(path))


def read_study_mapping(tables: Mapping[str, Json], where: str = "study") -> StudyDraft:
    """Read what a study file would hold.

    Args:
        tables: the file's top, as a mapping.
        where: names it in errors.

    Raises:
        StudyFileError: with one line for each mistake.
    """
    try:
        check_bounds(tables)
    except ValueError as error:
        raise StudyFileError(f"{where}: {error}") from None
    if is_sweep(tables):
        read, notes = from_sweep(tables, where)
        return read_tables(read, where, notes)
    return read_tables(tables, where)
