"""`doctor` over a folder and a real S3 server: what it says, what it leaves behind, what it finds in a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo_pipe.cli.doctor import doctor
from hpo_pipe.cli.failures import UNAVAILABLE
from hpo_pipe.doctor import examine, render
from hpo_pipe.request_cost import GET_DOLLARS, PUT_DOLLARS, Requests, Workload, estimate, idle_day
from storage_schema.codec import encode
from storage_schema.errors import UserError
from storage_schema.store import open_store
from storage_schema.store.check import Verdict
from tests.servers.proxy import Fault, Proxy, always
from tests.servers.s3 import S3Server, lead_to, use_s3


def test_a_folder(tmp_path: Path) -> None:
    report = examine(str(tmp_path))
    lines = render(report)
    text = "\n".join(lines)
    assert report.ok
    assert lines[-1].startswith("This store can hold a study")
    assert "contested creates" in text and "16 contenders, 50 rounds" in text and "file system" in text
    assert "$" not in text
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_with_its_costs(s3_url: str) -> None:
    report = examine(s3_url, rounds=10)
    lines = render(report)
    assert report.ok
    assert any("1,000 trials" in line and line.endswith("$") for line in lines)
    assert {"lifecycle rules", "versioning", "object lock", "replication"} <= {
        c.name for c in report.proof.checks
    }
    assert list(open_store(s3_url).list("")) == []
    encode(report.proof.to_json())  # fits study.json


def test_rules_and_versions_of_a_bucket_are_warnings(s3_url: str) -> None:
    store = open_store(s3_url)
    store.ask("put_bucket_versioning", Bucket=store.bucket, VersioningConfiguration={"Status": "Enabled"})
    rule = {"ID": "tidy-up", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}}
    store.ask(
        "put_bucket_lifecycle_configuration", Bucket=store.bucket, LifecycleConfiguration={"Rules": [rule]}
    )
    found = {check.name: check for check in store.own_checks()}
    assert found["versioning"].verdict is Verdict.WARNING
    assert found["lifecycle rules"].verdict is Verdict.WARNING
    assert "tidy-up" in found["lifecycle rules"].detail


def test_settings_that_may_not_be_read_are_no_finding(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(s3_server.endpoint) as proxy:
        store = open_store(use_s3(s3_server, monkeypatch, proxy.endpoint))
        proxy.plan = always(Fault("denied"))
        checks = store.own_checks()
    assert all(check.verdict is Verdict.OK and "is not permitted" in check.detail for check in checks)


def test_a_store_that_is_down_is_reported_and_not_judged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lead_to("http://127.0.0.1:9", monkeypatch)
    assert doctor.callback is not None
    assert doctor.callback("s3://somewhere/study") == UNAVAILABLE
    assert "could not be tried" in capsys.readouterr().out.splitlines()[-1]


def test_what_is_no_store_is_a_users_error(s3_url: str) -> None:
    for url in (
        "s3://no-such-bucket-here/x",
        "s3://a",
        "s3://bucket--use1-az4--x-s3/x",
        "s4://x/y",
        "s3://bucket/a//b",
    ):
        with pytest.raises(UserError):
            examine(url)


def test_costs_follow_the_list_prices() -> None:
    assert Requests(put=1e6).dollars == pytest.approx(5.0)
    assert Requests(list=1e6).dollars == pytest.approx(5.0)
    assert Requests(get=1e6).dollars == pytest.approx(0.4)
    assert (PUT_DOLLARS, GET_DOLLARS) == (5e-6, 0.4e-6)
    small, large = (estimate(Workload(trials=n, workers=10, hours=1)) for n in (100, 200))
    twice = estimate(Workload(trials=200, workers=20, hours=1))
    assert small.dollars < large.dollars < twice.dollars < 2 * small.dollars
    assert 0.03 < idle_day().dollars < 0.08
