"""An API server of Kubernetes, as far as kubectl's create, get, patch, delete and logs of Jobs go.

It stores what it is given and runs nothing: a test says what pods there are and how they fare.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.servers.loopback import Answer, LoopbackServer, Request

LEAST = 27
"""Minor version of kubectl."""

_KINDS = {
    "v1": [("pods", "Pod", ["get", "list"]), ("pods/log", "Pod", ["get"]), ("events", "Event", ["list"])],
    "batch/v1": [("jobs", "Job", ["create", "delete", "get", "list", "patch"])],
}
_OPENAPI = {
    "": {"paths": {"apis/batch/v1": {"serverRelativeURL": "/openapi/v3/apis/batch/v1?hash=1"}}},
    "/apis/batch/v1": {
        "openapi": "3.0.0",
        "paths": {
            "/apis/batch/v1/namespaces/{namespace}/jobs/{name}": {
                "patch": {
                    "parameters": [{"name": "fieldValidation", "in": "query"}],
                    "x-kubernetes-group-version-kind": {"group": "batch", "version": "v1", "kind": "Job"},
                }
            }
        },
    },
}
_CONFIG = """apiVersion: v1
kind: Config
current-context: test
clusters: [{{name: test, cluster: {{server: "{url}"}}}}]
users: [{{name: test, user: {{token: none}}}}]
contexts: [{{name: test, context: {{cluster: test, user: test, namespace: vision}}}}]
"""


class Cluster(LoopbackServer):
    """What the server holds."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.logs: dict[str, str] = {}
        self.requests: list[tuple[str, str, dict[str, list[str]]]] = []
        self.used: set[tuple[str, str]] = set()
        """Resources and verbs, as a role grants them."""
        self.deletion: dict[str, Any] = {}
        """What the last deletion was told, apart from its kind."""
        self.moves = False
        """Whether Jobs change between a look at them and a patch."""
        self.version = 0

    def answer(self, request: Request) -> Answer:
        url = urlsplit(request.path)
        body = json.loads(request.body) if request.body else None
        code, said = self._answer(request.method, url.path, parse_qs(url.query), body)
        kind = "text/plain" if isinstance(said, str) else "application/json"
        text = said if isinstance(said, str) else json.dumps(said)
        return Answer(code, {"Content-Type": kind}, text.encode())

    def _answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if path in ("/api", "/apis", "/api/v1", "/apis/batch/v1"):
            return 200, _discovered(path)
        if path.startswith(
            "/openapi/v3"
        ):  # where kubectl looks whether unknown fields are refused by the server
            return 200, _OPENAPI[path.removeprefix("/openapi/v3")]
        kind, _, name = path.partition("/namespaces/")[2].partition("/")[2].partition("/")
        if kind:
            self.used.add((f"{kind}/log" if name.endswith("/log") else kind, _verb(method, name)))
        if kind == "jobs":
            self.requests.append((method, path, query))
            return self._job(method, name, query, body)
        if kind == "pods" and name.endswith("/log"):
            return 200, self.logs[name.removesuffix("/log")]
        if kind == "pods" and name:
            return 200, next(pod for pod in self.pods if pod["metadata"]["name"] == name)
        if kind in ("pods", "events"):
            found = self.pods if kind == "pods" else self.events
            wanted = dict(pair.split("=") for pair in query.get("labelSelector", [""])[0].split(",") if pair)
            items = [one for one in found if wanted.items() <= one["metadata"].get("labels", {}).items()]
            return 200, {
                "kind": "PodList" if kind == "pods" else "EventList",
                "apiVersion": "v1",
                "items": items,
            }
        return 404, _status(404, "NotFound", f"no {path}")

    def _job(self, method: str, name: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        name = name or (body["metadata"]["name"] if method == "POST" else "")
        if method == "POST":
            if name in self.jobs:
                return 409, _status(409, "AlreadyExists", f'jobs.batch "{name}" already exists')
            self.jobs[name] = body
        if name not in self.jobs:
            return 404, _status(404, "NotFound", f'jobs.batch "{name}" not found')
        if method == "DELETE":
            self.deletion = {key: value for key, value in body.items() if key not in ("kind", "apiVersion")}
            return 200, self.jobs.pop(name)
        job = self.jobs[name]
        if method == "PATCH":
            if self.moves or body["metadata"]["resourceVersion"] != job["metadata"]["resourceVersion"]:
                return 409, _status(409, "Conflict", "the object has been modified")
            job["spec"].update(body["spec"])
        if method != "GET":
            self.version += 1
            job["metadata"]["resourceVersion"] = str(self.version)
        return 201 if method == "POST" else 200, job


def _verb(method: str, name: str) -> str:
    if method == "GET":
        return "get" if name else "list"
    return {"POST": "create", "PATCH": "patch", "DELETE": "delete"}[method]


def _discovered(path: str) -> dict[str, Any]:
    version = path.partition("/api")[2].removeprefix("s").lstrip("/")
    if not version and path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if not version:
        served = {"groupVersion": "batch/v1", "version": "v1"}
        group = {"name": "batch", "versions": [served], "preferredVersion": served}
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}
    resources = [
        {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": verbs}
        for name, kind, verbs in _KINDS[version]
    ]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}


def _status(code: int, reason: str, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


@cache
def _minor() -> int:
    if shutil.which("kubectl") is None:
        return 0
    argv = ["kubectl", "version", "--client", "--output=json"]
    said = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60).stdout
    found = re.search(r'"clientVersion".*?"minor": "([0-9]+)', said, re.DOTALL)
    return int(found[1]) if found else 0


def need_kubectl() -> None:
    """Skip the test where there is no kubectl of these years: older ones check manifests by a schema of their own."""
    if _minor() < LEAST:
        pytest.skip(f"kubectl 1.{LEAST} or newer is not installed")


@contextmanager
def cluster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Serve a cluster that the real kubectl finds, or skip the test where there is no kubectl."""
    need_kubectl()
    with Cluster() as held:
        config = folder / "kubeconfig"
        config.write_text(_CONFIG.format(url=held.endpoint))
        monkeypatch.setenv("KUBECONFIG", str(config))
        monkeypatch.setenv("HOME", str(folder))  # where kubectl caches what a server offers
        yield held
