"""`hpo_pipe.trial` in this process, against the files of the contract."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo_pipe import trial as trials
from hpo_pipe import trial_place
from hpo_pipe.trial import Trial, TrialInterrupted, TrialPruned, current_trial
from storage_schema import trial_env
from tests.attempts import trial_file
from workers.reports import parsed
from workers.trial_folder import prepared, write_save, write_stop


class Here:
    """A trial of this process, and the files around it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch

    def trial(self, **changes: Any) -> Trial:
        file = trial_file(self.folder, **changes)
        self._monkeypatch.setenv("HPO_PIPE_TRIAL", str(prepared(file, self.folder)))
        return current_trial()

    def ask(self, kind: str) -> None:
        write_stop(self.folder / "stop", kind)

    def wish_for_a_checkpoint(self) -> None:
        write_save(self.folder / "save")

    @property
    def lines(self) -> list[dict[str, float]]:
        return [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]

    @property
    def checkpoints(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "checkpoints").iterdir())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    yield Here(tmp_path, monkeypatch)
    for trial in list(trials._trials.values()):
        trial.close()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    for name in ("HPO_PIPE_TRIAL", "HPO_PIPE_STEPS", "HPO_PIPE_PARAMS"):
        monkeypatch.delenv(name, raising=False)
    trials._trials.clear()
    yield monkeypatch
    trials._trials.clear()


def test_both_sides_use_the_same_words() -> None:
    assert trial_place.VARIABLE == trial_env.VARIABLE
    assert (trial_place.STOP, trial_place.INTERRUPT) == (trial_env.STOP, trial_env.INTERRUPT)
    assert trials.EXIT_INTERRUPTED == trial_env.EXIT_INTERRUPTED
    assert (TrialPruned().code, TrialInterrupted().code) == (0, 75)


def test_steps_reports_and_checkpoints_go_together(here: Here) -> None:
    trial = here.trial(start=1, to=4, restored="/somewhere")
    assert (trial.number, trial.seed, trial.start, trial.target) == (7, 5, 1, 4)
    assert trial.checkpoint == Path("/somewhere")
    assert current_trial({"units": 1, "depth": 2}).params == {
        "lr": 0.1,
        "units": 32,
        "kind": "relu",
        "depth": 2,
    }
    for step in trial.steps():
        assert trial.resource == step
        trial.report(loss=np.float32(0.5), acc=step)
        trial.report({"val/f1": 1})
        with trial.save_checkpoint() as folder:
            (folder / "model").write_text(str(step))
    assert trial.resource == 4
    assert [line["resource"] for line in here.lines] == [2, 2, 3, 3, 4, 4]
    assert here.lines[:2] == [{"resource": 2, "loss": 0.5, "acc": 1}, {"resource": 2, "val/f1": 1}]
    assert here.checkpoints == ["2", "3", "4"]


def test_a_step_counts_from_0_and_a_resource_counts_what_is_done(here: Here) -> None:
    trial = here.trial(to=9)
    trial.report(0.4, 3)
    trial.report(loss=0.3, step=np.int64(4))
    trial.report(loss=0.2, resource=6)
    trial.report(loss=0.1)
    trial.report(loss=0.1)
    assert [line["resource"] for line in here.lines] == [4, 5, 6, 7, 8]
    with trial.save_checkpoint(step=2):
        pass
    with trial.save_checkpoint():
        pass
    assert here.checkpoints == ["3", "8"]


@pytest.mark.parametrize(
    ("arguments", "metrics", "message"),
    [
        ((), {}, "nothing to report"),
        ((), {"loss": "0.5"}, "loss must be a number"),
        ((), {"loss": True}, "loss must be a number"),
        ((), {"loss": [1, 2]}, "loss must be one number"),
        (({"resource": 1},), {}, "cannot be called"),
        ((0.5, -1), {}, "steps count from 0"),
        ((0.5, 0.5), {}, "as an integer"),
        ((0.5, 1), {"resource": 1}, "not both"),
    ],
)
def test_bad_reports_are_refused(here: Here, arguments: Any, metrics: Any, message: str) -> None:
    trial = here.trial()
    with pytest.raises((TypeError, ValueError), match=message):
        trial.report(*arguments, **metrics)
    assert here.lines == []


def test_what_is_not_finite_reaches_the_worker(here: Here) -> None:
    here.trial().report(a=math.nan, b=math.inf, c=-math.inf)
    _, values = parsed((here.folder / "metrics.jsonl").read_bytes().strip(), 1)
    assert math.isnan(values["a"])
    assert (values["b"], values["c"]) == (math.inf, -math.inf)


def test_a_stop_ends_it_at_the_next_report(here: Here) -> None:
    trial = here.trial()
    assert not trial.should_prune() and not trial.should_stop
    here.ask("stop")
    assert trial.should_prune() and trial.should_stop
    with pytest.raises(TrialPruned):
        trial.report(loss=1)
    assert len(here.lines) == 1
    with pytest.raises(TrialPruned):
        list(trial.steps())


def test_a_loop_of_its_own_hears_where_its_spec_ends(here: Here) -> None:
    trial = here.trial(to=3)
    for step in range(27):
        trial.report(1 / (step + 1), step)
        if trial.should_prune():
            break
    assert [line["resource"] for line in here.lines] == [1, 2, 3]


def test_in_the_loop_of_steps_the_last_step_is_not_pruned_before_its_checkpoint(here: Here) -> None:
    trial = here.trial(to=3)
    for step in trial.steps():
        trial.report(loss=step)
        assert not trial.should_prune()


def test_an_interruption_lets_the_step_be_finished_and_saved(here: Here) -> None:
    trial = here.trial(to=5)
    with pytest.raises(TrialInterrupted):
        for step in trial.steps():
            if step == 1:
                here.ask("interrupt")
                assert trial.should_stop and not trial.should_prune()
            with trial.save_checkpoint():
                pass
            trial.report(loss=step)
    assert [line["resource"] for line in here.lines] == [1, 2]
    assert here.checkpoints == ["1", "2"]


@pytest.mark.parametrize("checkpoint_first", [True, False])
def test_an_interruption_of_an_own_loop_comes_after_report_and_checkpoint(
    here: Here, checkpoint_first: bool
) -> None:
    trial = here.trial(to=5)
    with pytest.raises(TrialInterrupted):
        for epoch in range(5):
            if epoch == 2:
                here.ask("interrupt")
            if checkpoint_first:
                with trial.save_checkpoint(epoch):
                    pass
                trial.report(1.0, epoch)
            else:
                trial.report(1.0, epoch)
                with trial.save_checkpoint(epoch):
                    pass
    assert [line["resource"] for line in here.lines] == [1, 2, 3]
    assert here.checkpoints == ["1", "2", "3"]


def test_what_is_complete_is_not_interrupted_any_more(here: Here) -> None:
    trial = here.trial(to=2)
    here.ask("interrupt")
    trial.report(1.0, 1)
    with trial.save_checkpoint(1):
        pass


def test_sigterm_is_an_interruption_at_first(here: Here) -> None:
    trial = here.trial(to=5)
    os.kill(os.getpid(), signal.SIGTERM)
    assert trial.should_stop and not trial.should_prune()
    with pytest.raises(TrialInterrupted):
        os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_after_the_stop_file_ends_it(here: Here) -> None:
    here.trial()
    here.ask("interrupt")
    with pytest.raises(TrialInterrupted):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_scripts_own_handler_is_left_alone(here: Here) -> None:
    def own(*_: object) -> None: ...

    signal.signal(signal.SIGTERM, own)
    here.trial()
    assert signal.getsignal(signal.SIGTERM) is own


def test_a_checkpoint_is_all_or_nothing(here: Here) -> None:
    trial = here.trial()
    with pytest.raises(RuntimeError), trial.save_checkpoint(0) as folder:
        (folder / "half").touch()
        raise RuntimeError
    assert here.checkpoints == []
    for text in ("old", "new"):
        with trial.save_checkpoint(0) as folder:
            (folder / text).touch()
            assert folder.name.startswith(".")
    assert [path.name for path in (here.folder / "checkpoints" / "1").iterdir()] == ["new"]
    assert here.checkpoints == ["1"]


def test_a_trial_file_that_cannot_be_read_is_named(alone: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alone.setenv("HPO_PIPE_TRIAL", str(tmp_path / "none"))
    with pytest.raises(RuntimeError, match="none cannot be read"):
        current_trial()


def test_without_a_resource_the_script_says_how_far(here: Here) -> None:
    trial = here.trial(to=None, resource_name=None)
    with pytest.raises(ValueError, match="say how many steps"):
        trial.steps()
    assert list(trial.steps(2)) == [0, 1]


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (0.5, [{"resource": 3, "loss": 0.5}]),
        ({"loss": 1, "acc": 2}, [{"resource": 3, "loss": 1, "acc": 2}]),
        (None, []),
        (True, []),
        ("0.5", []),
    ],
)
def test_what_a_function_returns_is_its_last_report(here: Here, returned: object, expected: object) -> None:
    here.trial().finish(returned)
    assert here.lines == expected


def test_what_was_reported_is_not_reported_again(here: Here) -> None:
    trial = here.trial()
    trial.report(loss=0.5, resource=3)
    trial.finish({"loss": 9, "acc": 1})
    assert here.lines[1:] == [{"resource": 3, "acc": 1}]


def test_alone_a_script_runs_as_it_is(alone: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    alone.setenv("HPO_PIPE_PARAMS", '{"lr": 0.5}')
    trial = current_trial({"lr": 1}, units=3)
    assert (trial.params, trial.alone, trial.checkpoint) == ({"lr": 0.5, "units": 3}, True, None)
    assert current_trial() is trial
    seen = None
    for step in trial.steps(2):
        trial.report(loss=0.25, acc=step)
        with trial.save_checkpoint() as folder:
            (folder / "model").touch()
            seen = folder.parent
    assert capsys.readouterr() == ("1: loss=0.25 acc=0\n2: loss=0.25 acc=1\n", "")
    assert seen is not None and [path.name for path in seen.iterdir()] == ["2"]
    alone.setenv("HPO_PIPE_STEPS", "5")
    assert list(trial.steps(9)) == [2, 3, 4]


def test_alone_nothing_is_left_behind(tmp_path: Path) -> None:
    script = (
        "from hpo_pipe.trial import current_trial\n"
        "trial = current_trial()\n"
        "for step in trial.steps():\n"
        "    with trial.save_checkpoint(): pass\n"
    )
    environment = {"TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    assert b"10 steps" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_suggestions_are_what_the_study_chose(here: Here) -> None:
    trial = here.trial(parameters={"lr": 0.1, "units": 32, "kind": "relu", "flag": True, "pair": [1, 2]})
    assert trial.suggest_float("lr", 1e-3, 1, log=True) == 0.1
    assert trial.suggest_int("units", 16, 64, step=16) == 32
    assert trial.suggest_float("units", 16, 64) == 32.0
    assert trial.suggest_categorical("kind", ["tanh", "relu"]) == "relu"
    assert trial.suggest_categorical("flag", [1, True]) is True
    assert trial.suggest_categorical("pair", [(3, 4), (1, 2)]) == (1, 2)
    with pytest.raises(LookupError, match=r"'lrr'.*did you mean 'lr'"):
        trial.suggest_float("lrr", 0, 1)
    with pytest.raises(ValueError, match=r"'lr' is 0.1, outside of 0.2 to 1"):
        trial.suggest_float("lr", 0.2, 1)
    with pytest.raises(ValueError, match=r"'lr' is 0.1, not a whole number"):
        trial.suggest_int("lr", 0, 1)
    with pytest.raises(ValueError, match="'kind' is 'relu', not a number"):
        trial.suggest_float("kind", 0, 1)
    with pytest.raises(ValueError, match="'kind' is 'relu', not one of 'tanh'"):
        trial.suggest_categorical("kind", ["tanh"])


def test_alone_suggestions_are_the_middle(alone: pytest.MonkeyPatch) -> None:
    trial = current_trial(given=0.3)
    assert trial.suggest_float("given", 0, 1) == 0.3
    assert trial.suggest_float("a", 0, 4) == 2
    assert trial.suggest_float("b", 1e-4, 1e-2, log=True) == pytest.approx(1e-3)
    assert trial.suggest_float("c", 0, 1, step=0.4) == pytest.approx(0.4)
    assert trial.suggest_int("d", 16, 256, log=True) == 64
    assert trial.suggest_int("e", 1, 10, step=4) == 5
    assert trial.suggest_categorical("f", ["x", "y"]) == "x"
    assert set(trial.params) == {"given", "a", "b", "c", "d", "e", "f"}
    with pytest.raises(ValueError, match="bad range"):
        trial.suggest_float("g", 0, 1, log=True)


@pytest.mark.parametrize("module", ["hpo_pipe.trial", "hpo_pipe.warm_loop"])
def test_only_the_standard_library_is_imported(module: str) -> None:
    root = Path(trials.__file__).parent.parent
    script = (
        f"import sys; sys.path.append({str(root)!r}); before = set(sys.modules); import {module}\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - set(sys.stdlib_module_names)), 'storage_schema' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["hpo_pipe", "False"]


def test_importing_it_is_cheap_in_modules() -> None:
    """What is heavy is imported where it is needed: typing, pathlib, shutil, tempfile, difflib."""
    script = (
        f"import sys; sys.path.append({str(Path(trials.__file__).parent.parent)!r}); import hpo_pipe.trial\n"
        "print(*({'typing', 'pathlib', 'shutil', 'tempfile', 'difflib', 'dataclasses'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def _saves(trial: Trial) -> bool:
    wanted = trial.should_save
    if wanted:
        with trial.save_checkpoint() as folder:
            (folder / "x").touch()
        assert not trial.should_save
    return wanted


def test_a_checkpoint_is_needed_at_the_specs_end_and_when_the_worker_wishes_for_one(here: Here) -> None:
    trial = here.trial(start=0, to=5)
    wanted = []
    for epoch in trial.steps():
        if epoch == 1:
            here.wish_for_a_checkpoint()
        trial.report(loss=1.0)
        wanted.append(_saves(trial))
    assert wanted == [False, True, False, False, True]
    assert here.checkpoints == ["2", "5"]
    assert not (here.folder / "save").exists()


def test_a_checkpoint_is_needed_before_an_interruption_and_not_when_nothing_more_is_wanted(
    here: Here,
) -> None:
    trial = here.trial(start=0, to=9)
    with pytest.raises(TrialInterrupted):
        for epoch in trial.steps():
            if epoch == 2:
                here.ask("interrupt")
            trial.report(loss=1.0)
            assert _saves(trial) == (epoch == 2)
    assert here.checkpoints == ["3"]
    here.ask("stop")
    assert not trial.should_save


def test_a_loop_of_the_scripts_own_is_told_to_save_too(here: Here) -> None:
    trial = here.trial(start=0, to=3)
    wanted = []
    for epoch in range(3):
        trial.report(1.0, step=epoch)
        wanted.append(_saves(trial))
    assert wanted == [False, False, True]


def test_outside_a_worker_a_checkpoint_is_needed_at_the_end(alone: pytest.MonkeyPatch) -> None:
    trial = current_trial()
    assert [trial.should_save for _ in trial.steps(3)] == [False, False, True]
