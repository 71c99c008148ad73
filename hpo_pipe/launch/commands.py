"""Running a provider's own program: an argument list, a time limit, bounded output, and errors that say who acts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from hpo_pipe.launch.target import TargetUnavailable
from storage_schema.errors import UserError
from storage_schema.redaction import Redactor, secret_values
from storage_schema.terminal import one_line

LIMIT_S = 60.0
"""How long a program may take to answer."""
MAX_OUTPUT = 32 * 1024 * 1024
"""Bytes of one answer: a listing of 10,000 jobs takes a few millions."""
MAX_ERRORS = 64 * 1024
MAX_MESSAGE = 500

_BLOCK = 64 * 1024
_LINGER_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a program said, with what its environment holds of secrets taken out of the errors."""

    status: int
    """The exit status; negative: the signal that killed it."""
    out: str
    errors: str

    @property
    def message(self) -> str:
        """Return why it failed, in one line for people."""
        said = " ".join(line.strip() for line in (self.errors or self.out).splitlines() if line.strip())
        how = f"signal {-self.status}" if self.status < 0 else f"exit status {self.status}"
        return one_line(said[:MAX_MESSAGE]) or f"it ended with {how}, and said nothing"


def ask(
    argv: Sequence[str],
    *,
    source: str,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    limit_s: float = LIMIT_S,
) -> Answer:
    """Run `argv` to its end and return what it said, whatever its exit status.

    It has no terminal: a program that wants to ask for a password fails at once.

    Args:
        argv: program and arguments; no secrets, anybody on the machine can list them.
        source: how to get the program, for who lacks it, as in ``it comes with Slurm``.
        stdin: what it reads.
        environment: variables on top of the user's.
        limit_s: it is killed, with its children, after so long.

    Raises:
        UserError: no such program here.
        TargetUnavailable: it did not end in time, or said too much.
    """
    variables = {**os.environ, **(environment or {})}  # noqa: TID251 (an edge)
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=variables,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise UserError(f"{argv[0]} is not on the PATH: {source}") from None
    except OSError as error:
        raise UserError(f"{argv[0]} does not run: {error.strerror}") from None
    talk = _Talk(process, stdin.encode())
    try:
        ended = talk.ended(limit_s)
    finally:
        talk.close()
    if talk.out.too_much:
        raise TargetUnavailable(f"{argv[0]} said more than {MAX_OUTPUT >> 20} MiB")
    if not ended:
        raise TargetUnavailable(f"{argv[0]} did not answer within {limit_s:g} s")
    redactor = Redactor(secret_values(variables))
    return Answer(
        status=process.returncode,
        out=talk.out.text(),
        errors=redactor.text(talk.errors.text()),
    )


def answer_of(
    argv: Sequence[str],
    *,
    source: str,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    limit_s: float = LIMIT_S,
) -> str:
    """Run `argv` as :func:`ask` does and return what it printed.

    Raises:
        UserError: no such program here.
        TargetUnavailable: it failed, did not end in time, or said too much.
    """
    answer = ask(argv, source=source, stdin=stdin, environment=environment, limit_s=limit_s)
    if answer.status:
        raise TargetUnavailable(f"{argv[0]}: {answer.message}")
    return answer.out


class _Kept:
    """Reads a pipe to its end in a thread, and keeps its beginning."""

    def __init__(self, pipe: IO[bytes], most: int) -> None:
        self._pipe = pipe
        self._most = most
        self._data = bytearray()
        self.too_much = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def text(self) -> str:
        return bytes(self._data).decode("utf-8", "replace")

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # closed under us: nobody wants the rest
            while block := os.read(self._pipe.fileno(), _BLOCK):
                room = self._most - len(self._data)
                self._data += block[:room]
                self.too_much = self.too_much or len(block) > room


class _Talk:
    """The pipes of one program."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes) -> None:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._process = process
        self._stdin = process.stdin
        self.out = _Kept(process.stdout, MAX_OUTPUT)
        self.errors = _Kept(process.stderr, MAX_ERRORS)
        self._writer = threading.Thread(target=self._write, args=(stdin,), daemon=True)
        self._writer.start()

    def ended(self, limit_s: float) -> bool:
        try:
            self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return False
        self._join()
        return True

    def close(self) -> None:
        """End what is left of it, also a child that outlives it and holds the pipes; nothing waits for ever."""
        if self._process.returncode is None or self._join():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if (
            not self._join()
        ):  # a pipe that is still read must not be closed: its number may become another file's
            for pipe in (self._process.stdout, self._process.stderr):
                if pipe is not None:
                    pipe.close()

    def _join(self) -> bool:
        """Wait a little for the pipes' ends; return whether somebody still holds one."""
        threads = (self._writer, self.out.thread, self.errors.thread)
        for thread in threads:
            thread.join(_LINGER_S)
        return any(thread.is_alive() for thread in threads)

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # it did not read on: its exit status says why
            self._stdin.write(data)
        with contextlib.suppress(OSError):
            self._stdin.close()
