"""Slurm's queue: jobs by their name, told one by one, ended, and what its refusals mean. Asks Slurm.

Listings are asked for with a format of ours: Slurm's JSON changes from version to version, and so does what of the
filters it heeds.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from hpo_pipe.launch.commands import Answer, answer_of, ask
from hpo_pipe.launch.target import Job, JobState, Look, Refusal, TargetUnavailable
from storage_schema.errors import UserError

SOURCE = "it comes with Slurm; ask from a machine of the cluster, such as its login node"
MAX_JOBS = 1000
SACCT_SINCE = "now-90days"

STATES: Mapping[str, JobState] = {
    **dict.fromkeys(
        (
            "PENDING",
            "CONFIGURING",
            "REQUEUED",
            "REQUEUE_HOLD",
            "REQUEUE_FED",
            "RESV_DEL_HOLD",
            "SPECIAL_EXIT",
        ),
        JobState.PENDING,
    ),
    **dict.fromkeys(
        ("RUNNING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED"),
        JobState.RUNNING,
    ),
    "COMPLETED": JobState.DONE,
    **dict.fromkeys(("CANCELLED", "PREEMPTED", "REVOKED"), JobState.CANCELLED),
    **dict.fromkeys(
        ("FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE", "LAUNCH_FAILED"),
        JobState.FAILED,
    ),
}
"""Slurm's word to ours. One that is newer than this table counts as running: nobody starts another in its place."""

_FORMAT = "%i|%T|%r|%N"
_ELEMENT = re.compile(r"([0-9]+)(?:_([0-9]+))?")

_REFUSALS: tuple[tuple[Refusal, re.Pattern[str]], ...] = tuple(
    (refusal, re.compile(words, re.IGNORECASE))
    for refusal, words in (
        (
            Refusal.QUOTA,
            r"violates accounting/QOS policy|limit exceeded|MaxSubmit|too many jobs|job count limit",
        ),
        (Refusal.THROTTLED, r"temporarily unable to accept|temporarily unavailable|rate limit"),
        (
            Refusal.DENIED,
            r"permission denied|not permitted|invalid account|invalid user|not authorized|access denied|"
            r"invalid authentication|protocol authentication error",
        ),
        (
            Refusal.CAPACITY,
            r"nodes? (?:required for job )?are (?:down|drained|reserved)|partition.{0,40} is down",
        ),
    )
)
_NO_ANSWER = re.compile(
    r"unable to contact slurm controller|socket timed out|zero bytes were transmitted|unexpected message|"
    r"connect(?:ion)? (?:failure|refused|reset)|could not establish a configuration source|in standby mode",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One task of the array."""

    job: str
    """The array's own id."""
    id: str
    """``array_task``."""
    word: str
    """Slurm's state."""
    detail: str = ""

    @property
    def state(self) -> JobState:
        """Our word for it."""
        return STATES.get(self.word, JobState.RUNNING)


def refusal_of(answer: Answer) -> Refusal | None:
    """Return why sbatch did not take a job; None: the controller did not answer, and the job may be there."""
    if _NO_ANSWER.search(answer.errors):
        return None
    return next((refusal for refusal, words in _REFUSALS if words.search(answer.errors)), Refusal.INVALID)


def elements(name: str, job: str = "") -> list[Element]:
    """Return the tasks of the array called `name`, also ended ones that Slurm still remembers.

    Slurm's controller forgets a job some minutes after its end (MinJobAge); accounting, where there is some, does not.

    Args:
        name: the submission's.
        job: the array's id, where it is known: then nobody else's job of that name counts.

    Raises:
        TargetUnavailable: Slurm does not answer.
        UserError: there is no Slurm here.
    """
    argv = ["squeue", "--noheader", "--array", "--states=all", f"--name={name}", f"--format={_FORMAT}"]
    found = {element.id: element for element in _read(answer_of(argv, source=SOURCE))}
    for element in _accounted(name):
        found.setdefault(element.id, element)
    return sorted((e for e in found.values() if job in ("", e.job)), key=_place)


def look_at(found: Collection[Element]) -> Look:
    """Return what is told of them."""
    jobs = (Job(id=e.id, state=e.state, detail=e.detail) for e in found)
    return Look(counts=Counter(e.state for e in found), jobs=tuple(islice(jobs, MAX_JOBS)))


def without_steps(found: Iterable[Element], name: str) -> list[str]:
    """Return which of the running ones have no step that listens: a signal to steps would reach nobody."""
    argv = ["squeue", "--noheader", "--steps", f"--name={name}", "--format=%i"]
    steps = {line.strip() for line in answer_of(argv, source=SOURCE).splitlines()}
    begun = {step.partition(".")[0] for step in steps if step.rpartition(".")[2].isdigit()}
    return [e.id for e in found if e.word == "RUNNING" and e.id not in begun]


def _read(listing: str) -> Iterable[Element]:
    for line in listing.splitlines():
        name, _, rest = line.strip().partition("|")
        word, _, rest = rest.partition("|")
        reason, _, nodes = rest.rpartition("|")
        if match := _ELEMENT.fullmatch(name):
            said = "" if reason in ("", "None") else reason
            where = f"on {nodes}" if nodes else ""
            words = " ".join(text for text in (word, said, where) if text)
            yield Element(job=match[1], id=name, word=word, detail=words)


def _accounted(name: str) -> list[Element]:
    """Return what accounting knows of ended ones; nothing where there is none, or it does not answer."""
    argv = ["sacct", "--noheader", "--parsable2", "--allocations", "--array", f"--starttime={SACCT_SINCE}"]
    try:
        answer = ask([*argv, f"--name={name}", "--format=JobID,State,ExitCode,NodeList"], source=SOURCE)
    except (TargetUnavailable, UserError):  # too slow, or not installed beside squeue
        return []
    if answer.status:
        return []
    found = []
    for line in answer.out.splitlines():
        place, word, status, nodes = [*line.split("|"), "", "", ""][:4]
        match = _ELEMENT.fullmatch(place)
        word = word.split(" ")[0]  # "CANCELLED by 1000"
        if match and STATES.get(word) not in (None, JobState.PENDING, JobState.RUNNING):
            detail = f"{word} {status} on {nodes}"
            found.append(Element(job=match[1], id=place, word=word, detail=detail))
    return found


def _place(element: Element) -> tuple[int, int]:
    job, _, task = element.id.partition("_")
    return int(job), int(task or 0)
