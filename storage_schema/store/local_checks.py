"""What `doctor` says about the file system under a folder store (from /proc/mounts, Linux)."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from storage_schema.store.check import Check, Verdict

_NFS = {"nfs", "nfs4"}
_SMB = {"cifs", "smb3", "smbfs"}
_WEAK = {
    "tmpfs": "lies in memory: a reboot loses the study",
    "ramfs": "lies in memory: a reboot loses the study",
    "overlay": "may be a container's own layer: it goes with the container; use a volume",
    "vfat": "has no hard links and coarse times",
    "exfat": "has no hard links",
    "9p": "is shared by a virtual machine: its exclusive create depends on the host",
    "vboxsf": "is shared by a virtual machine: its exclusive create depends on the host",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of /proc/mounts."""

    folder: str
    kind: str
    options: tuple[str, ...]


def check_file_system(root: str, mounts_file: str = "/proc/mounts") -> tuple[Check, ...]:
    """Return one finding about the file system that `root` (absolute, resolved) lies or will lie on."""
    mount = mount_of(root, mounts_file)
    if mount is None:
        return (_check(Verdict.OK, "unknown: this system has no /proc/mounts"),)
    where = f"{mount.kind} at {mount.folder}"
    if mount.kind in _NFS:
        return (_check(*_about_nfs(mount, where)),)
    if mount.kind in _SMB:
        caching = "" if "cache=none" in mount.options else "; mount it with cache=none, actimeo=1"
        return (_check(Verdict.WARNING, f"{where}: SMB servers differ in hard links and caching{caching}"),)
    if mount.kind in _WEAK:
        return (_check(Verdict.WARNING, f"{where} {_WEAK[mount.kind]}"),)
    if mount.kind.startswith("fuse"):
        return (
            _check(
                Verdict.WARNING,
                f"{where}: trust it only as far as the checks above go, and from two machines",
            ),
        )
    return (_check(Verdict.OK, where),)


def check_owner(root: str, user: int) -> Check:
    """Return a finding about who may change what lies in `root`, or in the folder that it will be made in.

    Whoever can write there can put another study, and so another command, in this one's place.

    Args:
        root: absolute, resolved.
        user: number of the user who asks.
    """
    folder = root
    while not os.path.isdir(folder) and folder != "/":
        folder = os.path.dirname(folder)
    try:
        status = os.stat(folder)
    except OSError as error:
        return Check(name="owner", verdict=Verdict.OK, detail=f"not looked at: {error.strerror}")
    there = folder == root
    problems = []
    if there and status.st_uid != user:
        problems.append(f"belongs to another user ({_user_name(status.st_uid)}), who can change all of it")
    sticky = (
        not there and status.st_mode & stat.S_ISVTX
    )  # /tmp: all may make folders, none may rename another's
    if status.st_mode & stat.S_IWOTH and not sticky:
        problems.append("everybody on this machine may write there")
    elif status.st_mode & stat.S_IWGRP and not sticky:
        problems.append(f"its group ({status.st_gid}) may write there: trust all of it as you trust yourself")
    if not problems:
        return Check(name="owner", verdict=Verdict.OK, detail="nobody else may write there")
    return Check(name="owner", verdict=Verdict.WARNING, detail=f"{folder} {'; '.join(problems)}")


def _user_name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def mount_of(path: str, mounts_file: str = "/proc/mounts") -> Mount | None:
    """Return the mount that `path` lies on, or None where the system does not tell."""
    try:
        lines = Path(mounts_file).read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    best = None
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 4:
            continue
        folder = fields[1].encode("latin-1", "replace").decode("unicode_escape")  # a space is written \040
        inside = path == folder or path.startswith(folder.rstrip("/") + "/")
        if inside and (
            best is None or len(folder) >= len(best.folder)
        ):  # of two on one folder, the later hides
            best = Mount(folder=folder, kind=fields[2], options=tuple(fields[3].split(",")))
    return best


def _about_nfs(mount: Mount, where: str) -> tuple[Verdict, str]:
    options = set(mount.options)
    problems = []
    if not options & {"noac", "lookupcache=positive", "lookupcache=pos", "lookupcache=none"}:
        problems.append("clients remember that a name was absent: new records are seen late")
    if not options & {"noac", "actimeo=0", "actimeo=1"} and not {"acregmax=1", "acdirmax=1"} <= options:
        problems.append("listings and heartbeats can be a minute old")
    if "soft" in options or "softerr" in options:
        problems.append("soft mounts give up on writes")
    if not problems:
        return Verdict.OK, where
    advice = "right, only slower; mount with hard,lookupcache=positive,actimeo=1"
    return Verdict.WARNING, f"{where}: {'; '.join(problems)} ({advice})"


def _check(verdict: Verdict, detail: str) -> Check:
    return Check(name="file system", verdict=verdict, detail=detail.replace(os.linesep, " "))
