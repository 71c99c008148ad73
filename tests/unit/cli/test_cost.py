"""`cost` on a study whose attempts are known to the second: exact sums, and unknown stays unknown."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from storage_schema.keys import SegmentId, SpecId, segment_key
from storage_schema.metric_log import Row, write_segment
from storage_schema.records import CheckpointRef, LinkKind, SettledSpec
from tests.unit.cli.told_study import STUDY_RECORD, Teller, done, issue

SPOT, DEMAND, OLD = "w-spot-1-aaaaaa", "w-demand-2-bbbbbb", "w-old-3-cccccc"
SPOT_AGAIN = "w-spot-1-dddddd"
BOX = (("instance_type", "g5.xlarge"), ("provider", "aws"), ("region", "us-east-1"))
ON_SPOT = (*BOX, ("gpus", "2"), ("lifecycle", "spot"), ("slots", "2"), ("started_at", "1000.000"))
ON_DEMAND = (*BOX, ("gpus", "1"), ("lifecycle", "on-demand"), ("slots", "1"), ("started_at", "5000.000"))
PRICES = """
["g5.xlarge"]
on_demand = 1.0
spot = 9.0
["g5.xlarge".regions.us-east-1]
spot = 0.25
"""


@pytest.fixture
def told(tmp_path: Path) -> Teller:
    """Trial 0: fenced at epoch 2 after 7200 s, done from epoch 1 in 3600 s. Trial 1: done in 3600 s. Trial 2: lost."""
    teller = Teller(tmp_path / "told")
    first = teller.entry(*(issue(trial, 0, 3, 1, "r") for trial in range(3)))
    zero, one, two = (SpecId(first, place) for place in range(3))
    failed = SettledSpec(spec=two, link=2, outcome="fail", reason="x")
    teller.entry(settled=(done(zero, (3, 0.5)), done(one, (3, 0.3)), failed))
    saved = CheckpointRef(
        key="checkpoints/00000000/0000000001-00000000-000.0001/manifest.json", sha256="ab" * 32, resource=1
    )
    rows = [Row(1, "val_loss", 1.0, 1000.0 + 3600), Row(2, "val_loss", 0.9, 1000.0 + 7200)]
    teller.create(segment_key(SegmentId(zero, 1, 1)), write_segment(rows))
    teller.link(zero, 1, LinkKind.CLAIM, SPOT, at=1000.0, machine=ON_SPOT)
    teller.link(zero, 2, LinkKind.FENCE, "c-beta", reason="silent")
    teller.link(zero, 3, LinkKind.CLAIM, DEMAND, at=5000.0, machine=ON_DEMAND, checkpoint=saved)
    teller.link(zero, 4, LinkKind.DONE, DEMAND, at=8600.0, wall_s=3600.0, gpu_s=3600.0, resource=3)
    teller.link(one, 1, LinkKind.CLAIM, SPOT_AGAIN, at=1000.0 + 7200, machine=ON_SPOT)
    teller.link(one, 2, LinkKind.DONE, SPOT_AGAIN, at=11_800.0, wall_s=3600.0, gpu_s=3600.0, resource=3)
    teller.link(two, 1, LinkKind.CLAIM, DEMAND, at=8600.0, machine=ON_DEMAND)
    teller.link(two, 2, LinkKind.FAIL, DEMAND, at=8960.0, wall_s=360.0, failures=1)
    return teller


def cost(run, teller: Teller, *options: object) -> dict:
    result = run("cost", teller.url, "--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def written(tmp_path: Path, text: str = PRICES) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return path


def test_the_sums_are_exact(run, told: Teller, tmp_path: Path) -> None:
    found = cost(run, told, "--prices", written(tmp_path))
    seconds = {fate: work["seconds"] for fate, work in found["training"].items()}
    assert seconds == {"useful": 10_800, "repeated": 3600, "lost": 360, "open": 0, "total": 14_760}
    # the spot machine lived 10,800 s for 0.25 an hour and two slots, the other one 3,960 s for 1.00
    assert found["spent"] == pytest.approx(0.75 + 1.1)
    parts = [found["training"][fate]["cost"] for fate in ("useful", "repeated", "lost")]
    assert parts == pytest.approx([0.125 + 0.125 + 1.0, 0.125, 0.1])
    assert found["idle"] == {"slot_s": 10_800, "cost": pytest.approx(0.375)}
    assert math.fsum(parts) + found["idle"]["cost"] == pytest.approx(found["spent"])
    assert found["spot_saved"] == pytest.approx((1.0 - 0.25) * 3)
    assert found["gpu_hours"] == pytest.approx(2 + 1 + 1)
    assert found["per_trial"] == pytest.approx(1.85 / 3)
    assert found["best"] == {
        "trial": 1,
        "seconds": 3600,
        "gpu_hours": pytest.approx(1.0),
        "cost": pytest.approx(0.125),
    }
    assert [trial["cost"] for trial in found["trials"]] == pytest.approx([0.25 + 1.0, 0.125, 0.1])
    assert len(found["machines"]) == 2, "a worker that went on under another id is one machine"


def test_without_a_price_all_money_is_unknown_and_all_time_is_not(run, told: Teller) -> None:
    found = cost(run, told)
    assert found["spent"] is found["per_trial"] is found["spot_saved"] is found["best"]["cost"] is None
    assert found["training"]["useful"] == {"seconds": 10_800, "gpu_hours": pytest.approx(3.0), "cost": None}
    text = run("cost", told.url).stdout
    assert "spent       unknown, 2 machines" in text
    assert "g5.xlarge us-east-1 on-demand, g5.xlarge us-east-1 spot" in text


def test_what_spot_saved_needs_both_prices(run, told: Teller, tmp_path: Path) -> None:
    only_spot = written(tmp_path, '["g5.xlarge"]\nspot = 0.25\n')
    found = cost(run, told, "--prices", only_spot)
    assert found["spot_saved"] is None
    assert (found["spent"], found["spent_at_least"]) == (None, pytest.approx(0.75))
    assert "unknown (at least $0.7500)" in run("cost", told.url, "--prices", only_spot).stdout


def test_one_price_for_all(run, told: Teller, tmp_path: Path) -> None:
    assert cost(run, told, "--price-per-hour", "2")["spent"] == pytest.approx(2 * (3 + 1.1))
    both = cost(run, told, "--price-per-hour", "0.5", "--prices", written(tmp_path))
    assert both["spot_saved"] == pytest.approx((1.0 - 0.5) * 3)


def test_what_a_worker_was_told_goes_before_the_file(run, tmp_path: Path) -> None:
    teller = one_attempt(tmp_path, (*ON_DEMAND, ("price_per_hour", "4.0")))
    assert cost(run, teller, "--prices", written(tmp_path))["spent"] == pytest.approx(4.0)


def test_a_lifecycle_that_was_not_told_is_not_guessed(run, tmp_path: Path) -> None:
    teller = one_attempt(tmp_path, tuple(fact for fact in ON_DEMAND if fact[0] != "lifecycle"))
    assert cost(run, teller, "--prices", written(tmp_path))["spent"] is None


def test_a_study_from_before_machines_were_recorded(run, tmp_path: Path) -> None:
    teller = one_attempt(tmp_path, ())
    found = cost(run, teller, "--price-per-hour", "1")
    assert found["training"]["useful"]["seconds"] == 3600
    assert found["spent"] is found["idle"]["slot_s"] is None
    assert "1 worker did not say when" in "".join(found["notes"])


@pytest.mark.parametrize("hostile", [1e300, -5.0, 0.0])
def test_a_clock_gone_wild_breaks_nothing(run, tmp_path: Path, hostile: float) -> None:
    teller = one_attempt(tmp_path, ON_DEMAND, wall_s=hostile, at=hostile)
    found = cost(run, teller, "--price-per-hour", "1")
    assert 0 <= found["spent"] < 1e6
    assert run("cost", teller.url, "--price-per-hour", "1").exit_code == 0


def test_an_attempt_that_left_no_time_is_told_of(run, tmp_path: Path) -> None:
    teller = Teller(tmp_path / "one")
    spec = SpecId(teller.entry(issue(0, 0, 3, 1, "r")), 0)
    teller.link(spec, 1, LinkKind.CLAIM, OLD, at=5000.0, machine=ON_DEMAND)
    teller.link(spec, 2, LinkKind.FENCE, "c-beta", reason="silent")
    assert "1 attempt died before a first report was stored" in "".join(cost(run, teller)["notes"])


def test_requests_are_free_in_a_folder_and_an_estimate_elsewhere(run, told: Teller) -> None:
    from hpo_pipe.prices import Prices, pricing
    from hpo_pipe.report.attempts import read_attempts
    from hpo_pipe.report.bill import bill_lines
    from hpo_pipe.report.cost import add_up
    from hpo_pipe.study import open_study

    assert cost(run, told)["requests"] is None
    study = open_study(told.url)
    state = study.look()
    found = add_up(state, read_attempts(study.store, state.history), pricing(Prices()), metered=True)
    assert found.requests is not None
    assert found.requests.dollars > 3 * 6.72 * 5e-6
    assert "an estimate at S3's list prices" in "\n".join(bill_lines(state, found))


def test_a_study_without_a_trial_costs_nothing(run, tmp_path: Path) -> None:
    found = cost(run, Teller(tmp_path / "new", STUDY_RECORD))
    assert (found["spent"], found["per_trial"], found["best"]) == (0.0, None, None)
    assert run("cost", str(tmp_path / "new")).exit_code == 0


def one_attempt(tmp_path: Path, machine: tuple, wall_s: float = 3600.0, at: float = 5000.0) -> Teller:
    teller = Teller(tmp_path / "one")
    spec = SpecId(teller.entry(issue(0, 0, 3, 1, "r")), 0)
    teller.entry(settled=(done(spec, (3, 0.5)),))
    teller.link(spec, 1, LinkKind.CLAIM, OLD, at=at, machine=machine)
    teller.link(spec, 2, LinkKind.DONE, OLD, at=at, wall_s=wall_s, resource=3)
    return teller


MISTAKES = {
    "[g5.xlarge]\nspot = 1.0": 'g5.xlarge reads as two names: write an instance type in quotes, ["g5.xlarge"]',
    '["g5.xlarge"]\nspott = 1.0\nspot = 1.0': "\"g5.xlarge\".spott is not known (did you mean 'spot'?), allowed: ",
    '["g5.xlarge"]\nspot = -1': '"g5.xlarge".spot is -1, expected a number from 0 to 100000',
    '["g5.xlarge"]\nspot = "1"': "\"g5.xlarge\".spot is '1', expected a number from 0 to 100000",
    '["g5.xlarge"]\non_demand = nan': '"g5.xlarge".on_demand is nan',
    "a = 1": "a is 1, expected a table",
    "[a]": "a.on_demand is missing, expected dollars for an hour, here or as `spot`",
    "[a]\nspot = 1\n[a.regions]\nb = 1": "a.regions.b is 1, expected a table",
    "[a]\nspot = 1\n[a.regions.b]": "a.regions.b.on_demand is missing, expected dollars for an hour",
    "[a]\nspot = 1\n[a.regions.b]\nspott = 1": "a.regions.b.spott is not known (did you mean 'spot'?)",
    "[a\n": "prices.toml: ",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_in_a_price_file(run, told: Teller, tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    result = run("cost", told.url, "--prices", path)
    assert result.exit_code == 2, result.output
    assert f"{path}: " in result.stderr
    assert MISTAKES[text] in result.stderr


def test_all_mistakes_at_once_and_files_that_are_none(run, told: Teller, tmp_path: Path) -> None:
    both = run("cost", told.url, "--prices", written(tmp_path, "[a]\nspot = -1\n[b]\nx = 1\n"))
    assert "a.spot is -1" in both.stderr
    assert "b.x is not known" in both.stderr
    missing = run("cost", told.url, "--prices", tmp_path / "none.toml")
    assert missing.exit_code == 2
    assert "cannot be read: No such file" in missing.stderr
    (tmp_path / "prices.csv").write_text("")
    assert (
        "expected aws, or a file that ends with .toml"
        in run("cost", told.url, "--prices", tmp_path / "prices.csv").stderr
    )


def test_a_provider_that_cannot_be_asked_leaves_all_unknown_and_says_why(
    run, told: Teller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    found = cost(run, told, "--prices", "aws")
    assert found["spent"] is None
    assert any("no credentials for AWS" in note for note in found["notes"])
    assert cost(run, told, "--prices", "aws", "--price-per-hour", "1")["spent"] is not None
