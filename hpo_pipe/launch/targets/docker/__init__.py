"""``hpo-pipe submit docker``: one container for each worker, on one machine."""

from __future__ import annotations

import os
import re
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpo_pipe.launch.commands import Answer, answer_of, ask
from hpo_pipe.launch.order import Offer, Order, Plan
from hpo_pipe.launch.own_options import options_of, settings_of
from hpo_pipe.launch.target import Call, Job, JobState, Launched, Look, Refusal, TargetUnavailable
from hpo_pipe.launch.targets.docker.options import SUBMISSION, TABLE, check, docker, runs
from storage_schema.codec import Json

SOURCE = "see docs.docker.com/engine/install; podman's `docker` will do, too"
RUN_LIMIT_S = 900.0
"""For starting one container: its image may have to be pulled."""
STOP_MORE_S = 60.0
"""On top of --stop-timeout."""

STATES: Mapping[str, JobState] = {
    "created": JobState.PENDING,
    "restarting": JobState.PENDING,
    "running": JobState.RUNNING,
    "paused": JobState.RUNNING,
    "removing": JobState.CANCELLED,
    "dead": JobState.FAILED,
}
"""Docker's word to ours, but for `exited`, which the exit status tells."""
_EXITED: Mapping[int, JobState] = {0: JobState.DONE, 75: JobState.CANCELLED}

_REFUSALS: tuple[tuple[Refusal, re.Pattern[str]], ...] = tuple(
    (refusal, re.compile(words, re.IGNORECASE))
    for refusal, words in (
        (Refusal.THROTTLED, r"toomanyrequests|too many requests|TLS handshake timeout|i/o timeout"),
        (
            Refusal.DENIED,
            r"access denied|permission denied|unauthorized|authentication required|not authorized",
        ),
        (Refusal.CAPACITY, r"no space left|cannot allocate memory|resource temporarily unavailable"),
    )
)
_NO_ANSWER = re.compile(
    r"cannot connect to the docker daemon|error during connect|connection (?:refused|reset)", re.I
)
_IN_USE = re.compile(r"name .{0,200} is already in use", re.I | re.S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One worker's container."""

    name: str
    word: str
    """Docker's state."""
    detail: str

    @property
    def state(self) -> JobState:
        """Our word for it."""
        if self.word != "exited":
            return STATES.get(self.word, JobState.RUNNING)
        found = re.search(r"\((\d+)\)", self.detail)
        return _EXITED.get(int(found[1]), JobState.FAILED) if found else JobState.FAILED


class Docker:
    """Workers as containers of one machine."""

    name = "docker"
    summary = "Containers on one machine."
    help = """Start one container for each worker, with an image that has hpo-pipe as its entry point.

    infra/docker/Dockerfile makes such an image. With --gpus each worker has GPUs of its own. A study in a folder is
    mounted under its own name, and workers run as you; for one in a bucket pass your credentials on, as in
    --pass-env AWS_ACCESS_KEY_ID --pass-env AWS_SECRET_ACCESS_KEY, where the machine has no role.

    Containers end with the study, or when they have had nothing to do for --idle-timeout, and use nothing then. What is
    left over are the ended containers with their logs: docker rm removes them.
    """
    examples = (
        "hpo-pipe submit docker ./study --image hpo-pipe:latest --workers 4 --gpus 1 --shm-size 8g",
        "hpo-pipe submit docker s3://bucket/studies/first --image train:7 --workdir /training --pass-env AWS_PROFILE",
        "docker ps --all --quiet --filter label=hpo-pipe:study=first | xargs docker rm",
    )
    options = options_of(TABLE)
    takes = frozenset({"gpus", "image", "code", "env", "secret", "tag"})
    repeats_safely = True
    grace_s: float | None = None

    def settings(self, given: Mapping[str, Json], plan: Plan) -> dict[str, Json]:
        """Return the options as they were given, and which machine's docker is meant."""
        settings = settings_of(TABLE, {**given, "volume": [_absolute(v) for v in given.get("volume") or ()]})
        settings["host"] = "" if settings["context"] else os.environ.get("DOCKER_HOST", "")  # noqa: TID251 (an edge)
        settings["machine"] = socket.gethostname()
        if plan.url.startswith("file:") and not settings["user"]:
            settings["user"] = f"{os.getuid()}:{os.getgid()}"
        check(settings, plan)
        return settings

    def offers(self, settings: Mapping[str, Json], plan: Plan) -> tuple[Offer, ...]:
        """There is one machine."""
        return (Offer(),)

    def calls(self, order: Order) -> tuple[Call, ...]:
        """Return the command that starts each container."""
        return runs(order)

    def launch(self, order: Order) -> Launched:
        """Start the containers that are not there yet; their names are unique."""
        there = {container.name: container for container in self._containers(order)}
        missing = [n for n in order.settings["pass_env"] if n not in os.environ]  # noqa: TID251 (an edge)
        if missing:
            message = f"--pass-env: {', '.join(missing)} not set in this environment"
            return Launched(jobs=tuple(there), workers=len(there), refusal=Refusal.INVALID, message=message)
        jobs: list[str] = []
        for index, call in enumerate(runs(order)):
            name = order.job_name(index)
            found = there.get(name)
            argv = call.argv
            if (
                found is not None and found.word == "created"
            ):  # a launcher died between making and starting it
                argv = tuple(docker(order.settings, "start", name))
            elif found is not None:
                jobs.append(name)
                continue
            answer = ask(argv, source=SOURCE, limit_s=RUN_LIMIT_S)
            if answer.status and not _IN_USE.search(
                answer.errors
            ):  # in use: another launcher, at this very moment
                refusal = self._refused(order, name, answer)
                return Launched(jobs=tuple(jobs), workers=len(jobs), refusal=refusal, message=answer.message)
            jobs.append(name)
        return Launched(jobs=tuple(jobs), workers=len(jobs))

    def look(self, order: Order, jobs: Sequence[str]) -> Look:
        """Ask for the containers with the submission's label. One that was removed has ended."""
        found = [Job(id=c.name, state=c.state, detail=c.detail) for c in self._containers(order)]
        return Look(counts=Counter(job.state for job in found), jobs=tuple(found))

    def cancel(self, order: Order, jobs: Sequence[str], *, pending_only: bool = False) -> int:
        """Stop the containers, and wait until their workers have given their trials back; nothing ever waits here."""
        if pending_only:
            return 0
        names = [c.name for c in self._containers(order) if c.state in (JobState.PENDING, JobState.RUNNING)]
        if names:
            stop_s = order.settings["stop_timeout"]
            argv = docker(order.settings, "stop", "-t", str(stop_s), *names)
            answer_of(argv, source=SOURCE, limit_s=stop_s + STOP_MORE_S)
        return len(names)

    def logs(self, order: Order, jobs: Sequence[str], job: str | None, lines: int) -> Iterator[str]:
        """Yield the last lines of the containers, what they wrote to standard output first."""
        for container in self._containers(order):
            if job in (None, container.name):
                argv = docker(order.settings, "logs", "--tail", str(lines), container.name)
                answer = ask(argv, source=SOURCE)
                if answer.status:
                    raise TargetUnavailable(f"docker logs: {answer.message}")
                yield f"==> {container.name} <=="
                yield from [*answer.out.splitlines(), *answer.errors.splitlines()][-lines:]

    def _containers(self, order: Order) -> list[Container]:
        settings = order.settings
        if not (settings["host"] or settings["context"]) and settings["machine"] != socket.gethostname():
            raise TargetUnavailable(f"its workers are containers of {settings['machine']}: ask there")
        argv = ["ps", "--all", "--no-trunc", "--filter", f"label={SUBMISSION}={order.name}"]
        listing = answer_of(
            docker(settings, *argv, "--format", "{{.Names}}|{{.State}}|{{.Status}}"), source=SOURCE
        )
        rows = (line.split("|", 2) for line in listing.splitlines() if line.count("|") >= 2)
        found = {name: Container(name=name, word=word, detail=detail) for name, word, detail in rows}
        names = (order.job_name(index) for index in range(order.workers))
        return [found[name] for name in names if name in found]

    def _refused(self, order: Order, name: str, answer: Answer) -> Refusal:
        """Return what a failure means, and remove a container that was made and could not be started."""
        if _NO_ANSWER.search(answer.errors):
            raise TargetUnavailable(f"docker run: {answer.message}")
        ask(docker(order.settings, "rm", name), source=SOURCE)
        return next((refusal for refusal, words in _REFUSALS if words.search(answer.errors)), Refusal.INVALID)


TARGET = Docker()


def _absolute(volume: str) -> str:
    """Return a volume with its folder as docker wants it; a name without a slash is a volume of docker's."""
    source, colon, rest = volume.partition(":")
    local = source.startswith((".", "~"))
    return f"{Path(source).expanduser().absolute()}{colon}{rest}" if local else volume
