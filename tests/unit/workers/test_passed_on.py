"""SIGUSR2: what somebody passes on is a notice, and never doubles the machine's own signal."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from storage_schema.clock import SystemClock
from workers.interruption import NOTICE, SIGNALS, Interruption


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    before = {number: signal.getsignal(number) for number in (*SIGNALS, NOTICE)}
    made = Interruption(SystemClock(), grace_s=30.0)
    made.install()
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("sent", "hurry"),
    [
        ((NOTICE,), False),
        ((NOTICE, NOTICE), False),
        ((NOTICE, signal.SIGTERM), False),
        ((signal.SIGTERM, NOTICE), False),
        ((NOTICE, signal.SIGTERM, signal.SIGTERM), True),
        ((signal.SIGTERM, NOTICE, signal.SIGTERM), True),
    ],
    ids=lambda value: "-".join(n.name for n in value) if isinstance(value, tuple) else str(value),
)
def test_a_notice_that_is_passed_on(
    interruption: Interruption, sent: tuple[signal.Signals, ...], hurry: bool
) -> None:
    for number in sent:
        os.kill(os.getpid(), number)
    assert interruption.count and interruption.hurry is hurry
    assert interruption.reason == sent[0].name
    assert interruption.deadline - interruption.since <= 30.0
