"""Every attempt of a study, as its chains and its metric log record it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow.compute as pc

from hpo_pipe.report.evidence import READERS
from storage_schema.chain import read_chain
from storage_schema.errors import DamagedRecord
from storage_schema.history import History
from storage_schema.keys import SpecId, parse_segment_key, segment_prefix
from storage_schema.machine import MAX_COUNT, Machine, machine_of
from storage_schema.metric_log import read_segment
from storage_schema.records import Link, LinkKind
from storage_schema.store import Blob, Store

MAX_S = 10 * 365 * 86_400.0
"""No attempt takes longer: a clock that says so was wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One holder's try at a spec."""

    trial: int
    spec: SpecId
    number: int
    worker: str
    machine: Machine
    end: LinkKind | None
    """None while it runs, as far as the record goes."""
    start: int
    """Units of training behind the checkpoint that it began with; 0 without one."""
    reached: int
    """The greatest resource that it is known to have reported."""
    claimed_at: float
    """On the worker's clock."""
    seconds: float
    """How long it ran: of its last link; where another had to end it, up to the last report that it stored."""
    gpus: float = 0.0
    """GPUs that it had; 0 where that is not on record."""
    closed: bool = True
    """Its holder wrote its last link, and with it how long it took."""


def read_attempts(store: Store, history: History) -> dict[int, list[Attempt]]:
    """Return the attempts of each trial, in the order of its specs and their chains.

    Two requests for each attempt; for one that its holder did not close, a listing and one more.

    Raises:
        DamagedRecord, Contradiction: a chain that cannot be read.
    """
    specs = [(trial.number, spec.id) for trial in history.trials for spec in trial.specs]
    found: dict[int, list[Attempt]] = {trial.number: [] for trial in history.trials}
    with ThreadPoolExecutor(READERS) as pool:
        for (trial, _), attempts in zip(specs, pool.map(lambda s: _of_spec(store, *s), specs), strict=True):
            found[trial] += attempts
    return found


def _of_spec(store: Store, trial: int, spec: SpecId) -> list[Attempt]:
    chain = read_chain(store, spec)
    claims = [place for place, link in enumerate(chain) if link.kind is LinkKind.CLAIM]
    return [_attempt(store, trial, chain[place : place + 2]) for place in claims]


def _attempt(store: Store, trial: int, links: Sequence[Link]) -> Attempt:
    claim, end = links[0], links[1] if len(links) > 1 else None
    own = end is not None and end.author == claim.author
    if own and end is not None:
        seconds, reached = end.wall_s, end.resource
    else:
        seconds, reached = _last_report(store, claim)
    machine = machine_of(claim.machine)
    gpus = (machine.gpus or 0) / (machine.slots or 1)
    return Attempt(
        trial=trial,
        spec=claim.id.spec,
        number=claim.id.link,
        worker=claim.author,
        machine=machine,
        end=end.kind if end else None,
        start=claim.checkpoint.resource if claim.checkpoint else 0,
        reached=reached,
        claimed_at=claim.at,
        seconds=min(max(0.0, seconds), MAX_S),
        gpus=min(end.gpu_s / end.wall_s, MAX_COUNT) if own and end is not None and end.wall_s > 0 else gpus,
        closed=own,
    )


def _last_report(store: Store, claim: Link) -> tuple[float, int]:
    """Return the seconds from the claim to the last report that was stored, one clock's times, and its resource."""
    keys = [stat.key for stat in store.list(segment_prefix(claim.id.spec, claim.id.link))]
    newest = next((key for key in reversed(keys) if parse_segment_key(key)), None)
    found = store.get(newest) if newest else None
    if not newest or not isinstance(found, Blob):
        return 0.0, 0
    try:
        table = read_segment(found.data, newest)
    except DamagedRecord:
        return 0.0, 0  # no link names it: not part of the record
    last, reached = pc.max(table["at"]).as_py(), pc.max(table["resource"]).as_py()
    return (last - claim.at, reached) if last is not None and reached is not None else (0.0, 0)
