"""What `why` says: every decision about a trial with its reason, and what became of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from hpo_pipe.ranking import ranked, rung_figures
from hpo_pipe.report.evidence import Event, Evidence
from hpo_pipe.report.lineage import schedule_lines, schedule_of
from hpo_pipe.report.state import StudyState
from hpo_pipe.report.trials import trial_of
from hpo_pipe.report.words import configuration, counted, duration, number
from hpo_pipe.view import View
from storage_schema.codec import Json
from storage_schema.keys import parse_manifest_key
from storage_schema.records import Finish, Issue, Link, LinkKind, RetryTrial, SettledSpec, StopTrial
from storage_schema.trial_state import TrialState

TAIL_LINES = 20


def why_lines(state: StudyState, trial: TrialState, evidence: Evidence) -> list[str]:
    """Return the story of a trial, oldest first, then where it stands."""
    seen = trial_of(state, trial)
    value = f", {_values(seen.values)}" if seen.value is not None else ""
    lines = [
        f"trial {trial.number}: {seen.state}{value}{_at(state, seen.resource)}",
        f"  {configuration(seen.params)}",
        f"  proposed by {trial.origin}{_parentage(state, trial)}",
        *(f"  {line}" for line in schedule_lines(state.history, trial.number, seen.resource)),
        "",
    ]
    for event in evidence.events:
        lines += _event_lines(state, trial, event, evidence)
    return [*lines, "", f"now: {standing(state, trial)}"]


def _parentage(state: StudyState, trial: TrialState) -> str:
    if trial.parent is None:
        return ""
    return f", a clone of trial {trial.parent}{_at(state, trial.specs[0].issue.start)}"


def standing(state: StudyState, trial: TrialState) -> str:
    """Return where a trial stands now, and what it waits for."""
    history, word = state.history, state.state_of(trial)
    if word == "RUNNING":
        worker, held = state.running[trial.number]
        return f"running on {worker}{_at(state, held.resource)}, towards{_at(state, trial.last.issue.to, '')}"
    if word == "WAITING":
        return f"waiting for a worker to train it to{_at(state, trial.last.issue.to, '')}"
    if trial.stopped:
        return f"stopped: {trial.stopped}"
    if word == "FAILED":
        return f"failed; `hpo-pipe retry {state.url} {trial.number}` gives it another chance"
    rung = history.rungs[trial.rung]
    if trial.number not in rung or not math.isfinite(rung.loss(trial.number)):
        return f"{word.lower()}, without a value that could be ranked"
    view = None if state.study.plain else View.of(history)
    rank = rung.rank(trial.number) if view is None else ranked(view, trial.rung).rank(trial.number)
    text = f"{word.lower()}, rank {rank + 1} of {len(rung)}{_at(state, rung.level)}"
    if view is None:
        best = history.value(rung.ranking[0][0])
        text += f" ({number(history.value(rung.loss(trial.number)))}; the best is {number(best)})"
    else:
        text += f" ({rung_figures(view, trial.rung, trial.number)})"
    if word == "PAUSED":
        text += "; it goes on if its rank allows it once more results are in"
    return text


def _event_lines(state: StudyState, trial: TrialState, event: Event, evidence: Evidence) -> Iterator[str]:
    what, by = event.what, " (a user's)" if event.author == "user" else ""
    match what:
        case Issue():
            span = _span(state, what)
            yield f"entry {event.entry}  issue {event.spec}{by}: {span}"
            yield f"    because: {what.reason}"
            chain = evidence.chains.get(event.spec, ()) if event.spec else ()
            yield from (f"    {line}" for link in chain for line in _link_lines(state, link))
        case SettledSpec():
            yield f"entry {event.entry}  result {what.spec}: {_result(state, trial, what)}"
        case StopTrial():
            yield f"entry {event.entry}  stop{by}: {what.reason}"
        case RetryTrial():
            yield f"entry {event.entry}  retry{by}: {what.reason}"
        case Finish():
            yield f"entry {event.entry}  the study ends{by}: {what.reason}"
        case _:
            return


def _span(state: StudyState, issue: Issue) -> str:
    if state.study.resource is None:
        return "one run"
    goal = f"train {state.study.resource.name} {issue.start} to {issue.to} (rung {issue.rung}"
    if any(trial.bracket for trial in state.history.trials):
        goal += f", bracket {issue.bracket}"
    start = f" from checkpoint {issue.checkpoint.resource}" if issue.checkpoint else ""
    known = parse_manifest_key(issue.checkpoint.key) if issue.checkpoint else None
    if known is not None and known.trial != issue.trial:
        start += f" of trial {known.trial}"
    return f"{goal}){start}"


def _link_lines(state: StudyState, link: Link) -> Iterator[str]:
    place = _at(state, link.resource) if link.resource else ""
    match link.kind:
        case LinkKind.CLAIM:
            start = f" from its checkpoint{_at(state, link.checkpoint.resource)}" if link.checkpoint else ""
            yield f"attempt {link.id.link}: claimed by {link.author}{start}"
        case LinkKind.DONE:
            yield f"  done{place} after {duration(link.wall_s)}"
        case LinkKind.FAIL:
            left = (
                counted(link.retries_left, "retry", "retries") + " left"
                if link.retries_left
                else "no retry left"
            )
            yield f"  failed{place} after {duration(link.wall_s)}, {left}: {link.reason}"
            tail = link.tail.rstrip().splitlines()[-TAIL_LINES:]
            yield from (f"    | {line}" for line in tail)
        case LinkKind.RELEASE:
            yield f"  released{place} after {duration(link.wall_s)}: {link.reason}"
        case LinkKind.FENCE:
            yield f"  fenced by {link.author}: {link.reason}"
        case LinkKind.STOP:
            yield f"  stopped by {link.author}: {link.reason}"


def _result(state: StudyState, trial: TrialState, settled: SettledSpec) -> str:
    curve = settled.curves.get(state.study.objective.name, ())
    last = {m.name: settled.curves[m.name][-1][1] for m in state.study.metrics if settled.curves.get(m.name)}
    value = f", {_values(last)}" if curve else ", nothing reported"
    reason = f": {settled.reason}" if settled.reason else ""
    tries = counted(settled.attempts, "attempt")
    return f"{settled.outcome}{_at(state, settled.resource)}{value} ({tries}, {duration(settled.wall_s)}){reason}"


def _values(values: Mapping[str, float | None]) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in values.items() if value is not None)


def _at(state: StudyState, resource: int, at: str = " at") -> str:
    return f"{at} {state.study.resource.name} {resource}" if state.study.resource else ""


def why_json(state: StudyState, trial: TrialState, evidence: Evidence) -> dict[str, Json]:
    """Return the record of a trial as JSON."""
    seen = trial_of(state, trial)
    schedule = schedule_of(state.history, trial.number, seen.resource)
    return {
        "trial": seen.to_json(),
        **({"schedule": [stretch.to_json() for stretch in schedule]} if len(schedule) > 1 else {}),
        "now": standing(state, trial),
        "events": [_event_json(event) for event in evidence.events],
        "attempts": [_link_json(link) for chain in evidence.chains.values() for link in chain],
    }


def _event_json(event: Event) -> dict[str, Json]:
    value: dict[str, Json] = {"entry": event.entry, "author": event.author, "reason": event.what.reason}
    match event.what:
        case Issue() as issue:
            return value | {
                "kind": "issue",
                "spec": str(event.spec),
                "start": issue.start,
                "to": issue.to,
                "rung": issue.rung,
                "bracket": issue.bracket,
            }
        case SettledSpec() as settled:
            return value | {"kind": settled.outcome, "spec": str(settled.spec), "resource": settled.resource}
        case StopTrial():
            return value | {"kind": "stop"}
        case RetryTrial():
            return value | {"kind": "retry"}
        case _:
            return value | {"kind": "finish"}


def _link_json(link: Link) -> dict[str, Json]:
    return {
        "spec": str(link.id.spec),
        "link": link.id.link,
        "kind": str(link.kind),
        "author": link.author,
        "resource": link.resource,
        "wall_s": link.wall_s,
        "reason": link.reason,
        "tail": link.tail,
    }
