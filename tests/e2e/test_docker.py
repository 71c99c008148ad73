"""`submit docker` with a real daemon: containers made of this machine's own Python run a study in a folder."""

from __future__ import annotations

import io
import os
import secrets
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage_schema.chain import read_chain
from storage_schema.records import LinkKind
from storage_schema.store import open_store
from tests.e2e.accounting import audit, read_log
from tests.e2e.fleet import Fleet, hpo_pipe
from tests.e2e.lineage import state_of
from tests.servers.s3 import ROOT
from tests.waiting import wait_until

LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"}
"""Where a system of today has its folders; their contents are mounted."""
MOUNTED = {"/usr", sys.prefix, sys.base_prefix, str(ROOT)}
SOON_S = 30
NETWORK = ("--network", "none")


@pytest.fixture
def image() -> Iterator[str]:
    """An image with nothing in it but links, whose entry point is this Python's hpo-pipe."""
    if sys.platform != "linux" or not all(Path("/", link).is_symlink() for link in ("bin", "lib")):
        pytest.skip("this machine's own Python cannot be mounted into a container")
    try:
        if subprocess.run(["docker", "version"], capture_output=True, timeout=30).returncode:
            pytest.skip("no docker daemon answers")
    except FileNotFoundError:
        pytest.skip("docker is not installed")
    name = f"hpo-pipe-test-{secrets.token_hex(4)}"
    entry = f'["{sys.executable}", "-m", "hpo_pipe"]'
    subprocess.run(
        ["docker", "import", "--change", f"ENTRYPOINT {entry}", "-", name],
        input=_root(),
        check=True,
        timeout=60,
    )
    yield name
    subprocess.run(["docker", "rmi", "--force", name], check=True, timeout=60, capture_output=True)


def _root() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for link, target in LINKS.items():
            if Path("/", link).exists():
                member = tarfile.TarInfo(link)
                member.type, member.linkname = tarfile.SYMTYPE, target
                tar.addfile(member)
        for folder, mode in (("tmp", 0o1777), ("usr", 0o755), ("sbin", 0o755)):
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, mode
            tar.addfile(member)
    return made.getvalue()


@pytest.mark.timeout(180)
def test_containers_run_a_study_are_started_once_and_hand_back_what_they_hold(
    image: str, tmp_path: Path
) -> None:
    fleet = Fleet((tmp_path / "study").as_uri(), tmp_path, epoch_s=0.3)
    fleet.create(trials=3, scheduler="none")
    store = open_store(fleet.url)
    volumes = [text for path in sorted(MOUNTED) for text in ("--volume", f"{path}:{path}:ro")]
    own = ("--volume", f"{tmp_path}:{tmp_path}", "--workdir", str(tmp_path), "--stop-timeout", "20")
    env = {**os.environ, "TEST_EPOCH_S": "0.3"}
    options = (*volumes, *own, *NETWORK, "--image", image, "--pass-env", "TEST_EPOCH_S")

    def count(kind: LinkKind) -> int:
        specs = [spec for entry in read_log(store) for spec, _ in entry.issues()]
        return sum(link.kind is kind for spec in specs for link in read_chain(store, spec))

    names: list[str] = []
    try:
        fleet.start("coordinator", "--until-done")
        names += hpo_pipe("submit", "docker", fleet.url, "--workers", "2", *options, env=env).split()
        assert len(names) == 2
        wait_until(lambda: count(LinkKind.CLAIM) == 2, SOON_S, lambda: f"claims\n{_logs(names)}")
        hpo_pipe("submit", "cancel", fleet.url, "--all", env=env)
        assert count(LinkKind.RELEASE) == 2, f"stopped workers hand back\n{_logs(names)}"
        assert "interrupted" in hpo_pipe("submit", "logs", fleet.url, "1", env=env)

        names += hpo_pipe("submit", "docker", fleet.url, *options, env=env).split()
        over = fleet.processes["coordinator-1"]
        wait_until(lambda: over.poll() is not None, 60, lambda: f"the end\n{_logs(names)}\n{fleet.logs()}")
        assert audit(store, state_of) == []
        assert count(LinkKind.FAIL) == 0
        assert (tmp_path / "study").stat().st_uid == os.getuid()
    finally:
        fleet.close()
        subprocess.run(["docker", "rm", "--force", *names], capture_output=True, timeout=60, check=False)


def _logs(names: list[str]) -> str:
    told = (subprocess.run(["docker", "logs", name], capture_output=True, text=True) for name in names)
    return "\n".join(done.stdout + done.stderr for done in told)
