"""``submit docker``: the exact commands, what is refused before docker is asked, and what its answers become."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hpo_pipe.launch.order import Order
from hpo_pipe.launch.target import CommandCall, JobState, Refusal, TargetUnavailable
from hpo_pipe.launch.targets.docker import TARGET
from storage_schema.errors import UserError
from tests.unit.launch.orders import GOLDEN, WRITE, order

IMAGE = "hpo-pipe:latest"
FOLDER = {"url": "file:///data/my%20studies/first", "gpus": None}
FULL: dict[str, Any] = {
    "gpu_devices": "4,5,6,GPU-0b1f",
    "cpus": "4.5",
    "memory": "16g",
    "shm_size": "8g",
    "network": "host",
    "volume": ("/data:/data:ro", "cache:/cache"),
    "workdir": "/training",
    "user": "1000:1000",
    "pass_env": ("AWS_PROFILE", "WANDB_API_KEY"),
    "restart": "on-failure:3",
    "stop_timeout": 60,
    "pull": "always",
    "context": "workstation",
    "docker_arg": ("--ipc=host",),
}
SECRETS = (("HF_TOKEN", "file:/home/you/.hf token"),)


@pytest.fixture(autouse=True)
def _no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)


def made(given: dict[str, Any], workers: int = 1, **plan: Any) -> Order:
    return order(TARGET, given, workers, **({"image": IMAGE} | plan))


@pytest.mark.parametrize(
    ("name", "given", "workers", "plan"),
    [
        ("docker_plain", {"user": "1000:1000"}, 1, FOLDER),
        (
            "docker_full",
            FULL,
            2,
            {
                "gpus": 2,
                "gpus_per_trial": 1,
                "secrets": SECRETS,
                "code": "cd" * 32,
                "env": (("GREETING", 'it\'s $HOME, "x"'),),
                "arguments": ("--drain", "--", "python", "train.py"),
            },
        ),
    ],
)
def test_the_commands(name: str, given: dict[str, Any], workers: int, plan: dict[str, Any]) -> None:
    found = [call.to_json() for call in TARGET.calls(made(given, workers, **plan))]
    path = GOLDEN / f"{name}.json"
    if os.environ.get(WRITE):
        path.write_text(json.dumps(found, indent=2) + "\n")
    assert found == json.loads(path.read_text()), f"{path.name}: {WRITE}=1 writes it anew"


def test_a_study_in_a_folder_is_worked_on_as_the_user(tmp_path: Path) -> None:
    (call,) = TARGET.calls(made({}, **FOLDER))
    assert isinstance(call, CommandCall)
    assert f"--user={os.getuid()}:{os.getgid()}" in call.argv
    assert "--mount=type=bind,source=/data/my studies/first,target=/data/my studies/first" in call.argv


def test_a_daemon_elsewhere_is_asked_by_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://gpu-box")
    (call,) = TARGET.calls(made({}))
    assert isinstance(call, CommandCall) and call.argv[:4] == ("docker", "--host", "ssh://gpu-box", "run")


@pytest.mark.parametrize(
    ("given", "workers", "plan", "words"),
    [
        ({}, 1, {"image": ""}, "--image is missing, expected an image with hpo-pipe as its entry point"),
        ({}, 1, {"image": "--rm x"}, "--image is '--rm x'"),
        ({"gpu_devices": "0"}, 1, {"gpus": None}, "--gpu-devices is given, and --gpus is not"),
        (
            {"gpu_devices": "0,1,2"},
            2,
            {"gpus": 2},
            "--gpu-devices names 3 GPUs, and 2 workers with 2 each need 4",
        ),
        ({}, 257, {}, "--workers is 257, expected at most 256"),
        ({"restart": "always"}, 1, {}, "--restart is 'always', expected something like no or on-failure:3"),
        ({"restart": "on-failure"}, 1, {}, "--restart is 'on-failure'"),
        ({"memory": "16 GB"}, 1, {}, "--memory is '16 GB', expected something like 16g"),
        ({"volume": ("data",)}, 1, {}, "--volume is 'data', expected something like /data:/data:ro"),
        ({"user": "you"}, 1, {}, "--user is 'you', expected something like 1000:1000"),
        ({"pass_env": ("A=b",)}, 1, {}, "--pass-env is 'A=b'"),
        ({"docker_arg": ("--rm",)}, 1, {}, "--docker-arg '--rm': hpo-pipe sets it"),
        ({"docker_arg": ("--env=A=b",)}, 1, {}, "--docker-arg '--env=A=b': write --env"),
        ({"docker_arg": ("-d",)}, 1, {}, "--docker-arg is '-d'"),
        ({}, 1, {"url": "file:///data/a,readonly"}, "'/data/a,readonly' cannot be mounted"),
    ],
)
def test_what_docker_would_not_take_is_refused_by_its_option(
    given: dict[str, Any], workers: int, plan: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError) as refused:
        TARGET.calls(made(given, workers, **plan))
    assert words in str(refused.value)


# What docker answers, by a program that stands in for it: it keeps its containers as files.

FAKE = """#!/bin/sh
here={here}
echo "$*" >>$here/calls
case $1 in
ps) for c in $here/containers/*; do [ -e "$c" ] && printf '%s|%s\\n' "$(basename $c)" "$(cat $c)"; done; true ;;
run)
    printf '%s' "$AWS_PROFILE" >$here/profile
    while [ "$1" != --name ]; do shift; done
    if [ -e $here/containers/$2 ]; then
        echo "docker: Error response from daemon: Conflict. The container name \\"/$2\\" is already in use" >&2
        exit 125
    fi
    left=$(($(cat $here/left) - 1))
    echo $left >$here/left
    if [ $left -lt 0 ]; then
        echo 'created|Created' >$here/containers/$2
        cat $here/refusal >&2
        exit 125
    fi
    echo 'running|Up 1 second' >$here/containers/$2
    echo 0123456789abcdef ;;
start) echo 'running|Up 1 second' >$here/containers/$2 ;;
stop) shift 3; for c; do echo 'exited|Exited (75) 1 second ago' >$here/containers/$c; done ;;
rm) rm $here/containers/$2 ;;
logs) echo out; echo talk >&2 ;;
esac
"""


class FakeDocker:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.containers = folder / "containers"
        self.containers.mkdir(parents=True)
        self.refuse_after(1000)
        program = folder / "docker"
        program.write_text(FAKE.format(here=folder))
        program.chmod(0o755)

    def refuse_after(self, count: int, errors: str = "") -> None:
        (self.folder / "left").write_text(str(count))
        (self.folder / "refusal").write_text(errors)

    def called(self, name: str) -> list[str]:
        return [line for line in (self.folder / "calls").read_text().splitlines() if line.split()[0] == name]


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return FakeDocker(tmp_path / "bin")


def test_containers_are_started_once_whoever_dies(
    daemon: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "research")
    ordered = made({"pass_env": ("AWS_PROFILE",)}, 3)
    names = tuple(ordered.job_name(index) for index in range(3))
    (daemon.containers / names[1]).write_text("created|Created\n")  # its launcher died before it was started
    first = TARGET.launch(ordered)
    assert (first.jobs, first.workers, first.refusal) == (names, 3, None)
    assert (len(daemon.called("run")), daemon.called("start")) == (2, [f"start {names[1]}"])
    assert (daemon.folder / "profile").read_text() == "research"
    assert "research" not in (daemon.folder / "calls").read_text(), "anybody can list command lines"
    assert TARGET.launch(ordered) == first
    assert len(daemon.called("run")) == 2


def test_another_launcher_at_this_very_moment_is_no_refusal(daemon: FakeDocker) -> None:
    ordered = made({}, 1)
    fake = (daemon.folder / "docker").read_text()
    (daemon.folder / "docker").write_text(fake.replace("case $1 in", '[ "$1" = ps ] && exit 0\ncase $1 in'))
    (daemon.containers / ordered.job_name(0)).write_text("running|Up 1 second\n")
    launched = TARGET.launch(ordered)
    assert (launched.workers, launched.refusal) == (1, None)


@pytest.mark.parametrize(
    ("errors", "refusal"),
    [
        ("docker: Error response from daemon: could not select device driver", Refusal.INVALID),
        ("docker: Error response from daemon: pull access denied for train", Refusal.DENIED),
        (
            "docker: Error response from daemon: toomanyrequests: You have reached your pull rate limit",
            Refusal.THROTTLED,
        ),
        ("docker: failed to register layer: write /x: no space left on device", Refusal.CAPACITY),
    ],
)
def test_refusals_are_answers_and_what_was_started_stays(
    daemon: FakeDocker, errors: str, refusal: Refusal
) -> None:
    daemon.refuse_after(1, errors)
    ordered = made({}, 3)
    launched = TARGET.launch(ordered)
    assert (launched.jobs, launched.workers, launched.refusal) == ((ordered.job_name(0),), 1, refusal)
    assert launched.message == errors
    assert [path.name for path in daemon.containers.iterdir()] == [ordered.job_name(0)], "none that never ran"


def test_a_daemon_that_went_away_is_no_refusal(daemon: FakeDocker) -> None:
    daemon.refuse_after(0, "docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")
    with pytest.raises(TargetUnavailable, match="docker run: docker: Cannot connect"):
        TARGET.launch(made({}))


def test_a_variable_that_is_to_be_passed_on_and_is_not_set_is_named(
    daemon: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    launched = TARGET.launch(made({"pass_env": ("NO_SUCH_KEY",)}))
    assert launched.refusal is Refusal.INVALID
    assert launched.message == "--pass-env: NO_SUCH_KEY not set in this environment"


def test_a_look_reads_dockers_states(daemon: FakeDocker) -> None:
    ordered = made({}, 8)
    told = [
        ("running|Up 3 hours", JobState.RUNNING),
        ("created|Created", JobState.PENDING),
        ("restarting|Restarting (1) 2 seconds ago", JobState.PENDING),
        ("exited|Exited (0) 2 minutes ago", JobState.DONE),
        ("exited|Exited (75) 2 minutes ago", JobState.CANCELLED),
        ("exited|Exited (137) 2 minutes ago", JobState.FAILED),
        ("something-new|?", JobState.RUNNING),
    ]
    for index, (said, _) in enumerate(told):  # the eighth one was removed
        (daemon.containers / ordered.job_name(index)).write_text(said + "\n")
    (daemon.containers / "another").write_text("running|Up\n")
    look = TARGET.look(ordered, ())
    assert [(job.id, job.state) for job in look.jobs] == [
        (ordered.job_name(index), state) for index, (_, state) in enumerate(told)
    ]
    assert look.alive == 4
    assert f"--filter label=hpo-pipe:submission={ordered.name}" in daemon.called("ps")[0]


def test_cancelling_stops_what_runs_with_its_grace(daemon: FakeDocker) -> None:
    ordered = made({"stop_timeout": 45}, 3)
    for index, said in enumerate(("running|Up", "exited|Exited (0)", "running|Up")):
        (daemon.containers / ordered.job_name(index)).write_text(said + "\n")
    assert TARGET.cancel(ordered, (), pending_only=True) == 0
    assert TARGET.cancel(ordered, ()) == 2
    assert daemon.called("stop") == [f"stop -t 45 {ordered.job_name(0)} {ordered.job_name(2)}"]
    assert TARGET.look(ordered, ()).alive == 0


def test_logs_have_both_streams(daemon: FakeDocker) -> None:
    ordered = made({}, 2)
    TARGET.launch(ordered)
    name = ordered.job_name(1)
    assert list(TARGET.logs(ordered, (), name, 7)) == [f"==> {name} <==", "out", "talk"]
    assert daemon.called("logs") == [f"logs --tail 7 {name}"]
    assert len(list(TARGET.logs(ordered, (), None, 1))) == 4


def test_without_docker_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"^docker is not on the PATH: see docs\.docker\.com"):
        TARGET.launch(made({}))


def test_containers_of_another_machine_are_not_taken_for_ended(
    daemon: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered = made({})
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    with pytest.raises(TargetUnavailable, match=r"its workers are containers of .*: ask there"):
        TARGET.look(ordered, ())
