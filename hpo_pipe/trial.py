"""What a training script imports. Standard library only, and cheap: ::

    from hpo_pipe.trial import current_trial

    trial = current_trial(lr=1e-3)               # outside a worker a stand-in with these parameters
    model = build(**trial.params)
    if (saved := trial.checkpoint):              # the newest committed checkpoint, wherever it was made
        model.load(saved / "model.pt")
    for epoch in trial.steps():                  # from where this trial stands to where this spec ends
        loss = train_one_epoch(model)
        trial.report(val_loss=loss)              # microseconds; raises TrialPruned when stopped
        with trial.save_checkpoint() as folder:  # all or nothing
            model.save(folder / "model.pt")

**Steps and resource.** A *step* is what :meth:`Trial.steps` yields: the index of the unit being trained, from 0 as
in Optuna. The *resource* is the number of completed units, so step 3 completes resource 4. Within the loop neither
has to be named. Elsewhere ``report(step=3, ...)`` and ``report(resource=4, ...)`` say the same.

**Stopping.** The worker writes a stop file first. ``stop``: the next :meth:`Trial.report` or step raises
:class:`TrialPruned`. ``interrupt`` (the machine goes away): the current step is finished with its report and its
checkpoint, then :class:`TrialInterrupted` is raised, and the trial goes on elsewhere. Both are SystemExit, so they
need not be caught, and ``except Exception`` does not swallow them. SIGTERM comes only after a time of grace: one
that comes when the stop file is there ends the script; one that comes before (from Slurm, from a shell) is
taken for an interruption, and a second one ends the script.

**Saving.** Where a checkpoint is too big to be saved after every unit, `should_save` says when one is needed: at the
end of a spec, before an interruption, and when the machine may soon go away: ::

        if trial.should_save or epoch % 10 == 9:
            with trial.save_checkpoint() as folder:
                model.save(folder / "model.pt")

**Several processes.** With torchrun and the like only rank 0 should report and save checkpoints.
"""

from __future__ import annotations

import os
import signal
from operator import index

from hpo_pipe.checkpoint_folder import CheckpointFolder
from hpo_pipe.optuna_style import Suggestions
from hpo_pipe.trial_place import INTERRUPT, STOP, VARIABLE, Alone, UnderWorker, floats

TYPE_CHECKING = False  # typing is not imported: this is what a training script pays for
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import FrameType
    from typing import Any, SupportsFloat, SupportsIndex

__all__ = ["Trial", "TrialInterrupted", "TrialPruned", "current_trial"]

EXIT_INTERRUPTED = 75


class TrialPruned(SystemExit):
    """Nothing more is wanted of this trial. Uncaught it ends the script quietly, with exit status 0."""

    def __init__(self, *_: object) -> None:
        super().__init__(0)


class TrialInterrupted(SystemExit):
    """The trial goes on elsewhere. Uncaught it ends the script quietly, with exit status 75."""

    def __init__(self, *_: object) -> None:
        super().__init__(EXIT_INTERRUPTED)


def current_trial(defaults: Mapping[str, Any] | None = None, **more_defaults: Any) -> Trial:
    """Return the trial that this process trains; the same object each time.

    Args:
        defaults: parameters that the study does not set. Outside a worker they are all there is,
            together with the JSON object in the variable ``HPO_PIPE_PARAMS``, which goes over them.
        more_defaults: the same, as keywords.

    Raises:
        RuntimeError: ``HPO_PIPE_TRIAL`` names a file that cannot be read.
        ValueError: ``HPO_PIPE_PARAMS`` is not a JSON object.
    """
    path = os.environ.get(VARIABLE)  # noqa: TID251 (an edge)
    trial = _trials.get(path)
    if trial is None:
        trial = Trial(Alone() if path is None else UnderWorker(path))
        _trials[path] = trial
        if path is not None:
            _catch_sigterm(trial)
    for name, value in {**(defaults or {}), **more_defaults}.items():
        trial.params.setdefault(name, value)
    return trial


class Trial(Suggestions):
    """One configuration in training. Made by :func:`current_trial`."""

    def __init__(self, place: UnderWorker | Alone) -> None:
        self._place = place
        self._step: int | None = None
        self._resource = place.start
        self._reported: tuple[int, set[str]] = (-1, set())
        self._saved = -1
        self._end = place.target
        self._interrupted = False
        self.alone = place.alone
        """Whether this is the stand-in outside a worker."""
        self.params: dict[str, Any] = place.parameters
        """The hyper-parameters by name."""
        self.number = place.number
        """0, 1, 2, ... within the study."""
        self.seed = place.seed
        """The same for every attempt of this trial: seed the training with it, and it can be repeated."""
        self.start = place.start
        """Units done by the restored checkpoint; 0 without one."""
        self.target = place.target
        """This spec ends after so many units; None in a study without a resource, and outside a worker."""

    @property
    def resource(self) -> int:
        """The number of units that are completed, as far as this object was told."""
        return self._resource

    @property
    def checkpoint(self) -> Path | None:
        """The folder of the restored checkpoint, or None where training begins anew."""
        if self._place.restored is None:
            return None
        from pathlib import Path  # here: a script without checkpoints need not pay for it

        return Path(self._place.restored)

    def steps(self, count: int | None = None) -> Iterator[int]:
        """Yield the steps to train, from where the trial stands to where this spec ends.

        Args:
            count: the number of steps of the whole training, where the study does not say it: outside a worker
                (the variable ``HPO_PIPE_STEPS`` goes over it; 10 without both), and in a study without a resource.

        Raises:
            ValueError: nobody says how many steps there are.
            TrialPruned, TrialInterrupted: between two steps, when the worker asks for it.
        """
        return self._iterate(self._place.steps_to(count))

    def report(
        self,
        value: SupportsFloat | Mapping[str, SupportsFloat] | None = None,
        /,
        step: SupportsIndex | None = None,
        *,
        resource: SupportsIndex | None = None,
        **metrics: SupportsFloat,
    ) -> None:
        """Report metrics: ``report(val_loss=0.4)``, ``report({"val/loss": 0.4})``, or Optuna's ``report(0.4, step)``.

        Numbers of numpy and torch are taken as they are; NaN and infinities too. The last report of a metric at
        a resource counts.

        Args:
            value: the objective, or metrics by name.
            step: index of the unit that was trained, from 0: the same as ``resource=step + 1``.
            resource: number of completed units. Without both: the current step of :meth:`steps`, and outside
                its loop one more than the last report.
            metrics: metrics whose names are Python names.

        Raises:
            TrialPruned: the worker asks to stop. What was reported is kept.
            TypeError, ValueError: nothing to report, not a number, or a bad step.
        """
        values = floats(self._named(value, metrics))
        done = self._done(step, resource, self._resource + 1)
        self._place.write(done, values)
        self._resource = done
        if self._reported[0] != done:
            self._reported = (done, set())
        self._reported[1].update(values)
        asked = self._asked()
        if asked == STOP:
            raise TrialPruned
        if asked == INTERRUPT and self._saved >= done:
            self._interrupt_own_loop(done)

    def save_checkpoint(
        self, step: SupportsIndex | None = None, *, resource: SupportsIndex | None = None
    ) -> CheckpointFolder:
        """Return a context that yields a new folder, and commits what was written there: all or nothing.

        `step` and `resource` as in :meth:`report`; without both the current step of :meth:`steps`, and outside its
        loop the last reported resource.
        """
        done = self._done(step, resource, self._resource)
        return CheckpointFolder(self._place.checkpoint_dir(), done, self._committed)

    @property
    def should_stop(self) -> bool:
        """Whether the worker asks to end, for good or for an interruption: leave a checkpoint and return."""
        return bool(self._asked())

    @property
    def should_save(self) -> bool:
        """Whether a checkpoint is needed after the unit that was just trained: the spec ends with it, the worker is
        interrupted, or its machine may soon go away. Once one is saved there, no more."""
        done = self._done(None, None, self._resource)
        if self._saved >= done or self._asked() == STOP:
            return False
        return done == self._end or bool(self._asked()) or self._place.save_wished()

    def should_prune(self) -> bool:
        """Tell whether nothing more is wanted of this trial now, as in Optuna: also at its spec's end, if the script
        has a loop of its own. A trial that proves good enough is started again, from its newest checkpoint."""
        at_end = self._step is None and self.target is not None and self._resource >= self.target
        return at_end or self._asked() == STOP

    def finish(self, returned: object) -> None:
        """Report what a trial's function returned, as far as it was not reported already; for `hpo_pipe.warm`.

        A number is the objective, a mapping holds metrics; anything else is no report.
        """
        if isinstance(returned, bool | str | bytes | None) or not hasattr(returned, "__float__"):
            values: dict[str, Any] = dict(returned) if isinstance(returned, dict) else {}
        else:
            values = {self._place.objective: returned}
        done = self._resource if self.target is None else self.target
        done = max(done, 1)
        known = self._reported[1] if self._reported[0] == done else set()
        values = {name: value for name, value in values.items() if name not in known}
        if values:
            self._place.write(done, floats(values))

    def close(self) -> None:
        """Let go of the worker's files; for `hpo_pipe.warm`, whose next trial is another one."""
        self._place.close()
        _trials.clear()

    def _iterate(self, to: int) -> Iterator[int]:
        self._end = to
        try:
            for step in range(self._resource, to):
                asked = self._asked()
                if asked:
                    raise TrialPruned if asked == STOP else TrialInterrupted
                self._step, self._resource = step, step
                yield step
                self._resource = step + 1
        finally:
            self._step = None

    def _named(self, value: Any, metrics: Mapping[str, Any]) -> Mapping[str, Any]:
        if value is None:
            return metrics
        if hasattr(value, "keys"):
            return {**value, **metrics}
        return {self._place.objective: value, **metrics}

    def _done(self, step: Any, resource: Any, otherwise: int) -> int:
        """Return the number of completed units that is meant."""
        if resource is None and step is None:
            return otherwise if self._step is None else self._step + 1
        if resource is not None and step is not None:
            raise TypeError("give step or resource, not both")
        found = index(step) + 1 if resource is None else index(resource)
        if found < (1 if resource is None else 0):
            raise ValueError(f"steps count from 0, found {step if resource is None else resource}")
        return found

    def _asked(self) -> str:
        asked = self._place.asked()
        return INTERRUPT if not asked and self._interrupted else asked

    def _committed(self, resource: int) -> None:
        self._place.committed(resource)
        self._saved = resource
        if self._reported[0] >= resource and self._asked() == INTERRUPT:
            self._interrupt_own_loop(resource)

    def _interrupt_own_loop(self, done: int) -> None:
        """End between report and checkpoint of two units. In :meth:`steps` the loop does it, after the whole body."""
        if self._step is None and done != self.target:
            raise TrialInterrupted


def _catch_sigterm(trial: Trial) -> None:
    """See the module's text. A script's own handler is left alone, and only the main thread may set one."""

    def end(_number: int, _frame: FrameType | None) -> None:
        asked = trial._asked()
        if asked:
            raise TrialPruned if asked == STOP else TrialInterrupted
        trial._interrupted = True

    try:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, end)
    except ValueError:
        pass


_trials: dict[str | None, Trial] = {}
