"""The warm process of ``function = "module:name"``: imports the user's module once, then runs a spec per line.

Started by a worker as ``python <this file> module:name <fd>``, in the user's folder and environment. On the
descriptor come JSON lines ``{"trial": <path of a trial file>}``; to each goes back
``{"status": <exit status>, "reason": <one line>}``. Standard library only.

What the process itself needs is imported before the user's folder and PYTHONPATH may be looked at: a ``json.py`` or
``random.py`` there is the user's own affair. The user's code sees them first, as with ``python train.py``.
"""

from __future__ import annotations

import os
import sys


def main(function: str, control: int) -> int:
    """Run specs until the descriptor ends, and return the exit status."""
    users_path = _users_path()
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 (pathlib could be theirs)
    sys.path[:] = [*_standard_library(), ours]
    from hpo_pipe.warm_loop import serve

    sys.path[:] = users_path
    return serve(function, control)


def _users_path() -> list[str]:
    """Return the path as it would be for a script that lies in the working folder."""
    rest = sys.path if sys.flags.safe_path else sys.path[1:]
    return [os.getcwd(), *rest]  # noqa: PTH109


def _standard_library() -> list[str]:
    library = os.path.dirname(os.__file__)  # noqa: PTH120
    zipped = f"python{sys.version_info[0]}{sys.version_info[1]}.zip"
    return [
        folder
        for folder in sys.path
        if folder in (library, getattr(sys, "platstdlib", library))
        or folder.startswith(os.path.join(library, "lib-"))  # noqa: PTH118
        or os.path.basename(folder) == zipped  # noqa: PTH119
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
