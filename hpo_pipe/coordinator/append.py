"""A user's entry: what `enqueue`, `pause`, `stop`, `retry` and `limits` write."""

from __future__ import annotations

import random
from collections.abc import Callable

from hpo_pipe.coordinator.log import Log
from hpo_pipe.coordinator.world import drawn_token
from storage_schema.errors import DamagedRecord, UserError
from storage_schema.history import History
from storage_schema.records import Decision, Entry
from storage_schema.store import Wait

MAX_LOST_RACES = 1000


def append_user_entry(
    log: Log,
    decisions: Callable[[History], tuple[Decision, ...]],
    wait: Wait,
    rng: random.Random | None = None,
) -> Entry | None:
    """Append decisions of a user at the head of the log.

    Args:
        log: the study's log.
        decisions: what to write, given the newest history; called again after each lost race. It may raise
            UserError where the user's wish makes no sense (any more), or answer () where nothing is to be done.
        wait: see :func:`~storage_schema.store.settle.create_settled`.
        rng: the entry's token is drawn from it; the system's if None.

    Returns:
        the entry as it stands, or None where there was nothing to do.

    Raises:
        UserError: no reader would take such an entry; written, it would end the study for good.
    """
    rng = rng or random.SystemRandom()
    for _ in range(MAX_LOST_RACES):
        log.follow()
        wanted = decisions(log.history)
        if not wanted:
            return None
        entry = Entry(
            entry=log.history.head + 1,
            token=drawn_token(rng),
            author="user",
            facts=None,
            decisions=wanted,
        )
        _check_readable(entry)
        if log.append(entry, wait):
            return entry
    raise RuntimeError(f"lost {MAX_LOST_RACES} races for the head of the log")


def _check_readable(entry: Entry) -> None:
    try:
        Entry.from_bytes(entry.to_bytes(), entry.entry)
    except DamagedRecord as error:
        raise UserError(error.problem) from None
    except (ValueError, RecursionError) as error:  # NaN, infinity, half a character, endless nesting
        raise UserError(f"this cannot be written down: {error}") from None
