"""Running one spec after the other in a warm process. Standard library only; imported by `hpo_pipe.warm`."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from hpo_pipe.trial import Trial, current_trial
from hpo_pipe.trial_place import VARIABLE

INTERRUPTED_BY_KEYBOARD = 130
_MAX_REASON_CHARACTERS = 300


def serve(function: str, control: int) -> int:
    """Run the specs that come on the descriptor `control`; end with the first that fails."""
    os.set_inheritable(control, False)
    surroundings = Surroundings()
    user = UserFunction(function)
    process = os.getpid()
    for path in _requests(control):
        surroundings.restore()
        os.environ[VARIABLE] = path  # noqa: TID251 (the user's code looks there)
        status, reason = _run(user, surroundings)
        surroundings.flush()
        if os.getpid() != process:  # a fork of the user's that came back here: it must not answer
            os._exit(status)
        os.write(control, json.dumps({"status": status, "reason": reason}).encode() + b"\n")
        if status != 0:
            return status
    return 0


class UserFunction:
    """``module:name``, imported with the first spec, so that its messages are in that spec's output."""

    def __init__(self, name: str) -> None:
        self._module, _, self._attributes = name.partition(":")
        self._function: Callable[..., object] | None = None

    def __call__(self, trial: Trial) -> object:
        """Call it with the trial, or with nothing where it takes none."""
        if self._function is None:
            found: Any = importlib.import_module(self._module)
            for attribute in self._attributes.split("."):
                found = getattr(found, attribute)
            self._function = found
        return self._function(trial) if _takes_trial(self._function) else self._function()


class Surroundings:
    """What a spec may change and the next one must find as it was: folder, environment, outputs, SIGTERM."""

    def __init__(self) -> None:
        self._folder = os.getcwd()  # noqa: PTH109
        self._environment = dict(os.environ)  # noqa: TID251 (to be restored)
        self._outputs = {fd: os.dup(fd) for fd in (1, 2)}

    def restore(self) -> None:
        """Put everything back."""
        os.chdir(self._folder)
        if dict(os.environ) != self._environment:  # noqa: TID251
            os.environ.clear()  # noqa: TID251
            os.environ.update(self._environment)  # noqa: TID251
        self.restore_outputs()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def restore_outputs(self) -> None:
        """Put the two outputs back, also where they were closed or replaced."""
        self.flush()
        for fd, kept in self._outputs.items():
            os.dup2(kept, fd)
        sys.stdout = _stream(1, sys.__stdout__)
        sys.stderr = _stream(2, sys.__stderr__)

    def flush(self) -> None:
        """Write out what is buffered."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()


def _run(user: UserFunction, surroundings: Surroundings) -> tuple[int, str]:
    """Run one spec; return its exit status and, unless that is plain, the reason."""
    trial = current_trial()
    try:
        trial.finish(user(trial))
    except SystemExit as end:
        return _status(end)
    except KeyboardInterrupt:
        return INTERRUPTED_BY_KEYBOARD, "KeyboardInterrupt"
    except BaseException as error:
        surroundings.restore_outputs()
        inner = error.__traceback__.tb_next if error.__traceback__ else None
        traceback.print_exception(type(error), error, inner)
        return 1, f"{type(error).__name__}: {error}".replace("\n", " ")[:_MAX_REASON_CHARACTERS]
    finally:
        trial.close()
    return 0, ""


def _status(end: SystemExit) -> tuple[int, str]:
    """Read sys.exit's argument as the interpreter does."""
    if end.code is None:
        return 0, ""
    if isinstance(end.code, int):
        return end.code & 0xFF, ""
    print(end.code, file=sys.stderr)
    return 1, str(end.code).replace("\n", " ")[:_MAX_REASON_CHARACTERS]


def _takes_trial(function: Callable[..., object]) -> bool:
    """Tell whether the first parameter is there for the trial: it has no default, or it is called so."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return True
    if not parameters or parameters[0].kind in (
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.VAR_KEYWORD,
    ):
        return False
    first = parameters[0]
    return first.name == "trial" or (
        first.default is inspect.Parameter.empty and first.kind is not inspect.Parameter.VAR_POSITIONAL
    )


def _requests(control: int) -> Iterator[str]:
    rest = b""
    while data := os.read(control, 65536):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield json.loads(line)["trial"]


def _stream(fd: int, usual: TextIO | None) -> TextIO:
    if usual is not None and not usual.closed:
        return usual
    return open(fd, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
