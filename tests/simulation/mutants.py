"""Planted faults of the protocol: each must be found by the simulation within a stated number of ordinary seeds.

This is the test of the test. Where somebody ships what a mutant does, `who` says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.simulation import wrong_coordinator as coordinator
from tests.simulation import wrong_store as store
from tests.simulation import wrong_worker as worker
from tests.simulation.faults import Fault
from tests.simulation.recipe import Recipe, drawn
from tests.simulation.weather import Weather

Plant = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One planted fault."""

    what: str
    """One sentence."""
    rule: str
    """The section of PROTOCOL.md, and the step, that it breaks."""
    how: Plant
    """Puts the fault into the product's code, or into the store, as long as it is entered."""
    seeds: int
    """Of the ordinary seeds that may find it, the first so many must hold one that does."""
    where: Callable[[Recipe], object] = lambda recipe: True
    """Whether a recipe has what the fault needs to do harm; all have, where nothing is said."""
    who: str = ""

    def candidates(self, count: int | None = None) -> list[int]:
        """Return the first so many of the seeds 0, 1, 2, ... that may find it; :attr:`seeds` of them if None."""
        fit = (seed for seed in itertools.count() if self.where(drawn(seed)))
        return list(itertools.islice(fit, self.seeds if count is None else count))


def _with(*faults: Fault) -> Callable[[Recipe], bool]:
    """Tell recipes in which these faults together befall one call in twenty or more."""
    return lambda recipe: sum(recipe.rates.get(fault, 0.0) for fault in faults) >= 0.05


def _steered(recipe: Recipe) -> bool:
    """Tell recipes in which users end a study while specs are open, open it again, and stop trials."""
    return recipe.wishes >= 8


def _ends_while_specs_wait(recipe: Recipe) -> bool:
    """Tell recipes in which a study may end while there are more specs than slots."""
    slots = sum(plan.slots for plan in recipe.workers)
    return (recipe.wishes >= 3 or recipe.target is not None) and recipe.trials >= 5 and slots <= 3


def _answers_are_lost_for_a_lease(recipe: Recipe) -> bool:
    """Tell recipes in which claims may be given up that stand, while their authors live on with another slot."""
    storms = Weather(recipe).storms
    kind, long_s = Fault.LOST_ANSWER, 1.5 * recipe.lease_s
    several = any(plan.slots >= 2 and plan.patient for plan in recipe.workers)
    return several and any(s.fault is kind and s.share < 1.0 and s.end - s.begin > long_s for s in storms)


def _restores_from_what_is_cut(recipe: Recipe) -> bool:
    """Tell recipes in which reads are cut short, also of the files that a trial goes on from."""
    return bool(recipe.rates.get(Fault.TRUNCATED, 0.0) >= 0.01 and recipe.save_every and recipe.rungs)


def _observers_pause(recipe: Recipe) -> bool:
    """Tell recipes in which coordinators stand still, and their clocks can be trusted."""
    return recipe.faithful and recipe.coordinators > 0 and recipe.pause_every_s is not None


def _looks_at_running_trials(recipe: Recipe) -> bool:
    """Tell recipes whose schedulers stop trials on what these report at milestones."""
    return recipe.scheduler in ("median", "asha_stopping")


MUTANTS = {
    # the store, and uncertain answers
    "no-condition": Mutant(
        what="The store ignores the condition of a create.",
        rule="2.1, create",
        who="older S3-compatible stores",
        how=store.no_condition,
        seeds=20,
    ),
    "check-then-act": Mutant(
        what="A create looks whether the object is there, and then writes it.",
        rule="2.1, create",
        who='fsspec\'s pipe_file(mode="create") on a folder',
        how=store.check_then_act,
        seeds=20,
    ),
    "denied-is-absent": Mutant(
        what="A read that is answered 401 or 403 finds nothing.",
        rule="2.1, step 4",
        who="S3 without ListBucket: 403 for a missing key",
        how=store.denied_is_absent,
        seeds=20,
    ),
    "exists-is-lost": Mutant(
        what="Whoever is told that the object exists has lost, without comparing the bytes.",
        rule="5.1, step 2",
        who="icechunk, issue 2099",
        how=store.exists_is_lost,
        seeds=20,
    ),
    "no-answer-is-yes": Mutant(
        what="A create without an answer is taken for done.",
        rule="5.1, step 3",
        how=store.no_answer_is_yes,
        seeds=20,
    ),
    "another-token": Mutant(
        what="An uncertain create is repeated with a new token.",
        rule="5.1, step 3",
        how=store.another_token,
        where=_with(Fault.LOST_ANSWER, Fault.LATE),
        seeds=40,
    ),
    # the log and the decisions
    "own-entry-believed": Mutant(
        what="A coordinator without an answer goes on as if its own entry stood.",
        rule="5.2, step 3",
        who="whoever asks “was that mine?”",
        how=coordinator.own_entry_believed,
        where=_with(Fault.LOST_REQUEST, Fault.LATE),
        seeds=30,
    ),
    "next-number-same-entry": Mutant(
        what="Who loses the race for a log entry writes the same decisions under the next number.",
        rule="5.2, step 3",
        how=coordinator.next_number_same_entry,
        seeds=20,
    ),
    "board-before-entry": Mutant(
        what="The board names specs before the entry that issues them has won.",
        rule="5.11, step 8",
        how=coordinator.board_before_entry,
        seeds=20,
    ),
    "draws-of-the-process": Mutant(
        what="Configurations are drawn from a stream of the process.",
        rule="5.11, step 6",
        who="samplers with one global generator",
        how=coordinator.draws_of_the_process,
        seeds=20,
    ),
    "draws-in-order-of-calls": Mutant(
        what="Draws are keyed by how many this process made before, not by trial.",
        rule="5.11, step 6",
        who="seeded samplers: right until the first crash",
        how=coordinator.draws_in_order_of_calls,
        seeds=30,
    ),
    "decided-on-more": Mutant(
        what="A decision rests on something that its entry does not say.",
        rule="5.11, step 6",
        how=coordinator.decided_on_more,
        seeds=20,
    ),
    # claiming
    "place-on-trust": Mutant(
        what="A worker claims where the board says, without reading the chain.",
        rule="5.3, step 4",
        how=worker.place_on_trust,
        seeds=20,
    ),
    "open-on-trust": Mutant(
        what="A worker takes the board's word that a spec is open, and claims behind its last link.",
        rule="5.3, step 4",
        how=worker.open_on_trust,
        seeds=20,
    ),
    "failures-forgotten": Mutant(
        what="A claim does not carry on how often the spec has failed.",
        rule="4, step 5",
        how=worker.failures_forgotten,
        seeds=20,
    ),
    "finish-on-trust": Mutant(
        what="A worker ends because the board says that the study has ended, without asking the log.",
        rule="5.3, step 1",
        how=worker.finish_on_trust,
        where=_steered,
        seeds=60,
    ),
    # holding
    "no-self-fencing": Mutant(
        what="A holder that could not renew its lease goes on.",
        rule="5.8, step 1",
        how=worker.no_self_fencing,
        seeds=60,
    ),
    "fence-blind": Mutant(
        what="A holder never reads its next link.",
        rule="5.4, step 1",
        how=worker.fence_blind,
        seeds=120,
    ),
    "one-name-for-ever": Mutant(
        what="A worker that has given everything up goes on under its old id.",
        rule="5.8, step 1",
        how=worker.one_name_for_ever,
        seeds=60,
    ),
    "first-attempt-for-ever": Mutant(
        what="Every attempt writes under attempt 1.",
        rule="4, step 4",
        who="whoever keys results by task, not by try",
        how=worker.first_attempt_for_ever,
        seeds=20,
    ),
    # checkpoints
    "manifest-first": Mutant(
        what="A manifest is created before the files that it names.",
        rule="5.5, step 3",
        how=worker.manifest_first,
        seeds=20,
    ),
    "checkpoint-before-metrics": Mutant(
        what="A checkpoint is committed before the metrics that lead up to it.",
        rule="5.5, step 1",
        how=worker.checkpoint_before_metrics,
        where=lambda recipe: recipe.kill_every_s and recipe.save_every,
        seeds=120,
    ),
    "newest-is-deleted": Mutant(
        what="Retention deletes the newest checkpoint of a running attempt.",
        rule="5.5, step 4",
        how=worker.newest_is_deleted,
        seeds=20,
    ),
    "final-is-deleted": Mutant(
        what="Retention deletes the checkpoint that a done spec ends with.",
        rule="5.5, step 4",
        how=worker.final_is_deleted,
        seeds=20,
    ),
    "parent-is-deleted": Mutant(
        what="The checkpoint that a promotion starts from is deleted before the spec is done.",
        rule="5.5, step 4",
        how=worker.parent_is_deleted,
        seeds=20,
    ),
    "inherited-whole": Mutant(
        what="A resumed attempt inherits segments without `until`.",
        rule="5.6, step 5",
        how=worker.inherited_whole,
        seeds=40,
    ),
    "files-unverified": Mutant(
        what="The files of a checkpoint are not held against its manifest.",
        rule="5.6, step 3",
        how=worker.files_unverified,
        where=_restores_from_what_is_cut,
        seeds=130,
    ),
    # looking at running trials
    "milestones-from-nought": Mutant(
        what="Epochs are counted from 0: at a milestone stands the value of the one after it.",
        rule="5.4",
        who="Optuna's pruners, whose steps begin at 0",
        how=worker.milestones_from_nought,
        where=_looks_at_running_trials,
        seeds=20,
    ),
    "progress-told-again": Mutant(
        what="A later attempt's milestones are told beside those that the log holds.",
        rule="5.11, step 5",
        how=coordinator.progress_told_again,
        where=_looks_at_running_trials,
        seeds=40,
    ),
    # closing
    "done-behind-the-fence": Mutant(
        what="A holder that finds its place taken writes its result behind the fence.",
        rule="5.7, step 4",
        who="queues whose results have a key of their own, guarded by “do I still hold the lease?”",
        how=worker.done_behind_the_fence,
        where=_with(Fault.LOST_ANSWER, Fault.LATE, Fault.PAUSE, Fault.SLOW),
        seeds=140,
    ),
    "done-first": Mutant(
        what="The last segments are written after the link that names them.",
        rule="5.7, steps 1 and 3",
        how=worker.done_first,
        seeds=20,
    ),
    "always-one-more-try": Mutant(
        what="A spec that fails always has a retry left.",
        rule="4, step 5",
        how=worker.always_one_more_try,
        seeds=20,
    ),
    "interruption-is-a-failure": Mutant(
        what="What a worker gives back counts as failed.",
        rule="4, step 7",
        how=worker.interruption_is_a_failure,
        seeds=20,
    ),
    # observing and fencing
    "no-sweep": Mutant(
        what="Only chains that a heartbeat points at are read.",
        rule="5.11, step 2",
        how=coordinator.no_sweep,
        where=_with(Fault.CRASH_AFTER, Fault.LATE),
        seeds=40,
    ),
    "result-unread": Mutant(
        what="What a heartbeat says was closed is taken for done, unread.",
        rule="5.11, step 5",
        how=coordinator.result_unread,
        seeds=20,
    ),
    "claim-is-deleted": Mutant(
        what="The lease of a dead holder is broken by deleting its claim.",
        rule="3, step 1",
        who="Optuna's journal lock, Terraform's force-unlock",
        how=coordinator.claim_is_deleted,
        seeds=20,
    ),
    "fence-is-a-failure": Mutant(
        what="A fence counts as a failed try.",
        rule="4, step 7",
        how=coordinator.fence_is_a_failure,
        seeds=20,
    ),
    "wall-clock-lease": Mutant(
        what="A lease is counted from the observer's wall clock to the store's times.",
        rule="5.12",
        who="leases that hold an expiry date",
        how=coordinator.wall_clock_lease,
        where=lambda recipe: recipe.bad_clocks and recipe.faithful,
        seeds=30,
    ),
    "own-pause-unnoticed": Mutant(
        what="An observer that stood still judges at once.",
        rule="5.12, step 2",
        how=coordinator.own_pause_unnoticed,
        where=_observers_pause,
        seeds=70,
    ),
    "any-beat-is-life": Mutant(
        what="A heartbeat is a sign of life for claims that it does not list.",
        rule="5.12",
        how=coordinator.any_beat_is_life,
        where=_answers_are_lost_for_a_lease,
        seeds=40,
    ),
    # ending
    "stop-behind-done": Mutant(
        what="A stop is written behind a done.",
        rule="5.11, step 4",
        how=coordinator.stop_behind_done,
        where=_steered,
        seeds=30,
    ),
    "finish-leaves-specs-open": Mutant(
        what="A finished study does not stop its open specs.",
        rule="5.11, step 4",
        how=coordinator.finish_leaves_specs_open,
        where=_ends_while_specs_wait,
        seeds=60,
    ),
    # snapshots
    "snapshot-without-a-spec": Mutant(
        what="A snapshot leaves out a spec.",
        rule="5.13",
        how=coordinator.snapshot_without_a_spec,
        seeds=20,
    ),
    "log-deleted-behind-snapshot": Mutant(
        what="Log entries are deleted once a snapshot covers them.",
        rule="5.13, step 3",
        who="SlateDB, RFC 0026: a late create brings a deleted name back",
        how=coordinator.log_deleted_behind_snapshot,
        seeds=20,
    ),
}

HARMLESS = {
    "fence-unread": Mutant(
        what="A fence is created without reading the next link once more.",
        rule="5.12, step 5: the fence and what the holder wrote want one place, the store picks, and the author "
        "reads what stands there; the look only saves a request",
        how=coordinator.fence_unread,
        seeds=20,
    ),
    "hint-cut-short": Mutant(
        what="A board or heartbeat that was cut short is taken for a whole one that says nothing.",
        rule="2.1, step 1: a board without lines offers no work, and a heartbeat that holds nothing is no sign of "
        "life, which at worst brings a fence and repeated work",
        how=coordinator.hint_cut_short,
        where=_with(Fault.TRUNCATED),
        seeds=10,
    ),
}
"""Faults that the protocol rightly shrugs off, and why: with them the same books must stay clean.

Not planted at all, for the same reason: a lease that is merely wrong (no brown-out guard, times from a listing that
lags) fences the living, which costs repeated work (5.12, step 6); a place in a chain that was true once, since links do
not change: it is still free, or taken.
"""
