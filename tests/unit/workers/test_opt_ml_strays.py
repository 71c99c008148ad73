"""What a script writes into the machine's own /opt/ml is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workers.opt_ml_strays import Strays


def test_a_folder_that_comes_or_changes_is_told(tmp_path: Path) -> None:
    ml = tmp_path / "ml"
    strays = Strays(ml)
    assert strays.found() == []
    (ml / "checkpoints").mkdir(parents=True)
    (told,) = strays.found()
    assert str(ml / "checkpoints") in told and f"HPO_PIPE_OPT_ML={ml}" in told
    strays = Strays(ml)
    assert strays.found() == [], "it was there before"
    os.utime(ml / "checkpoints", ns=(1, 1))
    assert len(strays.found()) == 1


def test_another_trials_checkpoint_is_told(tmp_path: Path) -> None:
    """A script finds it, has nothing left to do, and ends at once: its output is where one looks."""
    (tmp_path / "checkpoints").mkdir()
    assert Strays(tmp_path).found() == []
    (tmp_path / "checkpoints" / "state.json").touch()
    assert len(Strays(tmp_path).found()) == 1


@pytest.mark.parametrize("name", ["output", "input", "code"])
def test_other_folders_are_none_of_ours(tmp_path: Path, name: str) -> None:
    strays = Strays(tmp_path)
    (tmp_path / name).mkdir()
    assert strays.found() == []


def test_a_link_leads_to_the_trials_own_tree(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "ml").symlink_to(tmp_path / "tree")
    strays = Strays(tmp_path / "ml")
    (tmp_path / "tree" / "checkpoints").mkdir()
    assert strays.found() == []
