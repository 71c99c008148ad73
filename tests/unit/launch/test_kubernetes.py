"""``submit kubernetes``: the exact manifest, what is refused before the cluster is asked, and its refusals."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpo_pipe.launch.order import Offer, Order
from hpo_pipe.launch.target import CommandCall, Refusal, TargetUnavailable
from hpo_pipe.launch.targets.kubernetes import TARGET
from hpo_pipe.launch.targets.kubernetes.yaml_text import yaml_text
from storage_schema.errors import UserError
from tests.unit.launch.orders import GOLDEN, PLAN, WRITE, order

HAND_JOB = Path(__file__).parents[3] / "infra" / "kubernetes" / "worker-job.yaml"
IMAGE = "registry.example.com/train:7"
HERE: dict[str, Any] = {"context": "prod", "namespace": "vision"}
TYPE = "node.kubernetes.io/instance-type"
SPOT: dict[str, Any] = {"hiring": "spot"}
FULL: dict[str, Any] = HERE | {
    "service_account": "hpo-pipe-worker",
    "cpu": "3500m",
    "memory": "16Gi",
    "gpu_resource": "nvidia.com/mig-1g.5gb",
    "shm_size": "8Gi",
    "node_selector": (f"{TYPE}=g5.12xlarge", "topology.kubernetes.io/region=eu-west-1"),
    "toleration": (
        "dedicated=training:NoSchedule",
        "flaky:NoExecute",
        "odd=",
        "nvidia.com/mig-1g.5gb:NoSchedule",
    ),
    "spot_nodes": "karpenter",
    "queue_name": "team-a",
    "priority_class_name": "low",
    "image_pull_secret": ("registry",),
    "secret_key_ref": ("HF_TOKEN=hugging-face/token",),
    "pvc": ("studies:/studies", "data:/data/sets"),
    "run_as_user": 1000,
    "fs_group": 2000,
    "annotation": ("karpenter.sh/do-not-disrupt=true",),
    "grace_period": 90,
    "backoff_limit_per_index": 1,
    "max_failed_indexes": 50,
    "ttl_seconds_after_finished": 3600,
}
ARN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:wandb"
FULL_PLAN: dict[str, Any] = {
    **SPOT,
    "study": "Größe? of ResNet",
    "url": "file:///studies/first",
    "gpus": 4,
    "gpus_per_trial": 2,
    "secrets": (("WANDB_API_KEY", ARN),),
    "code": "cd" * 32,
    "max_runtime_s": 90000.0,
    "env": (("GREETING", "it's $HOME and $(PATH)"), ("YES", "yes")),
    "arguments": ("--drain", "--", "python", "train.py", "{lr}"),
}


def made(given: dict[str, Any] | None = None, workers: int = 2, **plan: Any) -> Order:
    return order(TARGET, HERE | (given or {}), workers, **{"image": IMAGE, **plan})


def manifest(ordered: Order) -> dict[str, Any]:
    (call,) = TARGET.calls(ordered)
    assert isinstance(call, CommandCall)
    found: dict[str, Any] = yaml.safe_load(call.stdin)
    return found


def pod(ordered: Order) -> dict[str, Any]:
    found: dict[str, Any] = manifest(ordered)["spec"]["template"]["spec"]
    return found


ORDERS: dict[str, Callable[[], Order]] = {
    "kubernetes_plain": lambda: made(workers=1),
    "kubernetes_full": lambda: made(FULL, 20, **FULL_PLAN),
}


@pytest.mark.parametrize("name", ORDERS)
def test_the_command_and_its_manifest(name: str) -> None:
    found = [call.to_json() for call in TARGET.calls(ORDERS[name]())]
    found[0]["stdin"] = found[0]["stdin"].splitlines()
    path = GOLDEN / f"{name}.json"
    if os.environ.get(WRITE):
        path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    assert found == json.loads(path.read_text()), f"{path.name}: {WRITE}=1 writes it anew"


def test_the_job_for_use_by_hand_is_what_submit_renders() -> None:
    given = {"service_account": "hpo-pipe-worker", "namespace": "hpo-pipe", "cpu": "4", "memory": "16Gi"}
    ordered = made(given, 4, env=(), tags=())
    (call,) = TARGET.calls(ordered)
    assert isinstance(call, CommandCall)
    rendered = call.stdin.replace(ordered.name, "hpo-worker")
    for only_submitted in (
        f'            - "--study-sha256"\n            - {PLAN.study_sha256}\n',
        '            - name: HPO_PIPE_SUBMISSION\n              value: "3"\n',
    ):
        assert only_submitted in rendered
        rendered = rendered.replace(only_submitted, "")
    if os.environ.get(WRITE):
        HAND_JOB.write_text(rendered)
    assert HAND_JOB.read_text() == rendered, f"{WRITE}=1 writes it anew"


@pytest.mark.parametrize("version", ["1.29", "1.33", "1.35"])
def test_the_manifest_is_one_of_kubernetes(version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for rendered in ORDERS.values():
        validate.validate(manifest(rendered()), version, strict=True)
    wrong = manifest(made())
    wrong["spec"]["podFailurePolicies"] = {}
    with pytest.raises(validate.ValidationError):
        validate.validate(wrong, version, strict=True)


def test_what_becomes_of_a_worker_that_ended() -> None:
    spec = manifest(made())["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 2, 2)
    assert not {"successPolicy", "activeDeadlineSeconds", "backoffLimit", "maxFailedIndexes"} & set(spec)
    rules = [
        (rule["action"], rule.get("onExitCodes", {}).get("values"))
        for rule in spec["podFailurePolicy"]["rules"]
    ]
    assert rules == [("Ignore", None), ("Ignore", [75]), ("FailIndex", [2, 78])]


def as_the_kubelet_expands(text: str, variables: dict[str, str]) -> str:
    """Return what a container gets of an argument or a variable: $(NAME) filled in, $$ for $."""

    def meaning(found: re.Match[str]) -> str:
        name = found[1]
        return "$" if name is None else variables.get(name, found[0])

    return re.sub(r"\$(?:\$|\(([^)]*)\))", meaning, text)


@pytest.mark.parametrize(
    "text", ["$(SECRET)", "$$(SECRET)", "$", "a$", "$$", "$$$", "$x", "$(", "{lr} $(date) $$"]
)
def test_the_kubelet_fills_in_nothing(text: str) -> None:
    (container,) = pod(made(env=(("X", text),), arguments=("--", "sh", "-c", text)))["containers"]
    told = {one["name"]: one["value"] for one in container["env"]}
    for written in (told["X"], container["args"][-1]):
        assert as_the_kubelet_expands(written, {"SECRET": "s", "date": "d"}) == text


def test_its_arguments_are_a_workers() -> None:
    from workers.__main__ import worker

    args = pod(made(FULL, **FULL_PLAN))["containers"][0]["args"]
    given = worker.make_context(args[0], args[1:]).params
    assert (given["url"], given["secret"]) == ("file:///studies/first", (f"WANDB_API_KEY={ARN}",))
    assert given["grace"] == 90
    handed = [text.partition("=")[0] for text in FULL["secret_key_ref"]]
    assert list(given["secret_variable"]) == handed != []
    assert given["command"] == ("python", "train.py", "{lr}")


def test_pods_pass_the_restricted_standard_and_need_no_right_in_the_cluster() -> None:
    spec = pod(made(FULL, **FULL_PLAN))
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(set(volume) <= {"name", "emptyDir", "persistentVolumeClaim"} for volume in spec["volumes"])


@pytest.mark.parametrize(
    ("nodes", "hiring", "selector", "operator", "tolerated", "grace"),
    [
        ("karpenter", "spot", {"karpenter.sh/capacity-type": "spot"}, "", [], 120),
        ("karpenter", "on-demand", {"karpenter.sh/capacity-type": "on-demand"}, "", [], 120),
        ("karpenter", "spot-then-on-demand", {}, "In", [], 120),
        ("eks", "spot", {"eks.amazonaws.com/capacityType": "SPOT"}, "", [], 120),
        ("eks", "on-demand", {"eks.amazonaws.com/capacityType": "ON_DEMAND"}, "", [], 120),
        ("gke", "spot", {"cloud.google.com/gke-spot": "true"}, "", ["cloud.google.com/gke-spot"], 15),
        ("gke", "on-demand", {}, "DoesNotExist", [], 120),
        ("gke", "spot-then-on-demand", {}, "In", ["cloud.google.com/gke-spot"], 15),
    ],
)
def test_hiring_is_said_in_labels_of_nodes(
    nodes: str, hiring: str, selector: dict[str, str], operator: str, tolerated: list[str], grace: int
) -> None:
    ordered = made({"spot_nodes": nodes}, hiring=hiring, gpus=None)
    spec = pod(ordered)
    assert spec.get("nodeSelector", {}) == selector
    assert (f'"operator": "{operator}"' in json.dumps(spec.get("affinity", {}))) == bool(operator)
    assert ("preferredDuring" in json.dumps(spec.get("affinity", {}))) == (operator == "In")
    assert [one["key"] for one in spec.get("tolerations", [])] == tolerated
    assert spec["terminationGracePeriodSeconds"] == grace
    args = spec["containers"][0]["args"]
    assert args[args.index("--grace") + 1] == str(grace)
    assert ordered.offer == Offer(lifecycle=hiring if hiring != "spot-then-on-demand" else "")


def test_what_selectors_say_of_the_machine_is_told_for_its_price() -> None:
    ordered = made(FULL, **FULL_PLAN)
    assert ordered.offer == Offer(instance_type="g5.12xlarge", lifecycle="spot")
    told = {one["name"]: one.get("value") for one in pod(ordered)["containers"][0]["env"]}
    assert told["HPO_PIPE_REGION"] == "eu-west-1" and told["HPO_PIPE_INSTANCE_TYPE"] == "g5.12xlarge"


@pytest.mark.parametrize(
    ("given", "plan", "words"),
    [
        ({}, {"image": ""}, "--image is missing"),
        ({}, {"image": "a b"}, "--image is 'a b'"),
        ({"namespace": "Vision"}, {}, "--namespace is 'Vision', expected something like vision"),
        ({"namespace": "a" * 64}, {}, "--namespace is 'aaa"),
        ({"service_account": "hpo_worker"}, {}, "--service-account is 'hpo_worker'"),
        ({"service_account": ".".join(["a" * 60] * 5)}, {}, "--service-account is 'aaa"),
        ({"cpu": "0"}, {}, "--cpu is '0', expected something like 4 or 500m"),
        ({"cpu": "4 cores"}, {}, "--cpu is '4 cores'"),
        ({"memory": "16"}, {}, "--memory is '16', expected something like 16Gi"),
        ({"memory": "16GB"}, {}, "--memory is '16GB'"),
        ({"memory": "500m"}, {}, "--memory is '500m'"),
        ({"shm_size": "1gi"}, {}, "--shm-size is '1gi'"),
        (
            {"gpu_resource": "gpu"},
            {},
            "--gpu-resource is 'gpu', expected something like nvidia.com/mig-1g.5gb",
        ),
        ({"node_selector": ("zone",)}, {}, "--node-selector is 'zone'"),
        ({"node_selector": ("zone=-a",)}, {}, "--node-selector is 'zone=-a'"),
        ({"node_selector": (f"zone={'a' * 64}",)}, {}, "--node-selector is 'zone=aaa"),
        ({"node_selector": ("a=1", "a=2")}, {}, "--node-selector a is given twice"),
        ({"toleration": ("gpu:NoScheduling",)}, {}, "--toleration is 'gpu:NoScheduling'"),
        ({"spot_nodes": "aks"}, SPOT, "--spot-nodes is 'aks', expected something like karpenter, eks or gke"),
        ({}, SPOT, "--spot needs --spot-nodes karpenter, eks or gke"),
        ({}, {"hiring": "on-demand"}, "--on-demand needs --spot-nodes"),
        ({"spot_nodes": "gke"}, {}, "--spot-nodes goes with --spot, --on-demand or --spot-then-on-demand"),
        (
            {"spot_nodes": "karpenter", "node_selector": ("karpenter.sh/capacity-type=spot",)},
            SPOT,
            "--node-selector karpenter.sh/capacity-type: --spot says it already",
        ),
        ({"queue_name": "a.b"}, {}, "--queue-name is 'a.b'"),
        ({"queue_name": "a" * 64}, {}, "--queue-name is 'aaa"),
        ({"secret_key_ref": ("TOKEN=hf",)}, {}, "--secret-key-ref is 'TOKEN=hf'"),
        ({"secret_key_ref": ("HPO_PIPE_X=a/b",)}, {}, "--secret-key-ref HPO_PIPE_X: variables that begin"),
        ({"secret_key_ref": ("LD_PRELOAD=a/b",)}, {}, "--secret-key-ref LD_PRELOAD: reserved"),
        ({"secret_key_ref": ("EPOCHS=a/b",)}, {}, "--secret-key-ref EPOCHS: the variable is given twice"),
        ({"pvc": ("studies",)}, {}, "--pvc is 'studies', expected something like studies:/studies"),
        ({"pvc": ("studies:/a/../b",)}, {}, "--pvc studies:/a/../b: expected a plain absolute folder"),
        ({"pvc": ("studies:/dev/shm",)}, {}, "--pvc studies:/dev/shm: expected a plain"),
        ({"pvc": ("a:/x", "b:/x")}, {}, "--pvc b:/x: another claim is mounted there"),
        ({}, {"url": "file:///studies/first"}, "study file:///studies/first: pods do not see"),
        ({"pvc": ("studies:/stud",)}, {"url": "file:///studies/first"}, "pods do not see"),
        ({}, {"secrets": (("TOKEN", "file:/run/hf"),)}, "--secret TOKEN: expected an ARN"),
        ({}, {"tags": (("cost center", "x"),)}, "--tag 'cost center=x': it becomes a label"),
        ({}, {"tags": (("team", "a b"),)}, "--tag 'team=a b': it becomes a label"),
        ({}, {"tags": (("hpo-pipe/study", "x"),)}, "--tag hpo-pipe/study: it is taken"),
        ({}, {"tags": (("kueue.x-k8s.io/queue-name", "x"),)}, "write --queue-name"),
        ({"annotation": ("a",)}, {}, "--annotation is 'a'"),
        ({"annotation": ("hpo-pipe/study=x",)}, {}, "--annotation hpo-pipe/study: it is taken"),
        ({"run_as_user": 0}, {}, "--run-as-user is 0, expected an integer from 1"),
        (
            {"ttl_seconds_after_finished": 0},
            {},
            "--ttl-seconds-after-finished is 0, expected an integer from 600",
        ),
        ({"grace_period": 0}, {}, "--grace-period is 0"),
        ({"context": "a\nb"}, {}, "--context is 'a\\nb'"),
        ({}, {"env": (("X", "\udcff"),)}, "--env X: its value is not UTF-8"),
    ],
)
def test_what_kubernetes_would_not_take_is_refused_by_its_option(
    given: dict[str, Any], plan: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError) as refused:
        made(given, **plan)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "given",
    [
        {"cpu": "0.5", "memory": "1.5Ti"},
        {"node_selector": ("a.b/c=", "x=Y_z.1")},
        {"toleration": ("a", "a.b/c=d", "e=f:PreferNoSchedule")},
        {"pvc": ("a.b:/x y",), "queue_name": "q1"},
    ],
)
def test_what_it_takes_passes(given: dict[str, Any]) -> None:
    manifest(made(given))


TEXTS = (
    *"yes no on off true null ~ y 1 1_0 0x1f 0o7 1e3 1.33 12:30 .inf - -- #x !x &x *x @x %x {x".split(),  # noqa: SIM905
    *"[x a:b a#b = << ? a'b x 2026-01-01 a/b.c-d_e /x".split(),  # noqa: SIM905
    *("", "a: b", "a #b", " x ", "e\u0301\U0001f600", "\x7f\x85\u2028\ufeff", 'q"\\\n\t'),
)


@pytest.mark.parametrize("text", TEXTS)
def test_texts_stay_texts_for_every_reader_of_yaml(text: str) -> None:
    value = {"a": [{text: text, "n": 1, "e": [], "m": {}}, [text], text], "b": {"c": {"d": text}}, "t": True}
    assert yaml.safe_load(yaml_text(value)) == value


# What kubectl answers, by a program that stands in for it.


def say(folder: Path, errors: str, status: int = 1, out: str = "") -> None:
    (folder / "err").write_text(errors)
    (folder / "out").write_text(out)
    program = folder / "kubectl"
    program.write_text(f"#!/bin/sh\ncat >/dev/null\ncat {folder}/out\ncat {folder}/err >&2\nexit {status}\n")
    program.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


CREATING = 'Error from server ({}): error when creating "STDIN": '


@pytest.mark.parametrize(
    ("errors", "refusal"),
    [
        (
            CREATING.format("Forbidden") + 'jobs.batch is forbidden: User "me" cannot create resource "jobs"',
            Refusal.DENIED,
        ),
        ("error: You must be logged in to the server (Unauthorized)", Refusal.DENIED),
        (
            CREATING.format("Forbidden")
            + 'jobs.batch "x" is forbidden: exceeded quota: q, used: count/jobs.batch=9',
            Refusal.QUOTA,
        ),
        (CREATING.format("TooManyRequests") + "the server has received too many requests", Refusal.THROTTLED),
        (
            CREATING.format("Forbidden") + 'admission webhook "v" denied the request: images come from here',
            Refusal.INVALID,
        ),
        (
            CREATING.format("Invalid")
            + "jobs.batch \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding "
            "'b' denied request: failed expression",
            Refusal.INVALID,
        ),
        ('The Job "x" is invalid: spec.template.spec: Required value', Refusal.INVALID),
        (
            CREATING.format("BadRequest")
            + 'Job in version "v1" cannot be handled: strict decoding error: unknown field',
            Refusal.INVALID,
        ),
        (CREATING.format("NotFound") + 'namespaces "vision" not found', Refusal.INVALID),
        ('error: context "prod" does not exist', Refusal.INVALID),
    ],
)
def test_refusals_are_answers(folder: Path, errors: str, refusal: Refusal) -> None:
    say(folder, errors)
    launched = TARGET.launch(made())
    assert (launched.jobs, launched.workers, launched.refusal) == ((), 0, refusal)
    assert launched.message.startswith(errors[:20])


@pytest.mark.parametrize(
    "errors",
    [
        "The connection to the server localhost:8080 was refused - did you specify the right host or port?",
        "Unable to connect to the server: dial tcp: lookup prod on 10.0.0.2:53: no such host",
        "Unable to connect to the server: getting credentials: exec: executable aws not found",
        'error: error validating "STDIN": error validating data: failed to download openapi: connection refused',
        CREATING.format("InternalError") + "Internal error occurred: failed calling webhook",
        CREATING.format("Timeout") + "Timeout: request did not complete within the allotted time",
    ],
)
def test_no_answer_is_no_refusal_it_may_have_started(folder: Path, errors: str) -> None:
    say(folder, errors)
    with pytest.raises(TargetUnavailable, match="kubectl"):
        TARGET.launch(made())
    for ask in (lambda: TARGET.look(made(), ()), lambda: TARGET.cancel(made(), ())):
        with pytest.raises(TargetUnavailable, match="kubectl"):
            ask()


def test_what_is_no_job_is_no_answer(folder: Path) -> None:
    for said in ("[]", "{}", "Unknown"):
        say(folder, "", 0, said)
        with pytest.raises(TargetUnavailable, match="expected a Job"):
            TARGET.look(made(), ())


def test_without_kubectl_it_is_named_and_a_dry_run_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ordered = made({"context": None, "namespace": None})
    assert "namespace" not in manifest(ordered)["metadata"]
    with pytest.raises(UserError, match=r"^kubectl is not on the PATH: kubernetes\.io/docs"):
        TARGET.launch(ordered)
