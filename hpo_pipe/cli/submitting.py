"""What ``hpo-pipe submit TARGET URL`` does, on any target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpo_pipe.cli.failures import CONFIGURATION, FAILURE, INTERRUPTED, complain
from hpo_pipe.cli.output import print_json, print_lines, say
from hpo_pipe.cli.submit_options import JSON, plan_of, with_prices
from hpo_pipe.cli.target_command import check_worker_options
from hpo_pipe.launch.instance_types import notes_on
from hpo_pipe.launch.order import Offer, Order, Plan
from hpo_pipe.launch.target import ApiCall, Call, CommandCall, Target
from storage_schema.codec import Json
from storage_schema.errors import UserError

if TYPE_CHECKING:
    from hpo_pipe.launch.desk import Desk, Placed
    from storage_schema.store import Store

POLL_S = 5.0
"""Between two looks of ``--wait``."""


def submit_to(target: Target, url: str, given: Mapping[str, Any], arguments: tuple[str, ...]) -> int:
    """Start workers, or with ``--dry-run`` say how; return the exit code."""
    from hpo_pipe.launch.opening import open_desk
    from storage_schema.store import open_store

    store = open_store(url)
    plan = plan_of(given, store, arguments)
    own = {option.name: given[option.name] for option in target.options if option.name}
    archive = _packed(given)
    if archive is not None:
        plan = replace(plan, code=archive.sha256)
    settings = target.settings(own, plan)
    plan = with_prices(plan, target, settings, given)
    _check_budget(store, target, plan, settings, given)
    orders = _orders(target, plan, settings, given["workers"])
    check_worker_options(orders[0])
    calls, *_ = [target.calls(order) for order in orders]  # a request that cannot be taken is refused here
    for line in notes_on(target.name, (t for o in orders for t in o.offer.instance_type.split(","))):
        say(line)
    if given["dry_run"]:
        _show(calls, as_json=given["output"] == JSON)
        return 0
    if archive is not None:
        _upload(store, archive)
    if given["max_cost"] is not None:
        _limit_cost(store, given["max_cost"])
    desk = open_desk(store, say)
    desk.submissions.refresh()
    placed = desk.place(target, plan, settings, given["workers"], insist=True)
    return _told(desk, target, placed, given)


def _orders(target: Target, plan: Plan, settings: Mapping[str, Json], workers: int) -> list[Order]:
    """Return what may be asked for, one order for each offer: all of the first, and of the others a sample."""
    return [
        Order(
            number=1,
            target=target.name,
            workers=1 if place else max(1, workers),
            offer=offer,
            plan=plan,
            settings=settings,
        )
        for place, offer in enumerate(target.offers(settings, plan) or (Offer(),))
    ]


def _packed(given: Mapping[str, Any]) -> Any:
    if given.get("code") is None:
        return None
    from hpo_pipe.launch.code import pack

    archive = pack(given["code"])
    for warning in archive.warnings:
        say(f"note: {warning}")
    return archive


def _upload(store: Store, archive: Any) -> None:
    from hpo_pipe.launch.code import upload

    sent = upload(store, archive)
    files = f"{archive.files} file{'' if archive.files == 1 else 's'}"
    size = (
        f"{files}, {len(archive.data) / 1e6:.1f} MB"
        if len(archive.data) >= 1e5
        else f"{files}, {len(archive.data) / 1e3:.1f} kB"
    )
    say(f"code {archive.sha256[:12]}: {size}, {'uploaded' if sent else 'there already'}")


def _check_budget(store: Store, target: Target, plan: Plan, settings: Mapping[str, Json], given: Any) -> None:
    """Refuse workers without a price for a study with a budget: they would end at once (PROTOCOL.md, 5.3, step 8)."""
    from hpo_pipe.study import OpenStudy

    budget = given["max_cost"]
    if budget is None:
        budget = OpenStudy(store).look().history.limits.cost
    if budget is None or "--price-per-hour" in {text.partition("=")[0] for text in plan.arguments}:
        return
    known = {(price.instance_type, price.lifecycle) for price in plan.prices}
    for offer in target.offers(settings, plan):
        if not {(kind, offer.lifecycle) for kind in offer.instance_type.split(",")} <= known:
            raise UserError(
                f"the study has a budget of ${budget:g}, and what {str(offer) or 'a machine'} costs is not known, so "
                "its workers could take nothing: give --price-per-hour, or --prices with a file or aws"
            )


def _limit_cost(store: Store, dollars: float) -> None:
    from hpo_pipe.study import OpenStudy

    OpenStudy(store).set_limits(
        lambda now: now if now.cost is not None and now.cost <= dollars else replace(now, cost=dollars),
        reason="submit --max-cost",
    )


def _show(calls: tuple[Call, ...], *, as_json: bool) -> None:
    if as_json:
        print_json([call.to_json() for call in calls])
        return
    for call in calls:
        print_lines([call.text()])
        match call:
            case ApiCall():
                print_json(dict(call.parameters))
            case CommandCall(stdin=text) if text:
                print_lines(text.splitlines())


def _told(desk: Desk, target: Target, placed: Placed, given: Mapping[str, Any]) -> int:
    wanted = given["workers"]
    if given["output"] == JSON:
        print_json(placed_json(placed))
    else:
        print_lines([job for known in placed.submissions for job in known.jobs])
    for offer, refusal, message in placed.refusals:
        say(f"{target.name}{f' ({offer})' if str(offer) else ''}: {refusal}: {message}")
    if placed.unknown:
        say(f"note: it is not known whether {target.name} started them: {placed.unknown}")
    url = placed.submissions[0].order.plan.url
    numbers = ", ".join(str(known.number) for known in placed.submissions)
    if wanted:
        say(f"submission {numbers}: {placed.workers} of {wanted} workers; hpo-pipe submit status {url}")
    else:
        say(
            f"submission {numbers} is recorded; hpo-pipe submit reconcile {url} --max-workers N starts workers"
        )
    hopeless = placed.hopeless
    if hopeless is not None and not placed.workers:
        complain(f"{target.name} refused, and would again: {hopeless[2]}")
        return CONFIGURATION
    if wanted and not placed.workers:
        say(f"try again later, or have it tried: hpo-pipe submit reconcile {url} --max-workers {wanted}")
        return INTERRUPTED
    if given["wait"]:
        return _wait(desk, target, placed, url)
    return 0


def _wait(desk: Desk, target: Target, placed: Placed, url: str) -> int:
    """Look until all jobs have ended; return the exit code: a failure where every single one failed."""
    try:
        _follow(desk, target, placed)
    except KeyboardInterrupt:
        say("\nwhat was started goes on; to look, and to end it:")
        say(f"  hpo-pipe submit status {url}\n  hpo-pipe submit cancel {url} --all")
        raise
    ended = [known for known in placed.submissions if known.workers]
    if not ended or any(known.failed_after_s is None for known in ended):
        return 0
    for known in ended:
        told = known.refusal.message if known.refusal else ""
        complain(f"submission {known.number}: {told}; hpo-pipe submit logs {url} {known.number}")
    return FAILURE


def _follow(desk: Desk, target: Target, placed: Placed) -> None:
    from hpo_pipe.launch.target import TargetUnavailable
    from storage_schema.clock import SystemClock

    clock, left = SystemClock(), [known for known in placed.submissions if not known.over]
    said = ""
    while left:
        try:
            looks = [desk.look(target, known) for known in left]
            now = "; ".join(
                f"submission {known.number}: "
                + ", ".join(f"{count} {state}" for state, count in look.counts.items() if count)
                for known, look in zip(left, looks, strict=True)
            )
        except TargetUnavailable as error:
            now = f"waiting: {error}"
        if now != said:
            say(now)
            said = now
        left = [known for known in left if not known.over]
        if left:
            clock.sleep(POLL_S)


def placed_json(placed: Placed) -> dict[str, Json]:
    """Return what became of a wish, for programs."""
    return {
        "workers": placed.workers,
        "submissions": [
            {
                "number": known.number,
                "instance_type": known.order.offer.instance_type,
                "lifecycle": known.order.offer.lifecycle,
                "workers": known.workers,
                "jobs": list(known.jobs),
            }
            for known in placed.submissions
        ],
        "refusals": [
            {"instance_type": o.instance_type, "lifecycle": o.lifecycle, "refusal": str(r), "message": m}
            for o, r, m in placed.refusals
        ],
        "unknown": placed.unknown,
    }
