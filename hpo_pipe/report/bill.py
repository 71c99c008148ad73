"""What `cost` says: a study's cost as lines of text and as JSON. What is not known is called so."""

from __future__ import annotations

from hpo_pipe.report.cost import HOUR_S, Cost, Money, Work
from hpo_pipe.report.ledger import FATES
from hpo_pipe.report.state import StudyState
from hpo_pipe.report.words import counted, duration, number, percent
from storage_schema.codec import Json
from storage_schema.machine import SPOT

MAX_REASONS = 10
MEANINGS = {
    "useful": "its result or checkpoint is on record",
    "repeated": "trained again after an attempt died, failed or was given back",
    "lost": "of trials whose last piece ended without a result",
    "open": "of pieces that run or wait",
}


def bill_lines(state: StudyState, cost: Cost) -> list[str]:
    """Return a study's cost as text, one line each."""
    pairs = [("spent", _spent(cost))]
    pairs += [(fate, _work(cost, fate)) for fate in FATES if fate != "open" or cost.work[fate].seconds]
    pairs.append(("idle", _idle(cost)))
    pairs.append(("GPU hours", number(round(cost.total.gpu_s / HOUR_S, 3))))
    pairs.append(("per trial", f"{dollars(cost.per_trial)} ({counted(len(cost.trials), 'trial')})"))
    if cost.best is not None:
        own = cost.trials[cost.best]
        pairs.append(("best", f"{dollars(own.money.value)}, {duration(own.seconds)}: trial {cost.best}"))
    pairs.append(("spot saved", _saved(cost)))
    pairs.append(("requests", _requests(cost)))
    pairs += [("note", note) for note in notes(cost)]
    width = max(len(name) for name, _ in pairs)
    return [f"{name:<{width}}  {text}" for name, text in pairs]


def notes(cost: Cost) -> list[str]:
    """Return what a reader must know about what is not counted, and what would tell more."""
    found = []
    unpriced = sum(host.rate.paid is None for host in cost.hosts)
    if unpriced:
        found.append(
            f"{unpriced} of {counted(len(cost.hosts), 'machine')} without a price: --price-per-hour or --prices "
            f"({', '.join(_unpriced(cost)) or 'they did not say what they are'})"
        )
    found += sorted({host.rate.note for host in cost.hosts if host.rate.note})[:MAX_REASONS]
    mute = sum(host.alive_s is None for host in cost.hosts)
    if mute:
        found.append(f"{counted(mute, 'worker')} did not say when they started and with how many slots")
    if cost.untimed:
        found.append(f"{counted(cost.untimed, 'attempt')} died before a first report was stored: not counted")
    return found


def dollars(amount: float | None) -> str:
    """Return an amount of money, or ``unknown``: cents, and below a dollar four digits."""
    if amount is None:
        return "unknown"
    return f"${amount:,.2f}" if abs(amount) >= 1 or not amount else f"${amount:.4f}"


def _spent(cost: Cost) -> str:
    machines = counted(len(cost.hosts), "machine")
    alive = [host.alive_s for host in cost.hosts]
    known = [seconds for seconds in alive if seconds is not None]
    text = f"{_money(cost.spent)}, {machines}"
    return f"{text}, {duration(sum(known))}" if len(known) == len(alive) else text


def _money(money: Money) -> str:
    if money.value is None and money.known > 0:
        return f"unknown (at least {dollars(money.known)})"
    return dollars(money.value)


def _work(cost: Cost, fate: str) -> str:
    work, total = cost.work[fate], cost.total
    share = f" ({percent(work.seconds, total.seconds)})" if total.seconds else ""
    return f"{_money(work.money)}, {duration(work.seconds)} of training{share}: {MEANINGS[fate]}"


def _idle(cost: Cost) -> str:
    if cost.idle_s is None:
        return "unknown"
    return f"{_money(cost.idle)}, {duration(cost.idle_s)} of slots without a trial"


def _saved(cost: Cost) -> str:
    spot = sum(host.machine.lifecycle == SPOT for host in cost.hosts)
    if not spot:
        return f"{dollars(0.0)}: no spot machine"
    if cost.saved.value is None:
        return "unknown: both prices of a machine are needed"
    return f"{dollars(cost.saved.value)} against on-demand machines, {counted(spot, 'spot machine')}"


def _requests(cost: Cost) -> str:
    if cost.requests is None:
        return f"{dollars(0.0)}: a folder takes none"
    count = cost.requests.put + cost.requests.list + cost.requests.get
    return f"about {dollars(cost.requests.dollars)} for about {count:,.0f}: an estimate at S3's list prices"


def _unpriced(cost: Cost) -> list[str]:
    """Return the machines without a price as a price file would name them, at most ten."""
    machines = [host.machine for host in cost.hosts if host.rate.paid is None and host.machine.instance_type]
    names = {" ".join(filter(None, (m.instance_type, m.region, m.lifecycle))) for m in machines}
    return sorted(names)[:10]


def bill_json(state: StudyState, cost: Cost) -> dict[str, Json]:
    """Return a study's cost as JSON: dollars and seconds, null where unknown."""
    requests = cost.requests
    return {
        "url": state.url,
        "state": state.condition,
        "spent": cost.spent.value,
        "spent_at_least": cost.spent.known,
        "training": {fate: _work_json(cost.work[fate]) for fate in FATES} | {"total": _work_json(cost.total)},
        "idle": {"slot_s": cost.idle_s, "cost": cost.idle.value},
        "gpu_hours": cost.total.gpu_s / HOUR_S,
        "per_trial": cost.per_trial,
        "best": None if cost.best is None else {"trial": cost.best, **_work_json(cost.trials[cost.best])},
        "spot_saved": cost.saved.value,
        "requests": None
        if requests is None
        else {"put": requests.put, "list": requests.list, "get": requests.get, "cost": requests.dollars},
        "trials": [{"trial": number, **_work_json(work)} for number, work in cost.trials.items()],
        "machines": [
            {
                "provider": host.machine.provider,
                "instance_type": host.machine.instance_type,
                "region": host.machine.region,
                "lifecycle": host.machine.lifecycle,
                "slots": host.slots,
                "gpus": host.machine.gpus,
                "alive_s": host.alive_s,
                "training_s": host.busy_s,
                "price_per_hour": host.rate.paid,
                "on_demand_per_hour": host.rate.on_demand,
            }
            for host in cost.hosts
        ],
        "notes": [*notes(cost)],
    }


def _work_json(work: Work) -> dict[str, Json]:
    return {"seconds": work.seconds, "gpu_hours": work.gpu_s / HOUR_S, "cost": work.money.value}
