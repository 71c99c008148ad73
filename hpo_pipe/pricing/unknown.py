"""Why a price is not known."""

from __future__ import annotations


class Unknown(Exception):
    """Nobody can say what it costs; the message says why. A price is never guessed instead."""
