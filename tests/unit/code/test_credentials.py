"""Credentials are not packed: files that are named for them, and files that hold them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo_pipe.launch.code import MAX_WARNINGS, pack
from hpo_pipe.launch.credentials import SCANNED_BYTES, held_credential, named_like_credentials
from storage_schema.errors import UserError
from tests.unit.code.test_pack import written

RANDOM = "wJalrXUtnFEMI7K7MDENG2bPxRfiCYzzzzzzzz12"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + ("MIIEpAIBAAKCAQEA7bq0" * 3 + "\n") * 4
    + "-----END RSA PRIVATE KEY-----\n"
)


@pytest.mark.parametrize(
    "name",
    [
        *(
            ".env",
            "conf/.env",
            ".env.production",
            "prod.env",
            "server.pem",
            "a/b/tls.key",
            "id_rsa",
            ".ssh/config",
        ),
        *(".aws/credentials", "home/.aws/config", ".netrc", "kubeconfig", "dev.kubeconfig", ".kube/config"),
        *(
            "ID_RSA",
            "Server.PEM",
            ".docker/config.json",
            ".huggingface/token",
            ".git-credentials",
            "cert.p12",
        ),
    ],
)
def test_files_named_for_credentials_are_refused(tmp_path: Path, name: str) -> None:
    written(tmp_path, {"train.py": "", name: "x"})
    with pytest.raises(
        UserError, match=r"its name is that of a file with credentials.*\.hpoignore leaves it out"
    ) as said:
        pack(tmp_path)
    assert f"--code: {name}:" in str(said.value)
    (tmp_path / ".hpoignore").write_text(name + "\n")
    pack(tmp_path)


def test_a_link_with_such_a_name_is_refused(tmp_path: Path) -> None:
    written(tmp_path, {"train.py": ""})
    (tmp_path / ".env").symlink_to("train.py")
    with pytest.raises(UserError, match=r"\.env: its name"):
        pack(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "train.py",
        ".env.example",
        "environment.yml",
        "keys.py",
        "credentials.py",
        "tokenizer.json",
        "public.key.md",
        "env/x",
    ],
)
def test_other_names_are_none(name: str) -> None:
    assert not named_like_credentials(name)


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        f"aws_secret_access_key = {RANDOM}",
        f'AWS_SESSION_TOKEN="{RANDOM}"',
        f"token = 'hf_{RANDOM}'",
        f'requests.get(u, headers={{"Authorization": "Bearer {RANDOM}"}})',
        f"ghp_{RANDOM}",
        f"sk-proj-{RANDOM}",
        f"postgres://trainer:{RANDOM}@db.example.com/runs",
        PEM,
        PEM.replace("\n", "\\n"),
    ],
    ids=lambda text: text[:12],
)
def test_files_that_hold_a_credential_are_refused(tmp_path: Path, text: str) -> None:
    written(tmp_path, {"train.py": "", "conf/settings.py": f"# one\n# two\n{text}\n"})
    with pytest.raises(UserError, match=r"conf/settings\.py: line 3 holds a key") as said:
        pack(tmp_path)
    assert text not in str(said.value) and RANDOM not in str(said.value)


@pytest.mark.parametrize(
    "text",
    [
        'boto3.client("s3", aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"])',
        "client(aws_secret_access_key=settings.aws.secret)",
        'headers = {"Authorization": f"Bearer {token}"}',
        'headers = {"Authorization": "Bearer " + token}',
        "# export AWS_SECRET_ACCESS_KEY=<your key>",
        "url = f'postgres://{user}:{password}@{host}/db'",
        "class='sk-toggleable__label-arrow-here'",
        'if "-----BEGIN PRIVATE KEY-----" in text:',
        "password = getpass()",
    ],
)
def test_code_that_speaks_of_credentials_is_packed(tmp_path: Path, text: str) -> None:
    written(tmp_path, {"train.py": text})
    assert pack(tmp_path).warnings == ()


def test_what_may_be_one_is_said(tmp_path: Path) -> None:
    written(tmp_path, {"train.py": "\nDB = 'postgres://trainer:example@localhost/runs'"})
    assert pack(tmp_path).warnings == ("train.py, line 2: it may be a password",)


def test_a_sure_one_behind_a_doubtful_one_is_found() -> None:
    assert held_credential(b"a://b:example@c\nAKIAIOSFODNN7EXAMPLE\n") == (2, True)
    assert held_credential(b"a://b:example@c\n") == (1, False)
    assert held_credential(b"nothing") is None


def test_binary_files_and_what_lies_far_behind_are_not_looked_at() -> None:
    assert held_credential(b"\0AKIAIOSFODNN7EXAMPLE") is None
    assert held_credential(b" " * SCANNED_BYTES + b"AKIAIOSFODNN7EXAMPLE") is None


def test_warnings_have_an_end(tmp_path: Path) -> None:
    written(tmp_path, {f"f{i}.py": "a://b:example@c" for i in range(MAX_WARNINGS + 5)})
    warnings = pack(tmp_path).warnings
    assert len(warnings) == MAX_WARNINGS + 1 and warnings[-1] == "and 5 more"
