"""``--code SHA256``: the study's own code, fetched, verified, and unpacked where trials can run in it.

Workers of one user on one machine share the folder while any of them lives. Its files are read-only, so that no trial
changes by mistake what another one runs; its folders are not, since many trainings write beside their code.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from storage_schema.code_archive import MAX_PACKED_BYTES, Kind, Member
from storage_schema.codec import sha256
from storage_schema.errors import DamagedRecord, UserError
from storage_schema.keys import code_key
from storage_schema.store import Blob
from workers.archive import members
from workers.remove_tree import remove_tree
from workers.scratch import VARIABLE
from workers.world import World

START_LIMIT_S = 60.0
"""How long a worker waits for a store that is away when it starts."""
_LOOKS = 3
"""A folder may vanish with the last of those who shared it, just before it could be held."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class CodeMissing(UserError):
    """The study's store holds no such archive."""


@contextmanager
def code_folder(world: World, wanted: str, environment: Mapping[str, str], scratch: Path) -> Iterator[Path]:
    """Hold a folder with the code of this sha256, as long as it is used.

    Args:
        world: has the study's store.
        wanted: sha256 of the archive.
        environment: names the folder for scratch files.
        scratch: this worker's own, for where nothing can be shared.

    Raises:
        CodeMissing: the store has no such archive.
        DamagedRecord: other bytes, or an archive that must not be unpacked.
        GaveUp: the store was away for too long.
        OSError: disk full, or no permission.
    """
    data = fetched(world, wanted)
    key = code_key(wanted)
    place = _shared_place(environment)
    lock = None if place is None else _held(place, wanted, data, key)
    if place is None or lock is None:
        world.say(
            "the code that workers here share cannot be used, or was changed by a trial: unpacking it once more"
        )
        unpack(members(data, key), scratch / "code")
        yield scratch / "code"
        return
    try:
        yield place / wanted
    finally:
        _let_go(place, wanted, lock)


def fetched(world: World, wanted: str) -> bytes:
    """Return the archive's bytes, once they are what their name promises."""
    key = code_key(wanted)
    patience = world.patience(lambda: False, START_LIMIT_S)
    size = patience.through(lambda: next((s.size for s in world.store.list(key) if s.key == key), 0))
    if size > MAX_PACKED_BYTES:
        raise DamagedRecord(
            key, f"it has {size:,} bytes; an archive of code has at most {MAX_PACKED_BYTES:,}"
        )
    found = patience.through(lambda: world.store.get(key))
    if not isinstance(found, Blob):
        raise CodeMissing(f"no code at {world.store.url}/{key}: was it packed for another study?")
    digest = sha256(found.data)
    if digest != wanted:
        raise DamagedRecord(key, f"it has sha256 {digest}")
    return found.data


def unpack(found: Iterator[Member], folder: Path) -> None:
    """Write members below `folder`, which must not be there yet: in one step, when all is written."""
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}")
    try:
        temporary.mkdir(mode=0o700)
        links = []
        for member in found:
            match member.kind:
                case Kind.FOLDER:
                    (temporary / member.name).mkdir(mode=0o700)
                case Kind.FILE:
                    _write(temporary / member.name, member)
                case Kind.LINK:
                    links.append(member)
        for link in links:  # at last: so nothing was written through one
            (temporary / link.name).symlink_to(link.target)
        temporary.rename(folder)
    finally:
        if temporary.exists():
            remove_tree(temporary)


def holds(folder: Path, found: Iterator[Member]) -> bool:
    """Tell whether all members stand below `folder` as they were unpacked; more may stand there."""
    try:
        return all(_is_as(folder / member.name, member) for member in found)
    except OSError:
        return False


def _write(path: Path, member: Member) -> None:
    mode = 0o555 if member.executable else 0o444
    with os.fdopen(os.open(path, _NEW, mode), "wb") as file:
        file.write(member.data)
        os.fchmod(file.fileno(), mode)  # whatever the umask is


def _is_as(path: Path, member: Member) -> bool:
    if member.kind is Kind.LINK:
        return path.is_symlink() and str(path.readlink()) == member.target
    if path.is_symlink():
        return False
    if member.kind is Kind.FOLDER:
        return path.is_dir()
    return (
        path.is_file() and os.access(path, os.X_OK) >= member.executable and path.read_bytes() == member.data
    )


def _shared_place(environment: Mapping[str, str]) -> Path | None:
    """Return the folder that this user's workers share, or None where it is another's."""
    parent = Path(environment.get(VARIABLE) or tempfile.gettempdir()).resolve()
    place = parent / f"hpo-pipe-code-{os.getuid()}"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
        if place.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o022:
            return None
        _remove_unused(place)
    except OSError:
        return None
    return place


def _held(place: Path, wanted: str, data: bytes, key: str) -> int | None:
    """Return the lock of a folder with these members, unpacked if nobody uses it; None where it was changed."""
    for _ in range(_LOOKS):
        lock = _opened(place, wanted)
        try:
            if _taken(lock, fcntl.LOCK_EX | fcntl.LOCK_NB) and _is_current(place, wanted, lock):
                _clear(place, wanted)
                if not (place / wanted).exists():
                    unpack(members(data, key), place / wanted)
            _taken(lock, fcntl.LOCK_SH)  # waits for who unpacks; its last user may remove it just before
            current = _is_current(place, wanted, lock)
            if current and holds(place / wanted, members(data, key)):
                return lock
            changed = current and (place / wanted).exists()
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
        if changed:
            break
    return None


def _let_go(place: Path, name: str, lock: int) -> None:
    """Give a folder up; the last one removes it."""
    if _taken(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
        _remove(place, name)
    os.close(lock)


def _remove_unused(place: Path) -> None:
    """Remove what killed workers left."""
    for path in place.glob("*.lock"):
        name = path.name.removesuffix(".lock")
        lock = _opened(place, name)
        if _taken(lock, fcntl.LOCK_EX | fcntl.LOCK_NB) and _is_current(place, name, lock):
            _remove(place, name)
        os.close(lock)


def _clear(place: Path, name: str) -> None:
    for left in (place / name, *place.glob(f".{name}.*")):
        remove_tree(left)


def _remove(place: Path, name: str) -> None:
    _clear(place, name)
    (place / f"{name}.lock").unlink(missing_ok=True)


def _opened(place: Path, name: str) -> int:
    return os.open(place / f"{name}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _taken(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how)
    except BlockingIOError:
        return False
    return True


def _is_current(place: Path, name: str, lock: int) -> bool:
    """Tell whether a lock is the one that others find, and not one that was removed meanwhile."""
    try:
        return os.path.samestat(os.fstat(lock), (place / f"{name}.lock").stat())
    except FileNotFoundError:
        return False
