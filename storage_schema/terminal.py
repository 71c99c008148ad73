"""What may be printed where a person looks: no character that moves the cursor, hides text or turns it round."""

from __future__ import annotations

import re

_BEYOND_LINES = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
_CONTROL = re.compile(f"[{_BEYOND_LINES}]")
_CONTROL_OR_END = re.compile(f"[{_BEYOND_LINES}\n]")
_COLOUR = re.compile("(\x1b\\[[0-9;]{0,32}m)")


def printable(text: str) -> str:
    r"""Return `text` with control characters written out (``\x1b``); line ends and tabs stay.

    Names, reasons and the tails of output come from strangers: an escape sequence in one of them could rewrite what a
    terminal shows, and a mark of writing direction could make a line read as another.
    """
    return _CONTROL.sub(_written_out, text)


def one_line(text: str) -> str:
    r"""Return `text` as :func:`printable` does, with line ends written out, too."""
    return _CONTROL_OR_END.sub(_written_out, text)


def printable_json(text: str) -> str:
    """Return JSON text with control characters as JSON's escapes: JSON leaves some of them as they are."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def printable_output(text: str) -> str:
    """Return what a program printed as :func:`printable` does, but with its colours, and lines for carriage returns."""
    pieces = _COLOUR.split(text.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join(piece if place % 2 else printable(piece) for place, piece in enumerate(pieces))


def _written_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
