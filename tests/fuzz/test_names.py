"""Ten thousand hostile names: a path or key that is built of one stays below its root, or is refused."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from hpo_pipe.cli.group import cli
from hpo_pipe.study_file import study_template
from hpo_pipe.study_file.read import cleaned_name
from storage_schema import keys
from storage_schema.codec import encode_record
from storage_schema.errors import DamagedRecord, ProtocolViolation, UserError
from storage_schema.keys import CheckpointId, SpecId
from storage_schema.records import CheckpointFile, Manifest
from storage_schema.store import open_store
from storage_schema.store.key_rules import checked_key, checked_prefix, is_key
from tests.fuzz.mutations import ODD_TEXTS
from workers.checkpoint_cache import CheckpointCache
from workers.lease import worker_id
from workers.restore import _fetch as fetched

COUNT = 10_000
PIECES = (
    "..",
    ".",
    "/",
    "//",
    "\\",
    "~",
    "\0",
    "\n",
    "a",
    "A1",
    "%2e%2e",
    "\u2024\u2024",
    "\uff0e\uff0e",
    "\u2215",
    "\u202e",
    "log",
    "-",
    " ",
    "etc",
    "passwd",
)
ID = CheckpointId(7, 3, SpecId(42, 3), 1)


def names() -> Iterator[str]:
    """Yield hostile names, the same ones each time."""
    rng = random.Random(18)
    yield from ODD_TEXTS
    yield from (
        "..",
        "a/..",
        "../a",
        "a/../b",
        "a//b",
        "/",
        "/a",
        "a/",
        "./a",
        "a/./b",
        "...",
        "a/...",
        "~/a",
        "a\\..\\b",
        "C:a",
        "a:b",
    )
    for _ in range(COUNT):
        yield "".join(PIECES[rng.randrange(len(PIECES))] for _ in range(rng.randrange(1, 9)))


def below(root: Path, path: Path) -> bool:
    """Tell whether a path lies below a root, as the file system would take it."""
    return os.path.normpath(path).startswith(f"{root}/")


def test_a_key_that_is_built_of_a_name_stays_in_its_study() -> None:
    taken = refused = 0
    for name in names():
        for build in (
            lambda name=name: keys.checkpoint_file_key(ID, name),
            lambda name=name: keys.worker_key(name),
            lambda name=name: checked_key(name),
        ):
            try:
                key = build()
            except (UserError, ProtocolViolation):
                refused += 1
                continue
            taken += 1
            assert is_key(key), key
            assert below(Path("/study"), Path("/study") / key)
            assert os.path.normpath(key) == key
    assert taken > 100
    assert refused > COUNT


def test_a_folder_store_writes_and_reads_nothing_outside_of_its_folder(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "er" / "study"
    store = open_store(str(root))
    store.create("study.json", b"{}")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (root / "log").symlink_to(outside)
    (root / "chain").mkdir()
    (root / "chain" / "secret").symlink_to(outside / "secret")
    before = sorted(p for p in tmp_path.rglob("*") if root not in p.parents)
    for name in [*names(), "log/secret", "log/new", "chain/secret", "chain/secret/x"]:
        for use in (
            store.get,
            lambda key: store.create(key, b"x"),
            lambda key: store.replace(key, b"x"),
            store.delete,
            lambda p: list(store.list(p)),
        ):
            try:
                found = use(name)
            except (ProtocolViolation, DamagedRecord):
                continue
            assert "secret" not in str(found)
    assert sorted(p for p in tmp_path.rglob("*") if root not in p.parents) == before
    assert (outside / "secret").read_text() == "secret"


def test_prefixes_are_held_to_the_same_rules() -> None:
    for name in names():
        try:
            prefix = checked_prefix(name)
        except ProtocolViolation:
            continue
        assert not {".", ".."} & set(prefix.split("/"))
        assert prefix.isascii() and not prefix.startswith("/")


def test_manifests_name_files_below_their_checkpoint(tmp_path: Path) -> None:
    """And what a restored file's name makes on this machine lies below the restored folder."""
    store = open_store(str(tmp_path / "study"))
    into = tmp_path / "restored"
    taken = 0
    for name in names():
        fields = {"format": 1, "kind": "manifest", "resource": 3, "segments": []}
        file = {"name": name, "size": 1, "sha256": "0"}
        try:
            data = encode_record({**fields, "files": [file]})
            manifest = Manifest.from_bytes(data, keys.manifest_key(ID))
        except (DamagedRecord, UnicodeEncodeError):
            with pytest.raises(UserError):
                fetched(store, ID, CheckpointFile(name=name, size=1, sha256="0"), into)
            continue
        taken += 1
        assert below(into, into / manifest.files[0].name)
        assert "is missing" in fetched(store, ID, manifest.files[0], into)
    assert taken > 50
    assert not into.exists()


def test_names_that_are_made_fit(tmp_path: Path) -> None:
    cache = CheckpointCache(tmp_path / "cache")
    for name in names():
        assert keys.checked_study_name(cleaned_name(name))
        assert keys.checked_worker(worker_id(name, 1, "0" * 16))
        assert not cache.take(name, tmp_path / "into")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache"]


def test_templates_take_study_names_only() -> None:
    for name in names():
        try:
            text = study_template(name)
        except UserError:
            continue
        assert f'name = "{name}"' in text


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["status", "memory://none-of-this/../x"], 2),
        (["status", "s3://b/../../etc"], 2),
        (["status", ""], 2),
        (["status", "file:///\0"], 2),
        (["new", "--name", "../x"], 2),
        (["new", "--name", "a\nb"], 2),
        (["new", "--example", "../../etc"], 2),
        (["why", "memory://x", "99999999999999999999999"], 2),
        (["why", "memory://x", "-1"], 2),
        (["logs", "memory://x", "0", "--spec", "../../etc/passwd"], 2),
        (["status", "~nobody-of-this-name/x"], 2),
        (["limits", "memory://x", "--target", "1e999"], 2),
        (["limits", "memory://x", "--wall-time", "9" * 400], 2),
        (["enqueue", "memory://x", "a" * 70_000], 2),
    ],
)
def test_command_lines_that_name_things(
    arguments: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == code, (done.output, done.exception)
    assert "Traceback" not in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_worker_of_a_hostile_url_says_so(tmp_path: Path) -> None:
    for url in ("s3://\u202e/x", "file:///", "~nobody-of-this-name/x", "memory://[", "nowhere://x"):
        command = [sys.executable, "-m", "hpo_pipe", "worker", url]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2, (url, done.stderr)
        assert done.stderr.startswith("hpo-pipe: error: ")
    assert list(tmp_path.iterdir()) == []
