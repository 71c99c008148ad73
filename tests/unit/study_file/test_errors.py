"""Every mistake is named: file, key, what was found, what is allowed, the nearest right name."""

from __future__ import annotations

import pytest

from hpo_pipe.schedulers import SCHEDULERS
from hpo_pipe.searchers import SEARCHERS
from hpo_pipe.study_file import read_study_file
from hpo_pipe.study_file.combinations import COMBINATIONS
from storage_schema.errors import StudyFileError

GOOD = """
command = ["python", "train.py", "--lr={lr}"]
[metric]
name = "val_loss"
[parameters]
lr = { type = "float", min = 1e-4, max = 1e-1, log = true }
[resource]
max = 27
[limits]
trials = 40
"""

LR = 'lr = { type = "float", min = 1e-4, max = 1e-1, log = true }'
COMMAND = 'command = ["python", "train.py", "--lr={lr}"]'
TOP = (
    "name, command, function, layout, metric, parameters, forbidden, resource, algorithm, limits, worker, environment, "
    "enqueue, warm_start, seed"
)
FLOAT = "name, min, max, log, step, grid_points, scale"
TYPES = "float or int or categorical or ordinal or bool or constant"

MISTAKES = {
    # what is replaced in GOOD, by what, and the message without the file's name
    ("name of a table", "[limits]", "[limit]"): [f"limit is not known (did you mean 'limits'?), allowed: {TOP}"],
    ("study name", COMMAND, f'name = "A B"\n{COMMAND}'): [
        "name: study name 'A B': allowed are 1 to 63 of a-z, 0-9 and ._-, starting with a-z or 0-9"
    ],
    ("seed", COMMAND, f"seed = -1\n{COMMAND}"): [
        "seed is -1, expected an integer from 0 to 4611686018427387904"
    ],
    ("no command", COMMAND, ""): [
        'command and function are both missing, expected one of them: command = ["python", "train.py"] or '
        'function = "train:main"'
    ],
    ("command and function", COMMAND, f'function = "train:main"\n{COMMAND}'): [
        'command and function are both there, expected one of them: command = ["python", "train.py"] or '
        'function = "train:main"'
    ],
    ("function", COMMAND, 'function = "train.py"'): [
        "function is 'train.py', expected module:name, as in train:main"
    ],
    ("empty command", COMMAND, "command = []"): [
        'command is [], expected a list of arguments such as ["python", "train.py"], or one line'
    ],
    ("quotes", COMMAND, 'command = "python \'train.py"'): [
        "command is \"python 'train.py\", expected matching quotes (No closing quotation)"
    ],
    ("argument", COMMAND, 'command = ["python", 3]'): ["command[1] is 3, expected a string"],
    ("placeholder", COMMAND, 'command = ["x", "{lrr}"]'): [
        "command[1] is '{lrr}', expected one of lr, args, args_no_hyphens, args_json between braces "
        "(did you mean 'lr'?), or {{ and }} for braces"
    ],
    ("lone brace", COMMAND, 'command = ["x", "{lr}}"]'): [
        "command[1] is '{lr}}', expected a parameter between braces, or }} for a brace"
    ],
    ("args in a word", COMMAND, 'command = ["x", "--a {args}"]'): [
        "command[1] is '--a {args}', expected {args} as an argument of its own"
    ],
    ("no metric", '[metric]\nname = "val_loss"', ""): [
        'metric is missing, expected a table: [metric] with name = "val_loss"'
    ],
    ("metric's key", 'name = "val_loss"', 'nmae = "val_loss"'): [
        "metric.nmae is not known (did you mean 'name'?), allowed: name, goal, min, max, pattern",
        "metric.name is missing, expected a string",
    ],
    ("goal", 'name = "val_loss"', 'name = "val_loss"\ngoal = "minimise"'): [
        "metric.goal is 'minimise', expected minimize or maximize (did you mean 'minimize'?)"
    ],
    ("pattern", 'name = "val_loss"', 'name = "val_loss"\npattern = "loss (.*) (.*)"'): [
        "metric.pattern is 'loss (.*) (.*)', expected one group, around the number"
    ],
    ("regular expression", 'name = "val_loss"', 'name = "val_loss"\npattern = "loss ("'): [
        "metric.pattern is 'loss (', expected a regular expression (missing ), unterminated subpattern at position 5)"
    ],
    ("two of a name", '[metric]\nname = "val_loss"', '[[metric]]\nname = "a"\n[[metric]]\nname = "a"'): [
        "metric is ['a', 'a'], expected different names"
    ],
    ("parameter as a list", LR, f"{LR}\nsize = [1, 2]"): [
        'parameters.size is [1, 2], expected { type = "categorical", values = [...] } for a choice, '
        '{ type = "constant", value = [...] } else'
    ],
    ("type", LR, f'{LR}\nx = {{ type = "flaot", min = 0, max = 1 }}'): [
        f"parameters.x.type is 'flaot', expected {TYPES} (did you mean 'float'?)"
    ],
    ("no type", LR, f"{LR}\nx = {{ min = 0, max = 1 }}"): [f"parameters.x.type is missing, expected {TYPES}"],
    ("parameter's key", LR, f'{LR}\nx = {{ type = "float", min = 0, maxx = 1 }}'): [
        f"parameters.x.maxx is not known (did you mean 'max'?), allowed: {FLOAT}",
        "parameters.x.max is missing, expected a number",
    ],
    ("text for a number", LR, f'{LR}\nx = {{ type = "float", min = "0", max = 1 }}'): [
        "parameters.x.min is '0', expected a number"
    ],
    ("min and max", LR, f'{LR}\nx = {{ type = "int", min = 2, max = 1 }}'): [
        "parameters.x.max is 1, expected an integer of at least min (2)"
    ],
    ("log of zero", LR, f'{LR}\nx = {{ type = "float", min = 0, max = 1, log = true }}'): [
        "parameters.x.min is 0.0, expected a number greater than 0, because log = true"
    ],
    ("log of zero, int", LR, f'{LR}\nx = {{ type = "int", min = 0, max = 1, log = true }}'): [
        "parameters.x.min is 0, expected an integer of at least 1, because log = true"
    ],
    ("half an integer", LR, f'{LR}\nx = {{ type = "int", min = 0.5, max = 1 }}'): [
        "parameters.x.min is 0.5, expected an integer from -9007199254740992 to 9007199254740992"
    ],
    ("step", LR, f'{LR}\nx = {{ type = "float", min = 0, max = 1, step = 0 }}'): [
        "parameters.x.step is 0.0, expected a number greater than 0"
    ],
    ("infinity", LR, f'{LR}\nx = {{ type = "float", min = 0, max = inf }}'): [
        "parameters.x.max is inf, expected a number"
    ],
    ("values twice", LR, f'{LR}\nx = {{ type = "ordinal", values = [1, 2, 1] }}'): [
        "parameters.x.values is [1, 2, 1], expected different values (1 is there twice)"
    ],
    ("a date", LR, f'{LR}\nx = {{ type = "categorical", values = [2024-01-01] }}'): [
        "parameters.x.values is [datetime.date(2024, 1, 1)], expected strings, finite numbers, true, false, "
        "or arrays of them"
    ],
    ("conditions", LR, f'{LR}\nx = {{ type = "bool", when = "a" }}'): [
        "parameters.x.when is 'a', expected a table of parameters and values"
    ],
    ("condition on nothing", LR, f'{LR}\nx = {{ type = "bool", when = {{ a = 1 }} }}'): [
        "parameters.x.when is 'a', expected conditions on parameters: one of lr, x"
    ],
    ("condition on itself", LR, f'{LR}\nx = {{ type = "bool", when = {{ x = true }} }}'): [
        "parameters.x.when: x on x depend in a circle, expected none"
    ],
    ("circle", LR, f'{LR}\nx = {{ type = "bool", when = {{ y = true }} }}\n'
     'y = { type = "bool", when = { z = true } }\nz = { type = "bool", when = { y = true } }'): [
        "parameters.y.when: y on z on y depend in a circle, expected none"
    ],
    ("impossible value", LR, f'{LR}\ny = {{ type = "int", min = 1, max = 4, step = 3 }}\n'
     'x = { type = "bool", when = { y = [1, 2] } }'): [
        "parameters.x.when.y is 2, expected an integer from 1 to 4 in steps of 3"
    ],
    ("impossible range", LR, f'{LR}\nx = {{ type = "bool", when = {{ lr = {{ min = 0.2 }} }} }}'): [
        "parameters.x.when.lr is min = 0.2, max = any, expected a range that holds one of its values, "
        "from 0.0001 to 0.1"
    ],
    ("range between steps", LR, f'{LR}\ny = {{ type = "int", min = 1, max = 9, step = 4 }}\n'
     'x = { type = "bool", when = { y = { min = 2, max = 4 } } }'): [
        "parameters.x.when.y is min = 2, max = 4, expected a range that holds one of its values, from 1 to 9"
    ],
    ("range of names", LR, f'{LR}\ny = {{ type = "categorical", values = ["a", 1] }}\n'
     'x = { type = "bool", when = { y = { min = 1 } } }'): [
        "parameters.x.when.y is a table, expected a value or a list of values: it has no numbers to compare"
    ],
    ("value of a range", LR, f'{LR}\nx = {{ type = "bool", when = {{ lr = 0.01 }} }}'): [
        "parameters.x.when.lr is 0.01, expected a range {min, max}: it has no steps, and so hardly ever a "
        "given value"
    ],
    ("range's key", LR, f'{LR}\nx = {{ type = "bool", when = {{ lr = {{ least = 0.01 }} }} }}'): [
        "parameters.x.when.lr.least is not known, allowed: min, max"
    ],
    ("range's bound", LR, f'{LR}\nx = {{ type = "bool", when = {{ lr = {{ min = "a" }} }} }}'): [
        "parameters.x.when.lr.min is 'a', expected a number"
    ],
    ("empty range", LR, f'{LR}\nx = {{ type = "bool", when = {{ lr = {{}} }} }}'): [
        "parameters.x.when.lr is a table, expected min, max, or both"
    ],
    ("no values", LR, f'{LR}\ny = {{ type = "bool" }}\nx = {{ type = "bool", when = {{ y = [] }} }}'): [
        "parameters.x.when.y is [], expected at least one value"
    ],
    ("empty when", LR, f'{LR}\nx = {{ type = "bool", when = {{}} }}'): [
        "parameters.x.when is a table, expected a table of parameters and values"
    ],
    ("prior", LR, f'{LR}\nx = {{ type = "bool", prior = true }}'): [
        'parameters.x.prior is True, expected a table such as { value = 0.1, confidence = "medium" }'
    ],
    ("prior's value", LR, f'{LR}\nx = {{ type = "int", min = 1, max = 3, prior = {{ value = 5 }} }}'): [
        "parameters.x.prior.value is 5, expected an integer from 1 to 3"
    ],
    ("prior without value", LR, f'{LR}\nx = {{ type = "bool", prior = {{ confidence = "low" }} }}'): [
        "parameters.x.prior.value is missing, expected where good values are thought to lie"
    ],
    ("confidence", LR, f'{LR}\nx = {{ type = "bool", prior = {{ value = true, confidence = 1 }} }}'): [
        "parameters.x.prior.confidence is 1, expected low, medium, high, or a number between 0 and 1"
    ],
    ("prior's key", LR, f'{LR}\nx = {{ type = "bool", prior = {{ value = true, sd = 1 }} }}'): [
        "parameters.x.prior.sd is not known, allowed: value, confidence"
    ],
    ("probabilities", LR, f'{LR}\nx = {{ type = "bool", probabilities = [0, 1] }}'): [
        "parameters.x.probabilities is [0, 1], expected 2 numbers greater than 0, one for each value"
    ],
    ("probabilities of a range", LR, f'{LR}\nx = {{ type = "int", min = 1, max = 2, probabilities = [1, 1] }}'): [
        "parameters.x.probabilities is [1, 1], expected prior = { value, confidence }: probabilities are for "
        "listed values"
    ],
    ("prior twice", LR, f'{LR}\nx = {{ type = "bool", prior = {{ value = true }}, probabilities = [1, 1] }}'): [
        "parameters.x.prior is a table, expected none beside probabilities: one of the two"
    ],
    ("prior of a constant", LR, f'{LR}\nx = {{ type = "constant", value = 1, prior = {{ value = 1 }} }}'): [
        "parameters.x: a constant has neither prior nor probabilities"
    ],
    ("scale", LR, f'{LR}\nx = {{ type = "float", min = 0, max = 1, scale = "lin" }}'): [
        "parameters.x.scale is 'lin', expected linear or log or reverse-log or logit (did you mean 'linear'?)"
    ],
    ("reverse-log scale", LR, f'{LR}\nx = {{ type = "float", min = 0, max = 1, scale = "reverse-log" }}'): [
        'parameters.x.max is 1.0, expected a number less than 1, because scale = "reverse-log"'
    ],
    ("logit scale", LR, f'{LR}\nx = {{ type = "float", min = 0, max = 0.9, scale = "logit" }}'): [
        'parameters.x.min is 0.0, expected a number greater than 0, because scale = "logit"'
    ],
    ("scale and log", LR, f'{LR}\nx = {{ type = "float", min = 0.1, max = 0.9, log = true, scale = "logit" }}'): [
        "parameters.x.scale is 'logit', expected log, because log = true"
    ],
    ("scale and step", LR, f'{LR}\nx = {{ type = "float", min = 0.1, max = 0.9, step = 0.1, scale = "logit" }}'): [
        'parameters.x.step is 0.1, expected none, because scale = "logit"'
    ],
    ("forbidden", LR, f"{LR}\n[[forbidden]]\nlrr = 1"): [
        "forbidden[0] is 'lrr', expected conditions on parameters: one of lr (did you mean 'lr'?)"
    ],
    ("forbidden is no list", LR, f"{LR}\n[forbidden]\nlr = {{ max = 1 }}"): [
        "forbidden is a table, expected at most 1000 tables of parameters: [[forbidden]]"
    ],
    ("everything forbidden", LR, f"{LR}\n[[forbidden]]\nlr = {{ max = 1 }}"): [
        "forbidden leaves nothing to search, or next to nothing"
    ],
    ("all values forbidden", LR, f'{LR}\nx = {{ type = "bool" }}\n[[forbidden]]\nx = true\n[[forbidden]]\nx = false'): [
        "forbidden leaves nothing to search, or next to nothing"
    ],
    ("parameter's name", LR, f'{LR}\n"a b" = 1'): [
        "parameters.a b is 'a b', expected a name of 1 to 100 letters, digits, and _ . - /, starting with a letter or _"
    ],
    ("no parameters", f"[parameters]\n{LR}", ""): [
        'parameters are missing, expected [parameters] with lines like lr = { type = "float", min = 1e-4, '
        "max = 1e-1, log = true }"
    ],
    ("resource", "max = 27", "min = 30\nmax = 27"): [
        "resource.max is 27, expected an integer of at least min (30)"
    ],
    ("no maximum", "max = 27", "eta = 1"): [
        "resource.max is missing, expected an integer from 1 to 9999999999",
        "resource.eta is 1, expected an integer from 2 to 1000",
    ],
    ("BOHB without a resource", "[resource]\nmax = 27", '[algorithm]\nname = "bohb"'): [
        "algorithm.name is 'bohb', expected none, because there is no [resource] that trials could be compared "
        "at; [resource] needs max"
    ],
    ("ASHA without a resource", "[resource]\nmax = 27", '[algorithm]\nscheduler = "asha"'): [
        "algorithm.scheduler is 'asha', expected none, because there is no [resource] that trials could be compared "
        "at; [resource] needs max"
    ],
    ("scheduler", "[limits]", '[algorithm]\nscheduler = "ahsa"\n[limits]'): [
        f"algorithm.scheduler is 'ahsa', expected {' or '.join(sorted(SCHEDULERS))} (did you mean 'asha'?)"
    ],
    ("searcher", "[limits]", '[algorithm]\nsearcher = "sobel"\n[limits]'): [
        f"algorithm.searcher is 'sobel', expected {' or '.join(sorted(SEARCHERS))} (did you mean 'sobol'?)"
    ],
    ("bare algorithm", COMMAND, f'algorithm = "bobh"\n{COMMAND}'): [
        "algorithm is 'bobh', expected a table, or one of "
        f"{', '.join(sorted({*COMBINATIONS, *SCHEDULERS, *SEARCHERS}))} (did you mean 'bohb'?)"
    ],
    ("name of both", "[limits]", '[algorithm]\nname = "mobsta"\n[limits]'): [
        f"algorithm.name is 'mobsta', expected one of {', '.join(COMBINATIONS)} (did you mean 'mobster'?)"
    ],
    ("name and part", "[limits]", '[algorithm]\nname = "auto"\nsearcher = "gp"\n[limits]'): [
        "algorithm.searcher is 'gp', expected nothing, for auto says it"
    ],
    ("another searcher's option", "[limits]", "[algorithm]\nshuffle = true\n[limits]"): [
        "algorithm.shuffle is not known (did you mean 'scheduler'?), allowed: name, scheduler, searcher, "
        "adaptive_grace, brackets, initial, random_share"
    ],
    ("eta's place", "[limits]", "[algorithm]\neta = 4\n[limits]"): [
        "algorithm.eta is not known, allowed: name, scheduler, searcher, adaptive_grace, brackets, initial, "
        "random_share; eta belongs to [resource]"
    ],
    ("brackets", "[limits]", "[algorithm]\nbrackets = 5\n[limits]"): [
        "algorithm.brackets is 5, expected at most 4, the number of rungs"
    ],
    ("limit", "trials = 40", "trial = 40"): [
        "limits.trial is not known (did you mean 'trials'?), allowed: trials, total_resource, wall_time, gpu_hours, "
        "cost, target, not_improving, convergence"
    ],
    ("no trials", "trials = 40", "trials = 0"): ["limits.trials is 0, expected an integer from 1 to 99999999"],
    ("duration", "trials = 40", 'wall_time = "2 hours"'): [
        "limits.wall_time is '2 hours', expected seconds or a duration like 90s, 15min, 2h or 1d of at least 1"
    ],
    ("worker", "[limits]", '[worker]\nretries = true\nleese = "5s"\n[limits]'): [
        "worker.leese is not known (did you mean 'lease'?), allowed: retries, max_attempts, flush, lease, tick, grace",
        "worker.retries is True, expected an integer from 0 to 1000",
    ],
    ("environment", "[limits]", "[environment]\nA = 1\n[limits]"): ["environment.A is 1, expected a string"],
    ("our variables", "[limits]", '[environment]\nHPO_PIPE_TRIAL = "x"\n[limits]'): [
        "environment is 'HPO_PIPE_TRIAL', expected a variable's name: letters, digits and _, and not HPO_PIPE_..."
    ],
    ("enqueued", "[limits]", "[[enqueue]]\nlr = 1\nlx = 2\n[limits]"): [
        "enqueue[0]: parameter lx is not known, allowed: lr",
        "enqueue[0]: parameter lr is 1, expected a number from 0.0001 to 0.1",
    ],
    ("warm start", "[limits]", '[warm_start]\nstudies = []\n[limits]'): [
        "warm_start.studies is 'an array of 0', expected 1 to 5 study URLs",
    ],
    ("warm start's mode", "[limits]", '[warm_start]\nstudies = "a"\nmode = "identicl"\nbest = 1\n[limits]'): [
        "warm_start.best is not known, allowed: studies, mode, best_first",
        "warm_start.studies is 'a', expected an array",
        "warm_start.mode is 'identicl', expected transfer or identical or TransferLearning or "
        "IdenticalDataAndAlgorithm (did you mean 'identical'?)",
    ],
    ("warm start twice", "[limits]", '[warm_start]\nstudies = ["/a", "file:///a"]\n[limits]'): [
        "warm_start.studies is ['/a', 'file:///a'], expected different studies",
    ],
    ("a warm start's secret", "[limits]", '[warm_start]\nstudies = ["s3://a:b@c/d"]\n[limits]'): [
        "warm_start.studies is 'not right', expected study URLs; study URL s3://...: credentials do not belong in it; "
        "they come from the environment, a profile or a role",
    ],
    ("several at once", LR + "\n[resource]\nmax = 27", "lr = { type = \"int\" }\n[resource]\nmax = 0"): [
        "parameters.lr.min is missing, expected an integer from -9007199254740992 to 9007199254740992",
        "parameters.lr.max is missing, expected an integer from -9007199254740992 to 9007199254740992",
        "resource.max is 0, expected an integer from 1 to 9999999999",
    ],
}  # fmt: skip


def refused(path) -> list[str]:
    with pytest.raises(StudyFileError) as caught:
        read_study_file(path)
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake[0])
def test_mistake(tmp_path, mistake):
    _, old, new = mistake
    assert old in GOOD
    path = tmp_path / "study.toml"
    path.write_text(GOOD.replace(old, new, 1))
    assert refused(path) == MISTAKES[mistake]


def test_the_good_one_is_good(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(GOOD)
    assert read_study_file(path).notes == ()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("study.toml", b'name = "a"\nname = "b"\n', "Cannot overwrite a value (at line 2, column 11)"),
        ("study.toml", b"a = \n", "Invalid value (at line 1, column 5)"),
        ("study.yaml", b"a: [1\nb: 2\n", "line 2, column 2: expected ',' or ']', but got ':'"),
        (
            "study.yaml",
            b"a: 1\nb: 2\na: 3\n",
            'line 3, column 1: found duplicate key "a" with value "3" (original value: "1")',
        ),
        ("study.yaml", b"a: !!python/object:os.system 1\n", "could not determine a constructor for the tag"),
        ("study.yaml", b"- 1\n", "holds list, expected tables like [metric]"),
        ("study.yaml", b"", "holds NoneType, expected tables like [metric]"),
        ("study.yaml", b"a: &x [*x]\n", "more than 100000 values or 50 levels, with all aliases written out"),
        ("study.yaml", b"[" * 5000, "nested too deeply"),
        ("study.toml", b"a = " + b"[" * 5000, "nested too deeply"),
        ("study.toml", b"\xff", "not UTF-8 at byte 0"),
        ("study.toml", b"#" * (1024 * 1024 + 1), "larger than 1048576 bytes"),
        ("study.txt", b"", "study files end with .toml, .yaml, .yml, .json"),
    ],
)
def test_files_that_are_not_well_formed(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    (line,) = refused(path)
    assert message in line


def test_a_bomb_of_aliases_is_refused_at_once(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    lines += ["b: &b {k: v}", "c: {<<: [*b, *b]}"]
    path = tmp_path / "study.yaml"
    path.write_text("\n".join(lines))
    assert refused(path) == ["more than 100000 values or 50 levels, with all aliases written out"]


def test_files_that_are_not_there(tmp_path):
    assert refused(tmp_path / "none.toml") == ["cannot be read: No such file or directory"]
    assert refused_folder(tmp_path)


def refused_folder(folder) -> bool:
    (folder / "folder.toml").mkdir()
    return refused(folder / "folder.toml") == ["cannot be read: Is a directory"]


def test_a_bad_study_name_is_told_with_the_other_mistakes(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('name = "Digits!"\ncomand = "x"\n[metric]\nname = "loss"\n[parameters]\nlr = 1\n')
    with pytest.raises(StudyFileError) as caught:
        read_study_file(path)
    said = str(caught.value)
    assert "study name 'Digits!'" in said
    assert "did you mean 'command'?" in said


def test_an_empty_file_lacks_metric_parameters_and_command(tmp_path):
    path = tmp_path / "empty.toml"
    path.write_text("")
    with pytest.raises(StudyFileError) as caught:
        read_study_file(path)
    said = str(caught.value)
    assert [
        word in said for word in ("metric is missing", "parameters are missing", "command and function")
    ] == [True] * 3
