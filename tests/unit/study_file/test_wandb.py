"""W&B sweep files, as they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hpo_pipe.study_file import default_timing, read_study_file, read_study_mapping
from storage_schema.errors import StudyFileError
from storage_schema.records import Limits, Study

SWEEP = """
program: train.py
method: bayes
metric:
  name: validation_loss
  goal: minimize
parameters:
  learning_rate:
    min: 0.0001
    max: 0.1
  optimizer:
    values: ["adam", "sgd"]
"""

LOGGED = (
    "metric: wandb.log is not read here: report 'validation_loss' with hpo_pipe.trial, or print it and add "
    "metric.pattern, as in 'validation_loss: ([0-9.e+-]+)'"
)


def read(tmp_path, text):
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    return read_study_file(path)


def refused(tmp_path, text):
    with pytest.raises(StudyFileError) as caught:
        read(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path}/", "").split("\n")


def test_the_first_sweep_of_everybody(tmp_path):
    draft = read(tmp_path, SWEEP)
    assert draft.name == "sweep"
    assert draft.program.command == ("/usr/bin/env", "python", "train.py", "{args}")
    assert draft.space.to_json() == [
        {"name": "learning_rate", "type": "float", "min": 0.0001, "max": 0.1},
        {"name": "optimizer", "type": "categorical", "values": ["adam", "sgd"]},
    ]
    assert (draft.searcher["name"], draft.scheduler, draft.resource) == ("gp", {"name": "none"}, None)
    assert draft.notes == (
        LOGGED,
        "no limit is set: the study ends after 100 trials ([limits] trials)",
    )
    study = draft.study(token="t", created_at=0.0, seed=1, proof={}, timing=default_timing("s3://b"))
    assert Study.from_bytes(study.to_bytes()) == study


DISTRIBUTIONS = """
program: train.py
method: random
name: A nightly Sweep!
project: p
description: d
run_cap: 30
metric: {name: acc, goal: maximize, target: 0.95}
parameters:
  epochs: {value: 27}
  fc_layer_size: {values: [128, 256, 512]}
  dropout: {distribution: uniform, min: 0, max: 0.5}
  layers: {min: 1, max: 4}
  batch_size: {distribution: q_log_uniform_values, q: 8, min: 32, max: 256}
  lr: {distribution: log_uniform_values, min: 1e-5, max: 1e-1}
  decay: {distribution: log_uniform, min: 0, max: 1}
  width: {distribution: q_uniform, min: 3, max: 30, q: 5}
  gain: {distribution: q_uniform, min: 0.05, max: 0.95, q: 0.1}
  seed: {distribution: int_uniform, min: 0, max: 9}
  fixed: {distribution: constant, value: [1, 2]}
"""


def test_distributions(tmp_path):
    draft = read(tmp_path, DISTRIBUTIONS)
    assert draft.space.to_json() == [
        {"name": "epochs", "type": "constant", "value": 27},
        {"name": "fc_layer_size", "type": "categorical", "values": [128, 256, 512]},
        {"name": "dropout", "type": "float", "min": 0.0, "max": 0.5},
        {"name": "layers", "type": "int", "min": 1, "max": 4},
        {"name": "batch_size", "type": "int", "min": 32, "max": 256, "log": True, "step": 8},
        {"name": "lr", "type": "float", "min": 1e-5, "max": 0.1, "log": True},
        {"name": "decay", "type": "float", "min": 1.0, "max": pytest.approx(2.718281828), "log": True},
        {"name": "width", "type": "int", "min": 5, "max": 30, "step": 5},
        {"name": "gain", "type": "float", "min": 0.1, "max": 0.9, "step": 0.1},
        {"name": "seed", "type": "int", "min": 0, "max": 9},
        {"name": "fixed", "type": "constant", "value": [1, 2]},
    ]
    assert draft.name == "a-nightly-sweep"
    assert draft.limits == Limits(trials=30, target=0.95)
    assert (draft.metrics[0].name, draft.metrics[0].goal) == ("acc", "maximize")
    assert draft.notes == (
        "name: 'A nightly Sweep!' becomes 'a-nightly-sweep'",
        LOGGED.replace("validation_loss", "acc"),
        "project, description: not used by hpo-pipe",
    )


@pytest.mark.parametrize(
    ("hyperband", "rungs", "eta"),
    [
        ("{type: hyperband, s: 2, eta: 3, max_iter: 27}", (3, 9, 27), 3),
        ("{type: hyperband, min_iter: 3}", (3, 9, 27, 81), 3),
        ("{type: hyperband, min_iter: 2, max_iter: 16, eta: 2, strict: true}", (2, 4, 8, 16), 2),
        ("{type: hyperband, max_iter: 10}", (10,), 3),
    ],
)
def test_hyperband_is_read_as_asha(tmp_path, hyperband, rungs, eta):
    draft = read(tmp_path, SWEEP + f"early_terminate: {hyperband}\n")
    assert draft.resource.rungs == rungs
    assert draft.scheduler == {"name": "asha", "eta": eta, "brackets": 1, "adaptive_grace": False}
    assert any(note.startswith("early_terminate: read as ASHA") for note in draft.notes)


def test_commands(tmp_path):
    arguments = (
        '"${env}", "${interpreter}", "-m", "${program}", "{1}", "--d=${envvar:DATA}/x", "${args_json}"'
    )
    command = f"command: [{arguments}]\n"
    draft = read(tmp_path, SWEEP + command)
    assert draft.program.command == (
        "/usr/bin/env",
        "python",
        "-m",
        "train.py",
        "{{1}}",
        "--d={envvar:DATA}/x",
        "{args_json}",
    )
    draft = read(tmp_path, SWEEP + 'command: ["./a.sh", "${args_no_hyphens}"]\n')
    assert draft.program.command == ("./a.sh", "{args_no_hyphens}")


def test_a_grid_needs_no_cap(tmp_path):
    draft = read(tmp_path, SWEEP.replace("bayes", "grid"))
    assert (draft.searcher["name"], draft.limits, draft.notes) == ("grid", Limits(), (LOGGED,))


def test_a_program_that_prints_its_metric_needs_one_line_more(tmp_path):
    draft = read(tmp_path, SWEEP.replace("  goal:", "  pattern: 'val: ([0-9.]+)'\n  goal:"))
    assert draft.program.metric_patterns == (("validation_loss", "val: ([0-9.]+)"),)
    assert LOGGED not in draft.notes


PRIORS = """
program: train.py
method: random
metric: {name: acc}
parameters:
  gain: {distribution: normal, mu: 3, sigma: 0.5}
  lr: {distribution: log_normal, mu: -7, sigma: 1}
  width: {distribution: q_normal, mu: 100, sigma: 20, q: 8}
  decay: {distribution: q_log_normal, mu: 3, sigma: 0.5, q: 1}
  small: {distribution: inv_log_uniform, min: 2, max: 5}
  other: {distribution: inv_log_uniform_values, min: 1e-3, max: 1}
  act: {values: [relu, tanh, gelu], probabilities: [0.7, 0.3, 0]}
  opt:
    parameters:
      name: {value: sgd}
      inner:
        parameters:
          momentum: {min: 0.5, max: 0.9}
"""


def test_normal_distributions_nested_parameters_and_probabilities(tmp_path):
    draft = read(tmp_path, PRIORS)
    approx = pytest.approx
    assert draft.space.to_json() == [
        {"name": "gain", "type": "float", "min": 1.0, "max": 5.0, "prior": {"value": 3.0, "confidence": 0.875}},
        {"name": "lr", "type": "float", "min": approx(1.67e-5, rel=1e-3), "max": approx(0.0498, rel=1e-3),
         "log": True, "prior": {"value": approx(math.exp(-7)), "confidence": 0.875}},
        {"name": "width", "type": "int", "min": 24, "max": 176, "step": 8,
         "prior": {"value": 104, "confidence": 0.875}},
        {"name": "decay", "type": "int", "min": 3, "max": 148, "log": True,
         "prior": {"value": 20, "confidence": approx(1 - 0.5 / math.log(148.5 / 2.5), abs=1e-6)}},
        {"name": "small", "type": "float", "min": approx(math.exp(-5)), "max": approx(math.exp(-2)), "log": True},
        {"name": "other", "type": "float", "min": 1e-3, "max": 1.0, "log": True},
        {"name": "act", "type": "categorical", "values": ["relu", "tanh"], "probabilities": [0.7, 0.3]},
        {"name": "opt.name", "type": "constant", "value": "sgd"},
        {"name": "opt.inner.momentum", "type": "float", "min": 0.5, "max": 0.9},
    ]  # fmt: skip
    assert draft.notes[1:-1] == (
        "nested parameters are named by their path, as in --opt.name=...",
        "parameters.gain: normal: cut off at 4 sigma",
        "parameters.lr: log_normal: cut off at 4 sigma",
        "parameters.width: normal: cut off at 4 sigma, and centred on 104",
        "parameters.decay: log_normal: cut off at 4 sigma, and centred on 20",
        "parameters.act: values of probability 0 are left out: 'gelu'",
    )


@pytest.mark.parametrize(
    ("table", "distribution"),
    [
        ("{distribution: normal, mu: 3, sigma: 0.5}", stats.norm(3, 0.5)),
        ("{distribution: log_normal, mu: -7, sigma: 1}", stats.lognorm(1, scale=math.exp(-7))),
        ("{distribution: inv_log_uniform, min: 2, max: 5}", stats.loguniform(math.exp(-5), math.exp(-2))),
        ("{distribution: q_normal, mu: 100, sigma: 20, q: 0.1}", stats.norm(100, 20)),
        ("{distribution: q_log_normal, mu: 3, sigma: 0.5, q: 0.01}", stats.lognorm(0.5, scale=math.exp(3))),
    ],
)
def test_draws_have_the_distribution_that_wandb_draws_from(tmp_path, table, distribution):
    space = read(
        tmp_path, f"program: t.py\nmethod: random\nmetric: {{name: acc}}\nparameters: {{x: {table}}}\n"
    ).space
    uniform = np.random.Generator(np.random.PCG64(3)).random((2000, 1))
    drawn = [space.decode(point)["x"] for point in space.from_prior(uniform)]
    assert stats.kstest(drawn, distribution.cdf).pvalue > 0.01


DISTRIBUTION_NAMES = (
    "constant, categorical, categorical_w_probabilities, int_uniform, uniform, q_uniform, log_uniform, "
    "log_uniform_values, inv_log_uniform, inv_log_uniform_values, q_log_uniform, q_log_uniform_values, normal, "
    "q_normal, log_normal, q_log_normal"
)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("method: bayes", "method: byes", "method is 'byes', expected random or grid or bayes (did you mean 'bayes'?)"),
        ("goal: minimize", "goal: min", "metric.goal is 'min', expected minimize or maximize"),
        ("min: 0.0001", "minimum: 0", "parameters.learning_rate.minimum is not known (did you mean 'min'?), "
         "allowed: value, values, probabilities, min, max, q, mu, sigma, distribution, parameters"),
        ("min: 0.0001\n", "\n", "parameters.learning_rate has none of value, values, or min and max"),
        ("min: 0.0001", "distribution: beta\n    mu: 0",
         f"parameters.learning_rate.distribution is 'beta', expected one of {DISTRIBUTION_NAMES}"),
        ("min: 0.0001", "distribution: normal\n    sigma: -1",
         "parameters.learning_rate.sigma is -1, expected a number greater than 0"),
        ("min: 0.0001", "distribution: normal\n    mu: x",
         "parameters.learning_rate.mu is 'x', expected a number"),
        ("min: 0.0001", "distribution: log_normal\n    mu: 999", "parameters.learning_rate: mu and sigma are "
         "those of the natural logarithm, and these are too large"),
        ("min: 0.0001", "distribution: unifrom",
         f"parameters.learning_rate.distribution is 'unifrom', expected one of {DISTRIBUTION_NAMES} "
         "(did you mean 'uniform'?)"),
        ("min: 0.0001", "distribution: uniform", "parameters.learning_rate.min is missing, uniform needs it"),
        ("min: 0.0001", "min: low", "parameters.learning_rate.min is 'low', expected a number"),
        ("min: 0.0001", "min: 1", "parameters.learning_rate.max is 0.1, expected a number of at least min (1.0)"),
        ("min: 0.0001", "min: 0.01\n    distribution: q_uniform\n    q: 3",
         "parameters.learning_rate: no multiple of q (3) lies between min and max"),
        ("min: 0.0001", "min: 0.01\n    distribution: q_log_uniform_values\n    q: 3",
         "parameters.learning_rate: no multiple of q (3) lies between min and max"),
        ("min: 0.0001", "min: 800\n    distribution: log_uniform", "parameters.learning_rate: min and max are "
         "natural logarithms in log_uniform; log_uniform_values takes the values"),
        ("  optimizer:", "  nested:\n    parameters: {a: {value: 1}}\n    value: 3\n  optimizer:",
         "parameters.nested.parameters is a table, expected a table of parameters, and nothing beside it"),
        ("  optimizer:", "  a.b: {value: 1}\n  a:\n    parameters: {b: {value: 1}}\n  optimizer:",
         "parameters.a.parameters.b is there twice, expected different names"),
        ("values: [", "probabilities: [0.1]\n    values: [",
         "parameters.optimizer.probabilities is [0.1], expected 2 numbers greater than 0, one for each value"),
        ("program: train.py\n", "", "program is missing, and command uses ${program}"),
        ("program: train.py", "program: train.py\ncommand: ['${progam}']",
         "command is '${progam}', expected one of interpreter, env, program, args, args_no_hyphens, args_json, "
         "envvar:NAME (did you mean 'program'?)"),
        ("program: train.py", "program: train.py\ncommand: ['a${args}']",
         "command[0] is 'a{args}', expected {args} as an argument of its own"),
        ("program: train.py", "program: train.py\nearly_terminate: {type: hyperband}",
         "early_terminate.min_iter is missing, expected min_iter, or max_iter and s"),
        ("program: train.py", "program: train.py\nearly_terminate: {type: hyperband, min_iter: 9, max_iter: 3}",
         "early_terminate.max_iter is 3, expected at least min_iter (9)"),
        ("program: train.py", "program: train.py\nrun_cap: 0", "run_cap is 0, expected an integer of at least 1"),
        ("program: train.py", "program: train.py\nlaunch: {}", "launch: not part of hpo-pipe; remove it"),
        ("program: train.py", "program: train.py\nrun_kap: 3", "run_kap is not known (did you mean 'run_cap'?), "
         "allowed: program, command, method, metric, parameters, early_terminate, run_cap, name"),
        ("metric:\n  name: validation_loss\n  goal: minimize\n", "",
         "metric is missing, expected a table with name and goal: trials are ranked by it"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path, old, new, message):
    assert old in SWEEP
    text = SWEEP.replace(old, new, 1)
    assert refused(tmp_path, text) == [f"sweep.yaml: {message}"]


def test_several_mistakes_are_told_together(tmp_path):
    text = SWEEP.replace("bayes", "byes").replace("goal: min", "gaol: min").replace("values:", "value_s:")
    assert len(refused(tmp_path, text)) == 3


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
KEYS = ["value", "values", "min", "max", "q", "distribution", "type", "log", "step", "grid_points", "goal", "name",
        "eta", "min_iter", "max_iter", "s", "target"]  # fmt: skip
TABLES = st.dictionaries(st.sampled_from(KEYS), VALUES | st.sampled_from(["int", "float", "q_uniform", "log_uniform",
                         "ordinal", "categorical", "q_log_uniform_values", "hyperband"]), max_size=5)  # fmt: skip


@given(
    st.booleans(), TABLES, st.sampled_from(["metric", "early_terminate", "resource", "limits", "x"]), TABLES
)
def test_no_table_crashes_the_reader(sweep, parameter, name, table):
    raw = {
        "metric": {"name": "loss"},
        "parameters": {"a": parameter},
        "command": ["x"],
        name: table,
        **({"method": "random"} if sweep else {}),
    }
    try:
        read_study_mapping(raw, "f")
    except StudyFileError as error:
        assert all(line.startswith("f: ") for line in str(error).split("\n"))
