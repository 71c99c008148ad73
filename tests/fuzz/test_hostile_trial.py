"""A real worker under trials that do their worst: the study ends, the others are not touched, nothing is outside."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from storage_schema.store import open_store
from tests.e2e.accounting import audit

SCRIPT = Path(__file__).with_name("hostile_training.py")
pytestmark = pytest.mark.timeout(330)  # seconds on a machine of one's own; many processes

WAYS = re.findall(r"^def (\w+)\(\) -> None:", SCRIPT.read_text(), re.MULTILINE)
WAYS = [way for way in WAYS if way not in ("finished", "main")]
SECRET = "root:$6$a-secret-of-the-users:19000:0:99999:7:::"
STUDY = """
name = "hostile"
command = ["{python}", "{script}", "{{way}}"]
[metric]
name = "loss"
[parameters]
way = {{ type = "categorical", values = {ways} }}
[algorithm]
searcher = "grid"
[worker]
retries = 0
flush = 0.3
lease = 10
grace = 1
tick = 0.3
"""


def tree(folder: Path) -> dict[str, str]:
    """Return what lies below a folder: names, kinds, modes and contents."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else ""
        found[str(path.relative_to(folder))] = f"{mode:o} {content}"
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the study once, and return where."""
    folder = tmp_path_factory.mktemp("hostile")
    for name in ("scratch", "canary/7", "canary/not-a-number", "canary/checkpoints/3"):
        (folder / name).mkdir(parents=True)
    (folder / "canary" / "secret").write_text(SECRET + "\n")
    (folder / "canary" / "7" / "model").write_text("the user's own")
    (folder / "canary" / "checkpoints" / "3" / "model").write_text("the user's own")
    before = tree(folder / "canary")
    study = STUDY.format(python=sys.executable, script=SCRIPT, ways=json.dumps(WAYS))
    (folder / "study.toml").write_text(study)
    environment = {
        **os.environ,
        "CANARY": str(folder / "canary"),
        "HPO_PIPE_SCRATCH": str(folder / "scratch"),
        "TMPDIR": str(folder / "scratch"),
    }
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "hpo_pipe",
            "run",
            "study.toml",
            "./study",
            "--slots",
            "3",
            "--logs",
            "./logs",
        ],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=300,
        check=False,
    )
    (folder / "said").write_bytes(done.stderr)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-3000:]
    assert tree(folder / "canary") == before
    return folder


def trials(place: Path) -> dict[str, dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-m", "hpo_pipe", "trials", "./study", "--json"],
        cwd=place,
        capture_output=True,
        check=True,
    )
    return {trial["params"]["way"]: trial for trial in json.loads(done.stdout)}


def test_there_are_many_ways() -> None:
    assert len(WAYS) >= 25
    assert "nothing" in WAYS


def test_every_trial_is_accounted_for(place: Path) -> None:
    found = trials(place)
    assert sorted(found) == sorted(WAYS)
    assert {str(trial["state"]) for trial in found.values()} <= {"COMPLETE", "FAILED"}
    assert audit(open_store(str(place / "study"))) == []


def test_honest_reports_count_whatever_else_a_trial_did(place: Path) -> None:
    found = trials(place)
    spared = [way for way in WAYS if not way.startswith(("metrics_", "own_folder_"))]
    assert {way: found[way]["value"] for way in spared} == dict.fromkeys(spared, 0.5)


def test_reports_that_are_none_are_told_by_what_they_are(place: Path) -> None:
    found = trials(place)
    for way in ("metrics_is_a_link", "metrics_is_a_fifo", "metrics_is_endless"):
        assert found[way]["state"] == "FAILED"
        assert "no plain file" in str(found[way]["reason"])
    assert found["metrics_lie"]["value"] == 0.5


def test_nothing_of_the_users_is_in_the_study(place: Path) -> None:
    store, files = open_store(str(place / "study")), []
    for listed in store.list(""):
        blob = store.get(listed.key)
        assert SECRET.encode() not in blob.data, listed.key  # type: ignore[union-attr]
        files.append(listed.key)
    names = {key.partition("/files/")[2] for key in files if "/files/" in key}
    assert names <= {"model", "s"}
    assert SECRET not in (place / "said").read_text("utf-8", "replace")


def test_nothing_is_left_outside_of_the_study(place: Path) -> None:
    assert sorted(path.name for path in place.iterdir()) == [
        "canary",
        "logs",
        "said",
        "scratch",
        "study",
        "study.toml",
    ]
    left = [path.name for path in (place / "scratch").iterdir()]
    assert left == []
    special = [p for p in (place / "study").rglob("*") if not (p.is_file() or p.is_dir()) or p.is_symlink()]
    assert special == []
