"""The trial's side with real processes: Python, sh and Node through the launcher that workers use."""

import math
import os
import re
import shutil
import time
from pathlib import Path

import pytest

from storage_schema.errors import UserError
from storage_schema.trial_env import INTERRUPT, STOP
from tests.attempts import Make, python, write
from tests.waiting import wait_until

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


def test_a_hostile_pythonpath_is_the_trials_affair_only(make: Make, tmp_path: Path) -> None:
    hostile = dict.fromkeys(("storage_schema", "workers", "statistics"), "raise SystemExit('hostile')")
    write(tmp_path, **hostile, train="import hpo_pipe.trial as t\nt.current_trial().report(loss=1)")
    attempts = make({"PYTHONPATH": str(tmp_path / "work")}, command=("python", "train.py"))
    assert attempts.run().curve == [(1, {"loss": 1})]
