"""``hpo-pipe submit ec2``: one instant fleet of machines, each of them a worker that ends its machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpo_pipe.launch.aws import PROFILE, REGION, ask, client, code_of, placed
from hpo_pipe.launch.image import check_image
from hpo_pipe.launch.order import SPOT_THEN_ON_DEMAND, Offer, Order, Plan
from hpo_pipe.launch.own_options import gathered, options_of, settings_of
from hpo_pipe.launch.target import ApiCall, Call, Launched, Look, Refusal, TargetUnavailable
from hpo_pipe.launch.targets.ec2 import machines
from hpo_pipe.launch.targets.ec2.answers import launched, meaning_of, mistake
from hpo_pipe.launch.targets.ec2.machine import GRACE_S
from hpo_pipe.launch.targets.ec2.options import TABLE, check
from hpo_pipe.launch.targets.ec2.request import requests
from storage_schema.clock import Clock, SystemClock
from storage_schema.codec import Json
from storage_schema.machine import ON_DEMAND, SPOT

VISIBLE_S = 30.0
"""So long a launch waits until EC2 lists what it has started: what is not listed later counts as ended."""
_LOOK_S = 2.0


class Ec2:
    """Workers as machines of their own."""

    name = "ec2"
    summary = "Machines of EC2, on spot or not, that end with their worker."
    help = """Start workers on machines of EC2, each of which ends itself.

    One request starts all of them, of any --instance-type that there is in any of --subnet-ids; with
    --spot-then-on-demand a second one starts on demand what spot did not give. --image is run with docker, on all GPUs;
    without it the AMI has hpo-pipe.

    A worker ends with the study, or when it has had nothing to do for --idle-timeout, and then its machine shuts down
    and is gone, with its disk: nothing is left that costs money. So it is where the worker fails for good, where its
    start fails, and whatever hangs an hour after --max-runtime (with none, a week after the boot).

    What is left over: launch templates hpo-pipe-..., which cost nothing.
    """
    examples = (
        "hpo-pipe submit ec2 s3://bucket/studies/first --workers 8 --spot-then-on-demand --instance-type g5.xlarge "
        "--instance-type g6.xlarge --image-id ami-0123456789abcdef0 --iam-instance-profile hpo-pipe-worker --image "
        "111122223333.dkr.ecr.eu-west-1.amazonaws.com/train:7",
        "hpo-pipe submit ec2 s3://bucket/studies/first --workers 4 --spot --launch-template hpo-pipe-gpus:3",
    )
    options = (*options_of(TABLE), REGION, PROFILE)
    takes = frozenset({"hiring", "image", "code", "env", "secret", "tag"})
    repeats_safely = True  # by the fleet's client token
    grace_s: float | None = GRACE_S

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def settings(self, given: Mapping[str, Json], plan: Plan) -> dict[str, Json]:
        """Return the options as they were given, and where the machines are."""
        own, where, _ = gathered(
            lambda: settings_of(TABLE, given), lambda: placed(given), lambda: check_image(plan.image)
        )
        settings = {**own, **where}
        check(settings, plan)
        return settings

    def offers(self, settings: Mapping[str, Json], plan: Plan) -> tuple[Offer, ...]:
        """Return one for each lifecycle: the fleet itself chooses among the types."""
        ways = (SPOT, ON_DEMAND) if plan.hiring == SPOT_THEN_ON_DEMAND else (plan.hiring or ON_DEMAND,)
        return tuple(Offer(instance_type=",".join(settings["instance_type"]), lifecycle=way) for way in ways)

    def calls(self, order: Order) -> tuple[Call, ...]:
        """Return CreateLaunchTemplate, where the template is ours, and CreateFleet."""
        return requests(order)

    def launch(self, order: Order) -> Launched:
        """Ask for the fleet, unless machines of that submission are there."""
        from botocore.exceptions import ClientError

        *before, fleet = requests(order)
        asked = client("ec2", order.settings)
        try:
            there = tuple(machines.listed(asked, order))
        except TargetUnavailable as error:
            if not isinstance(error.__cause__, ClientError):
                raise
            there = ()  # who may not look may start: the token keeps it from being twice
        if there:
            return _started_before(order, there)
        if wrong := mistake(asked, order):
            return Launched(refusal=Refusal.INVALID, message=wrong)
        try:
            for call in before:
                _create_template(asked, call)
            answer = ask(asked, fleet.operation, fleet.parameters)
        except ClientError as error:
            return self._refused(asked, order, error)
        found = launched(order, answer)
        self._wait_until_listed(asked, order, found.jobs)
        return found

    def look(self, order: Order, jobs: Sequence[str]) -> Look:
        """List the machines by their tag."""
        return machines.look(order, jobs)

    def cancel(self, order: Order, jobs: Sequence[str], *, pending_only: bool = False) -> int:
        """Terminate the machines: their systems shut down, and workers get SIGTERM and 120 s."""
        return machines.cancel(order, pending_only=pending_only)

    def logs(self, order: Order, jobs: Sequence[str], job: str | None, lines: int) -> Iterator[str]:
        """Yield the ends of the machines' consoles."""
        return machines.logs(order, jobs, job, lines)

    def _refused(self, asked: Any, order: Order, error: Any) -> Launched:
        if code_of(error) == "IdempotentParameterMismatch":  # another hpo-pipe asked for it in other words
            there = tuple(machines.listed(asked, order))
            if there:
                return _started_before(order, there)
            message = "it was asked for before, in other words, and nothing of it is left"
            return Launched(refusal=Refusal.CAPACITY, message=message)
        refusal, message = meaning_of(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if refusal is Refusal.THROTTLED and status >= 500:
            raise TargetUnavailable(f"CreateFleet: {message}") from error  # it may have started
        return Launched(refusal=refusal, message=message)

    def _wait_until_listed(self, asked: Any, order: Order, jobs: Sequence[str]) -> None:
        until = self._clock.monotonic() + VISIBLE_S
        while self._clock.monotonic() < until:
            try:
                if machines.listed(asked, order).keys() >= set(jobs):
                    return
            except TargetUnavailable:
                return  # they are started: that is what counts
            self._clock.sleep(_LOOK_S)


TARGET = Ec2()


def _started_before(order: Order, there: tuple[str, ...]) -> Launched:
    if len(there) >= order.workers:
        return Launched(jobs=there, workers=len(there))
    message = f"{len(there)} of {order.workers} machines were started before; EC2 had no more then"
    return Launched(jobs=there, workers=len(there), refusal=Refusal.CAPACITY, message=message)


def _create_template(asked: Any, call: ApiCall) -> None:
    """Create a launch template, unless it is there: its name is its content's."""
    from botocore.exceptions import ClientError

    try:
        ask(asked, call.operation, call.parameters)
    except ClientError as error:
        if code_of(error) != "InvalidLaunchTemplateName.AlreadyExistsException":
            raise
