"""A request that is being read: what of it has been carried over, what has not and why, and what is wrong with it.

Whatever nobody took is left out, and is told: nothing gets lost because somebody forgot it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hpo_pipe.key_path import Path, path_text
from hpo_pipe.options import mistake
from storage_schema.codec import Json
from storage_schema.errors import StudyFileError

CONFIG = "HyperParameterTuningJobConfig"
_MACHINES = "the machines that workers run on; a study knows nothing of them"
_ACCESS = "what the workers' machines may reach"
_STORED = "everything lies under the study's URL"
_SPOT = "interruptions are always survived: whether workers run on spot machines is up to who starts them"
REASONS = {
    "TrainingImage": "the image that workers run in; the study file's command starts the training",
    "AlgorithmName": "an algorithm of the AWS Marketplace or of your account; put your own training into command",
    "TrainingInputMode": "data is read from folders, as with File and FastFile",
    "AlgorithmSpecification": "the image that workers run in; the study file's command starts the training",
    "InputDataConfig": "data lies on the workers' machines: SM_CHANNEL_<NAME>=folder where they are started",
    "OutputDataConfig": _STORED,
    "CheckpointConfig": _STORED
    + ", and so does what a trial leaves in SM_CHECKPOINT_DIR; a script that has /opt/ml/checkpoints written into it "
    "needs the path as an argument in the command, or workers with HPO_PIPE_OPT_ML=/opt/ml",
    "RoleArn": "permissions belong to who starts the workers; hpo-pipe submit policy prints what they need",
    "ResourceConfig": _MACHINES,
    "HyperParameterTuningResourceConfig": _MACHINES,
    "VpcConfig": _ACCESS,
    "EnableNetworkIsolation": _ACCESS + "; they must reach the study's bucket",
    "EnableInterContainerTrafficEncryption": _ACCESS,
    "EnableManagedSpotTraining": _SPOT,
    "StoppingCondition": "a limit of one training job; a study has limits, and a worker has --max-runtime",
    "RetryStrategy": "for errors of the service; [worker] retries is for trainings that fail",
    "Tags": "a study has no tags",
    "Autotune": "hpo-pipe chooses no ranges, limits or strategy of itself: what is missing here stays missing",
}
"""By the last name in the path."""
NOTHING_LIKE_IT = "hpo-pipe has nothing like it"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that was not carried over."""

    path: str
    """Where it stands in the request."""
    reason: str


@dataclass(slots=True)
class Request:
    """A request whose shape is right."""

    raw: Mapping[str, Json]
    where: str
    """Names it in errors."""
    notes: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """Mistakes so far."""
    _taken: set[Path] = field(default_factory=set)
    _left: dict[Path, str] = field(default_factory=dict)

    def at(self, *path: str | int) -> Json:
        """Return what stands at `path`, or None."""
        found: Json = self.raw
        for part in path:
            inside = part in found if isinstance(found, Mapping) else found is not None
            if not inside:
                return None
            found = found[part]
        return found

    def take(self, *path: str | int) -> Json:
        """Return what stands at `path`, or None; all of it counts as carried over."""
        self._taken.add(path)
        return self.at(*path)

    def leave(self, path: Path, reason: str) -> None:
        """Say why what stands at `path` is not carried over."""
        self._left[path] = reason

    def refuse(self, path: Path, found: Json, allowed: str) -> None:
        """Note a mistake."""
        self.lines.append(str(mistake(self.where, path_text(path), found, allowed)))

    def check(self) -> None:
        """Raise StudyFileError with all mistakes that were noted."""
        if self.lines:
            raise StudyFileError("\n".join(self.lines))

    def left_out(self) -> tuple[LeftOut, ...]:
        """Return what nobody took, as far up as nothing was taken; what is empty or false says nothing."""
        marked = self._taken | self._left.keys()
        above = {path[:length] for path in marked for length in range(len(path))}
        return tuple(self._not_taken(self.raw, (), above))

    def _not_taken(self, found: Json, path: Path, above: set[Path]) -> Iterator[LeftOut]:
        if path in self._taken or found in ({}, []) or found is False:
            return
        if path in above and path not in self._left:
            inner = found.items() if isinstance(found, Mapping) else enumerate(found)
            for part, item in inner:
                yield from self._not_taken(item, (*path, part), above)
            return
        name = next((part for part in reversed(path) if isinstance(part, str)), "")
        yield LeftOut(path_text(path), self._left.get(path) or REASONS.get(name, NOTHING_LIKE_IT))
