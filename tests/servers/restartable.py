"""MiniStack with its objects on disk, so that it can be killed, frozen and started again with all it had.

It writes an object's file, and renames it into place, before it answers; what was answered survives kill -9.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.s3 import START_S, S3Server, answers, free_port, ministack, start_server
from tests.waiting import wait_until


class RestartableS3:
    """Runs while the ``with`` block lasts, on one port throughout."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.server = S3Server("MiniStack", f"http://127.0.0.1:{self._port}")
        self.starts = 0

    def start(self) -> None:
        """Start it, with the objects that it had, and wait until it answers."""
        command, settings = ministack(self._port)
        settings |= {"S3_PERSIST": "1", "S3_DATA_DIR": str(self._folder / "objects")}
        self.starts += 1
        log = self._folder / f"server-{self.starts}.log"
        self._process = process = start_server(command, {**os.environ, **settings}, log)
        wait_until(
            lambda: process.poll() is not None or answers(self.server.endpoint),
            START_S,
            "MiniStack to answer",
        )
        if process.poll() is not None:
            raise RuntimeError(f"MiniStack did not start:\n{log.read_text()[-2000:]}")

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        (self._folder / "objects").mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
