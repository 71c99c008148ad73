"""Stores by URL scheme. Adding one means one file, and one line in :data:`STORES`."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from storage_schema.errors import UserError, nearest
from storage_schema.store.protocol import Blob, Created, Stat, Store, Unchanged
from storage_schema.store.settle import Settled, Wait, create_settled

STORES: dict[str, str] = {
    "file": "storage_schema.store.local:LocalStore",
    "s3": "storage_schema.store.s3:S3Store",
    "memory": "storage_schema.store.memory:MemoryStore",
}
"""Scheme to ``module:class``; a class is called with the whole URL. Loaded on use: s3 costs most of a second."""

__all__ = [
    "STORES",
    "Blob",
    "Created",
    "Settled",
    "Stat",
    "Store",
    "Unchanged",
    "Wait",
    "create_settled",
    "is_near",
    "open_store",
    "study_url",
]


def is_near(url: str) -> bool:
    """Tell whether a request to the store of a canonical study URL costs microseconds and no money."""
    return url.startswith(("file:", "memory:"))


def study_url(text: str) -> str:
    """Return the canonical study URL of `text`: a plain path becomes ``file:///...``; no slash at the end."""
    scheme, mark, rest = text.partition("://")
    if not text.strip():
        raise UserError("study URL: it is empty; a dot stands for the folder that you are in")
    if not mark:
        scheme, colon, rest = text.partition(":")
        if colon and scheme in STORES and rest.startswith("/"):
            raise UserError(
                f"study URL {text!r}: two slashes come after the colon, as in {scheme}://{rest.lstrip('/')}"
            )
        return _folder_url(text)
    if scheme != "file" and "@" in rest.partition("/")[0]:  # never repeated: it would end in logs
        raise UserError(
            f"study URL {scheme}://...: credentials do not belong in it; they come from the environment, a profile "
            "or a role"
        )
    if scheme == "file" and not rest.startswith("/"):
        raise UserError(f"study URL {text!r}: a file URL has three slashes, as in file:///data/studies/first")
    if not rest.strip("/"):
        raise UserError(
            f"study URL {text!r}: names no place, as in s3://bucket/studies/first or file:///data/first"
        )
    return text.rstrip("/")


def _folder_url(text: str) -> str:
    try:
        path = Path(text).expanduser().absolute()
        if ".." in path.parts:  # one study, one URL
            last = len(path.parts) - path.parts[::-1].index("..")
            path = Path(*path.parts[:last]).resolve().joinpath(*path.parts[last:])
        return path.as_uri()
    except UnicodeEncodeError:
        raise UserError(f"study URL {text!r}: no file system has such a name") from None
    except RuntimeError:  # ~nobody-of-this-name
        raise UserError(
            f"study URL {text!r}: there is no such user, whose home {text.partition('/')[0]} would be"
        ) from None


def open_store(url: str) -> Store:
    """Open the store of a study URL (``file:///folder``, a plain folder, ``s3://bucket/prefix``, ``memory://name``).

    Raises:
        UserError: a scheme that no store is registered for.
    """
    url = study_url(url)
    scheme = url.partition("://")[0]
    target = STORES.get(scheme) or _outside_store(scheme)
    if target is None:
        allowed = ", ".join(sorted(STORES))
        raise UserError(
            f"study URL {url!r}: no store for {scheme}://, known: {allowed}{nearest(scheme, STORES)}"
        )
    module, _, name = target.partition(":")
    store: Store = getattr(import_module(module), name)(url)
    return store


def _outside_store(scheme: str) -> str | None:
    found = entry_points(group="hpo_pipe.stores", name=scheme)
    return next((point.value for point in found), None)
