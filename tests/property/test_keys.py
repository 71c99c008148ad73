"""``parse(build(x)) == x``, and byte order is number order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_schema import keys
from storage_schema.errors import UserError

ENTRIES = st.integers(0, keys.MAX_ENTRY)
SPECS = st.builds(keys.SpecId, ENTRIES, st.integers(0, keys.MAX_INDEX))
NUMBERS = st.integers(1, keys.MAX_LINK)
LINKS = st.builds(keys.LinkId, SPECS, NUMBERS)
SEGMENTS = st.builds(keys.SegmentId, SPECS, NUMBERS, st.integers(1, keys.MAX_SEGMENT))
CHECKPOINTS = st.builds(
    keys.CheckpointId, st.integers(0, keys.MAX_TRIAL), st.integers(0, keys.MAX_RESOURCE), SPECS, NUMBERS
)
WORKERS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
STEPS = st.tuples(st.integers(1, keys.MAX_SUBMISSION), st.integers(1, keys.MAX_STEP))
OUTPUTS = st.tuples(SPECS, NUMBERS)

KINDS = {
    "log": (ENTRIES, keys.log_key, keys.parse_log_key),
    "spec": (SPECS, str, keys.SpecId.parse),
    "link": (LINKS, keys.link_key, keys.parse_link_key),
    "segment": (SEGMENTS, keys.segment_key, keys.parse_segment_key),
    "output": (OUTPUTS, lambda o: keys.output_key(*o), keys.parse_output_key),
    "manifest": (CHECKPOINTS, keys.manifest_key, keys.parse_manifest_key),
    "worker": (WORKERS, keys.worker_key, keys.parse_worker_key),
    "code": (st.from_regex(r"[0-9a-f]{64}", fullmatch=True), keys.code_key, keys.parse_code_key),
    "snapshot": (ENTRIES, keys.snapshot_key, keys.parse_snapshot_key),
    "submission": (STEPS, lambda s: keys.submission_key(*s), keys.parse_submission_key),
}


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_parse_of_build(kind, data):
    ids, build, parse = KINDS[kind]
    found = data.draw(ids)
    assert parse(build(found)) == found


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "worker"])
@given(data=st.data())
def test_byte_order_is_number_order(kind, data):
    ids, build, _ = KINDS[kind]
    one, other = data.draw(ids), data.draw(ids)
    assert (build(one) < build(other)) == (one < other)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), noise=st.text(min_size=1, max_size=3))
def test_what_is_nearly_a_key_is_none(kind, data, noise):
    ids, build, parse = KINDS[kind]
    key = build(data.draw(ids))
    assert parse(key + noise) is None or kind == "worker"
    assert parse("\n" + key) is None
    assert parse(key + "\n") is None


@given(st.text(max_size=40))
def test_no_text_breaks_a_parser(text):
    for _, _, parse in KINDS.values():
        parse(text)


@pytest.mark.parametrize(
    ("build", "wrong"),
    [
        (keys.log_key, 10**8),
        (keys.log_key, -1),
        (keys.snapshot_key, 10**8),
        (keys.link_key, keys.LinkId(keys.SpecId(0, 1000), 1)),
        (keys.link_key, keys.LinkId(keys.SpecId(0, 0), 10000)),
        (keys.trial_checkpoints, -1),
        (keys.worker_key, "../x"),
        (keys.worker_key, "A"),
    ],
)
def test_what_does_not_fit_is_refused(build, wrong):
    with pytest.raises(UserError):
        build(wrong)


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a//b", "", "a/../b", ".", "a/.", "a b", "a\\b", "x" * 500, "a\n"]
)
def test_file_names_that_leave_their_folder_are_refused(name):
    with pytest.raises(UserError):
        keys.checked_file_name(name)


@pytest.mark.parametrize("name", ["model.pt", "a/b/c.bin", ".hidden", "x=1+2@3_4-5"])
def test_file_names_that_stay_are_kept(name):
    checkpoint = keys.CheckpointId(1, 2, keys.SpecId(3, 4), 5)
    assert keys.checkpoint_file_key(checkpoint, name) == f"{keys.checkpoint_prefix(checkpoint)}files/{name}"


NO_IDS = (
    lambda: keys.link_key(keys.LinkId(keys.SpecId(0, 0), 0)),
    lambda: keys.segment_key(keys.SegmentId(keys.SpecId(0, 0), 10_000, 1)),
    lambda: keys.segment_key(keys.SegmentId(keys.SpecId(0, 0), 1, 0)),
    lambda: keys.output_key(keys.SpecId(0, 0), 10_000),
    lambda: keys.output_key(keys.SpecId(0, 1_000), 1),
    lambda: keys.manifest_key(keys.CheckpointId(0, 0, keys.SpecId(-1, 0), 1)),
    lambda: keys.manifest_key(keys.CheckpointId(0, 0, keys.SpecId(0, 0), 0)),
)


@pytest.mark.parametrize("build", NO_IDS)
def test_no_key_is_built_of_numbers_out_of_range(build):
    with pytest.raises(UserError, match="is outside"):
        build()


@pytest.mark.parametrize(
    "key",
    [
        "chain/00000000/000.0000.json",
        "metrics/00000000/000.0000.000001.parquet",
        "metrics/00000000/000.0001.000000.parquet",
        "output/00000000/000.0000.txt",
        "checkpoints/00000000/0000000001-00000000-000.0000/manifest.json",
    ],
)
def test_links_attempts_and_segments_count_from_one(key):
    parsers = (
        keys.parse_link_key,
        keys.parse_segment_key,
        keys.parse_output_key,
        keys.parse_manifest_key,
    )
    assert [parse(key) for parse in parsers] == [None] * 4
