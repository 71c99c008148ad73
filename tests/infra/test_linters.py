"""Linters over what is not Python: images, shell, YAML, and every policy document that can be printed."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hpo_pipe.cli.group import cli

ROOT = Path(__file__).parents[2]
IMAGES = sorted((ROOT / "infra" / "docker").glob("Dockerfile*"))


def linter(name: str) -> str:
    """Return a linter's path, or skip and name it."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def lint(*command: str | Path, text: str | None = None) -> tuple[int, str]:
    """Return a linter's exit code and all that it says."""
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, input=text, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def files(*suffixes: str) -> list[Path]:
    """Return the files that git tracks or would track."""
    code, listed = lint("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if code:
        pytest.skip("git is not installed, or this is no checkout")
    found = (ROOT / name for name in listed.split("\0") if name)
    return sorted(path for path in found if path.is_file() and (not suffixes or path.name.endswith(suffixes)))


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.name)
def test_hadolint_finds_nothing(image: Path) -> None:
    assert lint(linter("hadolint"), "--no-color", image) == (0, "")


def test_hadolint_would_find_something() -> None:
    code, said = lint(linter("hadolint"), "--no-color", "-", text="FROM debian\nRUN cd /tmp\n")
    assert code and "DL3006" in said


def test_shellcheck_finds_nothing_in_any_shell_script() -> None:
    scripts = [path for path in files() if path.suffix == ".sh" or _shebang(path)]
    assert ROOT / ".ci" / "run" in scripts and ROOT / "infra" / "test.sh" in scripts
    assert lint(linter("shellcheck"), "-x", *scripts) == (0, "")


def _shebang(path: Path) -> bool:
    if path.suffix in (".py", ".md"):
        return False
    with path.open("rb") as opened:
        first = opened.readline(100)
    return first.startswith(b"#!") and first.split()[-1].rpartition(b"/")[2] in (b"sh", b"bash")


def test_yamllint_finds_nothing() -> None:
    written = [path for path in files(".yaml", ".yml") if "found" not in path.parts]
    assert written and lint(linter("yamllint"), "--strict", *written) == (0, "")


URL = "s3://bucket/studies/first"
HERE = "eu-west-1:111122223333"
ROLE = "arn:aws:iam::111122223333:role/worker"
QUEUE = f"arn:aws:batch:{HERE}:job-queue/gpus"
POLICIES: dict[str, tuple[str, ...]] = {
    "worker": ("worker",),
    "worker that ticks, a key of its own": (
        *("worker", "--with-ticks", "--kms-key"),
        f"arn:aws:kms:{HERE}:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    ),
    "worker of another store": ("worker", "--list-whole-bucket"),
    "worker on SageMaker": (
        *("worker", "--target", "sagemaker", "--vpc", "--region", "eu-west-1", "--account", "111122223333"),
        *("--secret-arn", f"arn:aws:secretsmanager:{HERE}:secret:wandb-AbCdEf"),
        *("--secret-arn", f"arn:aws:ssm:{HERE}:parameter/wandb"),
        *("--repository-arn", f"arn:aws:ecr:{HERE}:repository/hpo-pipe"),
        *("--auto-scaling-group", f"arn:aws:autoscaling:{HERE}:autoScalingGroup:*:autoScalingGroupName/gpus"),
    ),
    "coordinator": ("coordinator",),
    "coordinator that scales": (
        *("coordinator", "--target", "aws-batch", "--job-queue", QUEUE, "--worker-role-arn", ROLE),
        *("--schedule-arn", f"arn:aws:scheduler:{HERE}:schedule/default/first"),
        *("--schedule-role-arn", "arn:aws:iam::111122223333:role/schedule"),
    ),
    "submitter": ("submitter",),
    "submitter to Batch": (
        *("submitter", "--target", "aws-batch", "--job-queue", QUEUE, "--study-name", "first"),
        *("--job-definition", f"arn:aws:batch:{HERE}:job-definition/worker"),
        *("--log-group", f"arn:aws:logs:{HERE}:log-group:/hpo-pipe/workers"),
    ),
    "submitter to SageMaker": (
        *(
            "submitter",
            "--target",
            "sagemaker",
            "--worker-role-arn",
            ROLE,
            "--region",
            "eu-west-1",
            "--prices",
        ),
    ),
    "submitter to EC2": (
        *("submitter", "--target", "ec2", "--worker-role-arn", ROLE, "--region", "eu-west-1"),
        *("--launch-template", f"arn:aws:ec2:{HERE}:launch-template/lt-0123456789abcdef0"),
    ),
    "observer": ("observer",),
    "bucket": ("bucket",),
}
"""Whose policy, and with what."""
MISMATCHES = {
    "ec2:RunInstances": "what is launched and what it is launched with stand in two statements, with two conditions",
    "ssm:GetParameters": "AWS's public parameters have no account in their ARN",
}
"""Resources that parliament holds for wrong, and are not."""
_ANALYSE = """
import json, sys, warnings
warnings.simplefilter("ignore")  # of setuptools, that pkg_resources goes
from parliament import analyze_policy_string
found = {name: analyze_policy_string(json.dumps(text)).findings for name, text in json.load(sys.stdin).items()}
print(json.dumps({name: [[str(f.issue), f.detail] for f in all_] for name, all_ in found.items()}, default=str))
"""


def printed(*options: str) -> dict[str, Any]:
    """Return what ``hpo-pipe submit policy`` prints."""
    done = CliRunner().invoke(cli, ["submit", "policy", URL, "--role", *options])
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def analysed(documents: dict[str, Any]) -> dict[str, list[Any]]:
    """Return parliament's findings for each document: a kind, and details."""
    if importlib.util.find_spec("parliament") is None:
        pytest.skip("parliament is not installed")
    code, said = lint(sys.executable, "-c", _ANALYSE, text=json.dumps(documents))
    assert code == 0, said
    found: dict[str, list[Any]] = json.loads(said)
    return found


def test_the_policy_linter_finds_nothing_in_what_is_printed() -> None:
    found = analysed({name: printed(*options) for name, options in POLICIES.items()})
    assert {name: [f for f in all_ if not _known(*f)] for name, all_ in found.items()} == {
        name: [] for name in POLICIES
    }


def _known(issue: str, detail: Any) -> bool:
    if issue != "RESOURCE_MISMATCH":
        return False
    return {each["action"] for each in detail} <= set(MISMATCHES)


def test_the_policy_linter_would_find_something() -> None:
    def allow(**more: object) -> dict[str, object]:
        made = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*", **more}
        return {"Version": "2012-10-17", "Statement": [made]}

    found = analysed(
        {
            "fine": allow(),
            "action": allow(Action="s3:GetObjet"),
            "key": allow(Condition={"StringEquals": {"s3:prefixx": "a"}}),
            "resource": allow(Resource="arn:aws:s3:::b"),
        }
    )
    kinds: dict[str, Iterable[str]] = {name: {issue for issue, _ in all_} for name, all_ in found.items()}
    assert kinds == {
        "fine": set(),
        "action": {"UNKNOWN_ACTION"},
        "key": {"UNKNOWN_CONDITION_FOR_ACTION"},
        "resource": {"RESOURCE_MISMATCH"},
    }


def test_every_role_and_option_of_the_command_is_linted() -> None:
    from hpo_pipe.cli.policy import policy

    told = {option for options in POLICIES.values() for option in options}
    roles = next(p for p in policy.params if p.name == "role").type.choices  # type: ignore[attr-defined]
    assert set(roles) <= told
    unseen = {p.opts[0] for p in policy.params if p.opts[0].startswith("--")} - told
    others = {"--role", "--partition"}  # the other partitions: tests/unit/test_policies.py
    assert unseen == others, "a new option: add it to a policy in POLICIES, so that what it prints is linted"
