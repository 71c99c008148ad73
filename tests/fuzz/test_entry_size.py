"""No author writes a record that no reader takes: a log entry that cannot be read ends its study for good."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from hpo_pipe.cli.group import cli
from hpo_pipe.coordinator import entry_size
from hpo_pipe.coordinator.entry_size import first_of
from hpo_pipe.creation import create
from hpo_pipe.decide import decide
from hpo_pipe.study_file import read_study_mapping
from hpo_pipe.view import View
from storage_schema.codec import MAX_RECORD_BYTES
from storage_schema.errors import UserError
from storage_schema.history import History
from storage_schema.keys import MAX_RESOURCE, STUDY, SpecId
from storage_schema.records import CheckpointRef, Entry, Facts, Limits, Metric, SettledSpec
from storage_schema.store import open_store
from tests.unit.coordinator.world import HandWorker, World, a_study

LONG = "checkpoints/00000007/0000000003-00000042-003.0001/manifest.json"


def greatest(index: int, metrics: int) -> SettledSpec:
    """Return a fact whose JSON is as long as it gets."""
    curve = tuple((MAX_RESOURCE - 64 + n, -1.2345678901234567e-300) for n in range(64))
    return SettledSpec(
        spec=SpecId(*divmod(index, 1_000)),
        link=2,
        outcome="done",
        curves={"ü" * 197 + f"{n:03}": curve for n in range(metrics)},
        checkpoint=CheckpointRef(key=LONG, sha256="a" * 64, resource=3),
        reason="\U0001f600" * 300,
    )


@pytest.mark.parametrize("metrics", [0, 1, 10, 100])
def test_an_entry_of_as_many_facts_as_it_may_hold_is_read(metrics: int) -> None:
    taken = first_of(greatest(index, metrics) for index in range(2_000))
    data = Entry(
        entry=1, token="t", author="coordinator", facts=Facts(now=0.0, demand=1, settled=taken), decisions=()
    ).to_bytes()
    assert 1 <= len(taken) < 2_000
    assert len(data) < MAX_RECORD_BYTES // 2
    assert Entry.from_bytes(data, 1).facts is not None


def test_facts_that_do_not_fit_go_into_the_next_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_size, "MAX_FACTS_BYTES", 2 * entry_size.FACT_BYTES + 500)
    world = World("entry-size", a_study(limits=Limits(trials=9)))
    coordinator, worker = world.coordinator(), HandWorker(world, "w-h-1-000001", slots=9)
    worker.beat()
    coordinator.tick()
    specs = sorted(coordinator.history.open)
    assert len(specs) == 9
    for place, spec in enumerate(specs):
        worker.claim(spec)
        worker.done(spec, {1: place / 10})
    coordinator.tick()
    again = world.history()
    assert all(again.specs[spec].settled for spec in specs)
    assert again.head >= 5


def test_issues_of_great_parameters_are_fewer() -> None:
    great = {"name": "c", "type": "constant", "value": "x" * 200_000}
    study = a_study(space=({"name": "lr", "type": "float", "min": 0.0, "max": 1.0}, great), limits=Limits())
    decisions = decide(View.of(History(study)), Facts(now=0.0, demand=1_000))
    data = Entry(entry=0, token="t", author="coordinator", facts=None, decisions=decisions).to_bytes()
    assert 10 < len(decisions) < 40
    assert len(data) < MAX_RECORD_BYTES
    ordinary = decide(View.of(History(a_study(limits=Limits()))), Facts(now=0.0, demand=1_000))
    assert len(ordinary) == 1_000


@pytest.mark.parametrize(
    "option",
    [
        ("--target", "nan"),
        ("--target", "1e999"),
        ("--gpu-hours", "inf"),
        ("--wall-time", "9" * 400),
        ("--trials", "9" * 400),
        ("--total-resource", str(2**63)),
    ],
    ids=lambda option: " ".join(option)[:30],
)
def test_limits_that_no_record_holds_are_refused(option: tuple[str, str], tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "study"))
    store.create(STUDY, a_study().to_bytes())
    done = CliRunner().invoke(cli, ["limits", str(tmp_path / "study"), *option])
    assert done.exit_code == 2, done.output
    assert [stat.key for stat in store.list("log/")] == []


def test_a_study_that_no_reader_takes_is_not_created(monkeypatch: pytest.MonkeyPatch) -> None:
    draft = read_study_mapping(
        {
            "command": ["t"],
            "metric": {"name": "loss"},
            "parameters": {"a": {"type": "float", "min": 0, "max": 1}},
        }
    )
    store = open_store("memory://entry-size-create")
    for harm in (
        {"metrics": (Metric(name="a\nb"),)},
        {"max_attempts": 10**6},
        {"limits": Limits(target=float("nan"))},
    ):
        with pytest.raises(UserError):
            create(store, replace(draft, **harm))
        assert store.get(STUDY) is None
