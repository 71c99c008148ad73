"""Submissions to AWS as the study keeps them: offers one after the other, and requests whose answer was lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hpo_pipe.launch import aws
from hpo_pipe.launch.targets.aws_batch import TARGET as BATCH
from hpo_pipe.launch.targets.sagemaker import TARGET as SAGEMAKER
from storage_schema.records import StepKind
from tests.servers.scripted_aws import LOST, Refused, ScriptedAws, scripted
from tests.unit.coordinator.world import World
from tests.unit.launch.cloud import a_desk
from tests.unit.launch.orders import order

QUOTA = Refused("ResourceLimitExceeded", 400, "the limit is 2 instances")
CREATED = {"TrainingJobArn": "arn:aws:sagemaker:eu-west-1:111122223333:training-job/x"}


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    return World(request.node.name, dated=True)


@pytest.fixture
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedAws]:
    monkeypatch.setattr(aws, "ATTEMPTS", 1)
    with scripted(request.param, monkeypatch) as made:
        yield made


@pytest.mark.parametrize("server", ["sagemaker"], indirect=True)
def test_a_quota_leads_to_the_next_type_and_then_to_on_demand(server: ScriptedAws, world: World) -> None:
    given: dict[str, Any] = {
        "instance_type": ["ml.g5.xlarge", "ml.g4dn.xlarge"],
        "role_arn": "arn:aws:iam::111122223333:role/hpo-pipe-worker",
    }
    image = "111122223333.dkr.ecr.us-east-1.amazonaws.com/train:7"
    wish = order(SAGEMAKER, given, image=image, hiring="spot-then-on-demand")
    server.answers("ListTrainingJobs", {"TrainingJobSummaries": []})
    server.answers("CreateTrainingJob", CREATED, CREATED, QUOTA, QUOTA, CREATED)
    desk = a_desk(world)
    desk.submissions.refresh()
    placed = desk.place(SAGEMAKER, wish.plan, wish.settings, 5, insist=True)
    assert placed.workers == 5 and not placed.unknown
    told = [
        (known.number, str(known.order.offer), known.order.workers, known.kind)
        for known in placed.submissions
    ]
    assert told == [
        (1, "ml.g5.xlarge spot", 5, StepKind.STARTED),
        (2, "ml.g4dn.xlarge spot", 3, StepKind.REFUSED),
        (3, "ml.g5.xlarge on-demand", 3, StepKind.STARTED),
    ]
    assert [len(known.jobs) for known in placed.submissions] == [2, 0, 3]
    asked = server.requests("CreateTrainingJob")
    assert len({request["TrainingJobName"] for request in asked}) == len(asked) == 7
    assert ["MaxWaitTimeInSeconds" in request["StoppingCondition"] for request in asked] == [True] * 4 + [
        False
    ] * 3


@pytest.mark.parametrize("server", ["batch"], indirect=True)
def test_a_lost_answer_of_batch_is_found_by_name_and_not_asked_for_again(
    server: ScriptedAws, world: World
) -> None:
    wish = order(BATCH, {"job_queue": "gpus", "job_definition": "worker"})
    server.answers("ListJobs", {"jobSummaryList": []})
    server.answers("SubmitJob", LOST)
    first = a_desk(world, seed=1)
    first.submissions.refresh()
    placed = first.place(BATCH, wish.plan, wish.settings, 4, insist=True)
    (known,) = placed.submissions
    assert placed.unknown and known.unsettled and not placed.workers
    taken = {"jobId": "taken", "jobName": known.order.name, "status": "RUNNABLE", "createdAt": 1}
    server.answers("ListJobs", {"jobSummaryList": [taken]})
    second = a_desk(world, seed=2)
    second.submissions.refresh()
    (found,) = second.submissions.all()
    launched = second.take_over(BATCH, found, wanted=True)
    assert launched is not None and (launched.jobs, launched.workers) == (("taken",), 4)
    assert found.kind is StepKind.STARTED and len(server.requests("SubmitJob")) == 1
