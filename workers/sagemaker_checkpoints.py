"""``/opt/ml/checkpoints`` of a trial: saved whenever it has come to rest, as SageMaker would keep it in S3.

SageMaker copies what it finds, at any time. Here each copy becomes a checkpoint of the study, which says after how many
units of training it was taken. A script does not say so: it saves a unit shortly before or shortly after it reports it.
So a change of the folder belongs to the report that is nearest to it in time.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from storage_schema.clock import Clock
from storage_schema.errors import UserError
from storage_schema.keys import checked_file_name
from workers.checkpoint_files import MAX_FILES, file_names, opened_file
from workers.remove_tree import remove_tree
from workers.sagemaker_layout import CHECKPOINTS, MODEL, OUTPUT_DATA, in_place

QUIET_S = 0.5
"""So long nothing may have changed before it is copied."""
RESTLESS_S = 60.0
"""A folder that is never at rest is copied after so long, if it stands still for as long as that takes. And so long
a change waits for a report that it may belong to."""
LOOK_S = 0.2
"""Between two looks at the folder."""
REST = 4.0
"""Between two copies: so many times what the last one took until it was uploaded."""
TOGETHER_S = 0.1
"""A trial's output is read so often: reports that lie closer together were read at once."""
MAX_REPORTS = 10_000
MAX_LINKS = 100
"""Of a folder: each is followed within it, since a checkpoint has none."""

_Listing = dict[str, tuple[str, int, int, int]]
"""Of each name: the file that holds it, its size, the time of its last change in ns, and its inode."""


class SavedFolder:
    """Watches one attempt's tree, and leaves checkpoints where the worker takes them up.

    Args:
        root: the attempt's ``/opt/ml``.
        checkpoint_dir: where finished checkpoints are left.
        start: units done by the restored checkpoint.
        to: where the spec ends; None without a resource.
        whole: whether that is the end of the training: its checkpoint is left at the trial's end, with the model.
        clock: that of files and reports.
        complain: takes why something cannot be saved.
    """

    def __init__(
        self,
        root: Path,
        checkpoint_dir: Path,
        *,
        start: int,
        to: int | None,
        whole: bool,
        clock: Clock,
        complain: Callable[[str], None],
    ) -> None:
        self._root = root
        self._checkpoint_dir = checkpoint_dir
        self._to = to
        self._whole = whole
        self._clock = clock
        self._complain = complain
        self._reports = deque([(clock.now(), start)], maxlen=MAX_REPORTS)
        """When each unit was first reported."""
        self._last = start
        self._saved = self._listing() or {}
        self._pending_since: float | None = None
        self._look_at = self._rest_until = 0.0
        self._copying_since: float | None = None

    def reported(self, resource: int, at: float) -> None:
        """Note a report of the trial: so many units were done at that time."""
        if resource > self._reports[-1][1]:
            self._reports.append((at, resource))

    def look(self) -> None:
        """Save the folder if something in it is new and it is at rest."""
        began = self._clock.monotonic()
        if self._copying_since is not None:  # the worker is back from uploading what it found last
            self._rest_until = began + REST * (began - self._copying_since)
            self._copying_since = None
        if began < self._look_at:
            return
        self._look(began)
        self._look_at = self._clock.monotonic() + max(LOOK_S, 10 * (self._clock.monotonic() - began))

    def finish(self, *, well: bool, by_itself: bool) -> None:
        """Save what an ended trial left.

        Args:
            well: it ended with status 0: its model counts.
            by_itself: no signal ended it, which may have been in the middle of a file, or of a unit.
        """
        listing = self._listing() or {}
        kept = self._kept() if well and (self._to is None or self._complete()) else {}
        if kept:
            self._save(listing, self._useful(self._reports[-1][1]), kept)
        elif listing and (by_itself or self._at_rest(listing)):
            self._save(listing, self._number(listing, over=by_itself))

    def _look(self, now: float) -> None:
        listing = self._listing()
        number = self._number(listing) if listing else None
        if not listing or (listing == self._saved and number is None) or self._complete():
            self._pending_since = None
            return
        self._pending_since = self._pending_since or now
        if now < self._rest_until:
            return
        if now - self._pending_since >= RESTLESS_S:
            self._save(listing, self._number(listing, over=True))
        elif number is not None and self._at_rest(listing):
            self._save(listing, number)

    def _complete(self) -> bool:
        """Tell whether the training is: its last checkpoint waits for the trial's end, to have the model too."""
        return self._to is not None and self._whole and self._reports[-1][1] >= self._to

    def _at_rest(self, listing: _Listing) -> bool:
        quiet = self._clock.now() - _changed(listing) >= QUIET_S
        return quiet and not _being_written(self._root / CHECKPOINTS)

    def _number(self, listing: _Listing, *, over: bool = False) -> int | None:
        """Return after how many units the folder was changed; None while that is open, or where it is of no use.

        Args:
            listing: of the folder.
            over: whether no report is to come any more.
        """
        if self._to is None:
            return self._useful(self._reports[-1][1]) if listing != self._saved else None
        changed = _changed(listing)
        before = next((known for known in reversed(self._reports) if known[0] <= changed), self._reports[0])
        after = next((known for known in self._reports if known[0] > changed), None)
        since = changed - before[0]
        if after is not None and after[0] - changed < since:
            return self._useful(self._last_read_with(after))
        waited = self._clock.now() - changed
        decided = after is not None or over or waited >= min(since, RESTLESS_S)
        return self._useful(before[1]) if decided else None

    def _last_read_with(self, report: tuple[float, int]) -> int:
        """Return the last unit of those that were read together: which of them came first in truth nobody knows.

        A number too high costs a unit that is trained again; one too low, units that are never reported again.
        """
        return max(number for at, number in self._reports if 0 <= at - report[0] <= TOGETHER_S)

    def _useful(self, number: int) -> int | None:
        if self._to is None:  # it only tells newer from older
            return max(number, self._last + 1)
        return number if self._last < number <= self._to else None

    def _save(
        self, listing: _Listing, number: int | None, kept: dict[str, tuple[str, ...]] | None = None
    ) -> None:
        if number is None:
            return
        self._copying_since = self._clock.monotonic()
        new = self._checkpoint_dir / f".sagemaker-{number}"
        place = self._checkpoint_dir / str(number)
        remove_tree(new)
        try:
            for name, (source, *_) in listing.items():
                _copy(self._root / CHECKPOINTS, source, new / CHECKPOINTS / name)
            for inner, names in (kept or {}).items():
                for name in names:
                    _copy(self._root / inner, name, new / inner / name)
            if self._listing() != listing:  # it has gone on: this would be half of one and half of the next
                return
            remove_tree(place)
            new.rename(place)
        except OSError as error:
            self._complain(f"/opt/ml/{CHECKPOINTS} could not be saved: {error}")
            return
        finally:
            remove_tree(new)
        self._saved, self._last, self._pending_since = listing, number, None

    def _kept(self) -> dict[str, tuple[str, ...]]:
        """Return the files of the model and of the output data; they are kept with the last checkpoint."""
        found: dict[str, tuple[str, ...]] = {}
        for inner in (MODEL, OUTPUT_DATA):
            try:
                names = _own_files(self._root / inner)
            except (OSError, UserError) as error:
                self._complain(f"/opt/ml/{inner} is not kept: {error}")
            else:
                found |= {inner: names} if names else {}
        return found

    def _marked(self, folder: Path) -> _Listing:
        links: list[str] = []
        names = _own_files(folder, links)
        sources = {name: name for name in names}
        for link in links[:MAX_LINKS]:
            found = _linked(folder, link, names)
            if not found:
                self._complain(
                    f"/opt/ml/{CHECKPOINTS}/{link} is not saved: a link to no file or folder beside it"
                )
            sources |= found
        if len(sources) > MAX_FILES:
            raise UserError(f"more than {MAX_FILES} files")
        return {checked_file_name(name): _mark(folder, source) for name, source in sources.items()}

    def _listing(self) -> _Listing | None:
        """Return what lies in the folder; None where something in it vanished meanwhile, or it cannot be saved."""
        folder = self._root / CHECKPOINTS
        try:
            return self._marked(folder)
        except FileNotFoundError:
            return None
        except (OSError, UserError) as error:
            self._complain(f"/opt/ml/{CHECKPOINTS} is not saved: {error}")
            return None


def _own_files(folder: Path, links: list[str] | None = None) -> tuple[str, ...]:
    if not in_place(folder):
        raise UserError("a link stands in its place")
    return file_names(folder, links)


def _changed(listing: _Listing) -> float:
    """Return when the folder's newest file was written, seconds since the epoch."""
    return max((changed for _, _, changed, _ in listing.values()), default=0) / 1e9


def _mark(folder: Path, source: str) -> tuple[str, int, int, int]:
    found = (folder / source).lstat()
    return source, found.st_size, found.st_ctime_ns, found.st_ino


def _linked(folder: Path, link: str, names: tuple[str, ...]) -> dict[str, str]:
    """Return the files that a link such as ``latest`` stands for, by the names that they have through it."""
    to = os.readlink(folder / link)  # noqa: PTH115 (Path would tidy it up)
    within = posixpath.normpath(posixpath.join(str(folder), posixpath.dirname(link), to))
    target = within.removeprefix(f"{folder}/")
    below = {name: link + name[len(target) :] for name in names if name.startswith(f"{target}/")}
    return {link: target} if target in names else {new: name for name, new in below.items()}


def _copy(folder: Path, name: str, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    with opened_file(folder, name) as source, to.open("xb") as copy:
        shutil.copyfileobj(source, copy, 1024 * 1024)


def _being_written(folder: Path) -> bool:
    """Tell whether a process of this user has a file below `folder` open for writing; Linux tells, others do not."""
    inside = f"{folder}/"
    return any(path.startswith(inside) for path in _written_files())


def _written_files() -> Iterator[str]:
    for process in _entries("/proc"):
        if process.isdigit() and process != str(os.getpid()):
            for number in _entries(f"/proc/{process}/fd"):
                link = f"/proc/{process}/fd/{number}"
                with contextlib.suppress(OSError):
                    if os.lstat(link).st_mode & 0o200:
                        yield os.readlink(link)  # noqa: PTH115


def _entries(folder: str) -> list[str]:
    with contextlib.suppress(OSError):
        return os.listdir(folder)  # noqa: PTH208
    return []
