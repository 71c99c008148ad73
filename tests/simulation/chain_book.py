"""The auditor's book of the chains: every link checked as it lands, in the right of its author."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from storage_schema.keys import (
    LinkId,
    SpecId,
    manifest_key,
    parse_manifest_key,
    parse_segment_key,
)
from storage_schema.records import CheckpointRef, Issue, Link, LinkKind, SegmentRef, Study, may_follow
from storage_schema.trial_env import TrialFile
from tests.simulation.data_book import DataBook

if TYPE_CHECKING:
    from tests.simulation.log_book import LogBook
    from tests.simulation.processes import Actor

RACED = 12
"""So many claims may race the stop that gives a spec up: one for each slot there is."""


class ChainBook:
    """All chains as they landed."""

    def __init__(self, study: Study, log: LogBook, data: DataBook, fail: Callable[[str], None]) -> None:
        self._study = study
        self._log = log
        self._data = data
        self._fail = fail
        self._links: dict[SpecId, list[Link]] = {}
        self._holders: dict[LinkId, Actor] = {}
        self.loose = False
        """Whether listings may hide what is there: then a checkpoint may be passed over, and deleted."""

    # what is there

    def links(self, spec: SpecId) -> list[Link]:
        """Return the chain of a spec."""
        return self._links.get(spec, [])

    def issue(self, spec: SpecId) -> Issue | None:
        """Return the issue of a spec, or None where the log never issued it."""
        state = self._log.history.specs.get(spec)
        return state.issue if state else None

    def holder(self, attempt: LinkId) -> Actor | None:
        """Return the process that won an attempt."""
        return self._holders.get(attempt)

    def author(self, attempt: LinkId) -> str:
        """Return the worker that won an attempt."""
        links = self.links(attempt.spec)
        claim = links[attempt.link - 1] if attempt.link <= len(links) else None
        return claim.author if claim and claim.kind is LinkKind.CLAIM else ""

    def holding(self) -> int:
        """Return how many workers hold specs."""
        last = (links[-1] for links in self._links.values() if links)
        return len({link.author for link in last if link.kind is LinkKind.CLAIM})

    # what lands

    def landed(self, id: LinkId, data: bytes, actor: Actor) -> Link | None:
        """Check the link that has landed, and return it."""
        link = Link.from_bytes(data, id)
        links, issue = self._links.setdefault(id.spec, []), self.issue(id.spec)
        last = links[-1] if links else None
        if issue is None:
            self._fail(f"{link.key}: spec {id.spec} was never issued")
            return None
        if id.link != len(links) + 1:
            self._fail(f"{link.key} landed, and the next link is {len(links) + 1}")
            return None
        if not may_follow(link.kind, last):
            self._fail(f"{link.key}: {link.kind} after {last and last.kind}")
        if link.to_bytes() != data:
            self._fail(f"{link.key} is not canonical")
        links.append(link)
        match link.kind:
            case LinkKind.CLAIM:
                self._holders[id] = actor
                self._check_claim(link, last, issue)
            case LinkKind.DONE | LinkKind.FAIL | LinkKind.RELEASE:
                self._check_close(link, last, issue, actor)
            case LinkKind.STOP:
                self._check_stop(link, issue)
        if link.kind in (LinkKind.FENCE, LinkKind.STOP) and not link.author.startswith("c-"):
            self._fail(f"{link.key}: {link.kind} by {link.author}, which is no coordinator")
        if link.kind is not LinkKind.FAIL and link.failures != (last.failures if last else 0):
            self._fail(f"{link.key} counts {link.failures} failures")
        return link

    def _check_claim(self, link: Link, last: Link | None, issue: Issue) -> None:
        if not link.author.startswith("w-"):
            self._fail(f"{link.key}: a claim by {link.author}, which is no worker")
        claims = sum(known.kind is LinkKind.CLAIM for known in self.links(link.id.spec))
        if claims > self._study.max_attempts + RACED:
            self._fail(f"{link.key}: claim {claims}, and a spec has {self._study.max_attempts}")
        ref = link.checkpoint
        if ref is None or ref == issue.checkpoint:
            return
        id = parse_manifest_key(ref.key)
        if id is None or id.spec != link.id.spec or ref.key not in self._data.manifests:
            self._fail(f"{link.key} starts from {ref.key}, which is neither its spec's nor its issue's")

    def _check_close(self, link: Link, last: Link | None, issue: Issue, actor: Actor) -> None:
        assert last is not None
        if link.author != last.author or self._holders.get(last.id) is not actor:
            self._fail(f"{link.key}: {link.kind} by {link.author} closes the attempt of {last.author}")
        if link.kind is LinkKind.RELEASE:
            if link.segments or link.checkpoint:
                self._fail(f"{link.key}: a release names data")
            return
        if link.kind is LinkKind.FAIL:
            left = max(0, self._study.retries + 1 - link.failures)
            if link.failures != last.failures + 1 or link.retries_left not in (0, left):
                self._fail(f"{link.key}: failure {link.failures}, {link.retries_left} retries left")
            if link.failures > self._study.retries + 1:
                self._fail(f"{link.key}: failure {link.failures} of {self._study.retries + 1}")
        self._check_data(link, last)
        if link.kind is LinkKind.DONE:
            points = self._data.points(link.segments, issue.start)
            if not points.get(self._study.objective.name):
                self._fail(f"{link.key} is done, and its segments do not hold the objective")

    def _check_data(self, link: Link, claim: Link) -> None:
        for ref in link.segments:
            if not self._data.there(ref):
                self._fail(f"{link.key} names {ref.key}, which is not there")
        own = [ref for ref in link.segments if _attempt(ref) == claim.id]
        inherited = tuple(ref for ref in link.segments if _attempt(ref) != claim.id)
        if link.segments != (*inherited, *own) or any(ref.until is not None for ref in own):
            self._fail(f"{link.key} names its segments in a wrong way: {link.segments}")
        if inherited and inherited not in self._inheritable(claim):
            self._fail(f"{link.key} names segments that no manifest of its spec hands on: {inherited}")
        if link.checkpoint is not None:
            id = parse_manifest_key(link.checkpoint.key)
            if id is None or id.spec != claim.id.spec or id.attempt > claim.id.link:
                self._fail(f"{link.key} names a checkpoint of another spec: {link.checkpoint.key}")
            elif not self._data.whole(link.checkpoint):
                self.missing(link.checkpoint, f"{link.key} names it")

    def _inheritable(self, claim: Link) -> list[tuple[SegmentRef, ...]]:
        """Return what an attempt may have inherited: of the manifest that its claim names, or one to fall back on."""
        found = []
        for id, manifest in self._data.manifests.values():
            if id.spec == claim.id.spec and id.attempt < claim.id.link:
                top = manifest.resource
                cut = (
                    replace(s, until=top if s.until is None else min(s.until, top)) for s in manifest.segments
                )
                found.append(tuple(cut))
        return found

    def _check_stop(self, link: Link, issue: Issue) -> None:
        spec, log = link.id.spec, self._log
        claims = sum(known.kind is LinkKind.CLAIM for known in self.links(spec))
        called_for = max(log.finished_at, log.stopped_at.get(issue.trial, -1)) > spec.entry
        if not called_for and claims < self._study.max_attempts:
            self._fail(f"{link.key}: stopped ({link.reason}), and nothing in the log calls for it")

    # checkpoints

    def needs(self, key: str) -> str:
        """Say why a checkpoint's object must not be deleted now; empty where it may be."""
        prefix = key.partition("/manifest.json")[0].partition("/files/")[0]
        if self._running_needs(f"{prefix}/manifest.json"):
            return "its attempt runs, and it is one of the newest two"
        trial = int(prefix.split("/")[1])
        trials = self._log.history.trials
        if self.loose or trial >= len(trials):
            return ""
        for needed, why in self._needed(trial):
            if needed.key == f"{prefix}/manifest.json":
                return why
        return ""

    def _running_needs(self, key: str) -> bool:
        """Tell whether a checkpoint is one of the newest two of an attempt that still holds its spec."""
        id = parse_manifest_key(key)
        last = self.links(id.spec)[-1:] if id else []
        if id is None or not last or last[0].kind is not LinkKind.CLAIM or last[0].id.link != id.attempt:
            return False
        known = (other for other, _ in self._data.manifests.values())
        own = sorted(o.resource for o in known if (o.spec, o.attempt) == (id.spec, id.attempt))
        return id.resource in own[-2:]

    def _needed(self, trial: int) -> list[tuple[CheckpointRef, str]]:
        """Return the checkpoints from which a trial may yet go on."""
        specs = self._log.history.trials[trial].specs
        found: list[tuple[CheckpointRef, str]] = []
        newest = specs[-1]
        links = self.links(newest.id)
        if newest.issue.checkpoint and not (links and links[-1].settles):
            found.append((newest.issue.checkpoint, f"the open spec {newest.id} starts from it"))
        for spec in reversed(specs):
            links = self.links(spec.id)
            last = links[-1] if links else None
            if last is not None and last.settles and last.checkpoint is not None:
                found.append((last.checkpoint, f"the trial's newest result, {last.key}, names it"))
                break
        return found

    def missing(self, ref: CheckpointRef, why: str) -> None:
        """Take note that a checkpoint is not there whole, though something names it."""
        if not self.loose:
            self._fail(f"{ref.key} is not there whole, and {why}")

    def started(self, actor: Actor, file: TrialFile) -> None:
        """Check that a trial goes on from where its record says, unless that cannot be read."""
        spec = SpecId.parse(file.spec)
        assert spec is not None
        issue, attempt = self.issue(spec), LinkId(spec, file.attempt)
        if issue is None or issue.trial != file.trial or self._holders.get(attempt) is not actor:
            self._fail(f"{actor.name} trains {file.spec} attempt {file.attempt}, which it never won")
            return
        claim = self.links(spec)[file.attempt - 1]
        named = claim.checkpoint.resource if claim.checkpoint else 0
        if file.start > max(named, issue.start):
            self._fail(f"{file.spec} attempt {file.attempt} starts at {file.start}; its claim names {named}")
        for ref, told in ((claim.checkpoint, "claim"), (issue.checkpoint, "issue")):
            if ref is not None and file.start < ref.resource and not self._excused(ref, spec, actor):
                self._fail(
                    f"{file.spec} attempt {file.attempt} starts at {file.start}; its {told} names {ref.key}"
                )

    def _excused(self, ref: CheckpointRef, spec: SpecId, actor: Actor) -> bool:
        """Tell whether a checkpoint may be passed over: unreadable, gone, or two attempts died on it."""
        id = parse_manifest_key(ref.key)
        assert id is not None
        place = manifest_key(id).removesuffix("manifest.json")
        chain = self.links(spec)
        died = sum(
            claim.checkpoint is not None
            and claim.checkpoint.key == ref.key
            and end.kind is not LinkKind.RELEASE
            for claim, end in pairwise(chain)
            if claim.kind is LinkKind.CLAIM
        )
        unread = any(key.startswith((place, "metrics/")) for key in actor.truncated)
        return died >= 2 or unread or (self.loose and not self._data.whole(ref))


def _attempt(ref: SegmentRef) -> LinkId:
    id = parse_segment_key(ref.key)
    assert id is not None
    return LinkId(id.spec, id.attempt)
