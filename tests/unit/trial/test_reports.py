import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage_schema.errors import UserError
from storage_schema.keys import MAX_RESOURCE
from tests.attempts import trial_file
from workers.feedback import Feedback
from workers.metric_patterns import MetricPatterns
from workers.reports import KEPT_PER_STRIDE, BadLine, Complaints, Report, ReportFile, Thinning, parsed

NONE = MetricPatterns((), "loss")


def read_all(
    path: Path, pieces: list[bytes], start: int = 0
) -> tuple[list[tuple[int, dict[str, float]]], list[str]]:
    complaints = Complaints()
    path.unlink(missing_ok=True)
    path.touch()
    reader = ReportFile(str(path), start=start, now=lambda: 0.0, complaints=complaints)
    found = []
    for piece in pieces:
        with path.open("ab") as file:
            file.write(piece)
        found += reader.read()
    found += [report for part in reader.finish() for report in part]
    reader.close()
    return [(report.resource, dict(report.values)) for report in found], complaints.lines()


def test_a_line_may_name_its_resource_or_not(tmp_path: Path) -> None:
    lines = (
        b'{"loss": 1}\n\n{"resource": 7, "loss": 0.5, "acc": 1e3}\n{"loss": 2}\n{"resource": 3.0, "loss": 4}'
    )
    curve, complaints = read_all(tmp_path / "m", [lines], start=4)
    assert curve == [(5, {"loss": 1}), (7, {"loss": 0.5, "acc": 1000}), (8, {"loss": 2}), (3, {"loss": 4})]
    assert complaints == []


def test_new_names_beyond_a_thousand_are_left_out_and_old_ones_go_on(tmp_path: Path) -> None:
    flood = b"".join(b'{"resource": 1, "m%d": 0}\n' % number for number in range(1_010))
    curve, complaints = read_all(
        tmp_path / "m", [flood, b'{"resource": 2, "m0": 1, "new": 2}\n{"resource": 3, "x": 1}\n']
    )
    assert len(curve) == 1_001
    assert curve[-1] == (2, {"m0": 1.0})
    assert any("m1000 is left out" in line for line in complaints)


def test_what_is_not_finite_is_a_number(tmp_path: Path) -> None:
    _, values = parsed(b'{"a": NaN, "b": Infinity, "c": -Infinity, "d": null, "e": 1e999}', 1)
    assert math.isnan(values["a"]) and math.isnan(values["d"])
    assert (values["b"], values["c"], values["e"]) == (math.inf, -math.inf, math.inf)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"loss=3", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 30_000, "not JSON"),
        (b"[1]", "expected an object"),
        (b'{"resource": 1}', "no metric"),
        (b'{"resource": true, "a": 1}', "resource must be"),
        (b'{"resource": -1, "a": 1}', "resource must be"),
        (b'{"resource": 1.5, "a": 1}', "resource must be"),
        (b'{"resource": "1", "a": 1}', "resource must be"),
        (b'{"resource": 1e300, "a": 1}', "resource must be"),
        (b'{"resource": 10000000000, "a": 1}', "resource must be"),
        (b'{"a": "%s"}' % (b"x" * 70_000), "longer than"),
        (json.dumps({f"m{i}": i for i in range(300)}).encode(), "300 metrics"),
        (b'{"a": %s}' % (b"9" * 400), "no metric"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused(line: bytes, message: str) -> None:
    with pytest.raises(BadLine, match=message):
        parsed(line, 1)


def test_counting_on_never_leaves_the_range_that_segments_may_hold() -> None:
    assert parsed(b'{"a": 1}', MAX_RESOURCE)[0] == MAX_RESOURCE
    with pytest.raises(BadLine, match="resource must be"):
        parsed(b'{"a": 1}', MAX_RESOURCE + 1)


def test_values_that_are_no_numbers_are_left_out_and_named() -> None:
    heard: list[str] = []
    line = b'{"loss": 1, "flag": true, "phase": "train", "l": [1], "": 2, "a\\n": 1}'
    assert parsed(line, 1, heard.append) == (1, {"loss": 1.0})
    assert [text.split()[0] for text in heard] == ["flag", "phase", "l", "bad", "bad"]


@settings(deadline=None)
@given(st.data())
def test_where_writes_are_cut_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cut") / "m"
    lines = data.draw(
        st.lists(
            st.sampled_from(
                [b'{"loss": 1}', b'{"resource": 9, "x": 2}', b"bad", b"", b'{"a": "%s"}' % (b"y" * 66_000)]
            )
        )
    )
    whole = b"\n".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert read_all(path, pieces) == read_all(path, [whole])


def test_a_file_that_is_replaced_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_text('{"loss": 1}\n{"loss": 2}\n')
    reader = ReportFile(str(path), start=0, now=lambda: 0.0, complaints=Complaints())
    assert len(reader.read()) == 2
    path.write_text('{"loss": 3}\n')
    assert [report.values["loss"] for report in reader.read()] == [3]
    (tmp_path / "n").write_text('{"loss": 4}\n{"loss": 5}\n')
    (tmp_path / "n").rename(path)
    assert [report.values["loss"] for report in reader.read()] == [4, 5]
    path.unlink()
    assert reader.read() == []
    reader.close()


def test_complaints_are_bounded(tmp_path: Path) -> None:
    _, complaints = read_all(tmp_path / "m", [b"bad\n" * 1000])
    assert len(complaints) == 21
    assert complaints[-1] == "... and 980 more"


def test_a_flood_is_thinned_but_its_end_and_the_target_are_kept() -> None:
    thinning = Thinning(target=250_003)
    many = 1_000_007
    kept = [r for r in range(1, many + 1) if thinning.keep(Report(resource=r, values={"loss": r}, at=0.0))]
    held = [report.resource for report in thinning.held()]
    assert kept[:KEPT_PER_STRIDE] == list(range(1, KEPT_PER_STRIDE + 1))
    assert KEPT_PER_STRIDE < len(kept) <= 2 * KEPT_PER_STRIDE
    assert held == [250_003, many]


def test_the_last_report_of_a_flood_reaches_the_worker(tmp_path: Path) -> None:
    many = KEPT_PER_STRIDE + 15
    (tmp_path / "metrics.jsonl").write_text('{"loss": 1}\n' * many)
    feedback = Feedback(trial_file(tmp_path, to=many), NONE, lambda: 0.0)
    feedback.look()
    feedback.finish()
    resources = [report.resource for report in feedback.reports()]
    assert resources[-2:] == [KEPT_PER_STRIDE + 10, many]
    assert "only some are kept" in feedback.bad_lines()[0]
    feedback.close()


def test_a_line_without_end_is_not_kept_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"x" * 3_000_000)
    complaints = Complaints()
    reader = ReportFile(str(path), start=0, now=lambda: 0.0, complaints=complaints)
    for _ in range(4):
        assert reader.read() == []
    assert complaints.lines() == ["report line 1: longer than 65536 bytes; left out"]
    assert len(reader._rest) <= 65536
    with path.open("ab") as file:
        file.write(b'\n{"loss": 1}\n')
    assert [report.resource for report in reader.read()] == [1]
    reader.close()


def test_reports_held_back_on_one_resource_add_up() -> None:
    thinning = Thinning(target=5)
    thinning._kept = KEPT_PER_STRIDE
    for name in "ab":
        assert not thinning.keep(Report(resource=5, values={name: 1.0}, at=0.0))
    assert [dict(report.values) for report in thinning.held()] == [{"a": 1.0, "b": 1.0}]


def test_metrics_are_found_in_what_is_printed(tmp_path: Path) -> None:
    patterns = MetricPatterns((("loss", r"val_loss=(\S+)"), ("acc", r"acc: ([0-9.]+)")), "loss")
    feedback = Feedback(trial_file(tmp_path, start=2), patterns, lambda: 0.0)
    for piece in (b"acc: 0.5\rval_lo", b"ss=1.5 acc: 0.6\n", b"nothing\nval_loss=n/a\nval_loss=nan"):
        feedback.feed(piece)
    feedback.finish()
    curve = [(report.resource, dict(report.values)) for report in feedback.reports()]
    assert curve[:2] == [(3, {"acc": 0.5}), (3, {"loss": 1.5, "acc": 0.6})]
    assert curve[2][0] == 4 and math.isnan(curve[2][1]["loss"])
    assert feedback.bad_lines() == ["output: loss is not a number: 'n/a'"]
    feedback.close()


def test_a_printed_resource_overrides_the_counting(tmp_path: Path) -> None:
    patterns = MetricPatterns((("resource", r"Epoch (\d+)/"), ("loss", r"loss: (\S+)")), "loss")
    feedback = Feedback(trial_file(tmp_path), patterns, lambda: 0.0)
    feedback.feed(b"Epoch 4/9\nloss: 2\nEpoch 6/9 loss: 1\n")
    assert [report.resource for report in feedback.reports()] == [4, 6]
    feedback.feed(b"Epoch 99999999999/9 loss: 1\n")
    assert [report.resource for report in feedback.reports()] == [6]


@pytest.mark.parametrize("pattern", ["(", "no group", "(a)(b)"])
def test_a_pattern_has_one_group(pattern: str) -> None:
    with pytest.raises(UserError, match="metric_patterns: loss"):
        MetricPatterns((("loss", pattern),), "loss")


def test_values_are_bounded_as_reports_are() -> None:
    thinning, wide = Thinning(target=None), {f"m{i}": 0.0 for i in range(250)}
    kept = [thinning.keep(Report(resource=r, values=wide, at=0.0)) for r in range(20_000)]
    assert 4_000 <= sum(kept) <= 6_000


@pytest.mark.parametrize("plant", ["link", "fifo", "folder"])
def test_a_metrics_file_that_is_no_plain_file_is_not_read(tmp_path: Path, plant: str) -> None:
    path, secret = tmp_path / "m", tmp_path / "secret"
    secret.write_text("root:x:0:0\n")
    complaints = Complaints()
    reader = ReportFile(str(path), start=0, now=lambda: 0.0, complaints=complaints)
    {"link": lambda: path.symlink_to(secret), "fifo": lambda: os.mkfifo(path), "folder": path.mkdir}[plant]()
    assert reader.read() == reader.read() == []
    assert list(reader.finish()) == []
    assert complaints.lines() == ["the metrics file is no plain file: nothing is read from it"]
    reader.close()


def test_a_complaint_quotes_no_bad_name() -> None:
    """It goes into the record, which cannot hold half a character."""
    said: list[str] = []
    with pytest.raises(BadLine):
        parsed(
            rb'{"\ud800": "text", "\u001b[2J": [1], "deep": ' + b"[" * 500 + b"]" * 500 + b"}", 1, said.append
        )
    assert len(said) == 3
    assert all(words.isprintable() for words in said)
