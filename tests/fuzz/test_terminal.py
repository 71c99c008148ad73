"""What strangers wrote (names, reasons, tails of output) never takes hold of the terminal of who looks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pexpect
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage_schema.keys import STUDY, LinkId, output_key
from storage_schema.records import Link, LinkKind, Resource
from storage_schema.store import open_store
from storage_schema.terminal import one_line, printable, printable_json, printable_output
from tests.unit.coordinator.world import HandWorker, VirtualClock, World, a_study

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[H\x9b31m\u202egnp.exe\u2066\ud83d\x00\x08\r fine\u200f\u2028\ufeff"
RAW = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
COLOUR = re.compile("\x1b\\[[0-9;]*m")


@given(st.text() | st.text(alphabet=st.sampled_from([*HOSTILE, *"a[0;31m\n\t\\"])))
@example(HOSTILE)
def test_nothing_raw_is_left(text: str) -> None:
    assert not RAW.search(printable(text))
    assert not RAW.search(one_line(text))
    assert "\n" not in one_line(text)
    assert not RAW.search(COLOUR.sub("", printable_output(text)))
    printable(text).encode()  # also on a terminal that takes UTF-8 only
    if text.isprintable():
        assert printable(text) == one_line(text) == printable_output(text) == text


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
@example({HOSTILE: HOSTILE})
def test_json_stays_the_same_value(value: object) -> None:
    text = printable_json(json.dumps(value, indent=2, ensure_ascii=False))
    assert not RAW.search(text)
    assert json.loads(text) == value


def test_colours_and_progress_bars_of_a_training_stay_readable() -> None:
    text = "\x1b[1;32mepoch 1\x1b[0m\r 10%\r 20%\r\ndone\x1b[2K"
    assert printable_output(text) == "\x1b[1;32mepoch 1\x1b[0m\n 10%\n 20%\ndone\\x1b[2K"


@pytest.fixture(scope="module")
def hostile_study(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A study in a folder, one trial of which failed, with hostile text wherever the record takes text."""
    text = HOSTILE.replace("\ud83d", "")
    world = World("terminal", a_study(retries=0, resource=Resource(name="epoch", min=1, max=1, rungs=(1,))))
    world.store = open_store(str(tmp_path_factory.mktemp("hostile") / "study"))
    world.store.create(STUDY, world.study.to_bytes())
    world.clock = VirtualClock()
    coordinator = world.coordinator()
    coordinator.tick()
    worker = HandWorker(world, "w-h-1-000000")
    specs = sorted(coordinator.history.open)
    for place, spec in enumerate(specs[:2]):
        worker.claim(spec)
        if place == 0:
            worker.fail(spec, {}, reason=text, tail=f"{text}\nline two {text}", failures=1)
        else:
            worker.done(spec, {1: 0.5})
    world.store.replace(output_key(specs[0], 1), (text + "\n").encode())
    coordinator.tick()
    coordinator.tick()
    claim = Link(kind=LinkKind.STOP, id=LinkId(specs[-1], 1), token="t", author="c-x", reason=text)
    world.store.create(claim.key, claim.to_bytes())
    coordinator.tick()
    return world.store.url


COMMANDS = [
    ["status"],
    ["trials"],
    ["best"],
    ["why", "0"],
    ["why", "0", "--json"],
    ["status", "--json"],
    ["logs", "0"],
]


def command_line(words: list[str], url: str) -> list[str]:
    return ["-m", "hpo_pipe", words[0], url, *words[1:]]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_command_emits_raw_control_characters_on_a_terminal(words: list[str], hostile_study: str) -> None:
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    child = pexpect.spawn(
        sys.executable, command_line(words, hostile_study), env=environment, encoding=None, timeout=60
    )
    shown = child.read().decode("utf-8")
    child.wait()
    left = COLOUR.sub("", shown.replace("\r\n", "\n"))
    assert not RAW.search(left), repr(left)
    assert child.exitstatus == 0, shown
    if words[0] == "why":
        assert "x1b]0;owned" in left or "u001b]0;owned" in left


@pytest.mark.parametrize("words", COMMANDS[:-1], ids=" ".join)
def test_no_command_emits_raw_control_characters_into_a_pipe(words: list[str], hostile_study: str) -> None:
    done = subprocess.run(
        [sys.executable, *command_line(words, hostile_study)], capture_output=True, timeout=60, check=False
    )
    for stream in (done.stdout, done.stderr):
        assert not RAW.search(stream.decode()), stream


def test_logs_in_a_pipe_are_the_bytes_that_were_printed(hostile_study: str) -> None:
    done = subprocess.run(
        [sys.executable, *command_line(["logs", "0"], hostile_study)],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.decode() == HOSTILE.replace("\ud83d", "") + "\n"
