"""Each role lives its whole life under its own policy, against a server that enforces it, and uses all of it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from hpo_pipe.cli.group import cli
from hpo_pipe.doctor import examine, render
from hpo_pipe.launch.code import pack, upload
from hpo_pipe.launch.iam import RECORDS, RIGHTS, Rights, Role, bucket_policy, role_policy
from hpo_pipe.study import open_study
from storage_schema.errors import AccessDenied, StoreRefused
from storage_schema.keys import code_key
from storage_schema.store import create_settled, open_store
from storage_schema.store.proof import prove
from tests.e2e.accounting import audit
from tests.e2e.fleet import SCRIPT, Fleet
from tests.servers.guarded_s3 import GuardedS3, being
from tests.waiting import wait_until

PREFIX = "studies/first/"
PACKED = 66
"""Log entries, so that a snapshot is due."""
TALKING = (
    "--",
    sys.executable,
    "-c",
    f"import runpy; print('hello'); runpy.run_path({str(SCRIPT)!r}, run_name='__main__')",
)
DENIED = r"AccessDenied|Access Denied"
READ_BACK = {("read", "code/*")}
"""Only where the answer to a create was lost."""
LOOKS = ("status", "trials", "best", "why 0", "logs 0", "replay")


class Place:
    """A guarded study, and somebody for each role."""

    def __init__(self, server: GuardedS3, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        self.server = server
        self.folder = folder
        self.url = f"s3://{server.bucket}/{PREFIX.rstrip('/')}"
        self.neighbour = f"s3://{server.bucket}/studies/first-too"
        self.people = {role: server.caller(role, role_policy(self.url, role)) for role in Role}
        server.set_bucket_policy(bucket_policy(self.url))

    def env(self, role: Role) -> dict[str, str]:
        return self.server.as_(self.people[role])

    def create(self, trials: int, scheduler: str = "asha") -> None:
        Fleet(self.url, self.folder, self.env(Role.SUBMITTER)).create(trials=trials, scheduler=scheduler)

    def run(self, role: Role, command: str, *arguments: str, url: str | None = None) -> Result:
        """Run a command of the command line, such as ``submit/status``, in this process, as somebody."""
        with being(self.env(role), self.patch):
            return CliRunner().invoke(
                cli, [*command.split("/"), url or self.url, *arguments], prog_name="hpo-pipe"
            )

    def do(self, role: Role, *commands: str) -> None:
        """Run commands such as ``limits --trials 8``, which must succeed."""
        for command in commands:
            name, *arguments = command.split()
            done = self.run(role, name, *arguments)
            assert done.exit_code == 0, f"{role} {command}: {done.output}"

    def used(self, role: Role) -> set[tuple[str, str]]:
        """Return (action, key) of all that somebody asked for and got, relative to the study."""
        found = set()
        for seen in self.server.requests:
            if seen.caller == role and seen.verdict == "allowed":
                place = seen.ask.key if seen.ask.key is not None else seen.ask.context.get("s3:prefix", "")
                found.add((_kind(seen.ask.action, seen.ask.context), place.removeprefix(PREFIX)))
        return found

    def upload_code(self) -> str:
        """Pack a folder as the submitter, and return the archive's sha256."""
        (self.folder / "code").mkdir()
        (self.folder / "code" / "data.txt").write_text("for trials")
        archive = pack(self.folder / "code")
        with being(self.env(Role.SUBMITTER), self.patch):
            store = open_store(self.url)
            assert upload(store, archive) and not upload(store, archive)
            again = create_settled(store, code_key(archive.sha256), archive.data, wait=lambda *_: None)
            assert again.mine  # as of two who upload at once
        return archive.sha256

    def has(self, role: Role, kind: str, pattern: str) -> bool:
        """Tell whether somebody did this to a key that fits `pattern`."""
        return any(kind == verb and fnmatchcase(key, pattern) for verb, key in self.used(role))

    def not_allowed(self) -> list[str]:
        return [f"{s.caller}: {s.ask} {s.verdict}" for s in self.server.requests if s.verdict != "allowed"]


def _kind(action: str, context: object) -> str:
    if action == "s3:PutObject":
        return "create" if "s3:if-none-match" in context else "replace"  # type: ignore[operator]
    return {"s3:GetObject": "read", "s3:ListBucket": "list", "s3:DeleteObject": "delete"}.get(action, action)


@pytest.fixture
def place(guarded: GuardedS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(guarded, tmp_path, monkeypatch)


@pytest.fixture
def fleets() -> Iterator[list[Fleet]]:
    made: list[Fleet] = []
    yield made
    for fleet in made:
        fleet.close()


def granted(rights: Rights) -> set[tuple[str, str]]:
    return {
        *(("read", key) for key in rights.read),
        *(("list", key) for key in rights.listed),
        *(("create", key) for key in rights.created),
        *(("replace", key) for key in rights.replaced),
        *(("delete", key) for key in rights.deleted),
    }


def test_a_worker_and_a_coordinator_live_on_what_they_are_granted(place: Place, fleets: list[Fleet]) -> None:
    place.create(trials=2, scheduler="none")
    coordinators = Fleet(place.url, place.folder, place.env(Role.COORDINATOR))
    workers = Fleet(place.url, place.folder, place.env(Role.WORKER), epoch_s=0.02)
    fleets += [coordinators, workers]
    coordinators.start("coordinator", "--until-done")
    workers.start("worker", "--code", place.upload_code(), "--no-coordinator", *TALKING)
    wait_until(lambda: over(coordinators, workers), 100, lambda: coordinators.logs() + workers.logs())
    assert codes(workers) | codes(coordinators) == {0}, workers.logs() + coordinators.logs()
    place.do(Role.OBSERVER, *LOOKS)
    assert place.not_allowed() == []


def test_who_starts_workers_records_that_and_others_see_it(place: Place) -> None:
    place.create(trials=2)
    code = submitted(place)
    scales = place.server.caller("scales", role_policy(place.url, Role.COORDINATOR, scales=True))
    with being(place.server.as_(scales), place.patch):
        said = CliRunner().invoke(
            cli, ["submit", "reconcile", place.url, "--max-workers", "0"], prog_name="hpo-pipe"
        )
    assert said.exit_code == 0, said.output
    assert place.not_allowed() == []
    stored = place.server.stored(PREFIX)
    assert {key.removeprefix(PREFIX).split("/")[0] for key in stored} >= {"submissions", "code"}
    assert PREFIX + code in stored
    assert not {("read", "submissions/*"), ("list", "submissions/*")} & unused(place, Role.OBSERVER)
    assert not {right for right in unused(place, Role.SUBMITTER) if right[1] in ("submissions/*", "code/*")}
    assert place.run(Role.COORDINATOR, "submit/local", "--workers", "0").exit_code != 0


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_all_roles_live_on_what_their_policies_grant_and_need_it_all(
    place: Place, fleets: list[Fleet]
) -> None:
    place.create(trials=8)
    place.do(Role.SUBMITTER, "pause", "resume", "limits --trials 9", "doctor")
    with being(place.env(Role.SUBMITTER), place.patch):
        study = open_study(place.url)
        for number in range(PACKED):
            study.enqueue({"lr": 0.1 + number / 1000})
    submitted(place)
    coordinators = Fleet(place.url, place.folder, place.env(Role.COORDINATOR))
    workers = Fleet(place.url, place.folder, place.env(Role.WORKER), epoch_s=0.4)
    fleets += [coordinators, workers]
    coordinators.start("coordinator", "--until-done")
    arguments = ("--code", place.upload_code(), "--no-coordinator", *TALKING)
    killed = workers.start("worker", *arguments)
    wait_until(lambda: place.has(Role.WORKER, "create", "checkpoints/*/manifest.json"), 60, workers.logs)
    for role in (Role.OBSERVER, Role.SUBMITTER):
        place.do(role, "status")  # of those who live
    workers.kill(killed)
    interrupted = workers.start("worker", *arguments)
    # In the midst of epochs 4 to 9: whoever goes on there reads what was reported so far.
    wait_until(lambda: place.has(Role.WORKER, "create", "checkpoints/*/000000000[456]*"), 90, workers.logs)
    workers.signal(interrupted, signal.SIGTERM)
    assert workers.processes[interrupted].wait(30) == 75
    for _ in range(2):
        workers.start("worker", *arguments)
    wait_until(lambda: over(coordinators, workers), 150, lambda: coordinators.logs() + workers.logs())
    for role in (Role.OBSERVER, Role.SUBMITTER):
        place.do(role, *LOOKS)
        with being(place.env(role), place.patch):
            assert open_study(place.url).learning_curves(full=True).num_rows >= 9
    place.do(Role.COORDINATOR, "coordinator --once")  # a cold start, over the snapshot

    assert place.not_allowed() == []
    found = {role: unused(place, role) for role in Role}
    assert found == {role: set() for role in Role}
    with being(place.env(Role.OBSERVER), place.patch):
        history = open_study(place.url).look().history
    assert history.closed and len(history.trials) == 9


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_worker_that_may_tick_needs_no_coordinator(place: Place, fleets: list[Fleet]) -> None:
    place.create(trials=2, scheduler="none")
    policy = role_policy(place.url, Role.WORKER, with_ticks=True)
    lone = Fleet(place.url, place.folder, place.server.as_(place.server.caller("lone", policy)), epoch_s=0.02)
    fleets.append(lone)
    lone.start("worker")
    wait_until(lambda: over(lone), 150, lone.logs)
    assert codes(lone) == {0}, lone.logs()
    assert place.not_allowed() == []
    with being(place.server.server.environment(), place.patch):
        assert audit(open_store(place.url)) == []


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_worker_that_may_not_tick_says_so_once_and_goes_on(place: Place, fleets: list[Fleet]) -> None:
    place.create(trials=2, scheduler="none")
    workers = Fleet(place.url, place.folder, place.env(Role.WORKER), epoch_s=0.02)
    coordinators = Fleet(place.url, place.folder, place.env(Role.COORDINATOR))
    fleets += [workers, coordinators]
    name = workers.start("worker")
    wait_until(lambda: "workers with --no-coordinator" in workers.log(name), 60, workers.logs)
    assert "access denied: not granted is s3:" in workers.log(name)
    coordinators.start("coordinator", "--until-done")
    wait_until(lambda: over(workers, coordinators), 100, lambda: coordinators.logs() + workers.logs())
    assert codes(workers) | codes(coordinators) == {0}, workers.logs() + coordinators.logs()
    assert workers.log(name).count("workers with --no-coordinator") == 1


CODE = f"code/{'0' * 64}.tar.gz"
FORBIDDEN = {
    Role.WORKER: {
        "put": (
            "study.json",
            "log/00000001.json",
            "hints/board.json",
            "snapshots/00000063.parquet",
            "workers/c-a-1.json",
            "submissions/00000001.0001.json",
            CODE,
        ),
        "create": (
            "study.json",
            "log/00000001.json",
            "report/index.html",
            "submissions/00000001.0001.json",
            CODE,
        ),
        "overwrite": (
            "chain/00000000/000.0001.json",
            "metrics/00000000/000.0001.000001.parquet",
            "checkpoints/00000000/x",
        ),
        "delete": (
            "study.json",
            "log/00000000.json",
            "chain/00000000/000.0001.json",
            "workers/w-a-1.json",
            "metrics/00000000/000.0001.000001.parquet",
        ),
        "read": ("workers/w-a-1.json", "output/00000000/000.0001.txt"),
    },
    Role.COORDINATOR: {
        "put": (
            "study.json",
            "metrics/00000000/000.0001.000001.parquet",
            "checkpoints/00000000/x",
            "workers/w-a-1.json",
            "output/00000000/000.0001.txt",
        ),
        "create": (
            "study.json",
            "metrics/00000000/000.0001.000002.parquet",
            "checkpoints/00000000/y",
            "submissions/00000001.0001.json",
            CODE,
        ),
        "overwrite": ("log/00000000.json", "chain/00000000/000.0001.json"),
        "delete": (
            "study.json",
            "log/00000000.json",
            "chain/00000000/000.0001.json",
            "checkpoints/00000000/x",
        ),
        "read": ("checkpoints/00000000/x", "output/00000000/000.0001.txt"),
    },
    Role.SUBMITTER: {
        "put": ("workers/w-a-1.json", "hints/board.json", "metrics/00000000/000.0001.000001.parquet"),
        "create": ("chain/00000000/000.0001.json", "checkpoints/00000000/y"),
        "overwrite": ("study.json", "log/00000000.json", "submissions/00000001.0001.json", CODE),
        "delete": (
            "study.json",
            "log/00000000.json",
            "checkpoints/00000000/x",
            "submissions/00000001.0001.json",
            CODE,
        ),
        "read": ("checkpoints/00000000/x",),
    },
    Role.OBSERVER: {
        "put": ("study.json", "log/00000001.json", "workers/w-a-1.json", "hints/board.json", "proof/x"),
        "create": ("study.json", "log/00000001.json", "chain/00000000/000.0001.json", "proof/x"),
        "overwrite": (),
        "delete": (
            "study.json",
            "log/00000000.json",
            "workers/w-a-1.json",
            "checkpoints/00000000/x",
            "output/a",
        ),
        "read": ("checkpoints/00000000/x",),
    },
}


@pytest.mark.parametrize("role", Role)
def test_what_a_stolen_key_cannot_do(place: Place, role: Role) -> None:
    s3, bucket = place.server.client(place.people[role]), place.server.bucket
    for action, names in FORBIDDEN[role].items():
        for name in names:
            key = PREFIX + name
            with pytest.raises(ClientError, match=DENIED):
                if action in ("put", "overwrite"):
                    s3.put_object(Bucket=bucket, Key=key, Body=b"forged")
                elif action == "create":
                    s3.put_object(Bucket=bucket, Key=key, Body=b"forged", IfNoneMatch="*")
                elif action == "delete":
                    s3.delete_object(Bucket=bucket, Key=key)
                else:
                    s3.get_object(Bucket=bucket, Key=key)
    assert place.server.stored() == {}


@pytest.mark.parametrize("role", Role)
def test_nobody_reaches_the_study_next_door(place: Place, role: Role) -> None:
    s3, bucket = place.server.client(place.people[role]), place.server.bucket
    for other in ("studies/first-too/", "studies/second/", "studies/", ""):
        for name in ("study.json", "log/00000000.json", "workers/w-a-1.json", "proof/x"):
            for request in (
                lambda key: s3.get_object(Bucket=bucket, Key=key),
                lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b"x", IfNoneMatch="*"),
                lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b"x"),
                lambda key: s3.delete_object(Bucket=bucket, Key=key),
            ):
                with pytest.raises(ClientError, match=DENIED):
                    request(other + name)
        with pytest.raises(ClientError, match=DENIED):
            s3.list_objects_v2(Bucket=bucket, Prefix=other)
    with pytest.raises(ClientError, match=DENIED):
        s3.list_objects_v2(Bucket=bucket)


def test_the_buckets_policy_binds_those_who_may_do_everything(place: Place) -> None:
    everything = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
    }
    admin = place.server.caller("admin", everything)
    s3, bucket = place.server.client(admin), place.server.bucket
    for name in (
        "study.json",
        "log/00000000.json",
        "chain/00000000/000.0001.json",
        "submissions/00000001.0001.json",
    ):
        key = PREFIX + name
        s3.put_object(Bucket=bucket, Key=key, Body=b"first", IfNoneMatch="*")
        with pytest.raises(ClientError, match="PreconditionFailed"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"second", IfNoneMatch="*")
        for forbidden in (
            lambda key=key: s3.put_object(Bucket=bucket, Key=key, Body=b"second"),
            lambda key=key: s3.delete_object(Bucket=bucket, Key=key),
            lambda key=key: s3.delete_object(Bucket=bucket, Key=key, VersionId="null"),
        ):
            with pytest.raises(ClientError, match=DENIED):
                forbidden()
    s3.put_object(Bucket=bucket, Key=PREFIX + "hints/board.json", Body=b"1")
    s3.put_object(Bucket=bucket, Key=PREFIX + "hints/board.json", Body=b"2")
    s3.delete_object(Bucket=bucket, Key=PREFIX + "hints/board.json")
    assert set(place.server.stored().values()) == {b"first"}
    assert len(RECORDS) == 4


def test_a_worker_can_claim_once_and_not_change_its_mind(place: Place) -> None:
    s3, key = place.server.client(place.people[Role.WORKER]), PREFIX + "chain/00000000/000.0001.json"
    s3.put_object(Bucket=place.server.bucket, Key=key, Body=b"mine", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=place.server.bucket, Key=key, Body=b"yours", IfNoneMatch="*")
    assert place.server.stored() == {key: b"mine"}


def test_a_key_with_a_wrong_secret_gets_nothing(place: Place) -> None:
    wrong = {**place.env(Role.OBSERVER), "AWS_SECRET_ACCESS_KEY": "not-the-right-secret"}
    with being(wrong, place.patch), pytest.raises(AccessDenied, match="secret key does not fit") as found:
        open_store(place.url).get("study.json")
    assert "not-the-right-secret" not in str(found.value)


@pytest.mark.parametrize(
    ("role", "words"),
    [
        (Role.WORKER, "not granted is s3:PutObject"),
        (Role.COORDINATOR, "not granted is s3:PutObject"),
        (Role.OBSERVER, "not granted is s3:PutObject"),
    ],
)
def test_doctor_says_whose_rights_it_needs(place: Place, role: Role, words: str) -> None:
    with being(place.env(role), place.patch):
        text = "\n".join(render(examine(place.url, rounds=2)))
    assert words in text and "--role submitter" in text


def test_where_a_missing_key_looks_forbidden_a_study_is_refused_and_the_message_helps(place: Place) -> None:
    place.server.missing_has_prefix = False
    with being(place.env(Role.SUBMITTER), place.patch):
        proof = prove(open_store(place.url), rounds=2)
        with pytest.raises(StoreRefused, match="--list-whole-bucket"):
            proof.demand()
    wide = place.server.caller("wide", role_policy(place.url, Role.SUBMITTER, list_whole_bucket=True))
    with being(place.server.as_(wide), place.patch):
        assert prove(open_store(place.url), rounds=2).ok


def submitted(place: Place) -> str:
    """Record submissions with code, as the submitter; let the others look, and a worker read the code at this key."""
    training = place.folder / "training"
    training.mkdir()
    (training / "train.py").write_text("print(1)\n", "utf-8")
    place.do(Role.SUBMITTER, *(f"submit/local --workers 0 --code {training}" for _ in range(2)))
    for role in (Role.OBSERVER, Role.SUBMITTER):
        place.do(role, "submit/status")
    (code,) = (key.removeprefix(PREFIX) for key in place.server.stored(PREFIX + "code/"))
    with being(place.env(Role.WORKER), place.patch):
        assert open_store(place.url).get(code)
    return code


def over(*fleets: Fleet) -> bool:
    return all(process.poll() is not None for fleet in fleets for process in fleet.processes.values())


def unused(place: Place, role: Role) -> set[tuple[str, str]]:
    found = {right for right in granted(RIGHTS[role]) if not place.has(role, *right)}
    return found - READ_BACK if role is Role.SUBMITTER else found


def codes(fleet: Fleet) -> set[int | None]:
    return {process.returncode for process in fleet.processes.values()}


def test_what_a_stolen_worker_key_can_do(place: Place) -> None:
    """PROTOCOL.md, 12.3: it can lie about results and cost time; told as a test, so that the text stays true."""
    s3, bucket = place.server.client(place.people[Role.WORKER]), place.server.bucket
    for name in (
        "chain/00000007/003.0002.json",
        "metrics/00000007/003.0001.000001.parquet",
        "checkpoints/00000000/x",
    ):
        s3.put_object(Bucket=bucket, Key=PREFIX + name, Body=b"forged", IfNoneMatch="*")
    for body in (b"forged", b"again"):
        s3.put_object(Bucket=bucket, Key=PREFIX + "workers/w-another-1-abcdef.json", Body=body)
    s3.delete_object(Bucket=bucket, Key=PREFIX + "checkpoints/00000000/x")
    assert set(place.server.stored().values()) == {b"forged", b"again"} and place.not_allowed() == []
