"""Which `python` a trial runs where hpo-pipe was started out of an environment that nobody activated."""

from __future__ import annotations

import pytest

from storage_schema.trial_env import trial_path

OWN = "/home/u/project/.venv/bin"


def found(path: str, environment: dict[str, str], prefix: str = "/home/u/project/.venv") -> str:
    return trial_path(path, environment, prefix=prefix, base_prefix="/usr", scripts=OWN)


def test_an_environment_that_is_not_activated_comes_first() -> None:
    assert found("/usr/bin:/bin", {}) == f"{OWN}:/usr/bin:/bin"


@pytest.mark.parametrize("name", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_an_activated_one_is_left_alone_also_if_it_is_another(name: str) -> None:
    assert found("/other/bin:/usr/bin", {name: "/other"}) == "/other/bin:/usr/bin"


def test_nothing_is_added_twice_or_without_an_environment_of_its_own() -> None:
    assert found(f"/usr/bin:{OWN}", {}) == f"/usr/bin:{OWN}"
    assert found("/usr/bin", {}, prefix="/usr") == "/usr/bin"
