from hypothesis import given, settings
from hypothesis import strategies as st

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
    left_out = max(0, size - 2 * KEPT_BYTES)
    between = b"\n... %d bytes left out ...\n" % left_out if left_out else b""
    end = data[KEPT_BYTES:][-KEPT_BYTES:]
    assert output.whole() == data[:KEPT_BYTES] + between + end


def test_the_tail_has_few_lines_and_few_bytes() -> None:
    output = Output()
    output.feed("".join(f"line {i}\n" for i in range(100)).encode())
    assert output.tail().split("\n") == [f"line {i}" for i in range(60, 100)]
    assert len(output.tail().split("\n")) == TAIL_LINES
    output.feed(b"x" * 3 * MIB + "é".encode()[1:])
    assert len(output.tail()) <= TAIL_BYTES
