"""The models of the chain and the log, searched by spin (PROTOCOL.md, section 13).

``sh infra/test.sh -m slow -k model`` runs all of them and prints their figures with ``-rP``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.spin import Search, missing_tool, search

pytestmark = pytest.mark.skipif(missing_tool() is not None, reason=f"needs {missing_tool()}")

QUICK = {"chain": ("MAXTOK=2",), "log": ("NL=5",)}
"""Seconds each."""

WHOLE = {
    # model, macros: at least so many states. (A search that finds fewer has lost behaviours on its way.)
    ("chain", ()): 2_700_000,
    ("chain", ("MAXTOK=4",)): 6_500_000,
    ("chain", ("FL=2",)): 7_300_000,
    ("chain", ("MAXATT=2", "MAXTOK=2")): 10_900_000,
    ("chain", ("TIDY",)): 4_000_000,
    ("chain", ("TIDY", "NS=2")): 16_800_000,
    ("chain", ("TIDY", "AGE", "NS=2")): 22_700_000,
    ("log", ()): 200_000,
    ("log", ("USERS=2", "NL=9")): 3_600_000,
    ("log", ("NC=3",)): 700_000,
}
ENDS = {
    ("chain", ("LIVE", "LOSSES=2", "WRONG=2")): 800_000,
    ("chain", ("LIVE", "NW=1", "MAXATT=2")): 3_000_000,
    ("log", ("LIVE", "NC=1", "NL=12")): 60_000,
}
WIDE = {
    # by bit-state hashing: states that it must get to in three minutes
    ("chain", ("NW=3", "MAXATT=2", "MAXTOK=6", "FL=2", "TIDY")): 1_000_000,
    ("log", ("NT=3", "NC=3", "USERS=2", "NL=10")): 500_000,
}
MUTANTS = {
    # model, macros: what must be said of it
    ("chain", "M_CHECK_THEN_ACT"): "results[s]==1",
    ("chain", "M_DELETE"): "==2)&&(tok[",
    ("chain", "M_BOARD"): "2==2)&&",
    ("chain", "M_EXISTS"): "!(((kind[",
    ("chain", "M_OVERWRITE"): "!((((kind[",
    ("chain", "M_SHARED_KEY"): "==me)&&",
    ("chain", "M_LIST_SEGMENTS"): "gone[",
    ("chain", "M_MANIFEST_FIRST"): "files[",
    ("chain", "M_DONE_FIRST"): "seg[",
    ("chain", "TIDY M_TIDY_EARLY"): "man[",
    ("chain", "TIDY NS=2 M_TIDY_PARENT"): "final[1]!=0",
    ("chain", "LIVE M_NO_SWEEP"): "acceptance cycle",
    ("log", "M_OVERWRITE"): "req_n[q]==head[0]",
    ("log", "M_DELETE_ENTRIES"): "req_n[q]==head[0]",
    ("log", "M_SAME_DECISION"): "req_t[q]==trials[0]",
    ("log", "M_HINT"): "end_of[i]!=0",
    ("log", "M_EARLY_BOARD"): "issued[0]",
    ("log", "M_NO_ENTRY"): "issued[0]&(1<<s)",
    ("log", "M_STALE_FINISH"): "finished[0]",
    ("log", "M_USER_TWICE"): "recorded[asked]==1",
    ("log", "LIVE NC=1 NL=12 M_NO_STOP"): "acceptance cycle",
}


EXPLAINED = {
    # model, macros, and lines that no behaviour gets to, rightly
    ("chain", ("MAXTOK=2",)): {"me = nexttok", "nexttok = (nexttok+1)"},  # no token for one who would die
    ("chain", ("MAXATT=2", "MAXTOK=2")): {"me = nexttok", "nexttok = (nexttok+1)"},
    ("log", ()): {"w = 0"},  # a user who finds the log full: no history is that long
    ("log", ("NC=3",)): {"w = 0"},
}


def unexplained(model: str, defines: tuple[str, ...], found: Search) -> list[str]:
    known = EXPLAINED.get((model, defines), set())
    return [line for line in found.unreached if line.partition(" ")[2].strip('"') not in known]


def shown(model: str, defines: tuple[str, ...], found: Search) -> Search:
    print(f"{model} {' '.join(defines) or '(as it stands)'}: {found.row()}")
    return found


@pytest.mark.parametrize("model", QUICK)
def test_a_small_model_keeps_its_promises(model: str, tmp_path: Path) -> None:
    found = shown(model, QUICK[model], search(model, QUICK[model], tmp_path))
    assert (found.errors, found.complaint) == (0, "")
    assert found.exhaustive and found.stored > 50_000
    assert not unexplained(model, QUICK[model], found), "a line that no behaviour gets to shows nothing"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("model", "macros"), MUTANTS)
def test_a_mutant_fails(model: str, macros: str, tmp_path: Path) -> None:
    found = shown(model, tuple(macros.split()), search(model, macros.split(), tmp_path))
    assert found.errors == 1
    assert MUTANTS[model, macros] in found.complaint


def test_every_mutant_is_tried() -> None:
    planted = {
        (path.stem, word)
        for path in Path(__file__).parent.glob("*.pml")
        for word in path.read_text("utf-8").replace("(", " ").replace(")", " ").split()
        if word.startswith("M_")
    }
    assert planted == {(model, macros.split()[-1]) for model, macros in MUTANTS}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("model", "defines"), WHOLE)
def test_nothing_breaks_a_promise(model: str, defines: tuple[str, ...], tmp_path: Path) -> None:
    found = shown(model, defines, search(model, defines, tmp_path))
    assert (found.errors, found.complaint) == (0, "")
    assert found.exhaustive
    assert found.stored >= WHOLE[model, defines]
    assert not unexplained(model, defines, found)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("model", "defines"), ENDS)
def test_everything_comes_to_its_end(model: str, defines: tuple[str, ...], tmp_path: Path) -> None:
    found = shown(model, defines, search(model, defines, tmp_path))
    assert (found.errors, found.complaint) == (0, "")
    assert found.exhaustive
    assert found.stored >= ENDS[model, defines]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("model", "defines"), WIDE)
def test_more_actors_break_no_promise_that_a_long_look_finds(
    model: str, defines: tuple[str, ...], tmp_path: Path
) -> None:
    found = shown(model, defines, search(model, defines, tmp_path, minutes=3))
    assert (found.errors, found.complaint) == (0, "")
    assert found.stored >= WIDE[model, defines]
