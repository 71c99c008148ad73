"""The command: what is missing is run, in processes of its own; what fails is told and not kept."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from tests.benchmarks.quality.__main__ import main
from tests.benchmarks.quality.child import TimedTask
from tests.benchmarks.quality.driver import ROOT
from tests.benchmarks.quality.ours import study
from tests.benchmarks.quality.peers import ENVIRONMENTS, PEERS
from tests.benchmarks.quality.peers.random_search import RandomSearch
from tests.benchmarks.quality.peers.spaces import RUNGS
from tests.benchmarks.quality.runs import (
    OURS,
    Wanted,
    batches,
    chosen_tasks,
    half,
    key_of,
    named_tuners,
    read,
)
from tests.benchmarks.quality.tasks import tasks

KNOWN = ("lcbench:1", "lcbench:2", "lcbench:3", "taskset:1", "taskset:2")
SMALL = ["--tasks", "lcbench:167104,lcbench:167149", "--budget", "6", "--workers", "2", "--jobs", "2"]


def test_what_is_missing_is_run_once_and_reported(tmp_path, capsys):
    out = tmp_path / "rows.jsonl"
    command = [*SMALL, "--tuners", "random,asha", "--out", str(out)]
    assert main([*command, "--seeds", "1"]) == 0
    first = out.read_text().splitlines()
    assert len(first) == 4
    with out.open("a") as file:
        file.write('{"tuner": "asha", "ta\n')  # a crash in the middle of a line
    assert main([*command, "--seeds", "2"]) == 0
    rows = list(read(out).values())
    assert out.read_text().splitlines()[:4] == first and len(rows) == 8
    assert {(r["tuner"], r["task"], r["seed"]) for r in rows} == {
        (tuner, f"lcbench:{task}", seed)
        for tuner in ("random", "asha")
        for task in ("167104", "167149")
        for seed in (0, 1)
    }
    for each in rows:
        assert each["budget"] == 6 and each["workers"] == 2 and 0 <= each["idle"] < 0.2
        assert 1 <= each["trained"] <= 2.5 and each["trials"] > 5 and 0 <= each["cpu_s"] < 20
        assert each["epochs"]["100"] <= each["epochs"]["10"] and each["steps"]
    capsys.readouterr()
    assert main(["--report", str(out), *SMALL, "--against", "random"]) == 0
    said = capsys.readouterr().out
    assert "2 workers, budget 6 full trainings" in said and "Regret less that of random" in said


def test_computing_curves_is_no_part_of_a_searchs_time():
    known = TimedTask(tasks()["lcbench:167104"])
    began = time.process_time()
    for seed in range(5):
        known.curve(RandomSearch(known.task, seed, 1).ask().parameters, 50)
    assert 0.5 * (spent := time.process_time() - began) < known.cpu_s <= spent
    assert known.median_s == known.task.median_s


def test_the_same_run_twice_is_the_same(tmp_path):
    out = tmp_path / "rows.jsonl"
    command = [*SMALL, "--tuners", "asha", "--seeds", "1", "--out", str(out)]
    assert main(command) == 0 and main([*command, "--again", "asha"]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    for each in rows:
        del each["cpu_s"]
    one, other = (sorted(half_of, key=key_of) for half_of in (rows[:2], rows[2:]))
    assert len(rows) == 4 and one == other


def test_a_run_that_fails_is_told_and_not_kept(tmp_path, capsys):
    out = tmp_path / "rows.jsonl"
    command = [*SMALL, "--tuners", "none+nonsense", "--seeds", "1", "--out", str(out)]
    assert main(command) == 1
    assert "FAILED" in (said := capsys.readouterr()).err and "nonsense" in said.err
    assert not out.exists()


def test_a_peer_without_its_environment_is_told_how_to_get_it(tmp_path, capsys):
    out = str(tmp_path / "rows.jsonl")
    assert main([*SMALL, "--tuners", "smac-mf", "--peers", str(tmp_path), "--out", out]) == 2
    said = capsys.readouterr().err
    assert f"python -m venv {tmp_path / 'smac'}" in said and "pip install smac==" in said
    assert main([*SMALL, "--tuners", "smac-nf", "--out", out]) == 2
    assert "did you mean 'smac-mf'" in capsys.readouterr().err


def test_seeds_are_outermost_and_a_batch_is_of_one_tuner_and_seed():
    wanted = Wanted(("a", "b"), KNOWN[:2], 2, (8, 512), 50, {})
    assert [key[4] for key in wanted] == [50, 50, 50, 50, 1536, 1536, 1536, 1536] * 2
    done = {("a", "lcbench:1", 8, 0, 50.0): {}, ("a", "lcbench:2", 8, 0, 50.0): {}}
    found = list(batches(wanted, done))
    assert [(batch[0][0], batch[0][2], batch[0][3], len(batch)) for batch in found] == [
        ("b", 8, 0, 2),
        ("a", 512, 0, 2),
        ("b", 512, 0, 2),
        ("a", 8, 1, 2),
        ("b", 8, 1, 2),
        ("a", 512, 1, 2),
        ("b", 512, 1, 2),
    ]
    assert [key for batch in batches(wanted, done, ["a"]) for key in batch] == list(wanted)


def test_every_other_task_of_a_family_is_to_tune_on():
    assert [half(task, KNOWN) for task in KNOWN] == ["dev", "held-out", "dev", "dev", "held-out"]
    assert chosen_tasks("dev", KNOWN) == ("lcbench:1", "lcbench:3", "taskset:1")
    assert chosen_tasks("held-out", KNOWN) == ("lcbench:2", "taskset:2")
    assert chosen_tasks("taskset", KNOWN) == KNOWN[3:] and chosen_tasks("all", KNOWN) == KNOWN
    assert chosen_tasks("lcbench:2,taskset:1", KNOWN) == ("lcbench:2", "taskset:1")


def test_names_are_ours_or_a_peers():
    assert not set(OURS) & set(PEERS)
    names, algorithms = named_tuners("asha,random,mine,asha+gp", {"mine": {"searcher": "halton"}})
    assert names == ("asha", "random", "mine", "asha+gp")
    assert algorithms == {
        "asha": {"scheduler": "asha", "searcher": "random"},
        "mine": {"searcher": "halton"},
        "asha+gp": {"scheduler": "asha", "searcher": "gp"},
    }


@pytest.mark.parametrize("name", [name for name in OURS if isinstance(OURS[name], dict)])
def test_ours_are_made_as_study_files_make_them(name):
    task = tasks()["lcbench:167104"]
    found = study(task, OURS[name], seed=3)
    assert (found.scheduler["name"], found.searcher["name"]) == tuple(OURS[name].values())
    assert found.space == study(task, OURS["asha"], seed=3).space and len(found.space) == 7
    assert found.seed == 3 and found.limits.total_resource is None
    assert found.resource.rungs == ((50,) if found.scheduler["name"] == "none" else RUNGS)
    assert found.resource.milestones == (RUNGS[:-1] if name == "asha-stopping" else ())


@pytest.mark.parametrize("name", sorted(PEERS))
def test_a_peers_module_can_be_imported_without_the_peer(name):
    peer = PEERS[name]
    maker = peer.maker()
    assert (
        callable(maker.ask) and callable(maker.tell) and (peer.environment is None) == (maker.package is None)
    )
    assert peer.environment in (None, *ENVIRONMENTS)


def test_a_childs_process_needs_numpy_alone():
    code = (
        "import sys; before = set(sys.modules)\n"
        "import tests.benchmarks.quality.child as child\n"
        "[peer.maker() for peer in child.PEERS.values()]\n"
        "files = {name: getattr(sys.modules[name], '__file__', None) or '' for name in set(sys.modules) - before}\n"
        "print(sorted({name.partition('.')[0] for name, file in files.items() if 'site-packages' in file}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['numpy']"
