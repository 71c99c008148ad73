"""The fast check and the search over all orders agree, and known cases are judged as they should be."""

from __future__ import annotations

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from storage_schema.keys import LinkId, SpecId, link_key, log_key
from tests.histories.checker import NotLinearizable, check_list, problems
from tests.histories.recorder import NEVER, Operation, Recorded, read_history
from tests.histories.search import linearizable

KEYS = [log_key(number) for number in range(3)]


def op(
    process: str, outcome: str, called: int, answered: int, digest: str = "", key: str = KEYS[0]
) -> Operation:
    verb = "get" if outcome in ("absent", "value") else "create"
    return Operation(
        process=process,
        verb=verb,
        key=key,
        digest=digest,
        outcome=outcome,
        called=called,
        answered=NEVER if outcome == "unknown" else answered,
    )


@st.composite
def operations(draw: st.DrawFn, keys: int) -> Operation:
    outcome = draw(st.sampled_from(["created", "exists", "unknown", "absent", "value"]))
    called = draw(st.integers(0, 8))
    digest = "" if outcome == "absent" else draw(st.sampled_from("ab"))
    answered = called + draw(st.integers(0, 5))
    return op(
        draw(st.sampled_from("pqr")), outcome, called, answered, digest, KEYS[draw(st.integers(0, keys - 1))]
    )


def judged(history: list[Operation], keys: int, *, sends_again: bool) -> bool:
    try:
        check_list(KEYS[:keys], history, sends_again=sends_again)
    except NotLinearizable:
        return False
    return True


@pytest.mark.parametrize("sends_again", [False, True])
@pytest.mark.parametrize("keys", [1, 2, 3])
def test_the_fast_check_says_what_the_search_says(keys: int, sends_again: bool) -> None:
    @settings(max_examples=600, deadline=None)
    @given(st.lists(operations(keys), max_size=7))
    def agree(history: list[Operation]) -> None:
        said = judged(history, keys, sends_again=sends_again)
        event(f"linearizable: {said}")
        assert said == linearizable(KEYS[:keys], history, sends_again=sends_again)

    agree()


@st.composite
def real_runs(draw: st.DrawFn) -> list[Operation]:
    """A history of a correct list: each request takes effect at a moment, and its interval lies around that."""
    state: list[str] = []
    found = []
    for moment in range(10, 10 + draw(st.integers(0, 12))):
        place, verb = draw(st.integers(0, 2)), draw(st.sampled_from(["create", "get", "lost", "late"]))
        called, answered = moment - draw(st.integers(0, 6)), moment + draw(st.integers(0, 6))
        digest = f"by {moment}"
        if verb == "get":
            there = place < len(state)
            outcome, digest = ("value", state[place]) if there else ("absent", "")
        elif place > len(state):
            continue  # no author sends an entry before it has read the one before
        else:
            fits = place == len(state) and verb != "lost"
            outcome = "unknown" if verb in ("lost", "late") else "created" if fits else "exists"
            state += [digest] if fits else []
        found.append(op("p", outcome, called, answered, digest, KEYS[place]))
    return found


@settings(max_examples=500, deadline=None)
@given(real_runs(), st.data())
def test_what_a_correct_list_did_is_accepted_and_a_touch_of_it_judged_as_the_search_does(
    history, data
) -> None:
    assert judged(history, 3, sends_again=False)
    if not history:
        return
    number = data.draw(st.integers(0, len(history) - 1))
    o = history[number]
    digest = o.digest if o.outcome == "absent" else data.draw(st.sampled_from([x.digest for x in history]))
    later = data.draw(st.integers(-9, 9))
    answered = NEVER if o.answered == NEVER else o.answered + later
    moved = op(o.process, o.outcome, o.called + later, answered, digest, o.key)
    changed = [*history[:number], moved, *history[number + 1 :]]
    assert judged(changed, 3, sends_again=False) == linearizable(KEYS, changed, sends_again=False)


FINE = {
    "one wins, the other reads it": [
        op("p", "created", 0, 9, "a"),
        op("q", "exists", 1, 8, "b"),
        op("q", "value", 10, 11, "a"),
    ],
    "a lost create lands much later": [
        op("p", "unknown", 0, 0, "a"),
        op("q", "absent", 50, 51),
        op("q", "value", 60, 61, "a"),
    ],
    "a lost create never lands": [op("p", "unknown", 0, 0, "a"), op("q", "created", 5, 6, "b")],
    "a read sees what is not answered yet": [op("p", "created", 0, 9, "a"), op("q", "value", 2, 3, "a")],
}
WRONG = {
    "two winners": [op("p", "created", 0, 9, "a"), op("q", "created", 1, 8, "b")],
    "a stale read": [op("p", "created", 0, 1, "a"), op("q", "absent", 2, 3)],
    "a read that forgets": [
        op("p", "unknown", 0, 0, "a"),
        op("q", "value", 1, 2, "a"),
        op("q", "absent", 3, 4),
    ],
    "overwritten": [
        op("p", "created", 0, 1, "a"),
        op("q", "unknown", 0, 0, "b"),
        op("r", "value", 2, 3, "b"),
    ],
    "read before it was sent": [op("q", "value", 0, 1, "a"), op("p", "created", 2, 3, "a")],
    "exists, and nobody created": [op("q", "exists", 0, 1, "a"), op("p", "absent", 2, 3)],
    "lost before the lost one could land": [op("q", "exists", 0, 1, "a"), op("p", "unknown", 2, 0, "b")],
    "an entry behind a gap": [op("p", "created", 0, 1, "a", KEYS[1])],
    "an entry before the one that it follows": [
        op("p", "created", 0, 1, "b", KEYS[1]),
        op("p", "created", 2, 3, "a", KEYS[0]),
    ],
    "the first entry vanishes from sight": [
        op("p", "unknown", 0, 0, "a"),
        op("p", "created", 1, 2, "b", KEYS[1]),
        op("q", "absent", 3, 4),
    ],
}


@pytest.mark.parametrize("history", FINE.values(), ids=FINE)
def test_what_may_happen(history: list[Operation]) -> None:
    assert judged(history, 2, sends_again=False)


@pytest.mark.parametrize("history", WRONG.values(), ids=WRONG)
def test_what_may_not_happen(history: list[Operation]) -> None:
    assert not judged(history, 2, sends_again=False)


def test_a_server_that_is_asked_again_from_below_may_say_exists_to_the_author_itself() -> None:
    history = [op("p", "exists", 0, 1, "a"), op("q", "value", 2, 3, "a")]
    assert not judged(history, 1, sends_again=False)
    assert judged(history, 1, sends_again=True)


def test_an_author_that_has_not_read_what_comes_before_is_named() -> None:
    link = link_key(LinkId(SpecId(0, 0), 1))
    history = [
        op("p", "created", 0, 1, "a"),
        op("p", "created", 2, 3, "b", KEYS[1]),
        op("q", "exists", 4, 5, "c", KEYS[1]),
        op("q", "created", 6, 7, "d", link),
        op("q", "value", 8, 9, "a"),
    ]
    assert problems(history) == [
        f"{KEYS[1]}: sent by q, which had not read {KEYS[0]}",
        f"{link}: sent by q, which had not read {KEYS[0]}",
    ]


def test_a_killed_process_leaves_requests_without_answers(tmp_path) -> None:
    from storage_schema.store.memory import MemoryStore

    store = Recorded(MemoryStore(f"memory://{tmp_path.name}"), tmp_path, "p")
    store.get(KEYS[0])
    store.create(KEYS[0], b"mine")
    store.create(KEYS[0], b"mine")
    store.replace("hints/board.json", b"not recorded")
    lines = (tmp_path / "p.history").read_text().splitlines(keepends=True)
    (tmp_path / "p.history").write_text("".join(lines[:-1]))
    assert [o.outcome for o in read_history(tmp_path)] == ["absent", "created", "unknown"]
    assert problems(read_history(tmp_path)) == []
