"""Creating studies: once, never over another one, and with words that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo_pipe.cli.run import _again
from hpo_pipe.creation import create, differences
from hpo_pipe.study import create_study, open_study
from hpo_pipe.study_file import read_study_file
from storage_schema.codec import sha256
from storage_schema.errors import StoreRefused, StudyFileError
from storage_schema.store import Created, open_store
from storage_schema.store.local import LocalStore
from tests.unit.cli.conftest import Run

DEFINITION = """
name = "first"
command = ["python", "train.py"]

[metric]
name = "loss"

[parameters]
lr = { type = "float", min = 0.001, max = 1.0, log = true }

[limits]
trials = 5
"""


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(DEFINITION)
    return path


def test_create_prints_the_two_commands_and_the_sha256(run: Run, tmp_path: Path, study_file: Path) -> None:
    folder = tmp_path / "s"
    result = run("create", study_file, folder)
    assert result.exit_code == 0, result.stderr
    url = folder.as_uri()
    assert result.stdout.splitlines() == [f"hpo-pipe coordinator {url}", f"hpo-pipe worker {url}"]
    assert sha256((folder / "study.json").read_bytes()) in result.stderr
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["study.json"]


def test_the_same_study_may_be_created_again_and_stays_what_it_was(
    run: Run, tmp_path: Path, study_file: Path
) -> None:
    folder = tmp_path / "s"
    run("create", study_file, folder)
    before = (folder / "study.json").read_bytes()
    again = run("create", study_file, folder)
    assert (again.exit_code, "exists already" in again.stderr) == (0, True)
    assert (folder / "study.json").read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("trials = 5", "trials = 6", "limits.trials: 5 there, 6 in the study file"),
        ("max = 1.0", "max = 2.0", "space.lr.max: 1.0 there, 2.0 in the study file"),
        ("train.py", "other.py", "program.command"),
    ],
)
def test_a_different_study_is_refused_naming_the_differences(
    run: Run, tmp_path: Path, study_file: Path, old: str, new: str, line: str
) -> None:
    run("create", study_file, tmp_path / "s")
    study_file.write_text(DEFINITION.replace(old, new))
    result = run("create", study_file, tmp_path / "s")
    assert result.exit_code == 2
    assert line in result.stderr
    assert result.stderr.count(" there, ") == 1


def test_another_seed_is_another_study(run: Run, tmp_path: Path, study_file: Path) -> None:
    run("create", study_file, tmp_path / "s", "--seed", 1)
    assert "seed: 1 there, 2" in run("create", study_file, tmp_path / "s", "--seed", 2).stderr
    assert run("create", study_file, tmp_path / "s").exit_code == 0


class OverwritingStore(LocalStore):
    """A bucket that ignores `If-None-Match`."""

    def create(self, key: str, data: bytes) -> Created:
        self.replace(key, data)
        return Created.CREATED


def test_a_store_without_exclusive_create_is_refused(tmp_path: Path, study_file: Path) -> None:
    store = OverwritingStore((tmp_path / "s").as_uri())
    with pytest.raises(StoreRefused, match="cannot hold a study"):
        create(store, read_study_file(study_file))
    assert store.get("study.json") is None


def test_python_creates_from_a_mapping_and_opens_what_stands(tmp_path: Path) -> None:
    definition = {
        "name": "first",
        "command": ["python", "train.py"],
        "metric": {"name": "loss"},
        "parameters": {"lr": {"type": "float", "min": 0.001, "max": 1.0}},
    }
    study = create_study(tmp_path / "s", definition, seed=3)
    assert (study.definition.seed, study.trials, study.finished) == (3, [], False)
    assert open_study(tmp_path / "s").definition == study.definition
    with pytest.raises(StudyFileError):
        create_study(tmp_path / "t", {**definition, "comand": "x"})


def test_a_damaged_study_is_not_overwritten(tmp_path: Path, study_file: Path, run: Run) -> None:
    open_store(str(tmp_path / "s")).create("study.json", b"not json")
    assert run("create", study_file, tmp_path / "s").exit_code == 65
    assert (tmp_path / "s" / "study.json").read_bytes() == b"not json"


def test_differences_follow_names_not_places() -> None:
    there = {"space": [{"name": "a", "min": 0}, {"name": "b", "min": 0}], "token": "x"}
    here = {"space": [{"name": "b", "min": 1}, {"name": "c", "min": 0}], "token": "y"}
    lines = list(differences(there, here))
    assert [line.partition(":")[0] for line in lines] == ["space.a", "space.b.min", "space.c"]


def test_new_writes_what_run_reads_and_overwrites_nothing(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    assert run("new", path).stdout == f"{path}\n"
    assert read_study_file(path).name == "mine"
    again = run("new", path)
    assert (again.exit_code, "exists" in again.stderr) == (2, True)


def test_new_writes_a_whole_example(run: Run, tmp_path: Path) -> None:
    result = run("new", "--example", "digits", tmp_path / "d")
    assert result.exit_code == 0
    assert {"study.toml", "train.py"} <= {Path(line).name for line in result.stdout.splitlines()}
    assert read_study_file(tmp_path / "d" / "study.toml").name == "digits"
    assert "did you mean 'digits'" in run("new", "--example", "digit", tmp_path / "e").stderr


def test_a_mistake_in_a_study_file_is_bad_input(run: Run, tmp_path: Path, study_file: Path) -> None:
    study_file.write_text(DEFINITION.replace("[limits]", "[limit]"))
    result = run("create", study_file, tmp_path / "s")
    assert result.exit_code == 2
    assert "did you mean" in result.stderr
    assert not (tmp_path / "s").exists()


def test_the_command_to_go_on_with_is_the_one_that_was_given() -> None:
    again = _again(Path("my studies/a.toml"), "s3://b/c", 2, ["--slots", "3"])
    assert again == "hpo-pipe run 'my studies/a.toml' s3://b/c --workers 2 --slots 3"
    assert _again(Path("a.toml"), None, 1, []) == "hpo-pipe run a.toml"


def test_a_url_with_one_slash_is_no_folder_called_s3(run: Run) -> None:
    result = run("status", "s3:/bucket/study")
    assert result.exit_code == 2
    assert "s3://bucket/study" in result.stderr


def test_credentials_in_a_url_are_refused_and_not_repeated(run: Run) -> None:
    result = run("status", "s3://AKIA:hunter2@bucket/study")
    assert result.exit_code == 2
    assert "credentials" in result.stderr
    assert "hunter2" not in result.output
