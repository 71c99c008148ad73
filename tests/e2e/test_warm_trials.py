"""Functions in a warm process: one spec after the other, and a new process after whatever went wrong."""

import signal
from pathlib import Path
from typing import Any

import pytest

from storage_schema.trial_env import INTERRUPT, STOP
from tests.attempts import Attempts, Make, write
from tests.waiting import wait_until

WARM = """
import os, sys
count = 0
def main(trial):
    global count
    count += 1
    print("call", count, trial.params["kind"], os.getcwd(), os.environ.get("LEFT"), flush=True)
    kind = trial.params["kind"]
    if kind == "mess":
        os.chdir("/"); os.environ["LEFT"] = "over"; sys.stdout.close(); os.close(1); os.close(2)
    if kind == "fd":
        os.write(1, b"straight to fd 1\\n"); os.system("echo from a child")
    if kind == "raise":
        raise ValueError("no good")
    if kind == "exit":
        sys.exit(3)
    if kind == "text":
        sys.exit("in words")
    if kind == "die":
        os.kill(os.getpid(), 11)
    if kind == "fork":
        child = os.fork()
        if child == 0:
            return None
        os.waitpid(child, 0)
    for step in trial.steps():
        trial.report(other=step)
    return 0.25
def alone(): return {"loss": 0.5, "acc": 1}
"""


@pytest.fixture
def warm(make: Make, tmp_path: Path) -> Attempts:
    write(tmp_path, train=WARM)
    return make(function="train:main")


def kind(name: str) -> dict[str, Any]:
    return {"parameters": {"kind": name}}


def test_a_warm_process_runs_one_spec_after_the_other(warm: Attempts, tmp_path: Path) -> None:
    first = warm.run(**kind("plain"))
    assert (first.ended.status, first.ended.reason) == (0, "finished")
    assert first.curve == [(1, {"other": 0}), (2, {"other": 1}), (3, {"other": 2}), (3, {"loss": 0.25})]
    assert first.output == f"call 1 plain {tmp_path / 'work'} None\n"
    assert warm.run(**kind("fd")).output.splitlines()[1:] == ["straight to fd 1", "from a child"]
    assert warm.run(**kind("mess")).ended.status == 0
    assert warm.run(**kind("plain")).output == f"call 4 plain {tmp_path / 'work'} None\n"
    again = warm.run(gpus=("1",), **kind("plain"))
    assert again.output.startswith("call 1 "), "other GPUs need another process"


@pytest.mark.parametrize(
    ("name", "status", "reason", "output"),
    [
        ("raise", 1, "ValueError: no good", 'raise ValueError("no good")'),
        ("exit", 3, "failed with exit status 3", ""),
        ("text", 1, "in words", "in words"),
        ("die", None, "ended by signal 11 (SIGSEGV)", ""),
    ],
)
def test_after_a_failure_the_process_is_a_new_one(
    warm: Attempts, name: str, status: int | None, reason: str, output: str
) -> None:
    failed = warm.run(**kind(name))
    assert (failed.ended.status, failed.ended.reason) == (status, reason)
    assert output in failed.output
    assert warm.run(**kind("plain")).output.startswith("call 1 ")


def test_a_fork_that_returns_does_not_answer_twice(warm: Attempts) -> None:
    forked = warm.run(**kind("fork"))
    assert (forked.ended.status, forked.curve[-1]) == (0, (3, {"loss": 0.25}))
    assert warm.run(**kind("plain")).output.startswith("call 2 ")


def test_a_function_may_take_nothing_and_return_a_mapping(make: Make, tmp_path: Path) -> None:
    write(tmp_path, train=WARM)
    assert make(function="train:alone").run().curve == [(3, {"loss": 0.5, "acc": 1})]
    missing = make(function="train:nonesuch").run()
    assert (missing.ended.status, "has no attribute 'nonesuch'" in missing.ended.reason) == (1, True)
    missing = make(function="nonesuch:main").run()
    assert missing.ended.reason == "ModuleNotFoundError: No module named 'nonesuch'"
    assert "Traceback" in missing.output


@pytest.mark.parametrize(("ask", "status", "calls"), [(STOP, 0, 2), (INTERRUPT, 75, 1)])
def test_a_warm_spec_is_stopped_and_interrupted(
    make: Make, tmp_path: Path, ask: str, status: int, calls: int
) -> None:
    script = WARM + (
        "\ndef loop(trial):\n"
        "    global count\n"
        "    count += 1\n"
        "    for step in trial.steps():\n"
        "        if step == 0: print('call', count, flush=True)\n"
        "        while trial.params['kind'] == 'wait' and not trial.should_stop: pass\n"
        "        with trial.save_checkpoint(): pass\n"
        "        trial.report(loss=1)\n"
    )
    write(tmp_path, train=script)
    attempts = make(function="train:loop")
    process, file, folder = attempts.start(**kind("wait"))
    wait_until(lambda: b"call" in process.output(), 10, "the first step")
    process.ask_to_stop(ask)
    outcome = attempts.outcome(process, file, folder)
    assert (outcome.ended.status, outcome.checkpoints) == (status, ["1"])
    assert attempts.run(**kind("plain")).output == f"call {calls}\n"


def test_a_hung_warm_spec_is_killed(make: Make, tmp_path: Path) -> None:
    write(
        tmp_path,
        train="import signal\ndef main(trial):\n    print('on', flush=True)\n    while True: signal.pause()\n",
    )
    attempts = make(function="train:main")
    process, file, folder = attempts.start()
    wait_until(lambda: b"on" in process.output(), 10, "the start")
    process.kill()
    ended = attempts.outcome(process, file, folder).ended
    assert (ended.status, ended.signal) == (None, signal.SIGKILL)


def test_closing_a_running_attempt_kills_it(warm: Attempts, make: Make) -> None:
    for attempts, more in ((warm, kind("plain")), (make(command=("sleep", "60")), {})):
        process, *_ = attempts.start(**more)
        process.close()
        process.close()


def test_hostile_names_next_to_the_users_module_are_the_users_own(make: Make, tmp_path: Path) -> None:
    """Warm mode needs json itself; user code that says `import json` gets the folder's, as in a script."""
    hostile = "raise RuntimeError('hostile')"
    names = ("random", "traceback", "inspect", "hpo_pipe", "workers", "storage_schema")
    files = dict.fromkeys(names, hostile)
    train = "import mine\ndef main(trial):\n    trial.report(loss=mine.VALUE)\n    return 1\n"
    write(tmp_path, **files, train=train, mine="VALUE = 4", json=hostile)
    for environment in ({}, {"PYTHONPATH": str(tmp_path / "work")}):
        outcome = make(environment, function="train:main").run(to=1)
        assert (outcome.ended.status, outcome.curve) == (0, [(1, {"loss": 4})]), outcome.output
    write(tmp_path, train="def main(trial):\n    import random\n")
    assert make(function="train:main").run().ended.reason == "RuntimeError: hostile"
