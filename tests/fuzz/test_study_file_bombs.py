"""Study files that are small and would unfold, recurse or run for ever: refused by name, in bounded time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hpo_pipe.study_file import read_study_file, read_study_mapping
from storage_schema.errors import StudyFileError

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
FILES = {
    "laughs.yaml": LAUGHS,
    "cycle.yaml": "a: &a [*a]\n",
    "cycle-map.yaml": "a: &a {b: *a}\n",
    "object.yaml": "a: !!python/object/apply:os.system ['touch hacked']\n",
    "name.yaml": "a: !!python/name:os.system\n",
    "bool.yaml": "a: !!bool maybe\n",
    "time.yaml": "a: 2024-13-45\n",
    "deep.yaml": "[" * 100_000,
    "deep-block.yaml": "- " * 100_000,
    "deep.toml": "a = " + "[" * 500_000,
    "dots.toml": "a" + ".a" * 200_000 + " = 1\n",
    "spaced-dots.toml": ". ".join(["a"] * 100_000) + " = 1\n",
    "quoted-dots.toml": ".".join(['"a"'] * 100_000) + " = 1\n",
    "tables.toml": "[" + ".".join("a" * 150) + "]\nx = 1\n",
    "integer.toml": "seed = 0x" + "f" * 5_000 + "\n",
    "integer.yaml": "seed: 0x" + "f" * 5_000 + "\n",
    "digits.toml": "seed = " + "9" * 5_000 + "\n",
    "surrogate.json": '{"name": "\\ud800"}',
    "large.yaml": "a: " + "x" * 300_000,
    "large.toml": "#" * 1_100_000,
    "utf16.yaml": "a: 1".encode("utf-16"),
    "nul.yaml": "a: \0\n",
    "two.yaml": "---\na: 1\n---\nb: 1\n",
    "twice.yaml": "a: 1\na: 2\n",
    "twice.toml": "a = 1\na = 2\n",
    "list.json": "[1]",
    "folder.toml": None,
}


@pytest.mark.parametrize("name", FILES)
def test_it_is_refused_by_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path, content = tmp_path / name, FILES[name]
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    began = time.process_time()
    with pytest.raises(StudyFileError) as refused:
        read_study_file(path)
    assert time.process_time() - began < 20
    assert str(refused.value).startswith(f"{path}: ")
    assert len(str(refused.value)) < 1_000
    assert not (tmp_path / "hacked").exists()


def test_a_mapping_is_held_to_the_same_bounds() -> None:
    endless: dict[str, object] = {"name": "x"}
    endless["parameters"] = {"lr": endless}
    for bad in (
        endless,
        {"seed": 2**5000},
        {"command": "\ud800"},
        {"parameters": {"a": {"values": [0] * 200_000}}},
    ):
        with pytest.raises(StudyFileError, match=r"^study: "):
            read_study_mapping(bad)
