"""What `--secret` and `--env` may be, for launchers and workers."""

from __future__ import annotations

import pytest

from hpo_pipe.launch.secrets import (
    MAX_VALUE_BYTES,
    MAX_VARIABLES,
    RESERVED,
    parse_env,
    parse_secret,
    parse_variables,
)
from storage_schema.errors import UserError
from storage_schema.secret_refs import SecretRef
from workers.secrets import parsed

ARN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/hf-AbCdEf"
SSM = "arn:aws-us-gov:ssm:us-gov-west-1:111122223333:parameter/team/wandb"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"HF_TOKEN={ARN}",
            SecretRef(name="HF_TOKEN", service="secretsmanager", place=ARN, region="eu-west-1"),
        ),
        (
            f"HF_TOKEN={ARN}#hf",
            SecretRef(name="HF_TOKEN", service="secretsmanager", place=ARN, region="eu-west-1", key="hf"),
        ),
        (f"W={SSM}", SecretRef(name="W", service="ssm", place=SSM, region="us-gov-west-1")),
        ("T=file:/run/secrets/t", SecretRef(name="T", service="file", place="/run/secrets/t")),
        ("T=file:///run/secrets/t", SecretRef(name="T", service="file", place="/run/secrets/t")),
    ],
)
def test_references_are_read_and_written(text: str, expected: SecretRef) -> None:
    (found,) = parsed([text])
    assert found == expected
    assert parse_secret(text) == (expected.name, str(expected).partition("=")[2])
    assert parsed([str(expected)]) == (expected,)


@pytest.mark.parametrize(
    "ref",
    [
        *(
            "",
            "hunter22hunter22",
            "file:relative",
            "file:",
            "arn:aws:s3:::bucket/key",
            ARN + "#",
            ARN + "#a#b",
        ),
        *(
            "arn:aws:secretsmanager:eu-west-1:1:secret:x",
            "arn:aws:ssm:eu-west-1:111122223333:parameter",
            ARN + "\n",
        ),
        *(
            SSM + "#key",
            "file:/a\nb",
            "file:////",
            "file:////a",
            "file:/",
            "arn:aws:secretsmanager:eu-west-1:111122223333:secret:" + "x" * 3000,
        ),
    ],
)
def test_other_references_are_refused_and_a_secret_is_not_repeated(ref: str) -> None:
    with pytest.raises(UserError, match="--secret T: expected arn:aws:secretsmanager") as said:
        parse_secret(f"T={ref}")
    assert "hunter22" not in str(said.value)


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "É", "A" * 200, "HPO_PIPE_TRIAL", "hpo_pipe_x"])
def test_names_that_are_none_are_refused(name: str) -> None:
    for parse in (
        lambda: parse_secret(f"{name}={ARN}"),
        lambda: parse_env(f"{name}=1"),
        lambda: parsed([f"{name}={ARN}"]),
    ):
        with pytest.raises(UserError, match=r"variable's name has|are ours"):
            parse()


@pytest.mark.parametrize("pattern", RESERVED)
def test_reserved_names_are_refused(pattern: str) -> None:
    name = pattern.replace("*", "X")
    with pytest.raises(UserError, match="reserved"):
        parse_env(f"{name}=1")
    with pytest.raises(UserError, match="reserved"):
        parse_secret(f"{name.lower()}={ARN}")


def test_variables_are_read() -> None:
    assert parse_env("OMP_NUM_THREADS=4") == ("OMP_NUM_THREADS", "4")
    assert parse_env("A=b=c") == ("A", "b=c")
    assert parse_env("A=") == ("A", "")
    assert parse_env("TOKENIZERS_PARALLELISM=false")[1] == "false"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("HF_TOKEN=x-y-z-0", "x-y-z-0"),
        ("DB=postgres://u:hunter22@db/x", "hunter22"),
        ("KEYS=AKIAIOSFODNN7EXAMPLE", "AKIA"),
        ("MY_PASSWORD=", "="),
    ],
)
def test_secrets_among_variables_are_refused_with_the_way_out(text: str, secret: str) -> None:
    with pytest.raises(UserError, match=r"write --secret [A-Z_]+=arn:") as said:
        parse_env(text)
    assert secret == "=" or secret not in str(said.value)


@pytest.mark.parametrize("text", ["A", "A=" + "x" * (MAX_VALUE_BYTES + 1), "A=\0"])
def test_values_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UserError):
        parse_env(text)


def test_all_together_are_bounded() -> None:
    with pytest.raises(UserError, match="65 of them, allowed are 64"):
        parse_variables([f"V{i}=1" for i in range(MAX_VARIABLES + 1)], [])
    with pytest.raises(UserError, match="65 of them, allowed are 64"):
        parsed([f"V{i}={ARN}" for i in range(MAX_VARIABLES + 1)])
    with pytest.raises(UserError, match="all together"):
        parse_variables([f"V{i}=" + "x" * 4000 for i in range(5)], [])
    with pytest.raises(UserError, match="T is given twice"):
        parse_variables(["T=1"], [f"T={ARN}"])
    with pytest.raises(UserError, match="T: given twice"):
        parsed([f"T={ARN}", f"T={SSM}"])
    assert parse_variables(["A=1"], [f"T={ARN}"]) == ((("A", "1"),), (("T", ARN),))
