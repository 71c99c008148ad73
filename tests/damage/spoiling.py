"""Damage, systematically: each byte with one bit flipped, each length that an object can be cut to."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from storage_schema.errors import DamagedRecord
from storage_schema.store import Store


def damages(data: bytes, most: int, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield (what was done, damaged bytes): all places and lengths, or, of more than `most`, so many of each."""
    for place in _some(range(len(data)), most, rng):
        flipped = bytearray(data)
        flipped[place] ^= 1 << rng.randrange(8)
        yield f"a bit of byte {place} flipped", bytes(flipped)
    for length in _some(range(len(data)), most, rng):
        yield f"cut to {length} bytes", data[:length]
    yield "zeros", bytes(len(data))
    for place in _some(range(0, len(data), 512), 20, rng):
        yield (
            f"a block of zeros at {place}",
            data[:place] + bytes(len(data[place : place + 512])) + data[place + 512 :],
        )
    yield "something behind it", data + b"\0"


def judged(
    store: Store,
    keys: Sequence[str],
    read: Callable[[Store, str], object],
    *,
    most: int,
    refused: bool = True,
    alike: Callable[[object, object], bool] = lambda found, right: found == right,
) -> Counter[str]:
    """Damage each of `keys` in every way, read, and count what came of it; the store is left as it was.

    Args:
        store: holds the objects.
        keys: of one class.
        read: the real reader; its answer for the undamaged store is what is right.
        most: places, and lengths, of one object.
        refused: whether the reader may refuse the object by name; otherwise it must go on.
        alike: whether an answer is as good as the right one.

    Raises:
        AssertionError: damage that was read as something else, or refused under another name.
    """
    rng, found = random.Random(len(keys)), Counter[str]()
    for key in keys:
        data = store.get(key).data  # type: ignore[union-attr]
        right = read(store, key)
        for what, damaged in damages(data, most, rng):
            if damaged == data:
                continue
            store.replace(key, damaged)
            try:
                answer = read(store, key)
                assert alike(answer, right), f"{key}, {what}: read as something else, unseen"
                found["harmless"] += 1
            except DamagedRecord as error:
                assert refused, f"{key}, {what}: not passed over: {error}"
                assert error.key == key, f"{key}, {what}: {error.key} was named: {error}"
                found["refused by name"] += 1
        store.replace(key, data)
    return found


def _some(places: Sequence[int], most: int, rng: random.Random) -> Sequence[int]:
    return places if len(places) <= most else sorted(rng.sample(places, most))
