"""A worker's options as a training job's hyper-parameters, and back."""

from __future__ import annotations

import json

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_schema.errors import UserError
from storage_schema.sagemaker import FLAG, MANY, OPTIONS, hyperparameters, worker_arguments
from workers.__main__ import worker

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40)
TYPED = {
    "slots": st.integers(1, 64).map(str),
    "gpus_per_trial": st.integers(0, 8).map(str),
    "idle_timeout": st.floats(0, 1e6).map(str),
    "max_runtime": st.floats(1, 1e6).map(str),
    "max_cost": st.floats(1, 1e3).map(str),
    "price_per_hour": st.floats(0, 1e3).map(str),
    "study_sha256": st.text("0123456789abcdef", min_size=64, max_size=64),
    "name": TEXTS.filter(lambda text: not text.startswith('"')),
    "drain": st.booleans(),
    "coordinator": st.booleans(),
    "withhold": st.lists(TEXTS, max_size=4),
    "secret": st.lists(TEXTS, max_size=4),
    "secret_variable": st.lists(TEXTS, max_size=4),
}


@given(st.fixed_dictionaries({}, optional=TYPED), st.lists(TEXTS, max_size=4))
def test_what_a_launcher_writes_is_what_the_worker_is_told(options, command):
    given = hyperparameters("s3://bucket/studies/first", options, command)
    assert all(isinstance(value, str) and len(value) <= 2500 for value in given.values())
    context = worker.make_context("worker", worker_arguments(given), resilient_parsing=False)
    told = context.params
    assert told["url"] == "s3://bucket/studies/first"
    assert list(told["command"]) == command
    for name, value in options.items():
        if OPTIONS[name].kind == MANY:
            assert list(told[name]) == value
        else:
            assert told[name] == (type(told[name])(value) if not isinstance(value, bool) else value)


@given(
    st.dictionaries(
        st.sampled_from(["study", "command", *OPTIONS]) | st.text(max_size=9), st.text(max_size=60)
    )
)
def test_whatever_a_job_carries_is_read_or_refused(given):
    try:
        arguments = worker_arguments(given)
    except UserError:
        return
    assert all("\0" not in argument for argument in arguments)
    assert arguments[arguments.index("--") + 1] != ""


def test_every_option_of_a_worker_has_a_hyperparameter():
    theirs = {
        option
        for parameter in worker.params
        if isinstance(parameter, click.Option)
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    ours = {option.flag for option in OPTIONS.values()} | {o.negative for o in OPTIONS.values() if o.negative}
    theirs -= {"--requeue", "--check"}  # only Slurm has a queue to go back into; a launcher checks, not a job
    assert ours == theirs
    for name, option in OPTIONS.items():
        found = next(p for p in worker.params if option.flag in p.opts)
        assert (found.name, found.is_flag, found.multiple) == (name, option.kind == FLAG, option.kind == MANY)


def test_texts_as_sagemakers_sdk_writes_them_are_read_too():
    given = {"study": '"s3://b/s"', "slots": "2", "sagemaker_program": '"train.py"', "name": ""}
    assert worker_arguments(given) == ["--slots=2", "--", "s3://b/s"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"slots": "1"}, "hyper-parameter study is missing: the study's URL"),
        ({"study": "s", "drain": "yes"}, "hyper-parameter drain is 'yes', expected true or false"),
        ({"study": "s", "secret": "A=b"}, "hyper-parameter secret is 'A=b', expected a JSON list"),
        ({"study": "s", "command": "[1]"}, "expected a JSON list of at most 100 texts"),
        ({"study": "s", "idle-timeout": "3"}, r"'idle-timeout' is not known \(did you mean 'idle_timeout'"),
        ({"study": "s" * 2501}, "expected at most 2500 characters"),
        ({f"n{n}": "" for n in range(101)}, "101 hyper-parameters, SageMaker takes at most 100"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:20],
)
def test_mistakes_are_named(given, words):
    with pytest.raises(UserError, match=words):
        worker_arguments(given)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"slots": True}, "slots is True, expected a text"), ({"secret": "A=b"}, "expected a list of texts")],
)
def test_a_launchers_mistakes_are_named(options, words):
    with pytest.raises(UserError, match=words):
        hyperparameters("s", options)
