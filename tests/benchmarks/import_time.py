"""Import `hpo_pipe.trial` in a training script, start the command line: what it costs, Optuna's import beside."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time

from tests.benchmarks.tables import heading, median, quantile, table

RUNS = 15
BARE = ["-I", "-c", "pass"]
STARTS = {
    "bare interpreter": BARE,
    "import hpo_pipe.trial": ["-I", "-c", "import hpo_pipe.trial"],
    "hpo-pipe --version": ["-I", "-m", "hpo_pipe", "--version"],
    "hpo-pipe --help": ["-I", "-m", "hpo_pipe", "--help"],
    "hpo-pipe status of no study": ["-I", "-m", "hpo_pipe", "status", "/nowhere"],
    "python -m workers --help": ["-I", "-m", "workers", "--help"],
    "import numpy": ["-I", "-c", "import numpy"],
    "import optuna": ["-I", "-c", "import optuna"],
}


def start_ms(arguments: list[str]) -> float:
    """Return the wall time of one interpreter with `arguments`, milliseconds."""
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    return 1e3 * (time.perf_counter() - begin)


def main() -> None:
    heading(
        "import_time",
        f"wall time of a whole process, {RUNS} starts each, after one that warms the disk cache",
    )
    measured = {}
    for name, arguments in STARTS.items():
        if name == "import optuna" and importlib.util.find_spec("optuna") is None:
            continue
        start_ms(arguments)
        measured[name] = [start_ms(arguments) for _ in range(RUNS)]
    bare = median(measured["bare interpreter"])
    rows = [
        (name, median(times), quantile(times, 0.9), max(0.0, median(times) - bare))
        for name, times in measured.items()
    ]
    table(["what", "median ms", "90 % ms", "above bare ms"], rows)


if __name__ == "__main__":
    main()
