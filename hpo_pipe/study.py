"""A study from Python: create, open, read and steer it.

::

    study = open_study("s3://bucket/studies/digits")
    study.best_params, study.best_value
    study.trials_dataframe()
    study.learning_curves()
    study.enqueue({"lr": 0.1})
    study.wait(timeout=3600)

Every property reads what is new in the store first, so that a notebook cell run again shows the study of now.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo_pipe.coordinator.append import append_user_entry
from hpo_pipe.report.evidence import trial_numbered
from hpo_pipe.report.front import Front, front_of
from hpo_pipe.report.state import StudyState, StudyWatch
from hpo_pipe.report.trials import Trial, best_of, trials_of
from storage_schema.clock import Clock, SystemClock
from storage_schema.codec import Json
from storage_schema.errors import UserError
from storage_schema.history import History
from storage_schema.records import (
    Decision,
    Enqueue,
    Entry,
    Finish,
    Limits,
    Pause,
    Resume,
    RetryTrial,
    SetLimits,
    StopTrial,
    Study,
)
from storage_schema.store import open_store, study_url
from storage_schema.waiting import Patience

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from storage_schema.store import Store

__all__ = ["OpenStudy", "Trial", "create_study", "open_study"]

WRITE_LIMIT_S = 30.0
"""How long a user's entry waits for a store that does not answer."""


def open_study(url: str | Path) -> OpenStudy:
    """Open the study at `url` (``s3://...``, ``file:///...`` or a folder).

    Raises:
        StudyNotFound: there is none.
        StoreUnavailable: the store cannot be read now.
        DamagedRecord: ``study.json`` or the log cannot be read.
    """
    return OpenStudy(open_store(study_url(str(url))))


def create_study(
    url: str | Path, definition: str | Path | Mapping[str, Any], *, seed: int | None = None
) -> OpenStudy:
    """Create the study at `url`, or open it where it exists and is the same.

    Args:
        url: where the study is to lie.
        definition: a study file's path, or what such a file would hold, as a mapping.
        seed: of all random draws; by default the definition's, or a random one.

    Raises:
        StudyFileError: a mistake in the definition.
        UserError: a different study lies there already.
        StoreRefused: the store does not keep a rule that safety rests on.
    """
    from hpo_pipe.creation import create, drafted

    store = open_store(study_url(str(url)))
    create(store, drafted(definition), seed=seed)
    return OpenStudy(store)


class OpenStudy:
    """One study, opened for reading and for a user's wishes. Not thread-safe."""

    def __init__(self, store: Store, clock: Clock | None = None, rng: random.Random | None = None) -> None:
        self._clock = clock or SystemClock()
        self._rng = rng or random.SystemRandom()
        self._watch = StudyWatch(store)
        self._store = store

    def __repr__(self) -> str:
        return f"OpenStudy({self.url!r})"

    @property
    def url(self) -> str:
        """The study URL."""
        return self._store.url

    @property
    def store(self) -> Store:
        """The store that the study lies in."""
        return self._store

    @property
    def definition(self) -> Study:
        """``study.json``: space, metrics, algorithm, and the limits it was created with."""
        return self._watch.study

    def look(self) -> StudyState:
        """Read what is new and return the state of now."""
        return self._watch.look(self._clock.now())

    # -- reading ------------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether the study has ended and no spec is open."""
        return self.look().history.closed

    @property
    def trials(self) -> list[Trial]:
        """All trials by number."""
        return trials_of(self.look())

    @property
    def best_trial(self) -> Trial:
        """The best trial of the highest rung measured, within all bounds; raises UserError where there is none yet."""
        found = best_of(self.look())
        if found is None:
            name = self.definition.objective.name
            bounds = ", within all bounds," if self.definition.bounded else ""
            raise UserError(f"{self.url}: no trial has reported a finite {name}{bounds} yet")
        return found

    @property
    def front(self) -> Front:
        """The trials that no other one dominates, and the hypervolume; of one objective, the best ones."""
        return front_of(self.look())

    @property
    def best_params(self) -> dict[str, Json]:
        """The parameters of :attr:`best_trial`."""
        return self.best_trial.params

    @property
    def best_value(self) -> float:
        """The objective of :attr:`best_trial`."""
        value = self.best_trial.value
        assert value is not None  # a member of a rung's ranking with a finite loss
        return value

    def trials_table(self) -> pa.Table:
        """Return all trials as an Arrow table; parameters are columns ``params_<name>``."""
        from hpo_pipe.report.tables import trials_table

        return trials_table(self.look())

    def trials_dataframe(self) -> pd.DataFrame:
        """Return all trials as a pandas DataFrame with the columns of :meth:`trials_table`.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas  # noqa: F401 (asked for, so that the message can say what to install)
        except ImportError:
            raise ImportError("trials_dataframe() needs pandas: pip install 'hpo-pipe[pandas]'") from None
        return self.trials_table().to_pandas()

    def learning_curves(self, trials: Iterable[int] | None = None, *, full: bool = False) -> pa.Table:
        """Return learning curves as an Arrow table: trial int64, resource int64, metric string, value float64.

        Args:
            trials: which ones; None for all.
            full: read the metric log itself, every metric and every point; by default the log's own curves of the
                study's metrics, thinned to 64 points per spec.

        Raises:
            DamagedRecord: a metric segment that the record names is missing or altered (with `full`).
        """
        from hpo_pipe.report.tables import full_curves, log_curves

        state = self.look()
        wanted = None if trials is None else [trial_numbered(state.history, number) for number in trials]
        chosen = state.history.trials if wanted is None else wanted
        return full_curves(self._store, chosen) if full else log_curves(chosen)

    # -- steering -----------------------------------------------------------------------------------------------

    def enqueue(self, parameters: Mapping[str, Json], reason: str = "enqueued by a user") -> Entry:
        """Have a configuration tried next; the searcher fills in what is missing. What is inactive is left out.

        Raises:
            UserError: a parameter that the space does not have, a value outside of it, or a forbidden combination.
        """
        from hpo_pipe.enqueued import checked_wish
        from hpo_pipe.space import Space

        study = self.definition
        checked = checked_wish(Space.from_json(study.space, constraints=study.constraints), parameters)
        if not checked:
            raise UserError("enqueue: at least one parameter must be given")
        return self._written(lambda _: (Enqueue(parameters=checked, reason=reason),))

    def stop(self, trial: int | None = None, reason: str = "stopped by a user") -> Entry | None:
        """End a trial, or the whole study; return None where it had ended already."""
        if trial is None:
            return self._append(lambda h: () if h.finished is not None else (Finish(reason=reason),))

        def decide(history: History) -> tuple[Decision, ...]:
            found = trial_numbered(history, trial)
            ended = found.stopped or history.state(found) in ("COMPLETE", "PRUNED", "FAILED")
            return () if ended else (StopTrial(trial=trial, reason=reason),)

        return self._append(decide)

    def pause(self, reason: str = "paused by a user") -> Entry | None:
        """Issue and claim nothing more until :meth:`resume`; return None where that is so already."""
        return self._append(lambda h: () if h.paused or h.finished is not None else (Pause(reason=reason),))

    def resume(self, reason: str = "resumed by a user") -> Entry | None:
        """Undo :meth:`pause`, or reopen a study that has ended; return None where neither is so."""
        return self._append(lambda h: (Resume(reason=reason),) if h.paused or h.finished is not None else ())

    def retry(self, trial: int, reason: str = "retried by a user") -> Entry:
        """Give a failed or stopped trial another chance, from its newest checkpoint.

        Raises:
            UserError: it neither failed nor was stopped, or it is being retried already.
        """

        def decide(history: History) -> tuple[Decision, ...]:
            found = trial_numbered(history, trial)
            if found.open or found.number in history.reissue:
                raise UserError(f"trial {trial} is waiting or running already")
            if not (found.failed or found.stopped):
                raise UserError(
                    f"trial {trial} neither failed nor was stopped: there is nothing to try again"
                )
            return (RetryTrial(trial=trial, reason=reason),)

        return self._written(decide)

    def set_limits(
        self, change: Callable[[Limits], Limits], reason: str = "limits set by a user"
    ) -> Entry | None:
        """Replace the limits by ``change(limits)``; reopens a study that has ended. None where nothing changes."""

        def decide(history: History) -> tuple[Decision, ...]:
            wanted = change(history.limits)
            return () if wanted == history.limits else (SetLimits(limits=wanted, reason=reason),)

        return self._append(decide)

    def wait(self, timeout: float | None = None, poll_s: float = 2.0) -> bool:
        """Wait until the study has ended; return False where `timeout` seconds passed first."""
        start = self._clock.monotonic()
        while not self.finished:
            left = None if timeout is None else timeout - (self._clock.monotonic() - start)
            if left is not None and left <= 0:
                return False
            self._clock.sleep(poll_s if left is None else min(poll_s, left))
        return True

    def _written(self, decide: Callable[[History], tuple[Decision, ...]]) -> Entry:
        entry = self._append(decide)
        assert entry is not None  # `decide` never answers ()
        return entry

    def _append(self, decide: Callable[[History], tuple[Decision, ...]]) -> Entry | None:
        patience = Patience(self._clock, self._rng, limit_s=WRITE_LIMIT_S)
        return append_user_entry(self._watch.log, decide, patience, self._rng)
