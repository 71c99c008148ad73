"""What is packed is what is unpacked, and nothing that is unpacked lies outside."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_pipe.launch.code import pack, packed
from hpo_pipe.launch.credentials import named_like_credentials
from storage_schema.code_archive import Kind, Member, link_problem, name_problem
from storage_schema.errors import DamagedRecord
from workers.archive import members
from workers.code import holds, unpack

SPECIAL = (".hpoignore", "pyvenv.cfg")
PARTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="/"),
    min_size=1,
    max_size=8,
).filter(
    lambda part: part.strip(".") and part not in SPECIAL and not named_like_credentials(f"{part}/x/{part}")
)
CONTENT = st.tuples(st.binary(max_size=200).map(lambda data: b"\0" + data), st.booleans())
TREES = st.recursive(
    st.dictionaries(PARTS, CONTENT, max_size=4),
    lambda inner: st.dictionaries(PARTS, inner | CONTENT, max_size=4),
)

Tree = dict[str, "Tree | tuple[bytes, bool]"]


def write(root: Path, tree: Tree) -> None:
    root.mkdir()
    for name, content in tree.items():
        if isinstance(content, dict):
            write(root / name, content)
        else:
            (root / name).write_bytes(content[0])
            (root / name).chmod(0o700 if content[1] else 0o600)


def read(root: Path) -> Tree:
    return {
        path.name: read(path) if path.is_dir() else (path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for path in root.iterdir()
    }


@settings(max_examples=40, deadline=None)
@given(tree=TREES)
def test_unpacking_gives_what_was_packed(tree: Tree) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, "code"), {**tree, "train.py": (b"", False)})
        Path(folder, "code", ".hpoignore").write_text("!*\n")  # no name that Hypothesis finds is left out
        archive = pack(Path(folder, "code"))
        unpack(members(archive.data, "k"), Path(folder, "back"))
        assert read(Path(folder, "back")) == read(Path(folder, "code"))
        assert holds(Path(folder, "back"), members(archive.data, "k"))
        assert pack(Path(folder, "back")) == archive


PATHS = st.lists(st.sampled_from(["a", "b", "c", "..", ".", ""]), min_size=1, max_size=5).map("/".join)


@settings(max_examples=150, deadline=None)
@given(
    links=st.lists(st.tuples(PATHS, PATHS), max_size=6),
    folders=st.sets(st.sampled_from(["a", "b", "a/a", "a/b", "a/b/c"])),
)
def test_no_links_lead_out(links: list[tuple[str, str]], folders: set[str]) -> None:
    """Packed without being asked: only what is unpacked is checked."""
    found = [Member(name=name, kind=Kind.FOLDER) for name in sorted(folders)]
    found += [Member(name=name, kind=Kind.LINK, target=target) for name, target in links]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "code"
        try:
            unpack(members(packed(found), "k"), root)
        except DamagedRecord:
            assert not root.exists()
            return
        for name, target in links:
            assert not name_problem(name) and not link_problem(name, target)
            with contextlib.suppress(RuntimeError):  # a circle of links
                assert (root / name).resolve().is_relative_to(root)
