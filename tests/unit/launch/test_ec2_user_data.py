"""The start script of ``submit ec2``, run for real, with fake programs in the place of systemd, docker and shutdown."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hpo_pipe.launch.order import Price
from hpo_pipe.launch.targets.ec2 import TARGET
from hpo_pipe.launch.targets.ec2.machine import MAX_BYTES, template, user_data
from storage_schema.errors import UserError
from tests.servers.imds import InstanceMetadata
from tests.unit.launch.orders import in_region, order

ROOT = Path(__file__).parents[3]
BY_HAND = ROOT / "infra" / "ec2" / "user-data.sh"
IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/train:7"
GIVEN: dict[str, Any] = {
    "instance_type": ["g5.xlarge", "g4dn.xlarge"],
    "image_id": "ami-0123456789abcdef0",
    "iam_instance_profile": "hpo-pipe-worker",
}
SECRET = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:hf-AbCdEf#token"
PRICES = (
    Price(instance_type="g5.xlarge", lifecycle="on-demand", dollars_per_hour=1.006),
    Price(instance_type="g5.xlarge", lifecycle="spot", dollars_per_hour=0.42),
    Price(instance_type="g4dn.xlarge", lifecycle="spot", dollars_per_hour=0.2),
)
FAKE = """#!{python}
import json, os, sys
stdin = "" if sys.stdin.isatty() or "--password-stdin" not in sys.argv else sys.stdin.read()
with open({log!r}, "a") as log:
    log.write(json.dumps([os.path.basename(sys.argv[0]), sys.argv[1:], dict(os.environ), stdin]) + "\\n")
if sys.argv[1:3] == ["ecr", "get-login-password"]:
    print("password-of-the-hour")
sys.exit({status})
"""
PROGRAMS = ("shutdown", "systemctl", "docker", "useradd", "nvidia-smi", "aws")


@dataclass
class Machine:
    """A machine's disk, programs and metadata."""

    folder: Path
    imds: InstanceMetadata
    endpoint: str

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def has(self, name: str, status: int = 0) -> None:
        path = self.bin / name
        path.write_text(FAKE.format(python=sys.executable, log=str(self.log), status=status))
        path.chmod(0o755)

    def run(self, *command: str | Path, text: str | None = None, **environment: str) -> Any:
        return subprocess.run(
            [str(part) for part in command],
            input=text,
            env={
                "PATH": f"{self.bin}:/usr/bin:/bin",
                "HPO_PIPE_FOLDER": str(self.folder / "root"),
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.endpoint,
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def boot(self, script: str) -> Any:
        path = self.folder / "user-data"
        path.write_text(script)
        return self.run("/bin/sh", path)

    def calls(self, name: str) -> list[list[str]]:
        return [argv for called, argv, *_ in self.told() if called == name]

    def told(self) -> list[Any]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def written(self, name: str) -> Path:
        return self.folder / "root/usr/local/lib/hpo-pipe" / name

    def unit(self, name: str) -> dict[str, list[str]]:
        """Return a unit's settings by name, in the order in which they stand."""
        found: dict[str, list[str]] = {}
        text = (self.folder / "root/etc/systemd/system" / name).read_text()
        for line in text.splitlines():
            key, mark, value = line.partition("=")
            if mark:
                found.setdefault(key, []).append(value)
        return found


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    in_region(monkeypatch)
    if shutil.which("curl", path="/usr/bin:/bin") is None:
        pytest.skip("curl is not installed")
    with InstanceMetadata() as imds:
        imds.data["instance-type"] = "g5.xlarge"
        imds.data["instance-id"] = "i-0123456789abcdef0"
        imds.data["tags/instance/hpo-pipe:submission"] = "hpo-first-study-0a1b2c3d-17"
        found = Machine(tmp_path, imds, imds.endpoint)
        found.bin.mkdir()
        for name in PROGRAMS:
            found.has(name)
        yield found


def script(given: Any = None, **plan: Any) -> str:
    return user_data(order(TARGET, {**GIVEN, **(given or {})}, 2, **plan))


def test_a_container_on_a_spot_machine(machine: Machine) -> None:
    env = (("EPOCHS", "9"), ("NOTE", 'it\'s $HOME; `rm` "x"'))
    text = script(
        image=IMAGE,
        hiring="spot",
        prices=PRICES,
        env=env,
        secrets=(("HF_TOKEN", SECRET),),
        max_runtime_s=7200.0,
    )
    done = machine.boot(text)
    assert done.returncode == 0, done.stderr
    assert machine.calls("shutdown") == []
    assert machine.calls("systemctl") == [
        ["daemon-reload"],
        ["enable", "--now", "hpo-pipe-end.timer"],
        ["daemon-reload"],
        ["enable", "hpo-pipe-worker.service"],
        ["start", "--no-block", "hpo-pipe-worker.service"],
    ]
    machine.log.unlink()
    assert machine.run(machine.written("prepare")).returncode == 0
    assert machine.calls("aws") == [["ecr", "get-login-password", "--region", "eu-west-1"]]
    removed, *rest = [(argv, stdin) for name, argv, _, stdin in machine.told() if name == "docker"]
    assert removed == (["rm", "--force", "hpo-pipe-worker"], "")
    registry = IMAGE.partition("/")[0]
    assert rest == [
        (["login", "--username", "AWS", "--password-stdin", registry], "password-of-the-hour\n"),
        (["pull", "--quiet", IMAGE], ""),
    ]
    machine.log.unlink()
    assert machine.run(machine.written("worker")).returncode == 0
    ((_, argv, environment, _),) = [told for told in machine.told() if told[0] == "docker"]
    image = argv.index(IMAGE)
    assert argv[image + 1 :] == [
        "worker",
        "s3://bucket/studies/first",
        "--secret",
        f"HF_TOKEN={SECRET}",
        *("--study-sha256", "ab" * 32, "--idle-timeout", "300", "--max-runtime", "7200", "--grace", "120"),
    ]
    names = [argv[i + 1] for i, text in enumerate(argv[:image]) if text == "--env"]
    expected = {
        "EPOCHS": "9",
        "NOTE": 'it\'s $HOME; `rm` "x"',
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "HPO_PIPE_PROVIDER": "ec2",
        "HPO_PIPE_INSTANCE_TYPE": "g5.xlarge",
        "HPO_PIPE_REGION": "eu-west-1",
        "HPO_PIPE_LIFECYCLE": "spot",
        "HPO_PIPE_PRICE_PER_HOUR": "0.42",
        "HPO_PIPE_SUBMISSION": "17",
    }
    assert {name: environment[name] for name in names} == expected
    rest = [text for text in argv[:image] if text not in names and text != "--env"]
    assert rest == [
        *("run", "--rm", "--init", "--name", "hpo-pipe-worker", "--network", "host", "--ipc", "host"),
        *("--ulimit", "memlock=-1", "--log-driver", "none", "--gpus", "all"),
    ]


def test_without_gpus_a_container_gets_none(machine: Machine) -> None:
    assert machine.boot(script(image="python:3.11")).returncode == 0
    machine.has("nvidia-smi", 9)
    assert machine.run(machine.written("prepare")).returncode == 0
    assert machine.run(machine.written("worker")).returncode == 0
    assert machine.calls("docker")[1] == ["pull", "--quiet", "python:3.11"]
    assert "--gpus" not in machine.calls("docker")[2]
    assert machine.calls("aws") == [], "not of ECR"


def test_the_images_own_hpo_pipe_runs_as_a_user_of_its_own(machine: Machine) -> None:
    program = machine.folder / "venv" / "hpo-pipe"
    program.parent.mkdir()
    machine.has("hpo-pipe", 75)
    (machine.bin / "hpo-pipe").rename(program)
    machine.imds.data["instance-life-cycle"] = "on-demand"
    del machine.imds.data["tags/instance/hpo-pipe:submission"]  # as where tags are not shown to machines
    done = machine.boot(script({"program": str(program)}, slots=2))
    assert done.returncode == 0, done.stderr
    assert machine.calls("useradd") == [
        ["--system", "--create-home", "--shell", "/usr/sbin/nologin", "hpo-pipe"]
    ]
    unit = machine.unit("hpo-pipe-worker.service")
    assert unit["User"] == ["hpo-pipe"]
    assert machine.run(machine.written("prepare")).returncode == 0
    assert machine.run(machine.written("worker")).returncode == 75, "the worker takes the place of the shell"
    ((_, argv, environment, _),) = [told for told in machine.told() if told[0] == "hpo-pipe"]
    assert argv[:2] == ["worker", "s3://bucket/studies/first"]
    assert argv[argv.index("--slots") + 1] == "2"
    assert environment["HPO_PIPE_LIFECYCLE"] == "on-demand"
    assert environment["HPO_PIPE_SUBMISSION"] == environment["HPO_PIPE_PRICE_PER_HOUR"] == ""
    assert environment["PATH"].startswith(f"{program.parent}:")
    assert machine.calls("docker") == []


def test_when_the_worker_starts_again_and_when_the_machine_ends(machine: Machine) -> None:
    assert machine.boot(script(image=IMAGE, max_runtime_s=7200.0)).returncode == 0
    worker, end, timer = (
        machine.unit(f"hpo-pipe-{name}") for name in ("worker.service", "end.service", "end.timer")
    )
    assert worker["Restart"] == ["on-failure"]
    assert worker["RestartPreventExitStatus"] == ["2 75 78"]
    assert worker["StartLimitBurst"] == ["5"]
    assert worker["OnFailure"] == ["hpo-pipe-end.service"]
    assert worker["TimeoutStopSec"] == ["120"]
    assert worker["KillMode"] == ["mixed"], "SIGTERM is for the worker, which tells its trainings"
    assert "docker.service" in worker["After"][0], "so that it goes before docker does"
    assert worker["StandardOutput"] == ["journal+console"], "what `submit logs` reads"
    assert timer["OnBootSec"] == ["10800"]
    assert timer["WantedBy"] == ["timers.target"]
    assert worker["ExecStopPost"] == [f"+{machine.written('ended')}"]
    assert end["ExecStart"] == [str(machine.written("end"))]
    machine.log.unlink()
    machine.run(machine.written("ended"), SERVICE_RESULT="exit-code")
    assert machine.told() == [], "it may start again, or OnFailure ends the machine"
    machine.run(machine.written("ended"), SERVICE_RESULT="success")
    assert machine.calls("systemctl") == [["start", "--no-block", "hpo-pipe-end.service"]]
    assert machine.run(machine.written("end")).returncode == 0
    assert machine.calls("shutdown") == [["-h", "now"]]
    assert machine.calls("aws") == []


def test_systemd_understands_the_units(machine: Machine) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    assert machine.boot(script(image=IMAGE)).returncode == 0
    folder = machine.folder / "root/etc/systemd/system"
    units = sorted(str(path) for path in folder.iterdir())
    assert len(units) == 3
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert not [line for line in done.stderr.splitlines() if "hpo-pipe" in line], done.stderr


def test_with_no_limit_given_a_machine_ends_after_a_week(machine: Machine) -> None:
    assert machine.boot(script(image=IMAGE)).returncode == 0
    assert machine.unit("hpo-pipe-end.timer")["OnBootSec"] == ["604800"]


@pytest.mark.parametrize("lacks", ["docker", "metadata", "systemctl"])
def test_a_machine_on_which_nothing_can_start_ends(machine: Machine, lacks: str) -> None:
    if lacks == "docker":
        (machine.bin / "docker").unlink()
        if shutil.which("docker", path="/usr/bin:/bin"):
            pytest.skip("docker is installed in /usr/bin")
    elif lacks == "metadata":
        machine.imds.ill = 403
    else:
        machine.has("systemctl", 1)
    done = machine.boot(script(image=IMAGE))
    assert done.returncode != 0
    assert machine.calls("shutdown") == [["-h", "now"]]
    assert "no worker can be started here: the machine ends" in done.stderr
    assert ["start", "--no-block", "hpo-pipe-worker.service"] not in machine.calls("systemctl")
    if lacks != "systemctl":
        assert ["enable", "--now", "hpo-pipe-end.timer"] in machine.calls("systemctl"), (
            "armed before all else"
        )


def test_a_machine_of_a_group_leaves_it_with_a_lower_size(machine: Machine) -> None:
    text = BY_HAND.read_text().replace("\nGROUP=''", "\nGROUP=yes").replace("\nIMAGE=''", f"\nIMAGE={IMAGE}")
    assert machine.boot(text).returncode == 0
    machine.has("aws", 1)  # not allowed, say: the machine ends nevertheless
    assert machine.run(machine.written("end")).returncode == 0
    assert machine.calls("aws") == [
        [
            *("autoscaling", "terminate-instance-in-auto-scaling-group", "--region", "eu-west-1"),
            *("--instance-id", "i-0123456789abcdef0", "--should-decrement-desired-capacity"),
        ]
    ]
    assert machine.calls("shutdown") == [["-h", "now"]]


def test_the_script_by_hand_is_the_packages_and_runs(machine: Machine) -> None:
    assert BY_HAND.read_text() == template(), "cp hpo_pipe/launch/targets/ec2/user-data.sh infra/ec2/"
    machine.has("hpo-pipe")
    assert machine.boot(BY_HAND.read_text()).returncode == 0
    assert machine.run(machine.written("worker")).returncode == 0
    assert machine.calls("hpo-pipe") == [["worker", "s3://bucket/studies/first", "--idle-timeout", "300"]]


def test_shellcheck_finds_nothing_in_what_is_filled_in_and_written(machine: Machine) -> None:
    found = Path(sys.executable).with_name("shellcheck")
    if not found.exists():
        pytest.skip("shellcheck is not installed")
    text = script(image=IMAGE, prices=PRICES, env=(("A", "it's"),))
    assert machine.boot(text).returncode == 0
    paths = [
        machine.folder / "user-data",
        *(machine.written(n) for n in ("prepare", "worker", "ended", "end")),
    ]
    done = machine.run(found, "--exclude=SC1091,SC2086,SC2194,SC2034", *paths)
    assert (done.returncode, done.stdout) == (0, "")


def test_user_data_is_bounded_and_equal_for_equal_workers() -> None:
    first = order(TARGET, {**GIVEN, "region": "eu-west-1"}, 2, number=3, image=IMAGE)
    second = order(TARGET, {**GIVEN, "region": "eu-west-1"}, 5, number=4, image=IMAGE)
    assert user_data(first) == user_data(second)
    assert user_data(first, own=True) != user_data(second, own=True)
    env = tuple((f"V{i}", "x" * 1000) for i in range(9))
    assert len(user_data(order(TARGET, {**GIVEN, "region": "eu-west-1"}, env=env, image=IMAGE))) <= MAX_BYTES
    long = tuple((f"V{i}", "x" * 1000) for i in range(11))
    with pytest.raises(UserError, match=r"--env: the machines' user data have 1[0-9],[0-9]{3} bytes"):
        user_data(order(TARGET, {**GIVEN, "region": "eu-west-1"}, env=long, image=IMAGE))
