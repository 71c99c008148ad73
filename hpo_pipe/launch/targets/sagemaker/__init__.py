"""``hpo-pipe submit sagemaker``: training jobs, each of them one worker that trains many trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpo_pipe.launch.aws import PROFILE, REGION, ask, client, code_of, placed, refusal_of
from hpo_pipe.launch.image import check_image
from hpo_pipe.launch.order import SPOT_THEN_ON_DEMAND, Offer, Order, Plan
from hpo_pipe.launch.own_options import gathered, options_of, settings_of
from hpo_pipe.launch.target import Call, Launched, Look, Refusal, TargetUnavailable
from hpo_pipe.launch.targets.sagemaker import jobs as training_jobs
from hpo_pipe.launch.targets.sagemaker.options import TABLE, check
from hpo_pipe.launch.targets.sagemaker.request import GRACE_S, requests
from storage_schema.clock import Clock, SystemClock
from storage_schema.codec import Json
from storage_schema.machine import ON_DEMAND, SPOT

LAUNCH_S = 300.0
"""So long one launch goes on creating jobs; where the service takes them slower, the rest comes later."""


class SageMaker:
    """Workers as training jobs."""

    name = "sagemaker"
    summary = "SageMaker training jobs, managed spot or not."
    help = """Start workers as SageMaker training jobs, each on a machine of its own.

    A job lives for as many trials as there are, so that machine and image are waited for once and not for each trial:
    what warm pools are for, and these do not go with managed spot. --image is in ECR and has the entry point hpo-pipe;
    SageMaker starts it with `train`.

    --instance-type may be repeated: where the quota of one is used up the next one is asked for, and with
    --spot-then-on-demand then all of them on demand. A managed spot job whose machine is taken back waits for another
    one, until --max-wait-time-in-seconds; other workers go on with its trials meanwhile. Waiting costs nothing.

    A worker ends with the study, or when it has had nothing to do for --idle-timeout, and its job and machine with it:
    nothing is left that costs money. What stays are the jobs in SageMaker's list, and their logs in CloudWatch.
    """
    examples = (
        "hpo-pipe submit sagemaker s3://bucket/studies/first --workers 4 --spot --instance-type ml.g5.xlarge "
        "--instance-type ml.g4dn.xlarge --role-arn arn:aws:iam::111122223333:role/hpo-pipe-worker --image "
        "111122223333.dkr.ecr.eu-west-1.amazonaws.com/train:7",
    )
    options = (*options_of(TABLE), REGION, PROFILE)
    takes = frozenset({"hiring", "image", "code", "env", "secret", "tag"})
    repeats_safely = True  # names of jobs are unique
    grace_s: float | None = GRACE_S

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def settings(self, given: Mapping[str, Json], plan: Plan) -> dict[str, Json]:
        """Return the options as they were given, and where the jobs are."""
        own, where, _ = gathered(
            lambda: settings_of(TABLE, given), lambda: placed(given), lambda: check_image(plan.image)
        )
        settings = {**own, **where}
        check(settings, plan)
        return settings

    def offers(self, settings: Mapping[str, Json], plan: Plan) -> tuple[Offer, ...]:
        """Return the instance types in the user's order; all on spot first, where both are asked for."""
        ways = (SPOT, ON_DEMAND) if plan.hiring == SPOT_THEN_ON_DEMAND else (plan.hiring or ON_DEMAND,)
        return tuple(
            Offer(instance_type=name, lifecycle=way) for way in ways for name in settings["instance_type"]
        )

    def calls(self, order: Order) -> tuple[Call, ...]:
        """Return CreateTrainingJob for each worker."""
        return requests(order)

    def launch(self, order: Order) -> Launched:
        """Create the jobs one after the other, as far as the quota goes; one that is there was created before."""
        from botocore.exceptions import ClientError

        calls = requests(order)
        asked = client("sagemaker", order.settings)
        until = self._clock.monotonic() + LAUNCH_S
        made: list[str] = []
        for call in calls:
            name = call.parameters["TrainingJobName"]
            if self._clock.monotonic() > until:
                message = f"SageMaker took {len(made)} jobs in {LAUNCH_S:g} s; the rest later"
                return _partly(asked, order, made, Refusal.THROTTLED, message)
            try:
                ask(asked, call.operation, call.parameters)
            except ClientError as error:
                if not _is_there(error) and not _came_through(asked, name, error):
                    return _partly(asked, order, made, *refusal_of(error))
            made.append(name)
        return Launched(jobs=tuple(made), workers=len(made))

    def look(self, order: Order, jobs: Sequence[str]) -> Look:
        """List the jobs by their names."""
        return training_jobs.look(order, jobs)

    def cancel(self, order: Order, jobs: Sequence[str], *, pending_only: bool = False) -> int:
        """Stop the jobs; workers get 120 s."""
        return training_jobs.cancel(order, jobs, pending_only=pending_only)

    def logs(self, order: Order, jobs: Sequence[str], job: str | None, lines: int) -> Iterator[str]:
        """Yield the ends of log streams in CloudWatch."""
        return training_jobs.logs(order, jobs, job, lines)


TARGET = SageMaker()


def _is_there(error: Exception) -> bool:
    """Whether a refusal says that a job of this name exists."""
    return code_of(error) == "ResourceInUse" or (
        code_of(error) == "ValidationException" and "already exists" in str(error)
    )


def _came_through(asked: Any, name: str, error: Exception) -> bool:
    """Whether a job is there although the service failed over the request for it."""
    status = getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 and training_jobs.described(asked, name) is not None


def _partly(asked: Any, order: Order, made: list[str], refusal: Refusal, message: str) -> Launched:
    """Return an answer for a launch that was cut short: with what an earlier one made.

    A quota may be looked at before the name is: the first refusal does not say that nothing is there.
    """
    try:
        there = training_jobs.listed(asked, order)
    except TargetUnavailable as error:
        raise TargetUnavailable(
            f"CreateTrainingJob: {message}; what there is cannot be seen: {error}"
        ) from error
    names = [order.job_name(index) for index in range(order.workers)]
    jobs = tuple(name for name in names if name in there or name in made)
    if len(jobs) == order.workers:
        return Launched(jobs=jobs, workers=len(jobs))
    return Launched(jobs=jobs, workers=len(jobs), refusal=refusal, message=message)
