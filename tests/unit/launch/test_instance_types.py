"""Unknown instance types are told with the nearest name, and tried all the same."""

import json

import pytest
from click.testing import CliRunner

from hpo_pipe.cli.group import cli
from hpo_pipe.launch.instance_types import notes_on
from storage_schema.keys import STUDY
from storage_schema.store import open_store
from tests.servers.s3 import S3Server, use_s3
from tests.unit.cli.told_study import STUDY_RECORD

EC2 = ("--image-id", "ami-0123456789abcdef0", "--iam-instance-profile", "hpo-pipe-worker")
SAGEMAKER = (
    *("--image", "111122223333.dkr.ecr.eu-west-1.amazonaws.com/train:7"),
    *("--role-arn", "arn:aws:iam::111122223333:role/hpo-pipe-worker"),
)


@pytest.mark.parametrize(
    ("target", "unknown", "meant"),
    [("sagemaker", "ml.g5.xlrge", "ml.g5.xlarge"), ("ec2", "g5.xlrge", "g5.xlarge")],
)
def test_an_unknown_type_is_told_once_with_the_nearest(target: str, unknown: str, meant: str) -> None:
    (line,) = notes_on(target, [meant, unknown, unknown, ""])
    assert line.startswith(f"note: --instance-type {unknown} is not among the ")
    assert f"(did you mean {meant!r}?)" in line


def test_where_no_enumeration_is_known_nothing_is_told() -> None:
    assert list(notes_on("local", ["g5.xlrge"])) == []


@pytest.mark.parametrize(
    ("target", "own", "unknown"), [("sagemaker", SAGEMAKER, "ml.g5.xlrge"), ("ec2", EC2, "g5.xlrge")]
)
def test_a_dry_run_tells_it_beside_the_request(
    target: str,
    own: tuple[str, ...],
    unknown: str,
    moto_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = use_s3(moto_server, monkeypatch)
    open_store(url).create(STUDY, STUDY_RECORD.to_bytes())
    options = ("--instance-type", unknown, *own, "--spot-then-on-demand", "--dry-run", "--output", "json")
    done = CliRunner().invoke(cli, ["submit", target, url, "--region", "eu-west-1", *options])
    assert done.exit_code == 0, done.output
    assert unknown in json.dumps(json.loads(done.stdout))
    assert done.stderr.count(f"note: --instance-type {unknown} ") == 1
