"""The trial's side with real processes: Python, sh and Node through the launcher that workers use."""

import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from storage_schema.errors import UserError
from storage_schema.trial_env import INTERRUPT, STOP
from tests.attempts import Attempts, launcher
from tests.waiting import wait_until

Make = Callable[..., Attempts]

PYTHON = """
import sys
from hpo_pipe.trial import current_trial
trial = current_trial()
if trial.checkpoint:
    print("restored", (trial.checkpoint / "model").read_text())
for step in trial.steps():
    trial.report(loss=1 / (step + 1))
    with trial.save_checkpoint() as folder:
        (folder / "model").write_text(f"{trial.params['lr']} {step}")
    if "wait" in sys.argv:
        print("waiting", flush=True)
        while not trial.should_stop:
            pass
print("done", trial.number)
"""

SHELL = r"""
file=$(cat "$HPO_PIPE_TRIAL")
text() { printf '%s' "$file" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
number() { printf '%s' "$file" | sed -n "s/.*\"$1\":\(-*[0-9.]*\)[,}].*/\1/p"; }
metrics=$(text metrics_file) checkpoints=$(text checkpoint_dir) stop=$(text stop_file) restored=$(text restored)
[ -n "$restored" ] && echo "restored $(cat "$restored/model")"
i=$(number start) to=$(number to)
while [ "$i" -lt "$to" ]; do
    i=$((i + 1))
    printf '{"resource": %d, "loss": 0.%d}\n' "$i" "$i" >> "$metrics"
    mkdir "$checkpoints/.new" && echo "$i" > "$checkpoints/.new/model" && mv "$checkpoints/.new" "$checkpoints/$i"
    if [ "$1" = wait ]; then
        echo waiting
        while [ ! -e "$stop" ]; do sleep 0.01; done
    fi
    if [ -e "$stop" ]; then
        [ "$(cat "$stop")" = interrupt ] && exit 75
        exit 0
    fi
done
echo "done lr=$(number lr)"
"""

NODE = """
const fs = require("fs"), path = require("path");
const trial = JSON.parse(fs.readFileSync(process.env.HPO_PIPE_TRIAL));
if (trial.restored) console.log("restored", fs.readFileSync(path.join(trial.restored, "model"), "utf8"));
for (let done = trial.start + 1; done <= trial.to; done++) {
  fs.appendFileSync(trial.metrics_file, JSON.stringify({ resource: done, loss: trial.parameters.lr / done }) + "\\n");
  const hidden = path.join(trial.checkpoint_dir, ".new");
  fs.mkdirSync(hidden);
  fs.writeFileSync(path.join(hidden, "model"), String(done));
  fs.renameSync(hidden, path.join(trial.checkpoint_dir, String(done)));
  if (process.argv[2] === "wait") { console.log("waiting"); while (!fs.existsSync(trial.stop_file)); }
  if (fs.existsSync(trial.stop_file))
    process.exit(fs.readFileSync(trial.stop_file, "utf8").trim() === "interrupt" ? 75 : 0);
}
console.log("done", trial.parameters.kind);
"""

SCRIPTS = {"python": ("train.py", PYTHON), "sh": ("train.sh", SHELL), "node": ("train.js", NODE)}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make attempts of a program, in a working folder of its own."""
    made: list[Attempts] = []

    def attempts(variables: dict[str, str] | None = None, /, **program: Any) -> Attempts:
        workdir = tmp_path / "work"
        workdir.mkdir(exist_ok=True)
        made.append(
            Attempts(launcher(workdir, variables or {}, **program), tmp_path / f"attempts-{len(made)}")
        )
        return made[-1]

    yield attempts
    for each in made:
        each.close()


@pytest.fixture(params=SCRIPTS)
def script(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, ...]:
    """A training script in one language, and what starts it."""
    language = request.param
    if shutil.which(language) is None and language != "python":
        pytest.skip(f"{language} is not installed")
    name, text = SCRIPTS[language]
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / name).write_text(text)
    return language, name


def python(text: str) -> tuple[str, ...]:
    return ("python", "-c", text.replace("{", "{{").replace("}", "}}"))


def write(tmp_path: Path, **files: str) -> None:
    (tmp_path / "work").mkdir(exist_ok=True)
    for name, text in files.items():
        (tmp_path / "work" / f"{name}.py").write_text(text)


def test_a_script_trains_in_any_language(make: Make, script: tuple[str, ...], tmp_path: Path) -> None:
    outcome = make(command=script).run()
    assert (outcome.ended.status, outcome.ended.signal, outcome.ended.reason) == (0, None, "finished")
    assert [resource for resource, _ in outcome.curve] == [1, 2, 3]
    assert all(set(values) == {"loss"} for _, values in outcome.curve)
    assert outcome.checkpoints == ["1", "2", "3"]
    assert outcome.output.startswith("done")
    assert outcome.bad_lines == []


def test_a_script_goes_on_from_a_checkpoint(make: Make, script: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "model").write_text("weights")
    outcome = make(command=script).run(start=2, restored=str(tmp_path / "saved"))
    assert [resource for resource, _ in outcome.curve] == [3]
    assert outcome.output.startswith("restored weights")


@pytest.mark.parametrize(("kind", "status"), [(STOP, 0), (INTERRUPT, 75)])
def test_a_script_ends_when_asked(make: Make, script: tuple[str, ...], kind: str, status: int) -> None:
    attempts = make(command=(*script, "wait"))
    process, file, folder = attempts.start()
    wait_until(lambda: b"waiting" in process.output(), 10, "the first step")
    assert process.poll() is None
    process.ask_to_stop(kind)
    outcome = attempts.outcome(process, file, folder)
    assert outcome.ended.status == status
    assert [resource for resource, _ in outcome.curve] == [1]
    assert outcome.checkpoints == ["1"]


def test_parameters_come_on_the_command_line(make: Make) -> None:
    command = ("sh", "-c", 'for a; do echo "<$a>"; done', "sh", "--lr={lr}", "{kind}", "{args}")
    outcome = make(command=command).run(parameters={"lr": 1e-07, "kind": "$(echo no); rm 'x'"})
    assert outcome.output.splitlines() == [
        "<--lr=1e-07>",
        "<$(echo no); rm 'x'>",
        "<--lr=1e-07>",
        "<--kind=$(echo no); rm 'x'>",
    ]


def test_the_environment_is_the_users_with_the_studys_over_it(make: Make) -> None:
    show = 'echo "$A $B $C $CUDA_VISIBLE_DEVICES $PYTHONUNBUFFERED"'
    attempts = make(
        {"A": "1", "B": "1", "PYTHONUNBUFFERED": ""},
        command=("sh", "-c", show),
        environment=(("B", "2"), ("C", "3")),
    )
    assert attempts.run(gpus=("4", "GPU-x")).output == "1 2 3 4,GPU-x \n"
    attempts = make({"CUDA_VISIBLE_DEVICES": "7"}, command=("sh", "-c", show))
    assert attempts.run().output == "   7 1\n"


def test_what_cannot_be_started_is_the_users_mistake(make: Make, tmp_path: Path) -> None:
    write(tmp_path, plain="x = 1")
    for command, message in [
        (("nonesuch",), "not found on PATH"),
        (("./plain.py",), "not executable"),
        (("sh", "{lrr}"), "did you mean 'lr'"),
        (("sh", "{text}"), "too long"),
    ]:
        with pytest.raises(UserError, match=message):
            make(command=command).run(parameters={"lr": 1, "text": "x" * 3_000_000})
    (tmp_path / "work" / "plain.py").chmod(0o755)
    with pytest.raises(UserError, match="no #! line"):
        make(command=("./plain.py",)).run()
    with pytest.raises(UserError, match="exactly one of command and function"):
        make()
    with pytest.raises(UserError, match="expected 'module:name'"):
        make(function="train.py")


def test_endings_are_put_into_words(make: Make) -> None:
    assert make(command=("sh", "-c", "exit 3")).run().ended.reason == "failed with exit status 3"
    by_itself = make(command=("sh", "-c", "kill -9 $$")).run().ended
    assert (by_itself.status, by_itself.signal) == (None, 9)
    assert "from outside" in by_itself.reason
    attempts = make(command=("sleep", "60"))
    process, file, folder = attempts.start()
    assert process.wait(0.01) is None
    process.terminate()
    assert (
        attempts.outcome(process, file, folder).ended.reason == "ended by the worker with signal 15 (SIGTERM)"
    )


def test_the_end_is_noticed_at_once(make: Make) -> None:
    attempts = make(command=("sh", "-c", "exec 1>&- 2>&-; read line < go"))
    os.mkfifo(attempts.root.parent / "work" / "go")
    process, *_ = attempts.start()
    with (attempts.root.parent / "work" / "go").open("w") as go:
        go.write("\n")
    begun = time.monotonic()
    assert process.wait(30.0) is not None
    assert time.monotonic() - begun < 1.0
    assert process.poll() == process.wait(30.0)


def test_100_mb_of_output_neither_block_nor_stay(make: Make) -> None:
    command = python(
        "import os\n"
        "line = b'x' * 99 + b'\\n'\n"
        "for i in range(100): os.write(1, line * 10000)\n"
        "print('the end')"
    )
    attempts = make(command=command)
    begun = time.monotonic()
    outcome = attempts.run()
    assert time.monotonic() - begun < 20.0
    assert outcome.ended.status == 0
    assert len(outcome.output) < 2 * 1024 * 1024 + 100
    (gap,) = re.findall(r"\n\.\.\. ([0-9]+) bytes left out \.\.\.\n", outcome.output)
    said = f"\n... {gap} bytes left out ...\n"
    assert int(gap) + len(outcome.output) - len(said) == 100_000_008
    assert int(gap) < 100_000_008 - 2 * 1024 * 1024 + 200, (
        "more than the broken lines beside the gap is missing"
    )
    assert outcome.output.endswith("the end\n")
    assert sum(path.stat().st_size for path in outcome.folder.rglob("*") if path.is_file()) < 10_000


def test_a_trial_that_prints_is_read_while_nobody_asks(make: Make) -> None:
    process, *_ = make(command=python("print('x' * 3_000_000)")).start()
    wait_until(lambda: len(process.output()) > 2_000_000, 10, "the output, without poll or wait")


def test_metrics_are_taken_from_what_a_script_prints(make: Make) -> None:
    attempts = make(
        command=("sh", "-c", "echo 'epoch 1 loss=0.5 acc=0.1'; echo noise; echo 'epoch 2 loss=nan acc=0.2'"),
        metric_patterns=(("loss", r"loss=(\S+)"), ("acc", r"acc=(\S+)")),
    )
    (one, first), (two, second) = attempts.run().curve
    assert (one, first, two) == (1, {"loss": 0.5, "acc": 0.1}, 2)
    assert math.isnan(second["loss"])


def test_nan_nothing_and_nonsense_are_reported_as_such(make: Make) -> None:
    report = "from hpo_pipe.trial import current_trial; current_trial().report(loss=float('nan'))"
    (_, values), *rest = make(command=python(report)).run().curve
    assert math.isnan(values["loss"]) and rest == []
    silent = make(command=("true",)).run()
    assert (silent.ended.status, silent.curve, silent.bad_lines) == (0, [], [])
    nonsense = (
        "import json, os; file = json.load(open(os.environ['HPO_PIPE_TRIAL']))\n"
        "open(file['metrics_file'], 'a').write('loss 3\\n')"
    )
    assert make(command=python(nonsense)).run().bad_lines == [
        "report line 1: not JSON (Expecting value: line 1 column 1 (char 0)): 'loss 3'"
    ]


def test_a_trial_that_floods_its_reports_is_killed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.reports.MAX_FILE_BYTES", 1000)
    flood = 'cd "$(dirname "$HPO_PIPE_TRIAL")"; head -c 2000 /dev/zero > metrics.jsonl; sleep 60'
    outcome = make(command=("sh", "-c", "{flood}")).run(parameters={"flood": flood})
    assert (outcome.ended.signal, outcome.ended.reason[:18]) == (9, "reported more than")


def test_sigterm_from_outside_lets_a_trial_save_its_step(make: Make) -> None:
    attempts = make(
        command=python(
            "import os, signal\n"
            "from hpo_pipe.trial import current_trial\n"
            "trial = current_trial()\n"
            "for step in trial.steps():\n"
            "    if step == 1: os.kill(0, signal.SIGTERM)\n"
            "    trial.report(loss=step)\n"
            "    with trial.save_checkpoint(): pass\n"
        )
    )
    outcome = attempts.run()
    assert (outcome.ended.status, outcome.checkpoints) == (75, ["1", "2"])


LEAVES_CHILDREN = """
import os, subprocess, sys, time
for session in (False, True):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "{mark}"], start_new_session=session)
print("started", flush=True)
if {stay}: time.sleep(60)
"""


def living(mark: str) -> list[int]:
    """Return the processes that name `mark` on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if mark.encode() in (entry / "cmdline").read_bytes().split(b"\0") and state != "Z":
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_children_die_with_their_trial(make: Make, tmp_path: Path) -> None:
    mark = f"child-of-{tmp_path}"
    script = f"import subprocess; subprocess.Popen(['sh', '-c', 'sleep 60; :', {mark!r}])"
    outcome = make(command=python(script)).run()
    assert outcome.ended.status == 0
    wait_until(lambda: not living(mark), 2, "the end of the children")


WORKER = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.attempts import Attempts, launcher
attempts = Attempts(launcher(Path({work!r}), {{}}, {mode}={program!r}), Path({work!r}) / "attempts")
process, *_ = attempts.start()
while b"started" not in process.output(): process.wait(0.05)
print("ready", flush=True)
process.wait(60)
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("mode", ["command", "function"])
def test_a_killed_worker_takes_the_whole_tree_with_it(tmp_path: Path, mode: str) -> None:
    """Also a grandchild that left the process group and the session."""
    mark = f"{mode}-{tmp_path}"
    body = LEAVES_CHILDREN.format(mark=mark, stay=True)
    write(tmp_path, train="def main():\n" + "".join(f"    {line}\n" for line in body.splitlines()))
    program: Any = "train:main" if mode == "function" else ("python", "-c", body)
    text = WORKER.format(root=str(Path.cwd()), work=str(tmp_path / "work"), mode=mode, program=program)
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, cwd=tmp_path) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        assert len(living(mark)) == 2
        worker.send_signal(signal.SIGKILL)
        killed = time.monotonic()
    wait_until(lambda: not living(mark), 2, "the end of the grandchildren")
    assert time.monotonic() - killed < 2


def test_a_hostile_pythonpath_is_the_trials_affair_only(make: Make, tmp_path: Path) -> None:
    hostile = dict.fromkeys(("storage_schema", "workers", "statistics"), "raise SystemExit('hostile')")
    write(tmp_path, **hostile, train="import hpo_pipe.trial as t\nt.current_trial().report(loss=1)")
    attempts = make({"PYTHONPATH": str(tmp_path / "work")}, command=("python", "train.py"))
    assert attempts.run().curve == [(1, {"loss": 1})]


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
