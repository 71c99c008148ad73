"""``submit kubernetes`` with the real kubectl, against a server that answers as Kubernetes does and runs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from hpo_pipe.cli.group import cli
from hpo_pipe.launch.order import Order
from hpo_pipe.launch.target import CommandCall, JobState
from hpo_pipe.launch.targets.kubernetes import TARGET
from hpo_pipe.launch.targets.kubernetes.manifest import job as manifest
from storage_schema.errors import UserError
from tests.e2e.fleet import STUDY
from tests.servers.kube import Cluster, cluster
from tests.unit.launch.orders import order

AWKWARD = 'it\'s $HOME: yes\t# "on" \\ $(PATH) $$ é \U0001f600 \x7f'


@pytest.fixture
def kube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with cluster(tmp_path, monkeypatch) as held:
        yield held


def made(workers: int = 4, given: dict[str, Any] | None = None, **plan: Any) -> Order:
    return order(TARGET, given or {}, workers, **{"image": "registry/train:7", **plan})


def pod(ordered: Order, index: int, phase: str, number: int = 0, **status: Any) -> dict[str, Any]:
    """Return a pod as the Job controller makes it."""
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": f"{ordered.name}-{index}-{9 - number}abcd",  # random in truth
            "namespace": "vision",
            "creationTimestamp": f"2026-01-01T00:00:{number:02}Z",
            "labels": {
                "batch.kubernetes.io/job-name": ordered.name,
                "batch.kubernetes.io/job-completion-index": str(index),
            },
            "annotations": {"batch.kubernetes.io/job-completion-index": str(index)},
        },
        "spec": {"containers": [{"name": "worker"}], **({"nodeName": "n1"} if phase != "Pending" else {})},
        "status": {"phase": phase, **status},
    }


def unschedulable(message: str) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"conditions": [{"type": "Ready", "status": "False"}, condition]}


def test_a_job_is_created_once_and_arrives_as_it_was_meant(kube: Cluster) -> None:
    ordered = made(env=(("AWKWARD", AWKWARD), ("YES", "yes"), ("OCTAL", "0o7"), ("TEN", "1_0"), ("NONE", "")))
    first = TARGET.launch(ordered)
    assert (first.jobs, first.workers, first.message) == ((ordered.name,), 4, "")
    assert TARGET.launch(ordered) == first
    (stored,) = kube.jobs.values()
    stored["metadata"].pop("resourceVersion")
    assert stored == manifest(ordered)
    assert [method for method, _, _ in kube.requests] == ["POST", "POST"]
    assert kube.requests[0][1] == "/apis/batch/v1/namespaces/vision/jobs"
    (call,) = TARGET.calls(ordered)
    assert isinstance(call, CommandCall) and "--context=test" in call.argv


def test_a_look_tells_each_worker_by_its_newest_pod(kube: Cluster) -> None:
    ordered = made(7)
    assert TARGET.look(ordered, ()).counts == {}, "nothing of that name: nothing runs"
    TARGET.launch(ordered)
    (job,) = kube.jobs.values()
    job["status"] = {"completedIndexes": "0", "failedIndexes": "1", "active": 3}
    ended = {"state": {"terminated": {"reason": "Error", "exitCode": 75}}}
    waiting = {
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling "x"\n\x1b[1m'}}
    }
    kube.pods = [
        pod(ordered, 3, "Running", 1),
        pod(ordered, 0, "Succeeded"),
        pod(
            ordered, 2, "Pending", **unschedulable("0/4 nodes are available: 4 Insufficient nvidia.com/gpu.")
        ),
        pod(ordered, 3, "Failed", containerStatuses=[ended]),
        pod(ordered, 4, "Failed", reason="Evicted", containerStatuses=[ended]),
        pod(ordered, 5, "Pending", containerStatuses=[waiting]),
        pod(made(7, number=9), 6, "Running"),
    ]
    kube.events = [
        {"metadata": {"labels": {}}, "lastTimestamp": f"2026-01-01T00:0{minute}:00Z", "message": text}
        for minute, text in ((2, "exceeded quota: gpus"), (1, "an older one"))
    ]
    look = TARGET.look(ordered, (ordered.name,))
    assert [(one.state, one.detail) for one in look.jobs] == [
        (JobState.DONE, "Succeeded on n1"),
        (JobState.FAILED, ""),
        (JobState.PENDING, "Pending Unschedulable: 0/4 nodes are available: 4 Insufficient nvidia.com/gpu."),
        (JobState.RUNNING, "Running on n1"),
        (JobState.PENDING, "Failed Evicted Error exit 75 on n1"),
        (JobState.PENDING, look.jobs[5].detail),
        (JobState.PENDING, "exceeded quota: gpus"),
    ]
    assert look.jobs[5].detail.startswith("Pending ImagePullBackOff: Back-off pulling") and look.alive == 5
    assert "\x1b" not in look.jobs[5].detail and "\n" not in look.jobs[5].detail
    assert [one.id for one in look.jobs] == [ordered.job_name(index) for index in range(7)]


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"status": {"conditions": [{"type": "Failed", "status": "True"}]}}, JobState.FAILED),
        ({"status": {"conditions": [{"type": "Failed", "status": "False"}]}}, JobState.PENDING),
    ],
)
def test_of_a_job_that_has_failed_nobody_waits(
    kube: Cluster, change: dict[str, Any], state: JobState
) -> None:
    ordered = made(2)
    TARGET.launch(ordered)
    (job,) = kube.jobs.values()
    job.update(change)
    kube.pods = [pod(ordered, 0, "Running")]
    assert TARGET.look(ordered, ()).counts == {JobState.RUNNING: 1, state: 1}


def test_a_suspended_job_says_what_it_waits_for(kube: Cluster) -> None:
    ordered = made(1, {"queue_name": "team-a"})
    TARGET.launch(ordered)
    (job,) = kube.jobs.values()
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    job["spec"]["suspend"] = True
    (one,) = TARGET.look(ordered, ()).jobs
    assert (one.state, one.detail) == (JobState.PENDING, "suspended: waits in queue team-a")


def test_cancelling_deletes_the_job_and_leaves_pods_their_grace(kube: Cluster) -> None:
    ordered = made(3)
    assert TARGET.cancel(ordered, ()) == 0
    TARGET.launch(ordered)
    kube.pods = [pod(ordered, 0, "Running"), pod(ordered, 1, "Succeeded")]
    assert TARGET.cancel(ordered, (ordered.name,)) == 2
    assert not kube.jobs
    assert kube.deletion == {"propagationPolicy": "Foreground"}
    assert kube.requests[-1][0] == "DELETE", "nobody waits for workers that hand back"


def test_waiting_workers_are_withdrawn_from_the_end_and_those_that_run_stay(kube: Cluster) -> None:
    ordered = made(5)
    TARGET.launch(ordered)
    (job,) = kube.jobs.values()
    kube.pods = [pod(ordered, 0, "Pending"), pod(ordered, 2, "Running"), pod(ordered, 4, "Pending")]
    assert TARGET.cancel(ordered, (), pending_only=True) == 2
    assert (job["spec"]["completions"], job["spec"]["parallelism"]) == (3, 3)
    look = TARGET.look(ordered, ())
    assert look.counts == {JobState.RUNNING: 1, JobState.PENDING: 2, JobState.CANCELLED: 2}
    assert TARGET.cancel(ordered, (), pending_only=True) == 0
    kube.pods = []
    assert TARGET.cancel(ordered, (), pending_only=True) == 3
    assert not kube.jobs, "where none runs the whole Job goes"


def test_a_job_that_changed_meanwhile_is_left_alone(kube: Cluster) -> None:
    ordered = made(2)
    TARGET.launch(ordered)
    (job,) = kube.jobs.values()
    kube.pods = [pod(ordered, 0, "Running")]
    kube.moves = True
    assert TARGET.cancel(ordered, (), pending_only=True) == 0
    assert job["spec"]["completions"] == 2


@pytest.mark.parametrize("given", [{"queue_name": "team-a"}, {"max_failed_indexes": 1}])
def test_a_job_that_cannot_shrink_is_not_asked_to(kube: Cluster, given: dict[str, Any]) -> None:
    ordered = made(2, given)
    TARGET.launch(ordered)
    kube.pods = [pod(ordered, 0, "Running")]
    assert TARGET.cancel(ordered, (), pending_only=True) == 0
    assert [method for method, _, _ in kube.requests] == ["POST", "GET"]


def test_logs_stand_under_headings_by_worker_and_pod(kube: Cluster) -> None:
    ordered = made(3)
    ended = [{"name": "worker", "state": {"terminated": {"exitCode": 75}}}]
    kube.pods = [
        pod(ordered, 0, "Failed", 0, containerStatuses=ended),
        pod(ordered, 0, "Running", 1),
        pod(ordered, 1, "Running"),
    ]
    names = [one["metadata"]["name"] for one in kube.pods]
    kube.logs = {names[0]: "one\n[x] two\n", names[1]: "three\n", names[2]: "four\n"}
    assert list(TARGET.logs(ordered, (), None, 7)) == [
        f"==> {ordered.name}-0 ({names[0]}) <==",
        "one",
        "[x] two",
        f"==> {ordered.name}-0 ({names[1]}) <==",
        "three",
        f"==> {ordered.name}-1 ({names[2]}) <==",
        "four",
    ]
    assert list(TARGET.logs(ordered, (), f"{ordered.name}-1", 7))[1:] == ["four"]
    assert list(TARGET.logs(ordered, (), f"{ordered.name}-2", 7)) == []
    assert list(TARGET.logs(ordered, (), "elsewhere-1", 7)) == []


def test_context_and_namespace_are_those_of_now_and_kept(kube: Cluster, tmp_path: Path) -> None:
    assert [made().settings[key] for key in ("context", "namespace")] == ["test", "vision"]
    assert made(given={"namespace": "other"}).settings["namespace"] == "other"
    with pytest.raises(UserError, match=r"^--context: error: .*elsewhere"):
        made(given={"context": "elsewhere"})
    (tmp_path / "kubeconfig").write_text("apiVersion: v1\nkind: Config\n")
    assert [made().settings[key] for key in ("context", "namespace")] == ["", ""]
    (call,) = TARGET.calls(made())
    assert isinstance(call, CommandCall) and "--context" not in call.text() and "namespace" not in call.stdin


def test_a_submission_from_its_command_line_to_its_end(kube: Cluster, tmp_path: Path) -> None:
    study = tmp_path / "study"
    (tmp_path / "study.toml").write_text(
        STUDY.format(python="python3", script="train.py", trials=3, scheduler="none")
    )
    run("create", str(tmp_path / "study.toml"), str(study))
    where = ("--image", "registry/train:7", "--pvc", f"studies:{tmp_path}", "--workers", "2")
    said = run("submit", "kubernetes", str(study), *where, "--dry-run")
    assert said.startswith("kubectl create --context=test --namespace=vision ") and not kube.jobs
    run("submit", "kubernetes", str(study), *where)
    ((name, job),) = kube.jobs.items()
    assert job == yaml.safe_load(said.partition("\n")[2]) | {"metadata": job["metadata"]}
    kube.pods = [pod(made(), 0, "Pending", **unschedulable("0/1 nodes are available: 1 Insufficient cpu."))]
    kube.pods[0]["metadata"]["labels"]["batch.kubernetes.io/job-name"] = name
    assert "1 Insufficient cpu." in run("submit", "status", str(study), "1")
    run("submit", "cancel", str(study), "1")
    assert not kube.jobs


def run(*arguments: str) -> str:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout
