"""A comparison as an SVG file that needs nothing else: no fonts, no scripts, no style sheet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape

import numpy as np

from hpo_pipe.simulate.curves import Floats
from hpo_pipe.simulate.plots import Panel
from storage_schema.terminal import one_line

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8a6d3b")
"""Okabe and Ito's, which the colour-blind can tell apart; lines of a second round are dashed."""
WIDTH = 980
PANEL_WIDTH, PANEL_HEIGHT = 380, 260
LEFT, GAP, TOP = 74, 96, 56
LEGEND_ROW = 20
_TEXT = "#333333"
_GRID = "#e3e3e3"


def svg(panels: Sequence[Panel], title: str) -> str:
    """Return the file."""
    labels = list(panels[0].lines)
    per_row = 3
    rows = -(-len(labels) // per_row)
    height = TOP + PANEL_HEIGHT + 58 + LEGEND_ROW * rows
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="12">',
        f"<title>{_safe(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="26" font-size="15" font-weight="600" fill="{_TEXT}">{_safe(title)}</text>',
    ]
    for place, panel in enumerate(panels):
        body += _panel(panel, LEFT + place * (PANEL_WIDTH + GAP), place)
    body += _legend(labels, TOP + PANEL_HEIGHT + 62, per_row)
    return "\n".join([*body, "</svg>", ""])


def _panel(panel: Panel, left: int, number: int) -> Iterator[str]:
    bottom = TOP + PANEL_HEIGHT
    inside = f'x="{left}" y="{TOP}" width="{PANEL_WIDTH}" height="{PANEL_HEIGHT}"'
    yield f'<clipPath id="p{number}"><rect {inside}/></clipPath>'
    for value, at in _places(panel.x.ticks(), panel.x.places):
        x = left + at * PANEL_WIDTH
        yield f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="{_GRID}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle" fill="{_TEXT}">{value:g}</text>'
    for value, at in _places(panel.y.ticks(), panel.y.places):
        y = bottom - at * PANEL_HEIGHT
        yield f'<path d="M{left} {y:.1f}H{left + PANEL_WIDTH}" stroke="{_GRID}"/>'
        yield f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end" fill="{_TEXT}">{value:g}</text>'
    yield f'<path d="M{left} {TOP}V{bottom}H{left + PANEL_WIDTH}" fill="none" stroke="{_TEXT}"/>'
    yield f'<text x="{left}" y="{TOP - 10}" fill="{_TEXT}">{_safe(panel.y_title)}</text>'
    middle = left + PANEL_WIDTH / 2
    yield f'<text x="{middle:.1f}" y="{bottom + 36}" text-anchor="middle" fill="{_TEXT}">{_safe(panel.x_title)}</text>'
    for place, (x_values, y_values) in enumerate(panel.lines.values()):
        path = _path(
            left + panel.x.places(x_values) * PANEL_WIDTH, bottom - panel.y.places(y_values) * PANEL_HEIGHT
        )
        if path:
            yield f'<path d="{path}" fill="none" {_stroke(place)} clip-path="url(#p{number})"/>'


def _path(x: Floats, y: Floats) -> str:
    """Return steps from point to point; what is not known, or off the axis by far, is left out."""
    known = np.isfinite(x) & np.isfinite(y)
    points = zip(x[known].tolist(), np.clip(y[known], -1e4, 1e4).tolist(), strict=True)
    return "".join(
        f"M{px:.1f} {py:.1f}" if not n else f"H{px:.1f}V{py:.1f}" for n, (px, py) in enumerate(points)
    )


def _legend(labels: Sequence[str], top: int, per_row: int) -> Iterator[str]:
    width = (WIDTH - LEFT) // per_row
    for place, label in enumerate(labels):
        x, y = LEFT + place % per_row * width, top + place // per_row * LEGEND_ROW
        yield f'<path d="M{x} {y - 4}h26" fill="none" {_stroke(place)}/>'
        yield f'<text x="{x + 34}" y="{y}" fill="{_TEXT}">{_safe(label[:44])}</text>'


def _stroke(place: int) -> str:
    dashes = ' stroke-dasharray="6 4"' if place // len(COLOURS) % 2 else ""
    return f'stroke="{COLOURS[place % len(COLOURS)]}" stroke-width="2" stroke-linejoin="round"{dashes}'


def _places(ticks: Sequence[float], places: Callable[[Floats], Floats]) -> Iterator[tuple[float, float]]:
    yield from zip(ticks, places(np.array(ticks, dtype=np.float64)).tolist(), strict=True)


def _safe(text: str) -> str:
    return escape(one_line(text))
