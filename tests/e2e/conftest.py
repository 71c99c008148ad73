from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.attempts import Attempts, Make, launcher


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make attempts of a program, in a working folder of its own."""
    made: list[Attempts] = []

    def attempts(variables: dict[str, str] | None = None, /, **program: Any) -> Attempts:
        workdir = tmp_path / "work"
        workdir.mkdir(exist_ok=True)
        made.append(
            Attempts(launcher(workdir, variables or {}, **program), tmp_path / f"attempts-{len(made)}")
        )
        return made[-1]

    yield attempts
    for each in made:
        each.close()
