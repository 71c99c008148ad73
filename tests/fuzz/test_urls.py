"""Study URLs as users, scripts and other programs write them: a store of exactly that place, or a UserError."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage_schema.errors import UserError
from storage_schema.store import open_store, study_url

PIECES = [
    "s3:",
    "file:",
    "memory:",
    "//",
    "/",
    "..",
    ".",
    "~",
    "[",
    "]",
    "@",
    ":",
    "%",
    "%00",
    "%2e",
    "?",
    "#",
    "\0",
    "\n",
    "\ud800",
]
TEXTS = st.text(max_size=40) | st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=10).map(
    "".join
)


@given(TEXTS)
@example("memory://[")
@example("/tmp/\ud800")
@example("file:///tmp/\udc80")
@example("~nobody-of-this-name/x")
@example("file://[::1/a")
@example("")
def test_any_text_is_a_url_or_is_refused(text: str) -> None:
    try:
        url = study_url(text)
        assert study_url(url) == url
        store = open_store(url)
    except UserError as error:
        assert text.strip() == "" or "study URL" in str(error)
    else:
        assert store.url == url


@pytest.mark.parametrize("name", ["a b", "a%20b", "a?b#c", "ü", "\udcff\udcfe", "a\nb", "%2e%2e", "*", "-rf"])
def test_a_folder_of_any_name_is_that_folder(name: str, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / name / "study"))
    store.create("study.json", b"{}")
    assert (tmp_path / name / "study" / "study.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_question_mark_in_a_file_url_is_not_cut_off(tmp_path: Path) -> None:
    """Another folder than the named one would be taken, without a word."""
    for mark in "?#":
        with pytest.raises(UserError, match="%3F"):
            open_store(f"file://{tmp_path}/a{mark}b")
