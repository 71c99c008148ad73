"""Is a recorded history linearizable? An exact check in linear time, key by key, and then list by list.

Linearizable (Herlihy & Wing, 1990): each request can be given one moment between its call and its answer at which it
takes effect at once, such that all answers are right. In general that is searched for (Wing & Gong, 1993; Lowe, 2017),
key by key, since a history is linearizable if its part for each object is. A key that is created once has only two
states, absent and filled, and changes once, at a moment t; all that its history says is where t may lie:

* at or after the call of each read that found nothing;
* at or before the answer of each read that found it, of each create that was told "exists", and of the one that was
  told "created", which is the one that took effect;
* at or after the call of the create that took effect. If none was told "created", that is one without an answer, or,
  where a layer below sends again by itself (S3), one that was told "exists" because of its own first sending.

The history is linearizable if and only if that interval is not empty, no two creates were told "created", and all
reads brought the bytes of the create that took effect. (Requests without an answer that did not take effect are put
anywhere, or nowhere.)

A list (the log; one chain) is such keys 0, 1, 2, ..., filled in this order: the moments t must not fall. Taking the
earliest for each one, in order, finds such moments if there are any. `search` says the same by trying all orders, and
a property test holds the two together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from storage_schema.keys import SpecId, parse_link_key, parse_log_key
from tests.histories.recorder import NEVER, Operation

ListName = str | SpecId


class NotLinearizable(Exception):
    """The history of one key or list cannot have happened on a store that keeps its rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """When a key was filled: at some moment of [earliest, latest]."""

    earliest: int
    latest: int
    surely: bool
    """False: only requests without an answer may have filled it, and nobody saw it."""


def filling(key: str, operations: Iterable[Operation], *, sends_again: bool) -> Filling | None:
    """Return when `key` was filled, None where it was not; raises NotLinearizable."""
    operations = list(operations)
    created = [o for o in operations if o.outcome == "created"]
    seen = [o for o in operations if o.outcome in ("created", "exists", "value")]
    read = {o.digest for o in operations if o.outcome == "value"}
    if len(created) > 1:
        raise NotLinearizable(f"{key}: created by {_names(created)}, each of them")
    if len(read) > 1:
        raise NotLinearizable(f"{key}: {len(read)} different contents were read")
    silent = ("unknown", "exists") if sends_again else ("unknown",)
    authors = created or [o for o in operations if o.verb == "create" and o.outcome in silent]
    authors = [o for o in authors if not read or o.digest in read]
    if not authors:
        if seen:
            raise NotLinearizable(f"{key}: seen by {_names(seen)}, and nobody can have created it so")
        return None
    absent = max((o.called for o in operations if o.outcome == "absent"), default=0)
    latest = min((o.answered for o in seen), default=NEVER)
    earliest = max(absent, min(o.called for o in authors))
    if earliest > latest:
        raise NotLinearizable(f"{key}: seen by {latest}, and still absent, or not yet sent, at {earliest}")
    return Filling(earliest=earliest, latest=latest, surely=bool(seen))


def check_list(keys: Sequence[str], operations: Iterable[Operation], *, sends_again: bool) -> None:
    """Raise NotLinearizable unless the entries `keys` were filled one after another, each seen only after that."""
    by_key = _by_key(operations)
    fillings = [filling(key, by_key.get(key, ()), sends_again=sends_again) for key in keys]
    last = max((place for place, f in enumerate(fillings) if f and f.surely), default=-1)
    moment = 0
    for key, found in zip(keys[: last + 1], fillings, strict=False):
        if found is None:
            raise NotLinearizable(f"{key}: never created, and an entry behind it was")
        moment = max(moment, found.earliest)
        if moment > found.latest:
            raise NotLinearizable(f"{key}: was there by {found.latest}, one before it not until {moment}")


def problems(history: Iterable[Operation], *, sends_again: bool = False) -> list[str]:
    """Return what a correct store and correct authors could not have done; an empty list is a clean history."""
    history = list(history)
    found = []
    for name, operations in _lists(history).items():
        keys = sorted({o.key for o in operations})
        try:
            check_list(_from_first(name, keys), operations, sends_again=sends_again)
        except NotLinearizable as error:
            found.append(str(error))
    return found + list(created_unread(history))


def created_unread(history: Iterable[Operation]) -> Iterator[str]:
    """Yield the creates whose author had not read what comes before (PROTOCOL.md: 4, step 1, and section 5.2)."""
    history = list(history)
    known: dict[tuple[str, str], int] = {}
    for o in history:
        if o.outcome in ("created", "value"):
            known[o.process, o.key] = min(o.answered, known.get((o.process, o.key), NEVER))
    for o in history:
        before = _before(o.key) if o.verb == "create" else None
        if before is not None and known.get((o.process, before), NEVER) > o.called:
            yield f"{o.key}: sent by {o.process}, which had not read {before}"


def _before(key: str) -> str | None:
    """Return the key that an author of `key` must have read, None where there is none."""
    entry, link = parse_log_key(key), parse_link_key(key)
    if entry is not None:
        return _log(entry - 1) if entry else None
    if link is None:
        return None
    return _log(link.spec.entry) if link.link == 1 else f"{key[:-9]}{link.link - 1:04}.json"


def _lists(history: Iterable[Operation]) -> dict[ListName, list[Operation]]:
    found: dict[ListName, list[Operation]] = defaultdict(list)
    for operation in history:
        link = parse_link_key(operation.key)
        found[link.spec if link else "log"].append(operation)
    return found


def _from_first(name: ListName, keys: Sequence[str]) -> list[str]:
    """Return all keys of a list up to the last of `keys`: a gap is an entry that nobody touched."""
    if name == "log":
        return [_log(number) for number in range((parse_log_key(keys[-1]) or 0) + 1)]
    last = parse_link_key(keys[-1])
    assert last is not None
    return [f"{keys[-1][:-9]}{number:04}.json" for number in range(1, last.link + 1)]


def _by_key(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    found: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        found[operation.key].append(operation)
    return found


def _log(entry: int) -> str:
    return f"log/{entry:08}.json"


def _names(operations: Iterable[Operation]) -> str:
    return ", ".join(sorted({o.process for o in operations}))
