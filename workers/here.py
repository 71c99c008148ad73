"""What a worker says of the machine that it runs on, as far as the system tells."""

from __future__ import annotations

import os
import platform
import socket

from storage_schema.machine import MachineFacts
from workers.lease import Machine


def machine_here(name: str | None, slots: int, gpus: int, hired: MachineFacts) -> Machine:
    """Return this process's machine. `gpus`: how many are dealt out; `hired`: what the launcher said of it."""
    host = socket.gethostname()[:200]
    facts = {"system": platform.system(), "machine": platform.machine(), "cpus": str(os.cpu_count() or 0)}
    return Machine(
        name=name or host.partition(".")[0],
        host=host,
        pid=os.getpid(),
        slots=slots,
        gpus=gpus,
        facts=tuple(sorted(facts.items())),
        hired=hired,
    )
