"""`hpo-pipe doctor URL`: try a store before a study trusts it, and say what a study would cost there."""

from __future__ import annotations

from dataclasses import dataclass

from hpo_pipe.request_cost import Workload, estimate, idle_day
from storage_schema.errors import AccessDenied, StoreUnavailable
from storage_schema.store import open_store
from storage_schema.store.check import Verdict
from storage_schema.store.proof import ROUNDS, Latency, Proof, prove

_EXAMPLES = (
    Workload(trials=100, workers=4, hours=5),
    Workload(trials=1_000, workers=16, hours=24),
    Workload(trials=10_000, workers=100, hours=48),
)
_MARKS = {Verdict.OK: "ok", Verdict.WARNING: "warning", Verdict.REFUSED: "REFUSED"}

_RIGHTS = (
    "doctor writes, lists and deletes below proof/: it needs the rights of whoever creates the study "
    "(hpo-pipe submit policy URL --role submitter)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `doctor` found out."""

    url: str
    proof: Proof | None
    """None where the store could not be tried."""
    unavailable: str = ""
    """Why it could not."""
    denied: bool = False
    """It answered, and did not let us in."""

    @property
    def ok(self) -> bool:
        """Tell whether a study may use the store."""
        return self.proof is not None and self.proof.ok


def examine(url: str, rounds: int = ROUNDS) -> Report:
    """Try every rule that is asked of a store; writes and deletes below ``proof/`` only.

    Raises:
        UserError: the URL is wrong, or its bucket does not exist.
    """
    store = open_store(url)
    try:
        return Report(url=store.url, proof=prove(store, rounds))
    except StoreUnavailable as error:
        denied = isinstance(error, AccessDenied)
        return Report(url=store.url, proof=None, unavailable=str(error), denied=denied)


def render(report: Report) -> list[str]:
    """Return `report` as lines of text."""
    if report.proof is None:
        lines = [report.url, "", f"The store could not be tried: {report.unavailable}"]
        return [*lines, _RIGHTS] if report.denied else lines
    lines = [report.url, "", *_checks(report.proof), "", *_latencies(report.proof.latency_ms)]
    if report.url.startswith("s3://"):
        lines += ["", *_costs()]
    return [*lines, "", _conclusion(report.proof)]


def _checks(proof: Proof) -> list[str]:
    width = max(len(check.name) for check in proof.checks)
    return [f"  {check.name:<{width}}  {_MARKS[check.verdict]:<7}  {check.detail}" for check in proof.checks]


def _latencies(latencies: dict[str, Latency]) -> list[str]:
    width = max(len(verb) for verb in latencies)
    lines = [f"  {'verb':<{width}}  {'median':>9}  {'p95':>9}"]
    for verb, latency in latencies.items():
        lines.append(f"  {verb:<{width}}  {latency.median:>6.2f} ms  {latency.p95:>6.2f} ms")
    return lines


def _costs() -> list[str]:
    lines = ["  Requests of a study on S3, estimated, at list prices (flush 60 s, tick 10 s):"]
    for work in _EXAMPLES:
        need = estimate(work)
        label = f"{work.trials:,} trials, {work.workers} workers, {work.hours:g} h"
        counts = f"{need.put:>9,.0f} PUT  {need.list:>7,.0f} LIST  {need.get:>9,.0f} GET"
        lines.append(f"  {label:<34}  {counts}  {need.dollars:>7.2f} $")
    lines.append(f"  A coordinator that waits costs {idle_day().dollars:.2f} $ a day.")
    return lines


def _conclusion(proof: Proof) -> str:
    if not proof.ok:
        return "This store cannot hold a study: it breaks a rule that safety rests on."
    warnings = sum(check.verdict is Verdict.WARNING for check in proof.checks)
    if not warnings:
        return "This store can hold a study."
    return f"This store can hold a study; {warnings} warning{'s' if warnings > 1 else ''} above."
