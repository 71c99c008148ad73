"""``file://``: a study in a folder, also one that several machines mount.

A record is written to a temporary file, flushed to disk, and given its name with link(2): the name appears
with the whole content or not at all, and the file system lets one author win. (O_EXCL and write would leave
a torn record after a kill; fsspec's own exclusive create looks first and writes later.)
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from storage_schema.errors import (
    AccessDenied,
    DamagedRecord,
    OutcomeUnknown,
    StoreRefused,
    StoreUnavailable,
    UserError,
)
from storage_schema.store.check import Check
from storage_schema.store.key_rules import (
    checked_key,
    checked_prefix,
    is_key_part,
    is_scratch_name,
    max_bytes,
)
from storage_schema.store.local_checks import check_file_system, check_owner
from storage_schema.store.local_folders import Folders, sync_folder
from storage_schema.store.protocol import Blob, Created, Stat, Unchanged
from storage_schema.store.rename_new import rename_new

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a planted FIFO must not block a reader
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_NO_RENAME = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


class LocalStore:
    """A store in a folder, made at the first write."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.root = _root(url)
        self._folders = Folders(self.root)
        self._hard_links = True

    def create(self, key: str, data: bytes) -> Created:
        """Create `key` with all of `data` if it is absent; on disk when this returns."""
        folder, _, name = checked_key(key).rpartition("/")
        final = f"{self.root}/{key}"
        if os.path.lexists(final):  # most losers learn it here, before they pay for a flush
            _refuse_folder(key, final)
            return Created.EXISTS
        temporary = self._temporary("create", folder, name, data, durable=True)
        try:
            created = self._publish(temporary, final)
            if created is Created.CREATED:
                sync_folder(os.path.dirname(final))  # the second name goes after that: see _read
        except OSError as error:
            raise OutcomeUnknown(f"create {final}: {_reason(error)}") from error
        finally:
            _unlink_quietly(temporary)
        return created

    def get(self, key: str, unless: str | None = None) -> Blob | Unchanged | None:
        """Return the object, None where it is absent, or UNCHANGED where its version equals `unless`."""
        folder = checked_key(key).rpartition("/")[0]
        path = f"{self.root}/{key}"
        try:
            if not self._folders.exists(folder):
                return None
            return self._read(key, path, unless)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise DamagedRecord(key, f"{path} is a symbolic link; a study's folder holds none") from error
            raise _unavailable("get", path, error) from error

    def list(self, prefix: str, start_after: str = "") -> Iterator[Stat]:
        """Yield what lies under `prefix` in ascending key order, from the first key > `start_after`."""
        folder = checked_prefix(prefix).rpartition("/")[0]
        try:
            if self._folders.exists(folder):
                yield from self._walk(folder + "/" if folder else "", prefix, start_after)
        except OSError as error:
            raise _unavailable("list", f"{self.root}/{prefix}", error) from error

    def replace(self, key: str, data: bytes) -> None:
        """Write `key`, whether or not it exists; readers see old or new bytes whole. Not flushed to disk."""
        folder, _, name = checked_key(key).rpartition("/")
        temporary = self._temporary("replace", folder, name, data, durable=False)
        try:
            os.replace(temporary, f"{self.root}/{key}")
        except OSError as error:
            _unlink_quietly(temporary)
            _refuse_folder(key, f"{self.root}/{key}")
            raise _unavailable("replace", f"{self.root}/{key}", error) from error

    def delete(self, key: str) -> None:
        """Remove `key`, and the folders that it leaves empty; no error where it is absent."""
        folder = checked_key(key).rpartition("/")[0]
        path = f"{self.root}/{key}"
        try:
            if self._folders.exists(folder):
                os.unlink(path)
                self._folders.prune(folder)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise _unavailable("delete", path, error) from error

    def own_checks(self) -> tuple[Check, ...]:
        """Report what kind of file system the folder lies on, and who else may write there."""
        return (*check_file_system(self.root), check_owner(self.root, os.geteuid()))

    def _temporary(self, verb: str, folder: str, name: str, data: bytes, *, durable: bool) -> str:
        temporary = f"{self.root}/{folder}/.{name}.{secrets.token_hex(8)}.tmp"
        try:
            descriptor = self._folders.open_in(folder, temporary, _WRITE, durable=durable)
        except OSError as error:
            raise _unavailable(verb, temporary, error) from error
        try:
            try:
                _write(descriptor, data, durable=durable)
            finally:
                os.close(descriptor)
        except OSError as error:
            _unlink_quietly(temporary)
            raise _unavailable(verb, temporary, error) from error
        except BaseException:
            _unlink_quietly(temporary)
            raise
        return temporary

    def _publish(self, temporary: str, final: str) -> Created:
        if self._hard_links:
            try:
                os.link(temporary, final, follow_symlinks=False)
                return Created.CREATED
            except FileExistsError:
                # open(2): an NFS server may link, and lose its answer; the count of links tells.
                mine = os.stat(temporary, follow_symlinks=False).st_nlink == 2
                return Created.CREATED if mine else Created.EXISTS
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                self._hard_links = False
        return _publish_by_rename(temporary, final)

    def _read(self, key: str, path: str, unless: str | None) -> Blob | Unchanged | None:
        descriptor = os.open(path, _READ)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                return None
            if not stat.S_ISREG(status.st_mode):
                raise DamagedRecord(key, f"{path} is no ordinary file")
            version = _version(status)
            if version == unless:
                return Unchanged.UNCHANGED
            if status.st_size > max_bytes(key):
                raise DamagedRecord(key, f"{status.st_size} bytes, more than {max_bytes(key)}")
            data = os.read(descriptor, status.st_size + 1)
            while len(data) < status.st_size:  # one read returns at most 2 GiB
                more = os.read(descriptor, status.st_size + 1 - len(data))
                if not more:
                    break
                data += more
        finally:
            os.close(descriptor)
        if status.st_nlink > 1:
            # Its author may not have flushed the folder yet: nobody may build on what a power cut could take away.
            sync_folder(os.path.dirname(path))
        return Blob(data=data, version=version, modified=status.st_mtime)

    def _walk(self, base: str, prefix: str, start_after: str) -> Iterator[Stat]:
        for name, is_folder in _entries(f"{self.root}/{base}"):
            key = base + name  # a folder's name ends with /, so that names sort as full keys do
            if is_folder:
                within = key.startswith(prefix) or prefix.startswith(key)
                if within and (key > start_after or start_after.startswith(key)):
                    yield from self._walk(key, prefix, start_after)
            elif key.startswith(prefix) and key > start_after:
                try:
                    status = os.stat(f"{self.root}/{key}", follow_symlinks=False)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                yield Stat(key=key, size=status.st_size, version=_version(status), modified=status.st_mtime)


def _root(url: str) -> str:
    if "?" in url or "#" in url:  # a URL ends its path there, and a folder's name need not
        raise UserError(f"study URL {url!r}: in a folder's URL ? is written %3F, and # is written %23")
    path = _decoded(url) if url.startswith("file://") else ""
    if not path.startswith("/") or "\0" in path:
        raise UserError(
            f"study URL {url!r}: a folder's URL is file:// and an absolute path, as in file:///data/first"
        )
    root = os.path.realpath(path)  # resolved once: below it no symbolic link is followed
    if root == "/":
        raise UserError(f"study URL {url!r}: the root of the file system cannot be a study")
    if os.path.exists(root) and not os.path.isdir(root):
        raise UserError(f"study URL {url!r}: {root} is a file, and a study needs a folder")
    return root


def _decoded(url: str) -> str:
    """Return the path of a URL, in the bytes that it names: a name that is not UTF-8 is a name, too."""
    try:
        return os.fsdecode(unquote_to_bytes(os.fsencode(url.removeprefix("file://"))))
    except UnicodeEncodeError:
        return ""


def _refuse_folder(key: str, path: str) -> None:
    """Raise DamagedRecord where a folder has the object's name: it would neither exist nor be absent, for ever."""
    if os.path.isdir(path) and not os.path.islink(path):
        raise DamagedRecord(key, f"{path} is a folder where a file should be")


def _entries(folder: str) -> list[tuple[str, bool]]:
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if not is_key_part(name) or is_scratch_name(name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    found.append((name + "/", True))
                elif entry.is_file(follow_symlinks=False):
                    found.append((name, False))
    except (FileNotFoundError, NotADirectoryError):
        return []  # vanished between two looks: its objects were deleted
    found.sort()
    return found


def _publish_by_rename(temporary: str, final: str) -> Created:
    try:
        rename_new(temporary, final)
        return Created.CREATED
    except FileExistsError:
        return Created.EXISTS if os.path.lexists(temporary) else Created.CREATED
    except OSError as error:
        if error.errno not in _NO_RENAME:
            raise
        raise StoreRefused(
            f"{os.path.dirname(final)}: this file system has neither hard links nor renameat2(RENAME_NOREPLACE), "
            "so nothing can be created there exactly once; use another folder or a bucket"
        ) from error


def _write(descriptor: int, data: bytes, *, durable: bool) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    if durable:
        os.fsync(descriptor)
        return
    # File times tick every few ms and inodes are reused: some random ns keep two versions apart.
    with contextlib.suppress(OSError):
        status = os.fstat(descriptor)
        os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns + secrets.randbelow(1_000_000)))


def _version(status: os.stat_result) -> str:
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def _unlink_quietly(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _unavailable(verb: str, path: str, error: OSError) -> StoreUnavailable:
    kind = AccessDenied if error.errno in _DENIED else StoreUnavailable
    return kind(f"{verb} {path}: {_reason(error)}")


def _reason(error: OSError) -> str:
    if error.errno in _FULL:
        return f"no space left ({os.strerror(error.errno or 0)})"
    return os.strerror(error.errno) if error.errno else str(error)
