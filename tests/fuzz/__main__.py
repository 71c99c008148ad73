"""``python -m tests.fuzz [--target NAME] [--seconds N]``: coverage-guided fuzzing of every reader, one after another.

What breaks a law is written to ``tests/fuzz/found/<target>/``, where the ordinary tests try it from then on.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import TARGETS

FOUND = Path(__file__).with_name("found")
ROOT = Path(__file__).parents[2]
MAX_INPUT_BYTES = 20_000
MEMORY_MIB = 3_000
ONE_INPUT_S = 60
_RUNS = re.compile(r"stat::number_of_executed_units: *(\d+)|Done (\d+) runs")


def main() -> int:
    """Run the command; return 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--target", action="append", choices=list(TARGETS), help="Only this one; may be repeated."
    )
    parser.add_argument("--seconds", type=int, default=60, help="For each target (default 60).")
    given = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: pip install 'hpo-pipe[fuzz]'", file=sys.stderr)
        return 2
    broken = [name for name in given.target or TARGETS if not fuzzed(name, given.seconds)]
    if broken:
        print(f"laws were broken in: {', '.join(broken)}; the inputs lie in {FOUND}", file=sys.stderr)
    return 1 if broken else 0


def fuzzed(name: str, seconds: int) -> bool:
    """Fuzz one target; say how often it ran, and whether all was well."""
    kept = FOUND / name
    with tempfile.TemporaryDirectory(prefix="fuzz-corpus-") as corpus:
        for place, sample in enumerate(TARGETS[name].samples):
            (Path(corpus) / f"sample-{place}").write_bytes(sample)
        made = tempfile.mkdtemp(prefix="fuzz-found-", dir=corpus)
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.guided",
            name,
            corpus,
            *([str(kept)] if kept.is_dir() else []),
        ]
        options = {
            "max_total_time": seconds,
            "max_len": MAX_INPUT_BYTES,
            "rss_limit_mb": MEMORY_MIB,
            "timeout": ONE_INPUT_S,
            "print_final_stats": 1,
            "artifact_prefix": f"{made}/",
        }
        done = subprocess.run(
            [*command, *(f"-{option}={value}" for option, value in options.items())],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        text = done.stdout.decode("utf-8", "replace")
        runs = [int(one or other) for one, other in _RUNS.findall(text)]
        print(f"{name}: {max(runs, default=0)} runs{'' if done.returncode == 0 else ', BROKEN'}", flush=True)
        if done.returncode == 0:
            return True
        print(text[-4_000:])
        for path in (
            p for p in Path(made).iterdir() if p.stat().st_size
        ):  # an empty one: memory ran out over many
            kept.mkdir(parents=True, exist_ok=True)
            (kept / path.name).write_bytes(path.read_bytes())
        return False


if __name__ == "__main__":
    sys.exit(main())
