"""What `status` says: where a study stands, as lines of text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass

from hpo_pipe.ranking import best_loss
from hpo_pipe.report.front import front_line, front_of, without_best
from hpo_pipe.report.limits import limit_uses, uncounted
from hpo_pipe.report.state import StudyState
from hpo_pipe.report.trials import Trial, best_of, own_best
from hpo_pipe.report.words import configuration, counted, duration, number
from storage_schema.codec import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class RungLine:
    """One rung of the ladder."""

    level: int
    open: int
    """Specs that are waiting or running towards it."""
    measured: int
    promoted: int
    best: float | None


def rung_lines(state: StudyState) -> list[RungLine]:
    """Return the rungs, lowest first."""
    coming: dict[int, int] = {}
    for spec in state.history.open.values():
        coming[spec.issue.rung] = coming.get(spec.issue.rung, 0) + 1
    lines = []
    for place, rung in enumerate(state.history.rungs):
        best = best_loss(state.history, place)
        lines.append(
            RungLine(
                level=rung.level,
                open=coming.get(place, 0),
                measured=len(rung),
                promoted=len(rung.promoted),
                best=None if best == float("inf") else state.history.value(best),
            )
        )
    return lines


def status_lines(state: StudyState) -> list[str]:
    """Return the state of a study as ``word  text`` lines."""
    return [f"{word:<10}{text}".rstrip() for word, text in _status_pairs(state)]


def _status_pairs(state: StudyState) -> list[tuple[str, str]]:
    history = state.history
    pairs = [
        ("study", state.study.name),
        ("url", state.url),
        ("state", condition_line(state)),
        (
            "log",
            f"entry {history.head} is the newest"
            if history.head >= 0
            else "empty: no coordinator has run yet",
        ),
        ("trials", counts_line(state)),
    ]
    pairs += _warm_start_pairs(state)
    if history.queue:
        pairs.append(("enqueued", f"{counted(len(history.queue), 'configuration')} waiting to be tried"))
    pairs += best_pairs(state)
    pairs += failure_pairs(state)
    pairs += [("rung" if i == 0 else "", line) for i, line in enumerate(_rung_texts(state))]
    pairs += _worker_pairs(state)
    gpu = f"; {number(round(history.gpu_s / 3600, 3))} GPU hours" if history.gpu_s else ""
    pairs.append(
        ("time", f"{duration(state.elapsed_s)} elapsed; {duration(history.wall_s)} of training{gpu}")
    )
    pairs += [("limit", f"{use.name} {use.text}") for use in limit_uses(state)]
    if note := uncounted(state):
        pairs.append(("note", note))
    if history.limits.target is not None:
        pairs.append(("limit", f"target {number(history.limits.target)} of {state.study.objective.name}"))
    if history.limits.convergence is not None:
        pairs.append(("limit", f"convergence to {number(history.limits.convergence)}"))
    return pairs


def _warm_start_pairs(state: StudyState) -> list[tuple[str, str]]:
    warm = state.study.warm_start
    if warm is None:
        return []
    told = (f"{counted(len(source.results), 'result')} of {source.url}" for source in warm.sources)
    return [("sources" if place == 0 else "", f"{warm.mode}: {text}") for place, text in enumerate(told)]


def condition_line(state: StudyState) -> str:
    """Return the study's state with its reason and what could be done about it."""
    history = state.history
    if history.finished is not None:
        rest = f"; {counted(len(history.open), 'spec')} still to be stopped" if history.open else ""
        return f"{state.condition}: {history.finished}{rest}"
    if history.paused:
        return "paused: nothing new is issued or claimed (hpo-pipe resume goes on)"
    if not state.live("worker"):
        return "running, but no worker is alive (hpo-pipe worker starts one)"
    return "running"


def counts_line(state: StudyState) -> str:
    """Return ``20: 2 RUNNING, 5 PAUSED, ...``."""
    parts = [f"{count} {name}" for name, count in state.counts().items() if count]
    total = len(state.history.trials)
    return f"{total}: {', '.join(parts)}" if parts else "none yet"


def best_pairs(state: StudyState) -> list[tuple[str, str]]:
    """Return the lines about the incumbent, and about a better value that was seen on the way."""
    best, seen = best_of(state), state.history.best_seen
    if best is None:
        return [("best", without_best(state))] if seen is None else _seen_pair(state)
    pairs = [("best", best_line(state, best)), ("", configuration(best.params))]
    if best.study:
        own = own_best(state)
        return [*pairs, ("best here", "nothing yet" if own is None else best_line(state, own))]
    if len(state.study.objectives) > 1:
        return [*pairs, ("front", front_line(state, front_of(state)))]
    value = None if seen is None else state.history.value(seen.loss)
    if value != best.value:
        pairs += _seen_pair(state)
    return pairs


def failure_pairs(state: StudyState) -> list[tuple[str, str]]:
    """Return a line about the newest trial that failed, if one did."""
    failed = next((t for t in reversed(state.history.trials) if t.failed), None)
    if failed is None or failed.last.settled is None:
        return []
    reason = next(iter(failed.last.settled.reason.splitlines()), "")
    return [("failed", f"trial {failed.number}: {reason} (hpo-pipe why {state.url} {failed.number})")]


def best_line(state: StudyState, best: Trial) -> str:
    """Return ``trial 7: val_loss 0.31 at epoch 27``, with what else is an objective or has bounds."""
    study = state.study
    told = [m.name for m in study.metrics if m in study.objectives or m.bounded]
    values = ", ".join(f"{name} {number(best.values[name])}" for name in told)
    whose = f" of study {best.study}" if best.study else ""
    return f"trial {best.number}{whose}: {values}{_at(state, best.resource)}"


def _seen_pair(state: StudyState) -> list[tuple[str, str]]:
    seen = state.history.best_seen
    if seen is None:
        return []
    value = number(state.history.value(seen.loss))
    return [("best seen", f"trial {seen.trial}: {value}{_at(state, seen.resource)}")]


def _at(state: StudyState, resource: int) -> str:
    return f" at {state.study.resource.name} {resource}" if state.study.resource else ""


def _rung_texts(state: StudyState) -> list[str]:
    if state.study.resource is None:
        return []
    width = len(str(state.study.resource.max))
    return [
        f"{state.study.resource.name} {line.level:>{width}}: {line.measured} measured, {line.promoted} promoted, "
        f"{line.open} open, best {number(line.best)}"
        for line in rung_lines(state)
    ]


def _worker_pairs(state: StudyState) -> list[tuple[str, str]]:
    workers, coordinators = state.live("worker"), state.live("coordinator")
    slots = sum(p.heartbeat.slots for p in workers)
    busy = sum(len(p.heartbeat.holding) for p in workers)
    text = f"{len(workers)} alive, {busy} of {counted(slots, 'slot')} busy" if workers else "none alive"
    pairs = [("workers", f"{text}; {counted(len(coordinators), 'coordinator')}")]
    for p in workers[:20]:
        trials = ", ".join(f"trial {h.trial}" for h in p.heartbeat.holding) or "idle"
        pairs.append(("", f"{p.heartbeat.worker}: {trials} (seen {duration(p.age_s)} ago)"))
    if len(workers) > 20:
        pairs.append(("", f"and {len(workers) - 20} more"))
    return pairs


def status_json(state: StudyState) -> dict[str, Json]:
    """Return the state of a study as JSON."""
    history, best = state.history, best_of(state)
    return {
        "name": state.study.name,
        "url": state.url,
        "state": state.condition,
        "reason": history.finished,
        "head": history.head,
        "trials": len(history.trials),
        "counts": state.counts(),
        "enqueued": len(history.queue),
        "objective": {"name": state.study.objective.name, "goal": state.study.objective.goal},
        "best": best.to_json() if best else None,
        **(front_of(state).to_json() if len(state.study.objectives) > 1 else {}),
        "best_seen": _seen_json(state),
        **({"warm_start": _warm_start_json(state)} if state.study.warm_start else {}),
        "rungs": [_rung_json(line) for line in rung_lines(state)] if state.study.resource else [],
        "workers": _presence_json(state, "worker"),
        "coordinators": _presence_json(state, "coordinator"),
        "elapsed_s": round(state.elapsed_s, 3),
        "training_s": history.wall_s,
        "gpu_hours": history.gpu_s / 3600,
        "cost": round(history.spent, 6),
        "unpriced_attempts": history.unpriced,
        "limits": history.limits.to_json(),
        "used": {use.name: use.used for use in limit_uses(state)},
    }


def _warm_start_json(state: StudyState) -> Json:
    warm = state.study.warm_start
    sources = warm.sources if warm else ()
    studies = [{"url": s.url, "name": s.name, "head": s.head, "results": len(s.results)} for s in sources]
    return {"mode": warm.mode if warm else "", "studies": studies}


def _seen_json(state: StudyState) -> Json:
    seen = state.history.best_seen
    if seen is None:
        return None
    return {"trial": seen.trial, "resource": seen.resource, "value": state.history.value(seen.loss)}


def _rung_json(line: RungLine) -> Json:
    return {
        "level": line.level,
        "open": line.open,
        "measured": line.measured,
        "promoted": line.promoted,
        "best": line.best,
    }


def _presence_json(state: StudyState, role: str) -> list[Json]:
    return [
        {
            "worker": p.heartbeat.worker,
            "host": p.heartbeat.host,
            "pid": p.heartbeat.pid,
            "slots": p.heartbeat.slots,
            "gpus": p.heartbeat.gpus,
            "age_s": round(p.age_s, 3),
            "holding": [
                {"trial": h.trial, "spec": str(h.spec), "resource": h.resource, "value": h.value}
                for h in p.heartbeat.holding
            ],
        }
        for p in state.live(role)
    ]
