"""What all trials of a worker are given: their folder and environment, and what keeps secrets out of their output."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from storage_schema.records import Program, Study
from storage_schema.redaction import Redactor, secret_values
from storage_schema.trial_env import trial_path
from workers.code import code_folder
from workers.secrecy import Secrets
from workers.secrets import redacted_forms
from workers.trial_process import Launcher, make_launcher
from workers.world import World


def own_environment() -> dict[str, str]:
    """Return what trials inherit: the user's environment, see `trial_path` for its PATH."""
    found = dict(os.environ)  # noqa: TID251 (an edge)
    found["PATH"] = trial_path(
        found.get("PATH", os.defpath),
        found,
        prefix=sys.prefix,
        base_prefix=sys.base_prefix,
        scripts=str(Path(sys.executable).parent),
    )
    return found


def known_redactor(program: Program | None = None, secrets: Iterable[str] = ()) -> Redactor:
    """Return what knows our own environment's secrets, also those that trials are not given, the study's, and more."""
    studys = dict(program.environment) if program else {}
    return Redactor([*secret_values(os.environ), *secret_values(studys), *secrets])  # noqa: TID251 (an edge)


@contextmanager
def trials_folder(
    world: World, code: str | None, workdir: Path | None, environment: Mapping[str, str], scratch: Path
) -> Iterator[Path]:
    """Hold the folder that trials run in: that of the code with a sha256, else `workdir`, else the current one."""
    if code is None:
        yield (workdir or Path()).resolve()
        return
    with code_folder(world, code, environment, scratch) as folder:
        yield folder


def launchers(
    study: Study, environment: Mapping[str, str], secrets: Secrets, workdir: Path
) -> Callable[[], Launcher]:
    """Return what makes a launcher for each slot. A secret goes before a variable that the study sets."""
    plain = tuple((name, value) for name, value in study.program.environment if name not in secrets.given)
    program = replace(study.program, environment=plain)
    redactor = known_redactor(study.program, redacted_forms(secrets.hidden))

    def launcher() -> Launcher:
        return make_launcher(
            program,
            user_environment={**environment, **secrets.given},
            workdir=workdir,
            objective=study.objective.name,
            grace_s=study.timing.grace_s,
            redactor=redactor,
            names=study.parameter_names,
            longest=study.resource.max if study.resource else None,
        )

    return launcher
