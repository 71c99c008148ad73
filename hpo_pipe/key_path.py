"""Where something stands in a request: names and places, as in ``TrainingJobDefinitions[1].RoleArn``."""

from __future__ import annotations

Path = tuple[str | int, ...]


def path_text(path: Path) -> str:
    """Return `path` for messages."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
