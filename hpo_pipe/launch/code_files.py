"""Which files of a folder belong to a training's code, and what stands in them."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pathspec

from storage_schema.code_archive import Kind, Member, link_problem, name_problem
from storage_schema.errors import UserError

IGNORE_FILE = ".hpoignore"
MAX_IGNORE_BYTES = 1024 * 1024
IGNORED = (
    *(".git/", ".hg/", ".svn/", ".jj/", "__pycache__/", "*.py[cod]", ".venv/", "venv/", "node_modules/"),
    *(
        "hpo-pipe-studies/",
        ".ipynb_checkpoints/",
        ".mypy_cache/",
        ".pytest_cache/",
        ".ruff_cache/",
        ".tox/",
        ".nox/",
    ),
    *(
        ".hypothesis/",
        ".eggs/",
        "*.egg-info/",
        ".idea/",
        ".vscode/",
        ".DS_Store",
        "wandb/",
        "mlruns/",
        "*.swp",
        "*~",
    ),
)
"""Left out unless `.hpoignore` takes it back in: ``!wandb/``."""


def code_files(root: Path) -> Iterator[Member]:
    """Yield what is in `root` and not ignored, folders before what they hold; files without their bytes.

    Virtual environments, which a file `pyvenv.cfg` shows, are left out under any name.

    Raises:
        UserError: a pattern of `.hpoignore` that is none, a name or link that no archive may hold, a file that is
            neither a file nor a folder, or a folder that cannot be read.
    """
    ignored = _ignored(root)

    def below(folder: Path, path: str) -> Iterator[Member]:
        for entry in _entries(folder, path):
            name = f"{path}/{entry.name}" if path else entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if ignored.match_file(name + "/" * is_folder) or (is_folder and _is_environment(entry.path)):
                continue
            member = _member(entry, name)
            yield member
            if member.kind is Kind.FOLDER:
                yield from below(Path(entry.path), name)

    yield from below(root, "")


def alike(names: list[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of names that some file systems take for one: they differ by case, or in how accents are written."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            yield other, name


def refusal(name: str, why: str) -> UserError:
    """Return the error for a file that must not be packed."""
    return UserError(f"--code: {name}: {why}; a line in {IGNORE_FILE} leaves it out")


def _ignored(root: Path) -> pathspec.GitIgnoreSpec:
    path = root / IGNORE_FILE
    lines: list[str] = []
    if path.is_file():
        try:
            with path.open("rb") as file:
                data = file.read(MAX_IGNORE_BYTES + 1)
            lines = data.decode("utf-8-sig").splitlines()
        except OSError as error:
            raise UserError(f"--code: {IGNORE_FILE}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UserError(f"--code: {IGNORE_FILE}: it is not UTF-8") from None
        if len(data) > MAX_IGNORE_BYTES:
            raise UserError(f"--code: {IGNORE_FILE}: it is larger than {MAX_IGNORE_BYTES} bytes")
    for number, line in enumerate(lines, 1):
        try:
            pathspec.GitIgnoreSpec.from_lines([line])
        except ValueError:
            raise UserError(
                f"--code: {IGNORE_FILE}, line {number}: {line[:80]!r} is no pattern as in .gitignore"
            ) from None
    return pathspec.GitIgnoreSpec.from_lines([*IGNORED, *lines])


def _entries(folder: Path, path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise refusal(path or ".", f"the folder cannot be read ({error.strerror})") from None


def _is_environment(path: str) -> bool:
    return Path(path, "pyvenv.cfg").is_file()


def _member(entry: os.DirEntry[str], name: str) -> Member:
    shown = name.encode("utf-8", "backslashreplace").decode()
    if problem := name_problem(name):
        raise refusal(shown, problem)
    mode = entry.stat(follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        target = _plain(os.readlink(entry.path))  # noqa: PTH115 (pathlib would tidy the text)
        if problem := link_problem(name, target):
            raise refusal(name, problem)
        return Member(name=name, kind=Kind.LINK, target=target)
    if stat.S_ISDIR(mode):
        return Member(name=name, kind=Kind.FOLDER)
    if not stat.S_ISREG(mode):
        raise refusal(name, "it is a device, a pipe or a socket")
    return Member(name=name, kind=Kind.FILE, executable=bool(mode & stat.S_IXUSR))


def _plain(target: str) -> str:
    """Return a link's target without what means nothing: ``./model/`` is ``model``."""
    if target.startswith("/"):
        return target
    return "/".join(part for part in target.split("/") if part not in ("", ".")) or "."
