"""Command mode: one process per attempt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from storage_schema.records.program import SAGEMAKER, Program
from storage_schema.redaction import Redactor
from storage_schema.trial_env import TrialFile
from workers.attempt_process import AttemptProcess
from workers.command import executable, rendered
from workers.ending import Ended, ended
from workers.feedback import Feedback
from workers.metric_patterns import MetricPatterns
from workers.opt_ml_link import VARIABLE, OptMlLink
from workers.output import Pump
from workers.process_group import ProcessGroup
from workers.sagemaker_attempt import SageMakerAttempt
from workers.sagemaker_layout import Tree, make_tree
from workers.trial_folder import environment, prepared


class CommandLauncher:
    """See :class:`workers.trial_process.Launcher`."""

    def __init__(
        self,
        program: Program,
        *,
        user_environment: Mapping[str, str],
        workdir: Path,
        objective: str,
        now: Callable[[], float],
        redactor: Redactor | None = None,
        names: Collection[str] = (),
        longest: int | None = None,
    ) -> None:
        self._program = program
        self._user_environment = dict(user_environment)
        self._workdir = workdir
        self._patterns = MetricPatterns(program.metric_patterns, objective)
        self._now = now
        self._redactor = redactor
        self._names = frozenset(names)
        self._longest = longest
        wanted = self._user_environment.get(VARIABLE) if program.layout == SAGEMAKER else None
        self._opt_ml = OptMlLink(wanted) if wanted else None

    def start(self, trial_file: TrialFile, folder: Path, gpus: tuple[str, ...]) -> AttemptProcess:
        """Write the trial file and start the command; raises UserError or OSError."""
        path = prepared(trial_file, folder)
        variables = environment(self._user_environment, self._program, path, gpus)
        tree = self._tree(trial_file, folder, variables, gpus)
        arguments = self._arguments(trial_file, variables, tree)
        arguments[0] = executable(arguments[0], variables, self._workdir)
        feedback = Feedback(trial_file, self._patterns, self._now, self._redactor)
        pump = Pump(trial_file.spec)
        try:
            group = ProcessGroup.start(
                arguments, environment=variables, workdir=self._workdir, output_fd=pump.write_end
            )
        except BaseException:
            pump.abandon()
            raise
        pump.start(feedback.feed)
        run = _CommandRun(group, pump)
        if tree is None:
            return AttemptProcess(run, feedback, trial_file)
        return SageMakerAttempt(run, feedback, trial_file, tree.root, whole=trial_file.to == self._longest)

    def _tree(
        self, trial_file: TrialFile, folder: Path, variables: dict[str, str], gpus: tuple[str, ...]
    ) -> Tree | None:
        if self._program.layout != SAGEMAKER:
            return None
        tree = make_tree(trial_file, folder, self._program.command, variables, self._workdir, gpus)
        for name, value in self._program.environment:
            if variables.get(name) == value:  # CUDA_VISIBLE_DEVICES is ours
                variables[name] = tree.placed(value)
        variables.update(tree.environment)
        if self._opt_ml is not None:
            self._opt_ml.lead_to(tree.root)
        return tree

    def _arguments(self, trial_file: TrialFile, variables: Mapping[str, str], tree: Tree | None) -> list[str]:
        command, parameters = self._program.command, trial_file.parameters
        if tree is None:
            return rendered(command, parameters, variables, self._names)
        found = rendered(command, parameters, variables, self._names, tree.arguments)
        return [found[0], *map(tree.placed, found[1:])]

    def close(self) -> None:
        """Nothing is kept between trials, but the link that leads to the last one's files."""
        if self._opt_ml is not None:
            self._opt_ml.close()


class _CommandRun:
    def __init__(self, group: ProcessGroup, pump: Pump) -> None:
        self._group = group
        self._pump = pump

    def ended(self) -> Ended | None:
        code = self._group.returncode()
        if code is None:
            return None
        self._pump.drain()
        self._pump.stop()
        return ended(code, killed_by_us=self._group.ended_by_us)

    def wait(self, timeout_s: float) -> None:
        self._group.wait(timeout_s)

    def signal(self, number: int) -> None:
        self._group.signal(number)

    def close(self) -> None:
        self._group.end()
        self._pump.drain()
        self._pump.stop()
