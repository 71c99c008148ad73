"""``hpo-pipe submit aws-batch``: one array job of AWS Batch, each child a worker."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpo_pipe.launch.aws import PROFILE, REGION, ask, client, placed, refusal_of
from hpo_pipe.launch.image import check_image
from hpo_pipe.launch.order import Offer, Order, Plan
from hpo_pipe.launch.own_options import gathered, options_of, settings_of
from hpo_pipe.launch.target import ApiCall, Call, Launched, Look, Refusal, TargetUnavailable
from hpo_pipe.launch.targets.aws_batch import jobs as batch_jobs
from hpo_pipe.launch.targets.aws_batch.options import TABLE, check
from hpo_pipe.launch.targets.aws_batch.request import requests
from storage_schema.clock import Clock, SystemClock
from storage_schema.codec import Json
from storage_schema.waiting import Patience

SUBMITS = 5
"""Requests for one job, where Batch says each time that it is asked too fast."""


class AwsBatch:
    """Workers as the children of one array job."""

    name = "aws-batch"
    summary = "An array job of AWS Batch, on spot or not."
    help = """Start workers as one array job (a plain job for one worker), each in a container.

    Give --image, with --vcpus and --memory and --gpus, or a --job-definition of yours, whose image has the entry point
    hpo-pipe. Batch starts machines for the jobs, and takes them away when they have ended: workers end with the study,
    or when they have had nothing to do for --idle-timeout, and an environment with minvCpus 0 then costs nothing. A
    worker whose machine was taken back starts again, at most --attempts times; others go on with its trials meanwhile.

    The queue decides whether machines are spot; --spot and --on-demand only tell the workers, for `hpo-pipe cost`.

    What is left over: ended jobs, which Batch forgets after a week, their logs in CloudWatch, and job definitions
    hpo-pipe-..., which cost nothing.
    """
    examples = (
        "hpo-pipe submit aws-batch s3://bucket/studies/first --workers 8 --job-queue gpus-spot --spot "
        "--job-definition hpo-worker",
        "hpo-pipe submit aws-batch s3://bucket/studies/first --job-queue gpus --image 111122223333.dkr.ecr."
        "eu-west-1.amazonaws.com/train:7 --gpus 1 --vcpus 4 --memory 15000 "
        "--job-role-arn arn:aws:iam::111122223333:role/hpo-pipe-worker",
    )
    options = (*options_of(TABLE), REGION, PROFILE)
    takes = frozenset({"gpus", "hiring", "image", "code", "env", "secret", "tag"})
    repeats_safely = False  # names of jobs are not unique, and there is no token
    grace_s: float | None = None

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def settings(self, given: Mapping[str, Json], plan: Plan) -> dict[str, Json]:
        """Return the options as they were given, and where the queue is."""
        own, where, _ = gathered(
            lambda: settings_of(TABLE, given), lambda: placed(given), lambda: check_image(plan.image)
        )
        settings = {**own, **where}
        check(settings, plan)
        return settings

    def offers(self, settings: Mapping[str, Json], plan: Plan) -> tuple[Offer, ...]:
        """Return the one that the queue decides; what it is called is what the user says of it."""
        return (Offer(lifecycle=plan.hiring),)

    def calls(self, order: Order) -> tuple[Call, ...]:
        """Return RegisterJobDefinition, where the definition is ours, and SubmitJob."""
        return requests(order)

    def launch(self, order: Order) -> Launched:
        """Submit, if no job of that name is there."""
        from botocore.exceptions import ClientError

        calls = requests(order)
        batch = client("batch", order.settings)
        try:
            found = batch_jobs.find(batch, order)
        except TargetUnavailable as error:  # but where there is no such queue, nothing was started either
            if not isinstance(error.__cause__, ClientError):
                raise
            refusal, message = refusal_of(error.__cause__)
            if refusal is not Refusal.INVALID:
                raise
            return Launched(refusal=refusal, message=message)
        try:
            if found is None:
                for call in calls[:-1]:
                    _register(batch, call)
                found = self._submit(order, calls[-1])
        except ClientError as error:
            refusal, message = refusal_of(error)
            return Launched(refusal=refusal, message=message)
        return Launched(jobs=(found,), workers=order.workers)

    def look(self, order: Order, jobs: Sequence[str]) -> Look:
        """Look at the job, and at an array's children."""
        return batch_jobs.look(order, jobs)

    def cancel(self, order: Order, jobs: Sequence[str], *, pending_only: bool = False) -> int:
        """Terminate the job, or cancel those children that have not begun."""
        return batch_jobs.cancel(order, jobs, pending_only=pending_only)

    def logs(self, order: Order, jobs: Sequence[str], job: str | None, lines: int) -> Iterator[str]:
        """Yield the ends of log streams in CloudWatch."""
        return batch_jobs.logs(order, jobs, job, lines)

    def _submit(self, order: Order, call: ApiCall) -> str:
        """Send SubmitJob, again only where Batch says that it did not take it."""
        from botocore.exceptions import ClientError

        once = client("batch", order.settings, attempts=1)  # sent twice, it starts everything twice
        pause = Patience(self._clock, random.SystemRandom(), first_s=1.0)
        for tried in range(1, SUBMITS + 1):
            try:
                answer: Any = ask(once, call.operation, call.parameters)
            except ClientError as error:
                refusal, message = refusal_of(error)
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
                    raise TargetUnavailable(f"SubmitJob: {message}") from error  # it may have been taken
                if refusal is not Refusal.THROTTLED or tried == SUBMITS:
                    raise
                pause.wait(tried, message)
                continue
            return str(answer["jobId"])
        raise AssertionError("unreachable")


TARGET = AwsBatch()


def _register(batch: Any, call: ApiCall) -> None:
    """Register a job definition, unless it is there: its name is its content's."""
    name = call.parameters["jobDefinitionName"]
    there = ask(
        batch, "DescribeJobDefinitions", {"jobDefinitionName": name, "status": "ACTIVE", "maxResults": 1}
    )
    if not there["jobDefinitions"]:
        ask(batch, call.operation, call.parameters)
