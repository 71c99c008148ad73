"""Manifests for Kubernetes: of its schemas, of the restricted standard, and with no rights but those that are used."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from hpo_pipe.cli.group import cli
from hpo_pipe.launch.targets.kubernetes import TARGET
from tests.servers.kube import Cluster, cluster, need_kubectl
from tests.unit.launch.test_kubernetes_flow import made, pod, unschedulable

FOLDER = Path(__file__).parents[2] / "infra" / "kubernetes"
BASE, EKS = FOLDER / "base", FOLDER / "overlays" / "eks"


def documents(path: Path) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all(path.read_text("utf-8")) if found]


def built(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what ``kubectl apply -k`` would send, by kind and name; or skip."""
    need_kubectl()
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(done.stdout)}


def manifests() -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(FOLDER.rglob("*.yaml")):
        for found in documents(path):
            if found["kind"] not in ("Kustomization", "Config"):
                yield path, found


@pytest.mark.parametrize("version", ["1.29", "1.33", "1.35"])
def test_every_manifest_is_one_of_kubernetes(version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    kinds = []
    for _, found in manifests():
        validate.validate(found, version, strict=True)
        kinds.append(found["kind"])
    assert sorted(set(kinds)) == ["Deployment", "Job", "Namespace", "Role", "RoleBinding", "ServiceAccount"]


@pytest.mark.parametrize("version", ["1.29", "1.35"])
def test_what_is_applied_is_as_well(version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for found in (*built(BASE).values(), *built(EKS).values()):
        validate.validate(found, version, strict=True)


def test_pods_keep_to_the_standard_that_their_namespace_enforces() -> None:
    (namespace,) = documents(BASE / "namespace.yaml")
    assert namespace["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}
    pods = [
        found["spec"]["template"]["spec"] for _, found in manifests() if "template" in found.get("spec", {})
    ]
    assert len(pods) == 2
    for spec in pods:
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        assert {kind for volume in spec["volumes"] for kind in volume} <= {"name", "configMap", "emptyDir"}
        for container in spec["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_its_role_has_what_is_used_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    role = next(found for found in documents(BASE / "role.yaml") if found["kind"] == "Role")
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    with cluster(tmp_path, monkeypatch) as kube:
        _use_all(kube)
        assert {(("batch" if kind == "jobs" else ""), kind, verb) for kind, verb in kube.used} == granted


def _use_all(kube: Cluster) -> None:
    ordered = made(3)
    TARGET.launch(ordered)
    kube.pods = [pod(ordered, 0, "Running"), pod(ordered, 1, "Pending", **unschedulable("no node"))]
    kube.logs = {one["metadata"]["name"]: "line\n" for one in kube.pods}
    assert TARGET.look(ordered, ()).alive == 3
    assert list(TARGET.logs(ordered, (), None, 5))
    assert TARGET.cancel(ordered, (), pending_only=True) == 2
    assert TARGET.cancel(ordered, ()) == 1


def test_the_coordinators_command_is_one() -> None:
    spec = documents(BASE / "coordinator.yaml")[0]["spec"]["template"]["spec"]
    for args in (spec["containers"][0]["args"], _overlay_args()):
        command = cli.get_command(None, args[0])  # type: ignore[arg-type]
        assert (
            command is not None and command.make_context(args[0], list(args[1:])).params["max_workers"] == 16
        )
        said = CliRunner().invoke(cli, [*args, "--once", "--until-done"])
        assert "--once and --until-done exclude each other" in said.output, "all else was understood"


def _overlay_args() -> list[str]:
    patches = documents(EKS / "kustomization.yaml")[0]["patches"]
    (change,) = next(yaml.safe_load(one["patch"]) for one in patches if one["target"]["kind"] == "Deployment")
    found: list[str] = change["value"]
    return found


def test_an_overlay_gives_each_account_its_own_role_and_the_context_its_name() -> None:
    found = built(EKS)
    roles = {
        name: one["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
        for (kind, name), one in found.items()
        if kind == "ServiceAccount"
    }
    assert len(set(roles.values())) == len(roles) == 2
    (config,) = (
        yaml.safe_load(one["data"]["kubeconfig.yaml"])
        for (kind, _), one in found.items()
        if kind == "ConfigMap"
    )
    assert (
        config["current-context"]
        == config["contexts"][0]["name"]
        == "arn:aws:eks:eu-west-1:111122223333:cluster/training"
    )
    deployment = found["Deployment", "hpo-pipe-coordinator"]["spec"]["template"]["spec"]
    assert deployment["volumes"][0]["configMap"]["name"].startswith("hpo-pipe-kubeconfig-")
    assert re.fullmatch(r"[0-9]{12}\.dkr\.ecr\..*:7", deployment["containers"][0]["image"])
    assert "cluster/training" not in json.dumps(list(built(BASE).values()))
