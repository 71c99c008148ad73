"""The test of the test: histories of stores that break a rule are refused, and say how."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.histories.broken import BROKEN
from tests.histories.checker import problems
from tests.histories.contenders import Contention, contend_in_processes
from tests.histories.recorder import Operation
from tests.servers.faulty_s3 import Faults, FaultyS3
from tests.servers.s3 import s3_environment

RUNS = 5
"""A race need not be lost each time."""

WORDS = {
    "unconditional create": "each of them",
    "check, then act": "each of them",
    "fsspec's exclusive create": "each of them|different contents were read|nobody can have created it so",
    "exclusive open, then write": "different contents were read|nobody can have created it so",
    "remembers absence": "still absent",
}


def found(run: Callable[[int], list[Operation]], *, sends_again: bool) -> list[str]:
    for number in range(RUNS):
        wrong = problems(run(number), sends_again=sends_again)
        if wrong:
            return wrong
    return []


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_found(name: str, tmp_path: Path) -> None:
    def run(number: int) -> list[Operation]:
        folder = tmp_path / str(number)
        folder.mkdir()
        opener = f"tests.histories.broken:{BROKEN[name].__name__}"
        url = (folder / "study").as_uri()
        return contend_in_processes(
            Contention(url=url, folder=folder, work="storm", rounds=100, opener=opener)
        )

    wrong = found(run, sends_again=False)
    assert any(word in line for line in wrong for word in WORDS[name].split("|")), wrong


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        (Faults(conditions="ignored"), "each of them"),
        (Faults(conditions="checked, then written"), "each of them"),
        (Faults(reads="a moment old"), "still absent"),
    ],
    ids=["ignores conditions", "looks, then writes", "shows what was"],
)
def test_a_broken_server_is_found(faults: Faults, words: str, tmp_path: Path) -> None:
    with FaultyS3(faults) as server:

        def run(number: int) -> list[Operation]:
            folder = tmp_path / str(number)
            folder.mkdir()
            return contend_in_processes(
                Contention(
                    url=f"s3://bucket/{number}",
                    folder=folder,
                    work="storm",
                    rounds=15,
                    contenders=3,
                    environment=s3_environment(server.endpoint),
                )
            )

        wrong = found(run, sends_again=True)
    assert any(words in line for line in wrong), wrong


def test_the_small_server_without_faults_is_not_accused(tmp_path: Path) -> None:
    with FaultyS3() as server:
        history = contend_in_processes(
            Contention(
                url="s3://bucket/study",
                folder=tmp_path,
                work="storm",
                rounds=15,
                contenders=3,
                environment=s3_environment(server.endpoint),
            )
        )
    assert problems(history, sends_again=True) == []
