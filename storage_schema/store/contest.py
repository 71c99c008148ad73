"""A contest: many processes create the same keys at the same moments, and the outcome is counted."""

from __future__ import annotations

import multiprocessing
import secrets
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

from storage_schema.errors import HpoPipeError, StoreUnavailable
from storage_schema.keys import log_key
from storage_schema.store import Blob, Store, create_settled, open_store

TRIES = 50
"""Of one contender for one key, while answers get lost."""
START_S = 120
"""For all processes to have started, and then between two keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """How a contest ended, in keys."""

    won: int
    """One contender believes that it won, and its bytes stand."""
    without_winner: int
    """Orphans: bytes stand, and no contender believes that they are its own."""
    with_many_winners: int
    torn: int
    """Bytes stand that are nobody's, or not the winner's, or a loser read other bytes than stand now."""


def contest(url: str, processes: int, keys: int) -> Contest:
    """Let `processes` spawned processes contend for the log entries 0 to `keys` - 1 of the study `url`."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(processes), context.Queue()
    contenders = [
        context.Process(target=_contend, args=(url, keys, barrier, results), daemon=True)
        for _ in range(processes)
    ]
    for contender in contenders:
        contender.start()
    try:
        reports = [results.get(timeout=START_S * 2) for _ in contenders]
    finally:
        for contender in contenders:
            contender.join(timeout=5)
            contender.kill()
            contender.join()
            contender.close()
        results.close()
    failed = [report for report in reports if isinstance(report, str)]
    if failed:
        raise RuntimeError(f"a contender failed: {failed[0]}")
    return _count(url, keys, reports)


def _contend(
    url: str, keys: int, barrier: Barrier, results: Queue[list[tuple[bool, bytes, bytes]] | str]
) -> None:
    try:
        store, outcomes = open_store(url), []
        for number in range(keys):
            bid = f"{number} {secrets.token_hex(16)}".encode() * 20
            barrier.wait(START_S)
            settled = create_settled(store, log_key(number), bid, wait=_up_to_a_limit)
            outcomes.append((settled.mine, bid, settled.data))
        results.put(outcomes)
    except Exception as error:
        barrier.abort()
        results.put(f"{type(error).__name__}: {error}")


def _up_to_a_limit(failed: int, reason: str) -> None:
    if failed >= TRIES:
        raise HpoPipeError(f"no answer after {failed} tries: {reason}")


def _standing(store: Store, key: str) -> bytes | None:
    for failed in range(1, TRIES + 1):
        try:
            found = store.get(key)
            return found.data if isinstance(found, Blob) else None
        except StoreUnavailable as error:
            _up_to_a_limit(failed, str(error))
    return None


def _count(url: str, keys: int, reports: list[list[tuple[bool, bytes, bytes]]]) -> Contest:
    store = open_store(url)
    won = orphans = many = torn = 0
    for number in range(keys):
        stands = _standing(store, log_key(number))
        outcomes = [report[number] for report in reports]
        winners = [bid for mine, bid, _ in outcomes if mine]
        many += len(winners) > 1
        orphans += not winners
        whole = stands in [bid for _, bid, _ in outcomes] and all(read == stands for _, _, read in outcomes)
        torn += not whole or (len(winners) == 1 and winners[0] != stands)
        won += whole and winners == [stands]
    return Contest(won=won, without_winner=orphans, with_many_winners=many, torn=torn)
