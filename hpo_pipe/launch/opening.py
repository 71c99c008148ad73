"""A desk for the study in a store, as whoever runs on this machine."""

from __future__ import annotations

import getpass
import random
import socket

from hpo_pipe.coordinator.world import Say
from hpo_pipe.launch.desk import Desk
from hpo_pipe.launch.submissions import Submissions
from storage_schema.clock import SystemClock
from storage_schema.store import Store
from storage_schema.waiting import Patience

WRITE_LIMIT_S = 60.0
"""How long a submission's record waits for a store that does not answer."""


def open_desk(store: Store, say: Say, *, limit_s: float = WRITE_LIMIT_S) -> Desk:
    """Return a desk for the study in `store`; nothing is read yet.

    Args:
        store: the study's.
        say: takes one line of talk for people.
        limit_s: the longest outage of the store that is waited out, seconds.
    """
    clock, rng = SystemClock(), random.SystemRandom()
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        user = "somebody"
    wait = Patience(clock, rng, say=say, limit_s=limit_s)
    return Desk(Submissions(store, wait, f"{user}@{socket.gethostname()}", rng), clock, say)
