"""A study file that holds a secret: refused with the way to do it right, and never repeated."""

from __future__ import annotations

import pytest

from hpo_pipe.study_file import read_study_mapping
from storage_schema.errors import StudyFileError

HEX = "0123456789abcdef0123456789abcdef01234567"


def study(**more: object) -> dict[str, object]:
    return {
        "name": "s",
        "command": ["python", "train.py"],
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"lr": {"type": "float", "min": 0.0, "max": 1.0}},
        "limits": {"trials": 1},
        **more,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WANDB_API_KEY", HEX),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("HARMLESS", "AKIAIOSFODNN7EXAMPLE"),
        ("DATABASE", "postgres://me:my-password@db/x"),
        ("MODEL_HUB", "hf_" + "aB3" * 12),
    ],
)
def test_a_secret_among_the_variables(name: str, value: str) -> None:
    with pytest.raises(StudyFileError) as found:
        read_study_mapping(study(environment={name: value}))
    assert value not in str(found.value)
    assert f"environment.{name}" in str(found.value) and f"{{envvar:{name}}}" in str(found.value)


@pytest.mark.parametrize("value", ["--key=AKIAIOSFODNN7EXAMPLE", "s3://me:my-password@bucket/x"])
def test_a_secret_in_the_command(value: str) -> None:
    with pytest.raises(StudyFileError, match=r"command\[1\] holds a credential") as found:
        read_study_mapping(study(command=["train", value]))
    assert "AKIAIOSFODNN7EXAMPLE" not in str(found.value) and "my-password" not in str(found.value)


def test_what_only_looks_like_one_is_taken() -> None:
    plain = {
        "PAD_TOKEN": "<|endoftext|>",
        "SORT_KEY": "validation_loss",
        "TOKENIZERS_PARALLELISM": "false",
        "MAX_TOKENS": "4096",
        "OMP_NUM_THREADS": "1",
    }
    draft = read_study_mapping(
        study(environment=plain, command=["t", "http://{envvar:WHO}:{envvar:PASSWORD}@host/{lr}"])
    )
    assert dict(draft.program.environment) == plain
