"""Milliseconds from a result to the same worker's next claim, by the chain links of a no-op study on a folder.

This is what a slot stands idle between two trials: closing the chain, finding a spec, and winning its claim.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks.noop import MODES, run_noop
from tests.benchmarks.tables import heading, quantile, table

TRIALS = 150


def main() -> None:
    heading("latency", f"from a result to the next claim, milliseconds; {TRIALS} no-op trials on a folder")
    rows = []
    for mode in MODES:
        for workers in (1, 2):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                ran = run_noop(folder / "job", str(folder / "study"), mode, trials=TRIALS, workers=workers)
                gaps = ran.gaps_ms()
            spread = [quantile(gaps, share) for share in (0.5, 0.9, 0.99)]
            rows.append((f"{mode}, {workers} workers", len(gaps), *spread, max(gaps)))
    table(["", "gaps", "median", "90 %", "99 %", "longest"], rows)


if __name__ == "__main__":
    main()
