"""Redaction: no secret survives, whatever stands around it, and nothing else is changed."""

from __future__ import annotations

import io
import time
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_schema.redaction import (
    RedactedStream,
    Redactor,
    is_secret_name,
    redacted,
    secret_values,
)

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
HEX = "0123456789abcdef" * 4

around = st.text(alphabet=" \n0123456789.,;é☃[]()", max_size=60)
"""Text that neither is a credential nor makes one with what stands beside it."""
anything = st.binary(max_size=300)
secrets = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=8, max_size=60)

CREDENTIALS = {
    ACCESS_KEY: (ACCESS_KEY, "***"),
    f"aws_secret_access_key = {SECRET_KEY}": (SECRET_KEY, "aws_secret_access_key = ***"),
    f'"SecretAccessKey": "{SECRET_KEY}"': (SECRET_KEY, '"SecretAccessKey": "***"'),
    f"AWS_SESSION_TOKEN={HEX}": (HEX, "AWS_SESSION_TOKEN=***"),
    f"s3://{ACCESS_KEY}:{SECRET_KEY}@bucket/a": (SECRET_KEY, "s3://***@bucket/a"),
    "http://user:pass@host:9000/x": ("pass", "http://***@host:9000/x"),
    "redis://:pass@host": ("pass", "redis://***@host"),
    f"https://b/k?X-Amz-Signature={HEX}&x=1": (HEX, "https://b/k?X-Amz-Signature=***&x=1"),
    f"X-Amz-Security-Token={HEX}": (HEX, "X-Amz-Security-Token=***"),
    f"Authorization: Basic {HEX}": (HEX, "Authorization: Basic ***"),
    f"authorization: Bearer {HEX}": (HEX, "authorization: Bearer ***"),
    f"Bearer {HEX}": (HEX, "Bearer ***"),
    "hf_" + "aB3" * 11: ("aB3aB3", "***"),
    "ghp_" + "aB3" * 12: ("aB3aB3", "***"),
    "sk-proj-" + "aB3" * 12: ("aB3aB3", "***"),
    "xoxb-1234567890-abcdef": ("1234567890-abcdef", "***"),
    f"-----BEGIN RSA PRIVATE KEY-----\n{HEX}\n{HEX}\n-----END RSA PRIVATE KEY-----": (HEX, "***"),
    f"-----BEGIN PRIVATE KEY-----\n{HEX}": (HEX, "***"),
}


@pytest.mark.parametrize("text", CREDENTIALS)
@given(before=around, after=around)
def test_a_credential_is_known_by_its_form(text: str, before: str, after: str) -> None:
    secret, left = CREDENTIALS[text]
    if text.startswith("-----BEGIN PRIVATE"):  # cut off: all that follows may belong to it
        assert redacted(f"{before} {text} {after}") == f"{before} {left}"
        return
    assert redacted(f"{before} {text} {after}") == f"{before} {left} {after}"
    assert secret not in left


@given(
    values=st.lists(secrets, min_size=1, max_size=4), pieces=st.lists(anything, max_size=5), data=st.data()
)
def test_no_value_that_is_known_survives(values: list[str], pieces: list[bytes], data: st.DataObject) -> None:
    planted = b""
    for piece in pieces:
        value = data.draw(st.sampled_from(values))
        form = data.draw(st.sampled_from((value, urllib.parse.quote(value, safe=""))))
        planted += piece + form.encode()
    found = Redactor(values).data(planted)
    for value in values:
        assert value.encode() not in found
        assert urllib.parse.quote(value, safe="").encode() not in found


@given(value=secrets, before=around, after=around)
def test_nothing_else_is_changed(value: str, before: str, after: str) -> None:
    if value in before + after:
        return
    assert Redactor([value]).text(f"{before}\t{value}\t{after}") == f"{before}\t***\t{after}"


@given(st.binary(max_size=2000))
def test_bytes_without_a_known_word_stay_as_they_are(data: bytes) -> None:
    plain = bytes(byte for byte in data if byte not in b":=-_@AaSsXxGgHhBb")
    assert Redactor(["no-such-value"]).data(plain) == plain


@given(st.text())
def test_any_text_may_be_given_and_redacting_twice_is_redacting_once(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)


def test_ordinary_output_stays_as_it_is() -> None:
    for line in (
        "epoch 3: val_loss 0.41, tokens 123456789, lr 1e-3",
        "risk-free-and-very-long-words-with-hyphens-in-them",
        "commit 3f2b1c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b",
        "see https://example.org/a@b?x=1 and http://127.0.0.1:9000/studies/first",
        "s3://bucket/studies/first/log/00000001.json",
        "the secret of the session tokens: none",
        "git@github.com:someone/something.git",
        "10:30:12 user@host ~/runs$",
    ):
        assert redacted(line) == line


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("WANDB_API_KEY", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("HF_TOKEN", True),
        ("PGPASSWORD", True),
        ("MYSQL_PWD", True),
        ("db_password", True),
        ("PWD", False),
        ("OLDPWD", False),
        ("TOKENIZERS_PARALLELISM", False),
        ("AWS_SHARED_CREDENTIALS_FILE", False),
        ("SSH_AUTH_SOCK", False),
        ("KEYBOARD", False),
        ("MONKEYS", False),
        ("PATH", False),
    ],
)
def test_names_that_say_secret(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


def test_values_of_an_environment() -> None:
    found = secret_values(
        {
            "HF_TOKEN": " hf-token-of-mine ",
            "SHORT_KEY": "abc",
            "PATH": "/usr/bin",
            "DATABASE_URL": "postgres://me:long-password@db/x",
        }
    )
    assert found == ("hf-token-of-mine", "long-password")


def test_a_stream_loses_secrets_and_is_otherwise_the_stream_itself() -> None:
    inner = io.StringIO()
    stream = RedactedStream(inner, Redactor(["my-own-secret"]))  # type: ignore[arg-type]
    assert stream.write("a my-own-secret b\n") == len("a my-own-secret b\n")
    stream.writelines([f"{ACCESS_KEY}\n", "c\n"])
    assert inner.getvalue() == "a *** b\n***\nc\n"
    assert not stream.isatty() and stream.encoding == inner.encoding


def test_two_mebibytes_are_quick() -> None:
    words = (
        b"epoch 12: light loss 0.123 secret bearer hf_x gh s3:// :// sk- x-amz- authorization signature=\n"
    )
    data = words * (2 * 1024 * 1024 // len(words))
    began = time.process_time()
    Redactor([f"value-{number}" for number in range(20)]).data(data)
    assert time.process_time() - began < 5  # about 0.3 s; a pattern that backtracks would take minutes
