"""Start our own modules so that a user's ``random.py``, ``workers.py`` or PYTHONPATH cannot stand in for them.

Imports nothing that is not loaded at start-up already: whatever it imported could be a stranger's file.
"""

from __future__ import annotations

import os
import site
import sys

CATCHERS = ("coordinator", "train", "worker")
"""Commands that end in good order on SIGTERM, and unblock it."""

_BOOTSTRAP = """
import runpy, sys
sys.path.append({root!r})
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""


def isolated() -> bool:
    """Tell whether this interpreter looks neither at the working folder nor at PYTHON* variables."""
    return bool(sys.flags.isolated or (sys.flags.ignore_environment and sys.flags.safe_path))


def keep_sigterm() -> None:
    """Let a SIGTERM that comes while this process still starts wait until it is caught, where this is process 1.

    The kernel drops a signal for the first process of a container that nothing catches yet: the container would go on
    until it is killed. What is blocked stays so through execv; who sets a handler lets it in (:data:`CATCHERS`).
    """
    import _signal  # type: ignore[import-not-found]  # built in: no file can stand in for it, as for signal.py

    if os.getpid() == 1 and sys.argv[1:2] and sys.argv[1] in CATCHERS:
        _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGTERM])


def isolated_command(module: str, *arguments: str) -> list[str]:
    """Return the argument list that runs `module` (``hpo_pipe``, ``workers``) of this installation, isolated.

    The variables themselves stay in the environment, so that the trials that a worker starts see them.
    """
    return [sys.executable, *_how(module), *arguments]


def _how(module: str) -> list[str]:
    if any(_installed_in(folder) for folder in site.getsitepackages()):
        return ["-I", "-m", module]
    if _installed_in(site.getusersitepackages()):
        return ["-E", "-P", "-m", module]  # -I would leave out the user site as well
    # `pip install --target`, or a checkout: our folder is put last, so that it hides nothing.
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 (pathlib is not loaded yet)
    return ["-I", "-c", _BOOTSTRAP.format(root=root, module=module)]


def _installed_in(folder: str) -> bool:
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return False
    return any(name.startswith("hpo_pipe-") and name.endswith(".dist-info") for name in names)
