"""``sh infra/test.sh -m slow tests/torture``: ten minutes for each store, or TORTURE_MINUTES."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.torture.studies import ROOT

MINUTES = float(os.environ.get("TORTURE_MINUTES", "10"))
REST_S = 1500
"""For the study that is under way when the minutes are over, and on a busy machine."""


@pytest.mark.slow
@pytest.mark.timeout(60 * MINUTES + REST_S)
@pytest.mark.parametrize("store", ["folder", "s3"])
def test_nothing_is_lost_under_torture(store: str) -> None:
    command = [sys.executable, "-m", "tests.torture", "--minutes", str(MINUTES), "--store", store]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
