from __future__ import annotations

import pytest

from storage_schema.errors import UserError
from workers.slots import deal, visible_gpus

FOUR = ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("pool", "slots", "per_trial", "dealt"),
    [
        ((), None, None, ((),)),
        ((), 3, None, ((), (), ())),
        (FOUR, None, None, (("0",), ("1",), ("2",), ("3",))),
        (FOUR, 2, None, (("0", "1"), ("2", "3"))),
        (FOUR, None, 2, (("0", "1"), ("2", "3"))),
        (FOUR, 3, None, (("0",), ("1",), ("2",))),
        (FOUR, 2, 1, (("0",), ("1",))),
        (FOUR, 2, 0, ((), ())),
        (("0", "1"), 3, None, (("0",), ("1",), ("0",))),
        (("GPU-ab", "MIG-cd"), None, None, (("GPU-ab",), ("MIG-cd",))),
    ],
)
def test_gpus_are_dealt_out(
    pool: tuple[str, ...], slots: int | None, per_trial: int | None, dealt: tuple[tuple[str, ...], ...]
) -> None:
    assert deal(pool, slots, per_trial) == dealt


@pytest.mark.parametrize(("slots", "per_trial"), [(3, 2), (None, 5), (0, None), (1, -1)])
def test_what_cannot_be_dealt_is_refused(slots: int | None, per_trial: int | None) -> None:
    with pytest.raises(UserError):
        deal(FOUR, slots, per_trial)


@pytest.mark.parametrize(
    ("variable", "found"),
    [("0,2", ("0", "2")), ("", ()), ("-1", ()), ("NoDevFiles", ()), ("GPU-1, GPU-2", ("GPU-1", "GPU-2"))],
)
def test_cuda_visible_devices_is_the_pool(variable: str, found: tuple[str, ...]) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": variable}) == found
