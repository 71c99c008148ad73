from __future__ import annotations

import threading
from pathlib import Path

import pytest

from storage_schema.clock import SystemClock
from storage_schema.errors import OutcomeUnknown, StoreUnavailable
from storage_schema.keys import SpecId, worker_key
from storage_schema.records import Heartbeat, LinkKind
from storage_schema.store.local import LocalStore
from storage_schema.store.memory import MemoryStore
from tests.unit.workers.stage import SPEC, FaultyStore, Stage, issue, trains
from workers.budget import PriceWanted
from workers.claim import Desk
from workers.lease import Lease, Machine


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_of_many_claimers_one_wins_each_spec(tmp_path: Path, kind: str) -> None:
    workers, specs = 8, 12
    url = f"memory://race-{tmp_path.name}" if kind == "memory" else (tmp_path / "study").as_uri()
    store = FaultyStore(MemoryStore(url) if kind == "memory" else LocalStore(url))
    stages = [
        Stage(tmp_path / str(seed), store=store, clock=SystemClock(), seed=seed) for seed in range(workers)
    ]
    stages[0].publish(*(issue(trial) for trial in range(specs)))
    won: list[tuple[SpecId, str]] = []
    together = threading.Barrier(workers)

    def work(stage: Stage) -> None:
        together.wait()
        while (claimed := stage.desk.claim(frozenset())) is not None:
            won.append((claimed.spec, stage.lease.worker))

    threads = [threading.Thread(target=work, args=(stage,)) for stage in stages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(spec for spec, _ in won) == [SpecId(0, place) for place in range(specs)]
    for spec, worker in won:
        (claim,) = stages[0].chain(spec)
        assert claim.author == worker


def test_a_claim_whose_answer_is_lost_is_won_all_the_same(stage: Stage) -> None:
    stage.publish(issue())
    stage.store.lose_answers = 1
    assert stage.claim().spec == SPEC
    assert len(stage.chain()) == 1


def test_a_claim_that_was_given_up_without_landing_is_tried_again(stage: Stage) -> None:
    """A lone worker would leave the spec waiting for ever."""
    stage.publish(issue())
    create = stage.store.create

    def away(key: str, data: bytes) -> object:
        if key.startswith("chain/"):
            raise StoreUnavailable("the disk is full")
        return create(key, data)

    stage.store.create = away
    with pytest.raises(StoreUnavailable):
        stage.desk.claim(frozenset())
    stage.store.create = create
    assert stage.claim().spec == SPEC


def test_a_claim_that_was_given_up_and_landed_is_found_taken(stage: Stage) -> None:
    stage.publish(issue())
    create = stage.store.create

    def lands_unheard(key: str, data: bytes) -> object:
        create(key, data)
        raise OutcomeUnknown("no answer")

    get = stage.store.get
    stage.store.create = lands_unheard
    stage.store.get = lambda key, unless=None: None if key.startswith("chain/") else get(key, unless)
    with pytest.raises(StoreUnavailable):
        stage.desk.claim(frozenset())
    stage.store.create, stage.store.get = create, get
    assert stage.desk.claim(frozenset()) is None
    assert len(stage.chain()) == 1


def test_a_line_of_a_stale_board_is_dropped_and_not_tried_again(stage: Stage) -> None:
    stage.publish(issue(0), issue(1))
    stage.link(1, LinkKind.CLAIM)
    assert stage.claim().spec == SpecId(0, 1)
    assert stage.desk.claim(frozenset()) is None
    stage.store.calls.clear()
    assert stage.desk.claim(frozenset()) is None
    assert stage.store.calls == [("get", "hints/board.json")]


def test_after_a_loss_it_looks_before_it_creates(stage: Stage) -> None:
    stage.publish(*(issue(trial) for trial in range(5)))
    for place in range(5):
        stage.link(1, LinkKind.CLAIM, spec=SpecId(0, place))
    assert stage.desk.claim(frozenset()) is None
    creates = [key for verb, key in stage.store.calls if verb == "create"]
    assert len(creates) == 1


def test_a_line_that_the_log_does_not_bear_out_is_dropped(stage: Stage) -> None:
    stage.offer(entry=3, number=1, next_link=1, trials=[0])
    assert stage.desk.claim(frozenset()) is None
    stage.publish(issue(trial=4), entry=4)
    stage.offer(entry=4, number=1, next_link=1, trials=[0])
    assert stage.desk.claim(frozenset()) is None
    assert stage.keys("chain/") == []


def test_a_spec_that_is_held_or_settled_is_not_claimed_whatever_the_board_says(stage: Stage) -> None:
    stage.publish(issue())
    stage.link(1, LinkKind.CLAIM)
    stage.offer(0, 1, next_link=2, trials=[0])
    assert stage.desk.claim(frozenset()) is None
    stage.link(2, LinkKind.FAIL, failures=3)
    stage.offer(0, 1, next_link=3, trials=[0])
    assert stage.desk.claim(frozenset()) is None
    assert len(stage.chain()) == 2


def test_a_spec_that_was_given_back_is_claimed_at_its_next_link_with_its_failures(stage: Stage) -> None:
    stage.publish(issue())
    stage.link(1, LinkKind.CLAIM)
    stage.link(2, LinkKind.FAIL, failures=1, retries_left=1)
    stage.link(3, LinkKind.CLAIM, failures=1)
    stage.link(4, LinkKind.RELEASE, failures=1)
    stage.offer(0, 1, next_link=3, trials=[0])  # the board is behind
    claimed = stage.claim()
    assert claimed.holding.claim.id.link == 5
    assert claimed.holding.claim.failures == 1


def test_a_paused_study_is_not_claimed_from(stage: Stage) -> None:
    stage.publish(issue(), paused=True)
    assert stage.desk.claim(frozenset()) is None


def test_who_has_no_price_claims_nothing_for_a_study_with_a_budget(stage: Stage) -> None:
    stage.publish(issue(), budget=True)
    with pytest.raises(PriceWanted, match="--price-per-hour DOLLARS, or HPO_PIPE_PRICE_PER_HOUR; 0 where"):
        stage.desk.claim(frozenset())
    assert stage.chain() == []
    hired = Machine(name="m", host="m", pid=1, slots=1, gpus=0, facts=(), hired=(("price_per_hour", "0.0"),))
    stage.lease = Lease(stage.world, stage.study.timing, hired)
    desk = Desk(
        stage.world,
        stage.study,
        stage.board,
        stage.lease,
        max_age_s=0.0,
        stopping=lambda: False,
        give_up=lambda: False,
    )
    assert desk.claim(frozenset()) is not None
    (claim,) = stage.chain()
    assert ("price_per_hour", "0.0") in claim.machine


def test_trials_whose_checkpoint_is_here_come_first(stage: Stage) -> None:
    stage.publish(*(issue(trial) for trial in range(30)))
    claimed = stage.desk.claim({17})
    assert claimed is not None
    assert claimed.issue.trial == 17


def test_a_damaged_board_is_no_board(stage: Stage) -> None:
    stage.publish(issue())
    stage.store.inner.replace("hints/board.json", b"{")
    assert stage.desk.claim(frozenset()) is None
    assert any("board is not readable" in line for line in stage.said)


def test_a_claim_is_in_the_next_heartbeat_and_a_closed_spec_among_the_recent(stage: Stage) -> None:
    stage.publish(issue())
    stage.lease.step()
    claimed = stage.claim()
    stage.clock.sleep(stage.lease.due_in_s())
    stage.lease.step()
    assert stage.heartbeat()["holding"] == [
        {"spec": "00000000-000", "attempt": 1, "trial": 0, "resource": 0, "value": None}
    ]
    stage.lease.let_go(claimed.holding, closed=True)
    assert 0 < stage.lease.due_in_s() <= 0.2001
    stage.clock.sleep(stage.lease.due_in_s())
    stage.lease.step()
    assert (stage.heartbeat()["holding"], stage.heartbeat()["recent"]) == ([], ["00000000-000"])
    assert stage.lease.due_in_s() == pytest.approx(stage.study.timing.flush_s)


def test_a_claim_and_the_heartbeat_say_how_the_machine_was_hired(stage: Stage) -> None:
    hired = (("instance_type", "g5.xlarge"), ("lifecycle", "spot"))
    machine = Machine(name="h", host="h", pid=1, slots=4, gpus=8, facts=(("cpus", "2"),), hired=hired)
    lease = Lease(stage.world, stage.study.timing, machine)
    started = f"{stage.clock.now():.3f}"
    stage.clock.sleep(5)
    lease.step()
    beat = Heartbeat.from_bytes(stage.store.get(worker_key(lease.worker)).data, lease.worker)
    assert beat.machine == (("cpus", "2"), *hired)
    desk = Desk(
        stage.world,
        stage.study,
        stage.board,
        lease,
        max_age_s=0.0,
        stopping=lambda: False,
        give_up=lambda: False,
    )
    stage.publish(issue())
    claimed = desk.claim(frozenset())
    assert claimed is not None
    (claim,) = stage.chain()
    counts = {"gpus": "8", "slots": "4", "started_at": started}
    assert claim.machine == tuple(sorted({**counts, **dict(hired)}.items()))


def test_a_heartbeat_is_renewed_every_flush_and_never_has_equal_bytes(stage: Stage) -> None:
    seen = set()
    for _ in range(5):
        stage.lease.step()
        seen.add(str(stage.heartbeat()))
        stage.clock.sleep(stage.study.timing.flush_s)
    assert len(seen) == 5


def test_a_claim_won_under_an_id_that_was_given_up_is_not_held(stage: Stage) -> None:
    stage.publish(issue())
    won = stage.store.create

    def gives_up(key: str, data: bytes) -> object:
        answer = won(key, data)
        stage.lease.give_up("away for a lease")
        return answer

    stage.store.create = gives_up
    assert stage.attempt(trains(3)) is None
    assert [link.kind for link in stage.chain()] == [LinkKind.CLAIM]
