"""The user's program: a training in virtual time, honest or not, with real files.

What it would have done by now is worked out when the worker looks: a training costs no events.
"""

from __future__ import annotations

import errno
import json
import math
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from storage_schema.trial_env import EXIT_INTERRUPTED, INTERRUPT, TrialFile
from tests.e2e.slow_training import step
from workers.attempt_process import AttemptProcess
from workers.ending import Ended, ended
from workers.feedback import Feedback
from workers.metric_patterns import MetricPatterns
from workers.trial_folder import prepared

if TYPE_CHECKING:
    from tests.simulation.processes import Actor
    from tests.simulation.world import World

UNITS_WITHOUT_RESOURCE = 3
MISDEEDS = (
    "fails",
    "dies",
    "hangs",
    "interrupts itself",
    "will not stop",
    "will not die",
    "odd checkpoints",
    "prints",
    "saves first",
)
LIES = ("nan", "beyond", "older", "others", "silent", "flood", "infinite", "half a line")


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """How an attempt's program behaves."""

    misdeed: str = ""
    at: int = 0
    """The epoch at which it misbehaves."""
    lie: str = ""
    on_term: str = "dies"
    """What SIGTERM does: ``dies``, ``saves`` or ``ignores``."""


def character(world: World, file: TrialFile) -> Character:
    """Return how the program of an attempt behaves: keyed by content, so that no schedule changes it."""
    recipe = world.recipe
    rng = random.Random(f"trial/{recipe.seed}/{file.spec}/{file.attempt}")
    lie = lie_of(world, file.trial)
    last = file.to or UNITS_WITHOUT_RESOURCE
    misdeed = rng.choice(MISDEEDS) if rng.random() < recipe.misdeeds else ""
    return Character(
        misdeed=misdeed,
        at=rng.randint(min(file.start + 1, last), last),
        lie=lie,
        on_term=rng.choice(("dies", "dies", "saves", "ignores")),
    )


def lie_of(world: World, trial: int) -> str:
    """Return how a trial lies, in all of its attempts; empty for an honest one."""
    rng = random.Random(f"liar/{world.recipe.seed}/{trial}")
    return rng.choice(LIES) if rng.random() < world.recipe.liars else ""


class SimulatedLauncher:
    """See :class:`workers.trial_process.Launcher`."""

    def __init__(self, world: World, actor: Actor) -> None:
        self._world = world
        self._actor = actor

    def start(self, trial_file: TrialFile, folder: Path, gpus: tuple[str, ...]) -> AttemptProcess:
        """Start a training; the disk may be full."""
        if self._world.disk_is_full(self._actor):
            raise OSError(errno.ENOSPC, "No space left on device")
        prepared(trial_file, folder)
        clock = self._actor.clock
        feedback = Feedback(trial_file, MetricPatterns((), trial_file.objective), clock.now)
        training = Training(self._world, self._actor, trial_file, feedback)
        return AttemptProcess(training, feedback, trial_file)

    def close(self) -> None:
        """Nothing is kept between trials."""


class Training:
    """See :class:`workers.attempt_process.Running`."""

    def __init__(self, world: World, actor: Actor, file: TrialFile, feedback: Feedback) -> None:
        self._world = world
        self._actor = actor
        self._file = file
        self._feedback = feedback
        self._character = character(world, file)
        self._began = world.hub.now
        self._lines: list[str] = []
        self._code: int | None = None
        self._by_worker = False
        self._closed = False
        self._state, self._epoch = self._restored()
        self._script = self._train()
        self._next_at = next(self._script)
        world.auditor.trial_started(actor, file, self._epoch, self._state)

    # what the worker sees

    def ended(self) -> Ended | None:
        """Return how it ended."""
        self._catch_up()
        return None if self._code is None else ended(self._code, killed_by_us=self._by_worker)

    def wait(self, timeout_s: float) -> None:
        """Wait for the end, at most so long: nothing else wakes the worker."""
        self._catch_up()
        if self._code is None:
            left = self._next_at - self._elapsed() if self._stands_before_end() else timeout_s
            self._actor.clock.sleep(max(0.001, min(timeout_s, left)))

    def signal(self, number: int) -> None:
        """Take a signal."""
        self._catch_up()
        if self._code is not None:
            return
        ignores = self._character.misdeed == "will not die" or self._character.on_term == "ignores"
        if number == signal.SIGTERM and ignores:
            return
        if number == signal.SIGTERM and self._character.on_term == "saves":
            self._save()
            self._end(EXIT_INTERRUPTED)
            return
        self._by_worker = True
        self._end(-number)

    def close(self) -> None:
        """Be gone."""
        if not self._closed:
            self._closed = True
            world = self._world
            world.auditor.trial_ended(self._actor, self._file, world.hub.now, world.weather.clear_since)

    # what it does

    def _elapsed(self) -> float:
        """Return how long it has run: not while its machine was suspended."""
        now = self._world.hub.now
        gone = now - self._began
        for begin, end in self._actor.process.suspensions:
            gone -= max(0.0, min(end, now) - max(begin, self._began))
        return gone

    def _stands_before_end(self) -> bool:
        return self._file.to is None or self._epoch >= self._file.to - 1

    def _catch_up(self) -> None:
        elapsed = self._elapsed()
        while self._code is None and self._next_at <= elapsed:
            try:
                self._next_at += next(self._script)
            except StopIteration as stop:
                self._end(stop.value)
            except OSError:  # its own odd checkpoints are in its way
                self._end(1)
        self._write()

    def _end(self, code: int) -> None:
        self._code = code
        if code or self._character.misdeed == "prints":
            self._feedback.feed(b"epoch %d\nends with %d\n" % (self._epoch, code))
        self._write()

    def _restored(self) -> tuple[float, int]:
        if self._file.restored is None:
            return 0.3, 0
        found = json.loads((Path(self._file.restored) / "state.json").read_text())
        return found["state"], found["epoch"]

    def _train(self) -> Iterator[float]:
        """Yield the seconds until the next epoch ends; return the exit code."""
        file, character, recipe = self._file, self._character, self._world.recipe
        lr = float(file.parameters["lr"])
        last = file.to if file.to is not None else UNITS_WITHOUT_RESOURCE
        if character.lie == "beyond":
            last += 6
        yield recipe.epoch_s * 0.3
        while self._epoch < last:
            yield recipe.epoch_s
            self._state, self._epoch = step(self._state, lr), self._epoch + 1
            if self._epoch == character.at and character.misdeed:
                yield from self._misbehave()
                if self._code is not None:
                    return self._code
            saves = recipe.save_every and self._epoch % recipe.save_every == 0
            if saves and character.misdeed == "saves first":
                self._save()
            self._report()
            if saves:
                self._save()
            if character.misdeed != "will not stop" and (asked := self._asked()):
                self._save()
                return EXIT_INTERRUPTED if asked == INTERRUPT else 0
        return 0

    def _misbehave(self) -> Iterator[float]:
        match self._character.misdeed:
            case "fails":
                self._end(3)
            case "dies":
                self._end(-signal.SIGSEGV)
            case "interrupts itself":
                self._end(EXIT_INTERRUPTED)
            case "hangs":
                while not self._world.weather.clear:
                    yield 0.5
                yield 2.0
                self._end(-signal.SIGKILL)  # somebody notices
            case "odd checkpoints":
                self._save_oddly()

    def _asked(self) -> str:
        try:
            return Path(self._file.stop_file).read_text().strip()
        except FileNotFoundError:
            return ""

    def _report(self) -> None:
        loss, epoch, character = self._state, self._epoch, self._character
        match character.lie:
            case "silent":
                return
            case "others":
                self._lines.append(json.dumps({"resource": epoch, "accuracy": loss}))
            case "nan":
                self._lines.append(json.dumps({"resource": epoch, "loss": math.nan}))
            case "infinite":
                loss_text = "-Infinity" if epoch % 2 else "1e999"
                self._lines.append(f'{{"resource": {epoch}, "loss": {loss_text}}}')
            case "older":
                for unit in (epoch, 0, epoch, max(0, epoch - 2)):
                    self._lines.append(json.dumps({"resource": unit, "loss": loss + unit}))
            case "flood":
                for number in range(150):
                    self._lines.append(json.dumps({"resource": epoch, "loss": loss + number, "n": number}))
            case "half a line":
                self._lines.append(f'{{"resource": {epoch}, "loss"\nnonsense')
                self._lines.append(f'{{"resource": "{epoch}", "loss": true, "deep": [[]]}}')
                self._lines.append(json.dumps({"loss": loss}))
            case _:
                self._lines.append(json.dumps({"resource": epoch, "loss": loss, "accuracy": 1.0 - loss}))

    def _write(self) -> None:
        if self._lines:
            with Path(self._file.metrics_file).open("a") as out:
                out.write("".join(f"{line}\n" for line in self._lines))
            self._lines.clear()

    def _save(self) -> None:
        if not self._world.recipe.save_every:
            return
        self._write()  # a unit is reported before its checkpoint is saved
        folder = Path(self._file.checkpoint_dir)
        new = folder / ".new"
        if not folder.is_dir() or (folder / str(self._epoch)).exists():
            return
        new.mkdir(exist_ok=True)
        (new / "state.json").write_text(json.dumps({"state": self._state, "epoch": self._epoch}))
        if self._epoch % 2:
            (new / "more").mkdir(exist_ok=True)
            (new / "more" / "weights.bin").write_bytes(b"w" * self._epoch)
        new.rename(folder / str(self._epoch))

    def _save_oddly(self) -> None:
        folder = Path(self._file.checkpoint_dir)
        for name in ("latest", "007", f"{self._epoch}.0", "99999999999"):
            (folder / name).mkdir(exist_ok=True)
        strange = folder / f"{self._epoch + 1}"
        if not strange.exists():
            strange.symlink_to("/nowhere")
        if not (folder / "0").exists():
            (folder / "0").write_text("a file where a folder should be")
        bad = folder / ".bad"
        bad.mkdir()
        (bad / "no such name").write_text("blanks are not allowed")
        if not (folder / str(self._epoch)).exists():
            bad.rename(folder / str(self._epoch))
