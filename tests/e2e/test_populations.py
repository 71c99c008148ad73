"""Population based training on a folder: clones really go on from their parents' checkpoints, also when workers die."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hpo_pipe.cli.group import cli
from hpo_pipe.coordinator.log import read_study
from hpo_pipe.creation import create, drafted
from hpo_pipe.report.lineage import checkpoint_place, schedule_of
from hpo_pipe.simulate.recorded import recorded_curves
from hpo_pipe.study import open_study
from storage_schema.chain import read_chain
from storage_schema.history import History
from storage_schema.records import CheckpointRef, Issue, LinkKind
from storage_schema.store import Blob, Store, open_store
from tests.e2e.accounting import audit, read_log
from tests.e2e.fleet import Fleet
from tests.e2e.lineage import state_of
from tests.waiting import wait_until

SIZE, TOP, INTERVAL = 4, 12, 3
TRAIN = """
import json, time
from tests.e2e.slow_training import step

def main(trial):
    saved = trial.checkpoint
    model = json.loads((saved / "model").read_text()) if saved else {"state": 0.3, "trained_by": []}
    for epoch in trial.steps():
        time.sleep(0.2)
        model["state"] = step(model["state"], trial.params["lr"])
        model["trained_by"].append([trial.number, trial.params["lr"]])
        trial.report(loss=model["state"])
        with trial.save_checkpoint() as folder:
            (folder / "model").write_text(json.dumps(model))
"""


def study(**algorithm: Any) -> dict[str, Any]:
    options = {"scheduler": "pbt", "searcher": "random", "population_size": SIZE, "interval": INTERVAL}
    return {
        "name": "population",
        "function": "train:main",
        "seed": 3,
        "metric": {"name": "loss"},
        "parameters": {"lr": {"type": "float", "min": 0.0, "max": 0.2}},
        "resource": {"name": "epoch", "max": TOP},
        "algorithm": {**options, **algorithm},
        "worker": {"flush": 0.2, "lease": 1.2, "grace": 0.5, "tick": 0.1, "max_attempts": 50},
    }


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    (tmp_path / "train.py").write_text(TRAIN)
    root = Path(__file__).parent.parent.parent
    fleet = Fleet((tmp_path / "study").as_uri(), tmp_path, {"PYTHONPATH": str(root)}, cwd=tmp_path)
    yield fleet
    fleet.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("synchronous", [True, False])
def test_clones_go_on_from_their_parents_checkpoints_though_workers_are_killed(
    fleet: Fleet, synchronous: bool
) -> None:
    store = open_store(fleet.url)
    create(store, drafted(study(synchronous=synchronous)))
    fleet.start("coordinator", "--until-done")
    doomed = [fleet.start("worker", "--slots", "2"), fleet.start("worker", "--slots", "2")]
    for worker in doomed:
        wait_until(lambda: a_clone_trains(store), 60, lambda: f"a clone under way\n{fleet.logs()}")
        fleet.kill(worker)
        fleet.start("worker", "--slots", "2")
    alive = [name for name in fleet.processes if name not in doomed]
    wait_until(
        lambda: all(fleet.processes[name].poll() is not None for name in alive),
        90,
        lambda: f"the end\n{fleet.logs()}",
    )
    assert {fleet.processes[name].returncode for name in alive} == {0}, fleet.logs()
    assert audit(store, state_of) == []
    history = folded(store)
    assert history.finished == f"all {SIZE} members of the population have trained to epoch {TOP}"
    fenced = [s for s in history.specs if LinkKind.FENCE in {link.kind for link in read_chain(store, s)}]
    assert fenced, "nobody held anything when it was killed"
    prove_lineages(store, history)
    prove_reports(fleet.url, store, history)
    begun = [dict(trial.parameters) for trial in history.trials if trial.parent is None]
    assert recorded_curves(open_study(fleet.url)).configurations == begun, "clones have no curve of their own"
    replayed = CliRunner().invoke(cli, ["replay", fleet.url])
    assert (replayed.exit_code, "0 of them otherwise" in replayed.output) == (0, True), replayed.output


def a_clone_trains(store: Store) -> bool:
    """Whether a spec of a clone is claimed and has not ended."""
    cloned = [s for e in read_log(store) for s, issue in e.issues() if issue.parent is not None]
    chains = (read_chain(store, spec) for spec in cloned)
    return any(chain and chain[-1].kind is LinkKind.CLAIM for chain in chains)


def folded(store: Store) -> History:
    history = History(read_study(store))
    for entry in read_log(store):
        history.fold(entry)
    return history


def prove_lineages(store: Store, history: History) -> None:
    """Every checkpoint that the log names is still there, and was trained by whom the log says, epoch by epoch."""
    clones = 0
    for trial in history.trials:
        for spec in trial.specs:
            assert spec.settled is not None and spec.settled.checkpoint is not None
            model = saved(store, spec.settled.checkpoint)
            schedule = schedule_of(history, trial.number, spec.issue.to)
            expected = [[s.trial, s.params["lr"]] for s in schedule for _ in range(s.start, s.to)]
            assert model["trained_by"] == expected
            clones += trial.parent is not None
    issued = [d for e in read_log(store) for d in e.decisions if isinstance(d, Issue)]
    assert clones >= 2 and all(issue.start % INTERVAL == 0 for issue in issued)
    assert history.issued_resource <= SIZE * TOP, "what a parent had trained is not charged again"


def saved(store: Store, checkpoint: CheckpointRef) -> dict[str, Any]:
    found = store.get(f"{checkpoint_place(checkpoint)}files/model")
    assert isinstance(found, Blob), f"{checkpoint.key} was deleted"
    model: dict[str, Any] = json.loads(found.data)
    return model


def prove_reports(url: str, store: Store, history: History) -> None:
    """`best` names the schedule and the checkpoint of the best result of all lines; `why` and `trials` the parent."""

    def told(*arguments: str) -> Any:
        done = CliRunner().invoke(cli, [*arguments, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    best = told("best", url)
    everything = [loss for rung in history.rungs for loss, _ in rung.ranking]
    assert best["value"] == min(everything)
    assert [s["to"] for s in best["schedule"]][-1] == best["resource"]
    place = best["checkpoint"].removeprefix(f"{url}/")
    found = store.get(f"{place}files/model")
    assert isinstance(found, Blob) and json.loads(found.data)["state"] == best["value"]
    clone = next(trial for trial in history.trials if trial.parent is not None)
    told_trials = {trial["number"]: trial["parent"] for trial in told("trials", url)}
    assert told_trials == {trial.number: trial.parent for trial in history.trials}
    why = CliRunner().invoke(cli, ["why", url, str(clone.number)])
    start = clone.specs[0].issue.start
    assert f"a clone of trial {clone.parent} at epoch {start}" in why.output
    assert f"from checkpoint {start} of trial {clone.parent}" in why.output
    assert "takes the place of trial" in why.output and "perturbed: lr" in why.output
