"""What this machine may cost: for how long an amount of dollars lasts, and who may work for a study with a budget."""

from __future__ import annotations

from storage_schema.errors import UserError
from storage_schema.machine import MachineFacts, machine_of

MAX_COST = "--max-cost"
"""Why a worker ends whose amount is spent. Nobody is to start it again: its exit status is 0."""


class PriceWanted(UserError):
    """Nothing says what this machine costs, and it must be known: this worker must not work."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why}, and nothing says what this machine costs: --price-per-hour DOLLARS, or "
            "HPO_PIPE_PRICE_PER_HOUR; 0 where it costs nothing"
        )


def priced(facts: MachineFacts) -> bool:
    """Tell whether it is known what this machine costs."""
    return machine_of(facts).price_per_hour is not None


def lasts_s(max_cost: float | None, facts: MachineFacts) -> float | None:
    """Return for how many seconds of this machine `max_cost`, dollars, is enough; None: for ever.

    Raises:
        PriceWanted: its price is not known.
    """
    if max_cost is None:
        return None
    price = machine_of(facts).price_per_hour
    if price is None:
        raise PriceWanted(f"{MAX_COST} {max_cost:g}")
    return max_cost / price * 3600 if price else None
