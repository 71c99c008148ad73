"""``submit slurm``: the exact command and script, what is refused before Slurm is asked, and what it answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpo_pipe.launch.commands import ask
from hpo_pipe.launch.order import Order
from hpo_pipe.launch.target import CommandCall, JobState, Refusal, TargetUnavailable
from hpo_pipe.launch.targets.slurm import TARGET
from hpo_pipe.launch.targets.slurm.options import seconds_of
from storage_schema.errors import StoreUnavailable, UserError
from tests.unit.launch.orders import GOLDEN, PLAN, WRITE, order

ROOT = Path(__file__).parents[3]
HAND_SCRIPT = ROOT / "infra" / "slurm" / "worker.sbatch"
PLAIN: dict[str, Any] = {"chdir": "/home/you/project", "logs": "/home/you/logs", "program": "hpo-pipe"}
FULL: dict[str, Any] = PLAIN | {
    "partition": "gpu,preemptible",
    "account": "vision",
    "qos": "low",
    "time": "1-12:00",
    "gres": "gpu:a100:2",
    "cpus_per_task": 8,
    "mem": "32G",
    "constraint": "a100|h100&nvlink",
    "nice": 100,
    "array_parallelism": 5,
    "signal_seconds": 180,
    "grace": 120,
    "setup": ("module load cuda", "source '/home/you/my env/bin/activate'"),
    "export": "WANDB_API_KEY,AWS_PROFILE",
    "logs": "/home/you/my logs",
    "sbatch_arg": ("--reservation=a b", "--exclusive"),
}
SECRETS = (("HF_TOKEN", "file:/home/you/.hf token"),)


def made(given: dict[str, Any], workers: int = 2, **plan: Any) -> Order:
    return order(TARGET, given, workers, **plan)


def script(ordered: Order) -> str:
    (call,) = TARGET.calls(ordered)
    assert isinstance(call, CommandCall)
    return call.stdin


@pytest.mark.parametrize(
    ("name", "given", "workers", "plan"),
    [
        ("slurm_plain", PLAIN, 1, {}),
        (
            "slurm_full",
            FULL,
            20,
            {
                "gpus": None,
                "gpus_per_trial": 1,
                "secrets": SECRETS,
                "code": "cd" * 32,
                "max_runtime_s": 90000.0,
                "env": (("GREETING", "it's $HOME"),),
                "arguments": ("--drain", "--", "python", "train.py"),
            },
        ),
    ],
)
def test_the_command_and_its_script(
    name: str, given: dict[str, Any], workers: int, plan: dict[str, Any]
) -> None:
    found = [call.to_json() for call in TARGET.calls(made(given, workers, **plan))]
    found[0]["stdin"] = found[0]["stdin"].splitlines()
    path = GOLDEN / f"{name}.json"
    if os.environ.get(WRITE):
        path.write_text(json.dumps(found, indent=2) + "\n")
    assert found == json.loads(path.read_text()), f"{path.name}: {WRITE}=1 writes it anew"


def test_the_script_for_use_by_hand_is_what_submit_renders() -> None:
    ordered = made(PLAIN, 4, env=(), gpus=1)
    rendered = script(ordered).replace(ordered.name, "hpo-worker")
    for only_submitted in (f" --study-sha256 {PLAN.study_sha256}", "export HPO_PIPE_SUBMISSION=3\n"):
        assert only_submitted in rendered
        rendered = rendered.replace(only_submitted, "")
    if os.environ.get(WRITE):
        HAND_SCRIPT.write_text(rendered)
    assert HAND_SCRIPT.read_text() == rendered, f"{WRITE}=1 writes it anew"


@pytest.mark.parametrize("given", [PLAIN, FULL])
def test_shellcheck_finds_nothing_to_mend(given: dict[str, Any], tmp_path: Path) -> None:
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    file = tmp_path / "worker.sbatch"
    file.write_text(script(made(given, secrets=SECRETS, gpus=None)))
    # 1090: whether the user's own `source` finds its file is not ours to know
    done = subprocess.run([shellcheck, "--exclude=1090,1091", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("changes", "plan", "words"),
    [
        ({"partition": "gpu --wrap=x"}, {}, "--partition is 'gpu --wrap=x', expected something like gpu"),
        ({"time": "4 hours"}, {}, "--time is '4 hours', expected something like 4:00:00"),
        ({"time": "3:00"}, {}, "--time is '3:00', expected more than --signal-seconds and 60 s"),
        ({"time": "10", "signal_seconds": 600}, {}, "660 s in all"),
        ({"signal_seconds": 20}, {}, "--signal-seconds is 20, expected at least --grace, 30"),
        ({"signal_seconds": 65_536}, {}, "--signal-seconds is 65536, expected an integer from 1 to 65535"),
        ({"gres": "gpu:1", "gpus_per_task": "1"}, {"gpus": None}, "--gres and --gpus-per-task: expected one"),
        ({"gres": "gpu:a100:2"}, {"gpus": 2}, "--gpus and --gres: expected one of them"),
        ({"gres": "shard:4"}, {"gpus": 0}, "--gpus and --gres: expected one of them"),
        ({"gpus_per_task": "a100:2"}, {"gpus": 2}, "--gpus and --gpus-per-task: expected one of them"),
        ({"mem": "16 GB"}, {}, "--mem is '16 GB', expected something like 16G"),
        ({"constraint": "a100;rm"}, {}, "--constraint is 'a100;rm'"),
        ({"logs": "/tmp/%j"}, {}, "--logs is '/tmp/%j'"),
        ({"setup": ("one\ntwo",)}, {}, "--setup is 'one\\ntwo'"),
        ({"export": "ALL;id"}, {}, "--export is 'ALL;id', expected something like ALL, NONE or"),
        ({"sbatch_arg": ("exclusive",)}, {}, "--sbatch-arg is 'exclusive', expected something like"),
        ({"sbatch_arg": ("--array=0-3",)}, {}, "--sbatch-arg '--array=0-3': write --workers"),
        ({"sbatch_arg": ("--job-name=x",)}, {}, "--sbatch-arg '--job-name=x': hpo-pipe sets it"),
        ({"sbatch_arg": ("--job-n=x",)}, {}, "--sbatch-arg '--job-n=x': hpo-pipe sets it"),
        ({"sbatch_arg": ("-Jx",)}, {}, "--sbatch-arg '-Jx': hpo-pipe sets it"),
        ({"sbatch_arg": ("-N 2",)}, {}, "--sbatch-arg '-N 2': write --workers: each is a job on one node"),
        ({"sbatch_arg": ("--no-requeue",)}, {}, "hpo-pipe sets it"),
        ({"array_parallelism": 0}, {}, "--array-parallelism is 0"),
    ],
)
def test_what_slurm_would_not_take_is_refused_by_its_option(
    changes: dict[str, Any], plan: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError) as refused:
        made(PLAIN | changes, **plan)
    assert words in str(refused.value)


@pytest.mark.parametrize("argument", ["--mem-per-cpu=2G", "--exclusive", "--gpu-bind=none", "--time-min=5"])
def test_options_of_sbatch_that_are_none_of_ours_pass(argument: str) -> None:
    (call,) = TARGET.calls(made(PLAIN | {"sbatch_arg": (argument,)}))
    assert isinstance(call, CommandCall) and call.argv[-1] == argument


@pytest.mark.parametrize(
    ("time", "seconds"),
    [("90", 5400), ("5:30", 330), ("1:00:00", 3600), ("1-0", 86400), ("2-3:04", 183840), ("1-1:1:1", 90061)],
)
def test_time_limits_are_read_as_slurm_reads_them(time: str, seconds: float) -> None:
    assert seconds_of(time) == seconds


def test_settings_are_absolute_and_hold_what_stands_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = made({"logs": "out"}).settings
    assert settings["chdir"] == str(tmp_path)
    assert settings["logs"] == str(tmp_path / "out")
    assert settings["program"] == str(Path(sys.executable).with_name("hpo-pipe"))


# What Slurm answers, by programs that stand in for it.


class FakeSlurm:
    """Programs on the PATH that print what a test says, and write down how they were called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        self.calls.touch()
        for name in ("sbatch", "squeue", "sacct", "scancel", "scontrol"):
            self.say(name, "")
        self.say("sacct", "", errors="Slurm accounting storage is disabled", status=1)

    def say(self, name: str, out: str, errors: str = "", status: int = 0) -> None:
        (self.folder / f"{name}.out").write_text(out)
        (self.folder / f"{name}.err").write_text(errors)
        file = self.folder / name
        file.write_text(
            f'#!/bin/sh\necho "{name} $*" >>{self.calls}\n[ {name} = sbatch ] && cat >{self.folder}/stdin\n'
            f"cat {self.folder}/{name}.out\ncat {self.folder}/{name}.err >&2\nexit {status}\n"
        )
        file.chmod(0o755)

    def called(self, name: str) -> list[str]:
        return [line for line in self.calls.read_text().splitlines() if line.split()[0] == name]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return FakeSlurm(folder)


def here(tmp_path: Path, workers: int = 2, **changes: Any) -> Order:
    return made({"program": "hpo-pipe", "logs": str(tmp_path / "logs"), **changes}, workers)


def test_it_submits_once_and_finds_its_array_again_by_its_name(slurm: FakeSlurm, tmp_path: Path) -> None:
    slurm.say("sbatch", "4711;hpc\n")
    ordered = here(tmp_path)
    first = TARGET.launch(ordered)
    assert (first.jobs, first.workers, first.refusal) == (("4711",), 2, None)
    assert (slurm.folder / "stdin").read_text() == script(ordered)
    assert Path(ordered.settings["logs"]).is_dir(), "without it Slurm's jobs fail, and nobody hears why"
    slurm.say("squeue", "4711_0|RUNNING|None|n1\n4711_1|PENDING|Resources|\n")
    assert TARGET.launch(ordered) == first
    slurm.say("squeue", "")
    slurm.say("sacct", "4711_0|COMPLETED|0:0|n1\n")
    assert TARGET.launch(ordered) == first, "forgotten by the controller, known to accounting"
    assert len(slurm.called("sbatch")) == 1


@pytest.mark.parametrize(
    ("errors", "refusal"),
    [
        (
            "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates "
            "accounting/QOS policy (job submit limit, user's size and/or time limits)",
            Refusal.QUOTA,
        ),
        ("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying", Refusal.THROTTLED),
        (
            "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
            Refusal.DENIED,
        ),
        (
            "sbatch: error: Batch job submission failed: User's group not permitted to use this partition",
            Refusal.DENIED,
        ),
        (
            "sbatch: error: Batch job submission failed: Requested node configuration is not available",
            Refusal.INVALID,
        ),
        ("sbatch: error: invalid partition specified: nope", Refusal.INVALID),
        ("sbatch: error: Batch job submission failed: Invalid job array specification", Refusal.INVALID),
    ],
)
def test_refusals_are_answers(slurm: FakeSlurm, tmp_path: Path, errors: str, refusal: Refusal) -> None:
    slurm.say("sbatch", "", errors=errors, status=1)
    launched = TARGET.launch(here(tmp_path))
    assert (launched.jobs, launched.workers, launched.refusal) == ((), 0, refusal)
    assert launched.message.startswith("sbatch: error: ")


@pytest.mark.parametrize(
    "errors",
    [
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "sbatch: fatal: Could not establish a configuration source",
    ],
)
def test_no_answer_is_no_refusal_it_may_have_started(slurm: FakeSlurm, tmp_path: Path, errors: str) -> None:
    slurm.say("sbatch", "", errors=errors, status=1)
    with pytest.raises(TargetUnavailable, match="sbatch: "):
        TARGET.launch(here(tmp_path))


def test_a_controller_that_does_not_tell_of_its_queue_is_not_asked_to_start(
    slurm: FakeSlurm, tmp_path: Path
) -> None:
    slurm.say("squeue", "", errors="slurm_load_jobs error: Unable to contact slurm controller", status=1)
    with pytest.raises(TargetUnavailable, match=r"^squeue: slurm_load_jobs error"):
        TARGET.launch(here(tmp_path))
    assert not slurm.called("sbatch")


def test_without_slurm_its_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"^squeue is not on the PATH: it comes with Slurm"):
        TARGET.look(here(tmp_path), ())


def test_a_variable_that_is_to_be_passed_on_and_is_not_set_is_named(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    launched = TARGET.launch(here(tmp_path, export="PATH,NO_SUCH_KEY"))
    assert (launched.refusal, launched.message) == (
        Refusal.INVALID,
        "--export: NO_SUCH_KEY not set in this environment",
    )


def test_a_test_asks_slurm_before_anything_is_recorded(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ordered = here(tmp_path, test=True)
    starts = "sbatch: Job 12 to start at 2030-01-01T00:00:00 using 1 processors on nodes n1 in partition gpu"
    slurm.say("sbatch", "", errors=starts)
    assert TARGET.calls(ordered) == TARGET.calls(here(tmp_path))
    assert capsys.readouterr().err == f"Slurm would take it: {starts.removeprefix('sbatch: ')}\n"
    assert [call.split()[:3] for call in slurm.called("sbatch")] == [["sbatch", "--test-only", "--parsable"]]
    slurm.say(
        "sbatch", "", errors="allocation failure: Requested node configuration is not available", status=1
    )
    with pytest.raises(UserError, match=r"^sbatch --test-only: allocation failure: Requested node"):
        TARGET.calls(ordered)


def test_a_test_that_slurm_does_not_answer_says_nothing_of_the_options(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = "allocation failure: Unable to contact slurm controller (connect failure)"
    slurm.say("sbatch", "", errors=away, status=1)
    with pytest.raises(StoreUnavailable, match=r"^sbatch --test-only: allocation failure: Unable to contact"):
        TARGET.calls(here(tmp_path, test=True))
    (slurm.folder / "sbatch").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setitem(ask.__kwdefaults__, "limit_s", 0.3)
    with pytest.raises(StoreUnavailable, match=r"^sbatch --test-only: sbatch did not answer within"):
        TARGET.calls(here(tmp_path, test=True))


def test_a_look_tells_each_task(slurm: FakeSlurm, tmp_path: Path) -> None:
    ordered = here(tmp_path, 6)
    slurm.say(
        "squeue",
        "4711_10|PENDING|BeginTime|\n4711_1|RUNNING|None|n[1-2]\n4711_2|COMPLETING|None|n3\n"
        "4711_3|FAILED|NonZeroExitCode|n1\n4711_4|SOMETHING_NEW|None|n1\n9_0|RUNNING|None|n1\nnonsense\n",
    )
    slurm.say("sacct", "4711_0|CANCELLED by 1000|0:15|n1\n4711_1|COMPLETED|0:0|n1\n4711_5|RUNNING|0:0|n1\n")
    look = TARGET.look(ordered, ("4711",))
    assert [(job.id, job.state, job.detail) for job in look.jobs] == [
        ("4711_0", JobState.CANCELLED, "CANCELLED 0:15 on n1"),
        ("4711_1", JobState.RUNNING, "RUNNING on n[1-2]"),
        ("4711_2", JobState.RUNNING, "COMPLETING on n3"),
        ("4711_3", JobState.FAILED, "FAILED NonZeroExitCode on n1"),
        ("4711_4", JobState.RUNNING, "SOMETHING_NEW on n1"),
        ("4711_10", JobState.PENDING, "PENDING BeginTime"),
    ]
    assert look.alive == 4
    assert f"--name={ordered.name}" in slurm.called("squeue")[0]


def test_cancelling_lets_workers_hand_back_and_nobody_puts_them_back(
    slurm: FakeSlurm, tmp_path: Path
) -> None:
    ordered = here(tmp_path, 3)
    listing = "4711_0|RUNNING|None|n1\n4711_1|RUNNING|None|n1\n4711_2|PENDING|Resources|\n"
    slurm.say("squeue", listing)
    assert TARGET.cancel(ordered, ("4711",), pending_only=True) == 1
    mine = f"--name={ordered.name} --user={os.getuid()}"
    assert slurm.called("scancel") == [f"scancel --state=PENDING {mine}"]
    slurm.say("squeue", listing)
    slurm.calls.write_text("")
    assert TARGET.cancel(ordered, ("4711",)) == 3
    done = [line for line in slurm.calls.read_text().splitlines() if line.startswith("sc")]
    assert done == [
        "scontrol update JobId=4711 Requeue=0",
        f"scancel --state=PENDING {mine}",
        f"scancel --signal=TERM --state=RUNNING {mine}",
        "scancel 4711_0 4711_1",  # the listing names no steps: there is no worker yet to be signalled
    ]


def test_logs_are_the_ends_of_the_tasks_files(tmp_path: Path) -> None:
    ordered = here(tmp_path, 12)
    logs = tmp_path / "logs"
    logs.mkdir()
    for task in ("4711_2", "4711_10", "12_0"):
        (logs / f"{ordered.name}-{task}.log").write_text(f"first of {task}\nlast of {task}\n")
    (logs / f"{ordered.name}0-4711_3.log").write_text("another submission's\n")
    assert list(TARGET.logs(ordered, ("4711",), None, 1)) == [
        "==> 4711_2 <==",
        "last of 4711_2",
        "==> 4711_10 <==",
        "last of 4711_10",
    ]
    assert list(TARGET.logs(ordered, (), "12_0", 5)) == ["==> 12_0 <==", "first of 12_0", "last of 12_0"]
