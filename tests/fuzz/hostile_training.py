"""A training that does its worst to the worker that runs it, in the way that its parameter names. Standard library."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from pathlib import Path

HERE = json.loads(Path(os.environ["HPO_PIPE_TRIAL"]).read_text())
METRICS, CHECKPOINTS, STOP = (Path(HERE[name]) for name in ("metrics_file", "checkpoint_dir", "stop_file"))
CANARY = Path(os.environ["CANARY"])
"""The user's own files: what the worker must not touch, and what must not get into the bucket."""
NEW = CHECKPOINTS / ".new"


def begun() -> Path:
    NEW.mkdir()
    (NEW / "model").write_text("weights")
    return NEW


def finished(name: str = "1") -> None:
    NEW.rename(CHECKPOINTS / name)


def link_in_checkpoint() -> None:
    (begun() / "secret").symlink_to(CANARY / "secret")
    finished()


def folder_link_in_checkpoint() -> None:
    (begun() / "folder").symlink_to(CANARY)
    finished()


def checkpoint_is_a_link() -> None:
    (CHECKPOINTS / "1").symlink_to(CANARY)


def checkpoint_is_a_file_link() -> None:
    (CHECKPOINTS / "1").symlink_to(CANARY / "secret")


def checkpoint_folder_is_a_link() -> None:
    CHECKPOINTS.rmdir()
    CHECKPOINTS.symlink_to(CANARY)


def own_folder_is_a_link() -> None:
    own = METRICS.parent
    own.rename(own.with_name(own.name + "-moved"))
    own.symlink_to(CANARY)


def own_folder_is_gone() -> None:
    shutil.rmtree(METRICS.parent)


def fifo_in_checkpoint() -> None:
    os.mkfifo(begun() / "fifo")
    finished()


def socket_in_checkpoint() -> None:
    os.chdir(begun())
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("s")
    finished()


def device_in_checkpoint() -> None:
    (begun() / "zero").symlink_to("/dev/zero")
    finished()


def deep_checkpoint() -> None:
    descriptor = os.open(begun(), os.O_RDONLY)
    for _ in range(3_000):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    finished()


def wide_checkpoint() -> None:
    folder = begun()
    for number in range(21_000):
        (folder / str(number)).mkdir()
    finished()


def odd_names_in_checkpoint() -> None:
    folder = os.fsencode(begun())
    for name in (b"line\nend", b"\xff\xfe", b"\xe2\x80\xae", b"...", b"x" * 250, b"\x1b]0;x\x07"):
        os.close(os.open(folder + b"/" + name, os.O_CREAT | os.O_WRONLY))
    finished()


def odd_names_of_checkpoints() -> None:
    for name in (
        b"line\nend",
        b"\xff\xfe",
        b"\xe2\x80\xae",
        b"...",
        b"x" * 250,
        b"01",
        b"-1",
        b"1e9",
        b"9" * 200,
        b"\xd9\xa1",
    ):
        (CHECKPOINTS / os.fsdecode(name)).mkdir()


def many_checkpoints() -> None:
    for number in range(1, 1_500):
        (CHECKPOINTS / str(number)).mkdir()


def endless_file_in_checkpoint() -> None:
    with (begun() / "sparse").open("wb") as file:
        file.truncate(2**42)
    finished()


def metrics_is_a_link() -> None:
    METRICS.unlink()
    METRICS.symlink_to(CANARY / "secret")


def metrics_is_a_fifo() -> None:
    METRICS.unlink()
    os.mkfifo(METRICS)


def metrics_is_endless() -> None:
    METRICS.unlink()
    METRICS.symlink_to("/dev/zero")


def metrics_are_binary() -> None:
    METRICS.write_bytes(os.urandom(3_000_000) + b"\n" + b"[" * 2_000_000 + b"\n" + b"\0" * 2_000_000 + b"\n")


def metrics_lie() -> None:
    lines = [
        rb'{"\ud800": "text"}',
        rb'{"\u001b[2J": "x", "loss": true}',
        b'{"loss": 1e999, "resource": 1e999}',
        b'{"loss": ' + b"9" * 4_000 + b"}",
        b'{"loss": 1, "resource": 99999999999999999999}',
        b'{"loss": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"resource": 5, "resource": 7, "loss": 0.25, "loss": 0.5}',
        b"{" + b",".join(b'"m%d": 1' % n for n in range(300)) + b"}",
        *(b'{"name%d": 1}' % n for n in range(2_000)),
    ]
    METRICS.write_bytes(b"\n".join(lines) + b"\n")


def metrics_come_and_go() -> None:
    for number in range(50):
        METRICS.write_text(f'{{"loss": {number}}}\n' * (number % 7))
        METRICS.unlink()
    METRICS.touch()


def output_is_binary() -> None:
    for _ in range(30):
        os.write(1, os.urandom(100_000))
    os.write(2, b"x" * 5_000_000 + b"\x1b]0;owned\x07\x1b[2J\x00\xff")


def stop_file_is_a_folder() -> None:
    STOP.mkdir()


def trial_file_is_gone() -> None:
    Path(os.environ["HPO_PIPE_TRIAL"]).unlink()


def lock_is_gone() -> None:
    for path in METRICS.parent.parent.glob(".lock"):
        path.unlink()


def nothing() -> None:
    begun()
    finished()


WAYS = {
    name: way
    for name, way in globals().items()
    if callable(way) and getattr(way, "__module__", "") == "__main__"
}
del WAYS["begun"], WAYS["finished"]


def main() -> None:
    """Do the worst, then report as an honest training would, as far as that is still possible."""
    way = sys.argv[1]
    if way == "--list":
        print("\n".join(WAYS))
        return
    WAYS[way]()
    if not way.startswith("metrics_") and METRICS.exists() and CANARY.name not in str(METRICS.resolve()):
        with METRICS.open("a") as file:
            file.write('{"loss": 0.5}\n')


if __name__ == "__main__":
    main()
