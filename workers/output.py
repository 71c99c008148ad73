"""What a trial prints: read as it comes, so that the trial never blocks, and kept within two MiB."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import threading
from collections.abc import Callable

from storage_schema.redaction import LONGEST, Redactor

KEPT_BYTES = 1024 * 1024
"""So much is kept of the beginning, and so much of the end."""
TAIL_LINES = 40
TAIL_BYTES = 8 * 1024
_PIPE_BYTES = 1024 * 1024
_CHUNK_BYTES = 256 * 1024
_DRAIN_BYTES = 8 * 1024 * 1024
_LOOK_MS = 200


class Output:
    """The first and the last MiB of a stream of bytes, without secrets. One thread feeds it, others may read.

    Secrets are taken out of what is read, not of what is fed: pieces may be cut anywhere.
    """

    def __init__(self, redactor: Redactor | None = None) -> None:
        self._redactor = redactor or Redactor()
        self._head = bytearray()
        self._end = bytearray()
        self._total = 0
        self._lock = threading.Lock()

    def feed(self, data: bytes) -> None:
        """Add bytes."""
        with self._lock:
            self._total += len(data)
            room = KEPT_BYTES - len(self._head)
            if room > 0:
                self._head += data[:room]
                data = data[room:]
            self._end += data
            if len(self._end) > 2 * KEPT_BYTES:
                del self._end[:-KEPT_BYTES]

    def whole(self) -> bytes:
        """Return everything, or beginning and end with a line between that says how much was left out."""
        with self._lock:
            head, end = bytes(self._head), bytes(self._end[-KEPT_BYTES:])
            left_out = self._total - len(head) - len(end)
        if not left_out:
            return self._redactor.data(head + end)
        # Half of a secret may stand on either side of the gap, where nothing could know it.
        head, end = head[: _last_line(head)], end[_first_line(end) :]
        left_out = self._total - len(head) - len(end)
        between = b"\n... %d bytes left out ...\n" % left_out
        return self._redactor.data(head) + between + self._redactor.data(end)

    def tail(self) -> str:
        """Return the last 40 lines, at most 8 KiB of text."""
        with self._lock:
            room = TAIL_BYTES + LONGEST  # a secret that the cut goes through is seen whole
            end = bytes(self._end[-room:])
            if len(end) < room:
                end = bytes(self._head[-(room - len(end)) :]) + end
        text = self._redactor.data(end)[-TAIL_BYTES:].decode("utf-8", "replace").rstrip()
        return "\n".join(text.split("\n")[-TAIL_LINES:])


def _last_line(data: bytes) -> int:
    """Return where the last whole line ends, or so much less that no secret is cut."""
    return data.rfind(b"\n", len(data) - LONGEST) + 1 or len(data) - LONGEST


def _first_line(data: bytes) -> int:
    """Return where the first whole line begins, or so much later that no secret is cut."""
    return data.find(b"\n", 0, LONGEST) + 1 or LONGEST


class Pump:
    """A thread that empties a pipe into whatever takes its bytes now.

    A thread of its own, because the worker may be busy uploading for minutes while the trial prints.
    """

    def __init__(self, name: str) -> None:
        """Make the pipe.

        Raises:
            OSError: too many open files.
        """
        self._read, self.write_end = os.pipe()
        os.set_blocking(self._read, False)
        with contextlib.suppress(
            OSError, AttributeError
        ):  # not on every system, and root may have set a lower limit
            fcntl.fcntl(self._read, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._take: Callable[[bytes], None] | None = None
        self._lock = threading.Lock()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=f"output of {name}", daemon=True)

    def start(self, take: Callable[[bytes], None]) -> None:
        """Begin to read, after the child has inherited the other end of the pipe, which is closed here."""
        os.close(self.write_end)
        self._take = take
        self._thread.start()

    def abandon(self) -> None:
        """Close both ends of a pipe that was never started."""
        os.close(self.write_end)
        os.close(self._read)

    def hand_over(self, take: Callable[[bytes], None] | None) -> None:
        """Give the bytes from now on to `take`; None throws them away."""
        with self._lock:
            self._take = take

    def drain(self) -> None:
        """Read what lies in the pipe now; after the writer's end that is all it wrote."""
        left = _DRAIN_BYTES  # somebody who holds the pipe open and prints on must not keep us here
        while left > 0 and (data := self._next()):
            left -= len(data)

    def stop(self) -> None:
        """Let the thread end and close the pipe."""
        self._stopped = True

    def _run(self) -> None:
        poller = select.poll()
        poller.register(self._read, select.POLLIN)
        while not self._stopped:
            if poller.poll(_LOOK_MS) and self._next() == b"":
                break
        with self._lock:
            self._stopped = True
            os.close(self._read)

    def _next(self) -> bytes | None:
        """Pass one chunk on; empty at the end of the stream, None when there is nothing now."""
        with self._lock:
            if self._stopped:
                return None
            try:
                data = os.read(self._read, _CHUNK_BYTES)
            except BlockingIOError:
                return None
            if data and self._take is not None:
                self._take(data)
            return data
