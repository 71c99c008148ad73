from hypothesis import given, settings
from hypothesis import strategies as st

from storage_schema.redaction import LONGEST, Redactor
from workers.output import KEPT_BYTES, TAIL_BYTES, TAIL_LINES, Output

MIB = 1024 * 1024


@settings(deadline=None)
@given(st.lists(st.binary(max_size=100), max_size=20))
def test_a_short_output_is_kept_whole(pieces: list[bytes]) -> None:
    output = Output()
    for piece in pieces:
        output.feed(piece)
    assert output.whole() == b"".join(pieces)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 7 * MIB), st.integers(200_000, 3 * MIB))
def test_of_a_long_output_beginning_and_end_are_kept(size: int, piece: int) -> None:
    data = b"".join(b"%07d\n" % i for i in range(size // 8 + 1))[:size]
    output = Output()
    for start in range(0, size, piece):
        output.feed(data[start : start + piece])
    if size <= 2 * KEPT_BYTES:
        assert output.whole() == data
        return
    # Only whole lines: half of a secret beside the gap could not be known.
    head = data[:KEPT_BYTES].rpartition(b"\n")[0] + b"\n"
    end = data[-KEPT_BYTES:].partition(b"\n")[2]
    between = b"\n... %d bytes left out ...\n" % (size - len(head) - len(end))
    assert output.whole() == head + between + end


def test_a_gap_in_a_line_without_end_leaves_no_half_of_a_secret() -> None:
    secret = b"hunter2-hunter2-hunter2"
    output = Output(Redactor([secret.decode()]))
    output.feed(b"x" * (KEPT_BYTES - 10) + secret + b"x" * (3 * KEPT_BYTES) + secret)
    output.feed(b"y" * (KEPT_BYTES - 10))
    whole = output.whole()
    assert b"hunter2" not in whole and b"bytes left out" in whole
    assert len(whole) > 2 * KEPT_BYTES - 3 * LONGEST


def test_a_secret_that_the_tail_would_begin_in_is_taken_out_whole() -> None:
    secret = b"hunter2-" * 20
    output = Output(Redactor([secret.decode()]))
    output.feed(b"x" * MIB + secret + b"y" * (TAIL_BYTES - 7))
    assert "hunter2" not in output.tail()


def test_the_tail_has_few_lines_and_few_bytes() -> None:
    output = Output()
    output.feed("".join(f"line {i}\n" for i in range(100)).encode())
    assert output.tail().split("\n") == [f"line {i}" for i in range(60, 100)]
    assert len(output.tail().split("\n")) == TAIL_LINES
    output.feed(b"x" * 3 * MIB + "é".encode()[1:])
    assert len(output.tail()) <= TAIL_BYTES
