"""Function mode: one warm process per slot, which runs one spec after the other.

The process is ``hpo_pipe/warm.py`` under this interpreter, in the user's folder and environment. Worker and
process talk over a socket pair: a JSON line ``{"trial": <path>}`` for each spec, and a JSON line
``{"status": <exit status>, "reason": <one line>}`` at its end. Only a process that ended a spec with status 0
is used again; after anything else, and for other GPUs, a new one is started.
"""

from __future__ import annotations

import importlib.util
import json
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from storage_schema.errors import UserError
from storage_schema.records.study import Program
from storage_schema.redaction import Redactor
from storage_schema.terminal import one_line
from storage_schema.trial_env import TrialFile
from workers.attempt_process import AttemptProcess
from workers.ending import Ended, ended
from workers.feedback import Feedback
from workers.metric_patterns import MetricPatterns
from workers.output import Pump
from workers.process_group import ProcessGroup
from workers.trial_folder import environment, prepared

_MAX_REPLY_BYTES = 64 * 1024
_MAX_GOODBYE_S = 5.0
_DYING_S = 1.0


class WarmLauncher:
    """See :class:`workers.trial_process.Launcher`."""

    def __init__(
        self,
        program: Program,
        *,
        user_environment: Mapping[str, str],
        workdir: Path,
        objective: str,
        grace_s: float,
        now: Callable[[], float],
        redactor: Redactor | None = None,
    ) -> None:
        self._function = _checked(program.function)
        self._program = program
        self._user_environment = dict(user_environment)
        self._workdir = workdir
        self._patterns = MetricPatterns(program.metric_patterns, objective)
        self._goodbye_s = min(grace_s, _MAX_GOODBYE_S)
        self._now = now
        self._redactor = redactor
        self._warm: WarmProcess | None = None

    def start(self, trial_file: TrialFile, folder: Path, gpus: tuple[str, ...]) -> AttemptProcess:
        """Write the trial file and hand it to the warm process; raises UserError or OSError."""
        path = prepared(trial_file, folder)
        feedback = Feedback(trial_file, self._patterns, self._now, self._redactor)
        warm = self._ready(gpus, feedback.feed)
        warm.begin(path, feedback.feed)
        return AttemptProcess(_WarmRun(warm), feedback, trial_file)

    def close(self) -> None:
        """Let the warm process run its exit handlers for a moment, then kill it."""
        if self._warm is not None:
            self._warm.close(self._goodbye_s)
            self._warm = None

    def _ready(self, gpus: tuple[str, ...], take: Callable[[bytes], None]) -> WarmProcess:
        if self._warm is not None and self._warm.usable and self._warm.gpus == gpus:
            return self._warm
        self.close()
        variables = environment(self._user_environment, self._program, None, gpus)
        self._warm = WarmProcess(self._function, variables, self._workdir, gpus, take)
        return self._warm


class WarmProcess:
    """The process, its control socket, and the pump of its output."""

    def __init__(
        self,
        function: str,
        variables: Mapping[str, str],
        workdir: Path,
        gpus: tuple[str, ...],
        take: Callable[[bytes], None],
    ) -> None:
        self.gpus = gpus
        self._spoilt = False
        self._reply = b""
        self._control, theirs = socket.socketpair()
        self._pump = Pump(function)
        try:
            self._group = ProcessGroup.start(
                [sys.executable, warm_script(), function, str(theirs.fileno())],
                environment=variables,
                workdir=workdir,
                output_fd=self._pump.write_end,
                pass_fds=(theirs.fileno(),),
            )
        except BaseException:
            self._pump.abandon()
            self._control.close()
            raise
        finally:
            theirs.close()
        self._control.setblocking(False)
        self._pump.start(take)  # at once: an interpreter that does not even start says so here

    @property
    def usable(self) -> bool:
        """Whether another spec can be run here."""
        return not self._spoilt and self._group.returncode() is None

    def begin(self, trial_path: Path, take: Callable[[bytes], None]) -> None:
        """Start a spec. A process that died meanwhile is noticed by :meth:`ended`."""
        self._reply = b""
        self._pump.hand_over(take)
        try:
            self._control.send(json.dumps({"trial": str(trial_path)}).encode() + b"\n")
        except OSError:
            self._spoilt = True

    def ended(self) -> Ended | None:
        """Return how the spec ended, after all its output was passed on."""
        found = self._replied()
        if found is None and (code := self._group.returncode()) is not None:
            found = ended(code, killed_by_us=self._group.ended_by_us)
        if found is not None:
            self._spoilt |= found.status != 0
            self._pump.drain()
        return found

    def wait(self, timeout_s: float) -> None:
        """Wait until there is an answer, or the process is gone."""
        self._group.wait(timeout_s, None if self._spoilt else self._control.fileno())

    def signal(self, number: int) -> None:
        """Send a signal to the group, which is not used again."""
        self._spoilt = True
        self._group.signal(number)

    def leave(self, over: bool) -> None:
        """Let go of a spec; one that is not over, or went wrong, takes the process and its GPU memory with it."""
        if over and not self._spoilt:
            self._pump.hand_over(None)
        else:
            self.close(0.0)

    def close(self, goodbye_s: float) -> None:
        """End the process."""
        self._control.close()
        if not self._spoilt:
            self._group.wait(goodbye_s)
        self._group.end()
        self._spoilt = True
        self._pump.drain()
        self._pump.stop()

    def _replied(self) -> Ended | None:
        if self._control.fileno() < 0:
            return None
        try:
            data = self._control.recv(_MAX_REPLY_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        self._reply += data
        if self._reply.endswith(b"\n"):
            return _read(self._reply)
        if not data or len(self._reply) > _MAX_REPLY_BYTES:  # gone, or something else wrote there
            self._spoilt = True
            self._group.wait(_DYING_S)
            if self._group.returncode() is None:
                self.signal(signal.SIGKILL)
        return None


class _WarmRun:
    def __init__(self, warm: WarmProcess) -> None:
        self._warm = warm
        self._over = False

    def ended(self) -> Ended | None:
        found = self._warm.ended()
        self._over |= found is not None
        return found

    def wait(self, timeout_s: float) -> None:
        self._warm.wait(timeout_s)

    def signal(self, number: int) -> None:
        if not self._over:
            self._warm.signal(number)

    def close(self) -> None:
        self._warm.leave(self._over)


def warm_script() -> str:
    """Return the file that the warm process runs; found without importing the deciding side."""
    package = importlib.util.find_spec("hpo_pipe")
    assert package is not None and package.submodule_search_locations
    return str(Path(package.submodule_search_locations[0]) / "warm.py")


def _checked(function: str) -> str:
    module, _, name = function.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise UserError(f"function: expected 'module:name' such as 'train:main', found {function!r}")
    return function


def _status(found: object) -> int:
    if type(found) is not int or not 0 <= found <= 255:
        raise ValueError(found)
    return found


def _read(line: bytes) -> Ended | None:
    """Read the process's answer, as carefully as any stranger's bytes."""
    try:
        found = json.loads(line)
        status, reason = _status(found["status"]), one_line(str(found["reason"])[:300])
    except (ValueError, TypeError, KeyError, RecursionError):
        status, reason = 1, "the warm process answered with something unreadable"
    plain = ended(status)
    return Ended(status=status, signal=None, reason=reason or plain.reason)
