"""A panel drawn with dots, for terminals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hpo_pipe.simulate.curves import Floats
from hpo_pipe.simulate.plots import Panel

Integers = NDArray[np.int64]

COLOURS = ("blue", "red", "green", "magenta", "yellow", "cyan", "white")
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Of a Braille character: four rows of two dots."""

Cell = tuple[str, int]
"""A character, and the line whose colour it has; -1 for none."""


def chart(panel: Panel, width: int, height: int) -> Iterator[list[Cell]]:
    """Yield the rows of the chart, top first, axes included.

    Args:
        panel: what is drawn.
        width: in characters, axes included.
        height: of the lines' part.
    """
    labels = {round(height - 1 - at * (height - 1)): f"{value:g}" for value, at in _ticks(panel)}
    margin = max((len(text) for text in labels.values()), default=1)
    inside = max(10, width - margin - 2)
    dots, owners = _drawn(panel, inside, height)
    for row in range(height):
        text = labels.get(row, "").rjust(margin) + (" ┤" if row in labels else " │")
        line = [
            (chr(0x2800 + int(dot)) if dot else " ", int(o))
            for dot, o in zip(dots[row], owners[row], strict=True)
        ]
        yield [*((c, -1) for c in text), *line]
    yield [(c, -1) for c in " " * margin + " └" + "─" * inside]
    last = f"{panel.x.high:.5g} {panel.x_title}"
    yield [(c, -1) for c in " " * (margin + 2) + "0" + last.rjust(inside - 1)]


def _ticks(panel: Panel) -> Iterator[tuple[float, float]]:
    ticks = np.array(panel.y.ticks(5), dtype=np.float64)
    yield from zip(ticks.tolist(), panel.y.places(ticks).tolist(), strict=True)


def _drawn(panel: Panel, width: int, height: int) -> tuple[Integers, Integers]:
    """Return the dots of each character, and whose the last of them is, both shape (height, width)."""
    dots, owners = np.zeros((height, width), dtype=np.int64), np.full((height, width), -1, dtype=np.int64)
    for number, (x, y) in enumerate(panel.lines.values()):
        for column, row in _points(panel, x, y, 2 * width, 4 * height):
            dots[row // 4, column // 2] |= _DOTS[row % 4][column % 2]
            owners[row // 4, column // 2] = number
    return dots, owners


def _points(panel: Panel, x: Floats, y: Floats, width: int, height: int) -> Iterator[tuple[int, int]]:
    """Yield (column, row) of the dots of a line of steps; row 0 is the top."""
    columns = panel.x.places(x) * (width - 1)
    rows = (1.0 - panel.y.places(y)) * (height - 1)
    known = np.isfinite(columns) & np.isfinite(rows)
    before = None
    for column in range(width):
        place = int(np.searchsorted(columns[known], column, side="right")) - 1
        if place < 0:
            continue
        row = round(float(rows[known][place]))
        steps = range(min(before, row), max(before, row) + 1) if before is not None else (row,)
        yield from ((column, step) for step in steps if 0 <= step < height)
        before = row
