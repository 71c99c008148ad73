"""Study files as they are meant: TOML, YAML, the template, and what is filled in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_pipe.options import read_options
from hpo_pipe.schedulers.full_training import FullTraining
from hpo_pipe.searchers.grid import GridSearcher
from hpo_pipe.study_file import default_timing, read_study_file, read_study_mapping, study_template
from hpo_pipe.study_file.combinations import COMBINATIONS
from hpo_pipe.study_file.tables import LimitsTable
from hpo_pipe.view import View
from storage_schema.errors import StudyFileError, UserError
from storage_schema.history import History
from storage_schema.records import Limits, Study, Timing

MINIMAL = {
    "command": "python train.py --lr {lr} '--name=a b'",
    "metric": {"name": "loss"},
    "parameters": {"lr": {"type": "float", "min": 1e-4, "max": 0.1}},
}


def study_of(draft, url="file:///x") -> Study:
    return draft.study(token="t", created_at=1.0, seed=5, proof={"a": 1}, timing=default_timing(url))


def test_defaults_without_a_resource():
    draft = read_study_mapping(MINIMAL, "my Study.toml")
    assert draft.name == "my-study"
    assert draft.program.command == ("python", "train.py", "--lr", "{lr}", "--name=a b")
    assert (draft.scheduler, draft.resource) == ({"name": "none"}, None)
    assert draft.searcher == {"name": "auto", "initial": None, "random_share": 0.2}
    assert draft.limits == Limits(trials=100)
    assert draft.notes == ("no limit is set: the study ends after 100 trials ([limits] trials)",)


def test_defaults_with_a_resource():
    draft = read_study_mapping({**MINIMAL, "resource": {"max": 52}})
    assert draft.scheduler == {"name": "asha", "eta": 3, "brackets": 1, "adaptive_grace": True}
    assert draft.searcher["name"] == "auto"
    assert draft.resource.rungs == (1, 3, 9, 27, 52)
    assert draft.resource.name == "epoch"


def test_full_training_has_one_rung():
    draft = read_study_mapping({**MINIMAL, "resource": {"max": 52}, "algorithm": "none"})
    assert (draft.scheduler, draft.resource.rungs) == ({"name": "none"}, (52,))


def test_a_bare_searcher_and_options():
    draft = read_study_mapping({**MINIMAL, "algorithm": "random"})
    assert (draft.scheduler["name"], draft.searcher["name"]) == ("none", "random")
    draft = read_study_mapping(
        {**MINIMAL, "algorithm": {"searcher": "grid", "shuffle": True, "brackets": 2}, "resource": {"max": 9}}
    )
    assert draft.searcher == {"name": "grid", "shuffle": True}
    assert draft.scheduler == {"name": "asha", "eta": 3, "brackets": 2, "adaptive_grace": True}


def test_a_scheduler_alone_is_what_the_field_calls_by_its_name():
    draft = read_study_mapping({**MINIMAL, "resource": {"max": 9}, "algorithm": "asha"})
    assert draft.scheduler == {"name": "asha", "eta": 3, "brackets": 1, "adaptive_grace": False}
    assert draft.searcher == {"name": "sobol"}


@pytest.mark.parametrize("name", COMBINATIONS)
def test_a_name_stands_for_a_scheduler_and_a_searcher(name):
    def chosen(algorithm):
        draft = read_study_mapping({**MINIMAL, "resource": {"max": 27}, "algorithm": algorithm})
        return draft.scheduler, draft.searcher, draft.resource

    bare = chosen(name)
    assert bare == chosen({"name": name}) == chosen(dict(COMBINATIONS[name]) or None)
    meant = COMBINATIONS[name]
    assert bare[0]["name"] == meant.get("scheduler", "asha")
    assert bare[1]["name"] == meant.get("searcher", "auto")


def test_a_name_takes_the_options_of_both():
    algorithm = {"name": "async_bohb", "num_samples": 32, "brackets": 2}
    draft = read_study_mapping({**MINIMAL, "resource": {"max": 27}, "algorithm": algorithm})
    assert (draft.scheduler["brackets"], draft.searcher["num_samples"]) == (2, 32)


def test_a_grid_ends_by_itself():
    draft = read_study_mapping({**MINIMAL, "algorithm": "grid"})
    assert (draft.limits, draft.notes) == (Limits(), ())


def test_several_metrics_the_first_one_is_the_objective():
    metrics = [{"name": "loss", "pattern": "loss=(.*)"}, {"name": "accuracy", "goal": "maximize"}]
    draft = read_study_mapping({**MINIMAL, "metric": metrics})
    assert [(m.name, m.goal) for m in draft.metrics] == [("loss", "minimize"), ("accuracy", "maximize")]
    assert draft.program.metric_patterns == (("loss", "loss=(.*)"),)
    assert study_of(draft).objective.name == "loss"


def test_goals_make_objectives_and_bounds_make_constraints():
    metrics = [
        {"name": "loss"},
        {"name": "accuracy", "goal": "maximize", "min": 0.5},
        {"name": "latency", "max": 20},
        {"name": "seen"},
    ]
    draft = read_study_mapping({**MINIMAL, "metric": metrics})
    study = study_of(draft)
    assert [m.name for m in study.objectives] == ["loss", "accuracy"]
    assert [m.name for m in study.bounded] == ["accuracy", "latency"]
    assert not study.plain and study_of(read_study_mapping(MINIMAL)).plain
    assert Study.from_bytes(study.to_bytes()) == study


def test_bounds_that_nothing_keeps_are_refused():
    with pytest.raises(StudyFileError, match=r"metric.max is 1.0, expected at least min \(2\)"):
        read_study_mapping({**MINIMAL, "metric": {"name": "loss", "min": 2, "max": 1}})


@pytest.mark.parametrize("more", [{"max": 1}, {"goal": "minimize"}])
def test_a_scheduler_that_knows_one_objective_says_so(more):
    metrics = [{"name": "loss"}, {"name": "size", **more}]
    tables = {**MINIMAL, "metric": metrics, "resource": {"max": 9}, "algorithm": {"scheduler": "median"}}
    with pytest.raises(StudyFileError, match="median does not cope with several objectives"):
        read_study_mapping(tables)


def test_limits_of_progress():
    draft = read_study_mapping({**MINIMAL, "limits": {"not_improving": 30, "convergence": 0.02}})
    assert draft.limits == Limits(not_improving=30, convergence=0.02)
    assert Limits(not_improving=30, convergence=0.02).to_json() == {"not_improving": 30, "convergence": 0.02}


def test_whole_floats_are_integers_where_integers_are_wanted():
    draft = read_study_mapping({**MINIMAL, "resource": {"max": 1e5, "min": 1e3, "eta": 10}})
    assert draft.resource.rungs == (1000, 10000, 100000)
    assert all(type(level) is int for level in draft.resource.rungs)


def test_seed_of_the_file_comes_before_the_drawn_one():
    assert study_of(read_study_mapping(MINIMAL)).seed == 5
    assert study_of(read_study_mapping({**MINIMAL, "seed": 9})).seed == 9


def test_constants_and_enqueued():
    parameters = {
        **MINIMAL["parameters"],
        "momentum": 0.9,
        "name": "x",
        "flag": True,
        "none": {"type": "constant", "value": None},
    }
    draft = read_study_mapping({**MINIMAL, "parameters": parameters, "enqueue": [{"lr": 0.01}, {}]})
    assert draft.enqueued == ({"lr": 0.01}, {})
    assert draft.space.check({"lr": 0.01})["none"] is None
    assert len(draft.space.dimensions) == 1


@pytest.mark.parametrize(
    ("url", "timing"),
    [
        ("file:///x", Timing(flush_s=2.0, lease_s=20.0, tick_s=1.0)),
        ("s3://b/x", Timing(flush_s=60.0, lease_s=240.0, tick_s=10.0)),
    ],
)
def test_times_suit_the_store(url, timing):
    assert study_of(read_study_mapping(MINIMAL), url).timing == timing


def test_times_of_the_file():
    worker = {"flush": "10s", "lease": "1min", "tick": 3, "grace": "2min", "retries": 5, "max_attempts": 7}
    study = study_of(read_study_mapping({**MINIMAL, "worker": worker}), "s3://b/x")
    assert study.timing == Timing(flush_s=10.0, lease_s=60.0, tick_s=3.0, grace_s=120.0)
    assert (study.retries, study.max_attempts) == (5, 7)


def test_a_lease_that_one_lost_heartbeat_breaks_is_refused():
    draft = read_study_mapping({**MINIMAL, "worker": {"lease": 30}}, "s.toml")
    study_of(draft, "file:///x")
    with pytest.raises(StudyFileError) as caught:
        study_of(draft, "s3://b/x")
    message = "s.toml: worker.lease is 30 s, expected at least 3 times worker.flush (60 s)"
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("given_", "seconds"),
    [
        (90, 90),
        (1.5, 1.5),
        ("90", 90),
        ("90s", 90),
        ("1.5 min", 90),
        ("15m", 900),
        ("2h", 7200),
        ("1d", 86400),
    ],
)
def test_durations(given_, seconds):
    assert read_options(LimitsTable, {"wall_time": given_}, "f", "limits").wall_time == seconds


YAML = """
name: yaml
command: [python, train.py]
metric: {name: loss, goal: maximize}
parameters:
  lr: {type: float, min: 1e-4, max: 1E-1, log: true}
  size: {type: ordinal, values: &sizes [32, 64]}
  other: {type: categorical, values: *sizes}
  norway: {type: categorical, values: [no, yes, on]}
resource: {max: 1e2, eta: 10}
limits: {wall_time: 2h}
"""


def test_yaml_is_yaml_1_2(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(YAML)
    draft = read_study_file(path)
    lr, _, other, norway = draft.space.parameters
    assert (lr.min, lr.max) == (1e-4, 0.1)
    assert other.values == (32, 64)
    assert norway.values == ("no", "yes", "on")
    assert draft.resource.rungs == (1, 10, 100)
    assert draft.limits.wall_s == 7200.0


def test_json_is_read_too(tmp_path):
    path = tmp_path / "study.json"
    path.write_text('{"function": "a:b", "metric": {"name": "x"}, "parameters": {"b": {"type": "bool"}}}')
    assert read_study_file(path).program.function == "a:b"


@given(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,62}", fullmatch=True))
def test_the_template_is_a_study_file(tmp_path_factory, name):
    path = tmp_path_factory.mktemp("template") / "study.toml"
    path.write_text(study_template(name))
    study = study_of(read_study_file(path))
    assert study.name == name
    assert Study.from_bytes(study.to_bytes()) == study


def test_everything_that_the_template_comments_out_is_right(tmp_path):
    """Take the hash off every line that is a setting: each one must be understood."""
    plain, tables = [], []
    for line in study_template("a").splitlines():
        bare = line.removeprefix("# ")
        if line.startswith("# ") and (bare.startswith("[") or " = " in bare.split("#")[0]):
            tables.append(bare)
        plain.append(line)
    settings = "\n".join(tables)
    for name in (
        "grid_points",
        "pattern",
        "seed",
        "gpu_hours",
        "cost",
        "retries",
        "lease",
        "OMP_NUM_THREADS",
        "[[enqueue]]",
    ):
        assert name in study_template("a")
    worker = settings[settings.index("[worker]") :]
    path = tmp_path / "study.toml"
    path.write_text("\n".join(plain) + "\n" + worker)
    draft = read_study_file(path)
    assert draft.timing == {"flush_s": 60.0, "lease_s": 240.0, "tick_s": 10.0, "grace_s": 30.0}
    assert draft.program.environment == (("OMP_NUM_THREADS", "1"),)
    assert draft.enqueued == ({"lr": 0.01, "layers": 2},)


def test_conditions_priors_and_what_is_forbidden_in_the_template(tmp_path):
    path = tmp_path / "study.toml"
    lines = study_template("a").splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("# beta2"))
    end = lines.index("# layers = { min = 4 }")
    path.write_text(
        "\n".join(
            [*lines[:begin], *(line.removeprefix("# ") for line in lines[begin : end + 1]), *lines[end + 1 :]]
        )
    )
    space = read_study_file(path).space
    assert {name: str(clause) for name, clause in space.conditions.items()} == {
        "beta2": "optimizer = 'adam'",
        "width2": "layers >= 2",
    }
    assert set(space.priors) == {"decay", "optimizer"}
    assert [str(clause) for clause in space.forbidden] == ["batch_size = 128 and layers >= 4"]


def test_spaces_of_studies_come_back_from_their_records(tmp_path):
    parameters = {
        "opt": {"type": "categorical", "values": ["sgd", "adam"], "probabilities": [1, 3]},
        "lr": {"type": "float", "min": 1e-4, "max": 1, "log": True, "prior": {"value": 0.01}},
        "mom": {"type": "float", "min": 0.5, "max": 0.99, "scale": "reverse-log", "when": {"opt": "sgd"}},
    }
    forbidden = [{"opt": ["adam"], "lr": {"min": 0.5}}]
    draft = read_study_mapping({**MINIMAL, "command": "a", "parameters": parameters, "forbidden": forbidden})
    study = Study.from_bytes(study_of(draft).to_bytes())
    assert View.of(History(study)).space == draft.space
    assert study.constraints == {"forbidden": [{"opt": "adam", "lr": {"min": 0.5}}]}


def test_enqueued_configurations_lose_what_is_inactive():
    parameters = {
        "opt": {"type": "categorical", "values": ["sgd", "adam"]},
        "mom": {"type": "float", "min": 0, "max": 1, "when": {"opt": "sgd"}},
    }
    wishes = [{"opt": "adam", "mom": 0.5}, {"mom": 0.5}]
    draft = read_study_mapping({**MINIMAL, "command": "a", "parameters": parameters, "enqueue": wishes})
    assert draft.enqueued == ({"opt": "adam"}, {"mom": 0.5})


def test_what_an_algorithm_does_not_cope_with_is_said_at_creation(monkeypatch):
    conditional = {"a": {"type": "bool"}, "b": {"type": "bool", "when": {"a": True}, "probabilities": [1, 2]}}
    study = {**MINIMAL, "command": "a", "parameters": conditional, "algorithm": {"searcher": "grid"}}
    assert "algorithm.searcher: grid makes no use of priors" in read_study_mapping(study).notes
    monkeypatch.setattr(GridSearcher, "copes_with_conditions", False, raising=False)
    with pytest.raises(StudyFileError, match="grid does not cope with conditional parameters"):
        read_study_mapping(study)
    monkeypatch.undo()
    monkeypatch.setattr(FullTraining, "copes_with_forbidden", False, raising=False)
    read_study_mapping(study)
    with pytest.raises(StudyFileError, match=r"algorithm\.scheduler is 'none', .* forbidden combinations"):
        read_study_mapping({**study, "forbidden": [{"a": False}]})


def test_a_template_for_a_bad_name_is_refused():
    with pytest.raises(UserError, match="study name"):
        study_template("A B")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(
        [
            "name",
            "command",
            "function",
            "metric",
            "parameters",
            "resource",
            "algorithm",
            "limits",
            "worker",
            "environment",
            "enqueue",
            "seed",
            "method",
        ]
    ),
)
def test_no_value_crashes_the_reader(value, key):
    try:
        read_study_mapping({**MINIMAL, key: value})
    except StudyFileError as error:
        assert str(error).startswith("study: ")
