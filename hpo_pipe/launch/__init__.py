"""Where workers can be started. Adding a target means one file, and one line in :data:`LAUNCHERS`.

:mod:`~hpo_pipe.launch.order` says what is to be started, :mod:`~hpo_pipe.launch.target` what a target is,
:mod:`~hpo_pipe.launch.submissions` what has been asked for, :mod:`~hpo_pipe.launch.desk` asks, and
:mod:`~hpo_pipe.launch.reconcile` asks for as many as the study can use.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from hpo_pipe.launch.target import Target
from storage_schema.errors import UserError, nearest

LAUNCHERS: dict[str, str] = {
    "aws-batch": "hpo_pipe.launch.targets.aws_batch:TARGET",
    "docker": "hpo_pipe.launch.targets.docker:TARGET",
    "ec2": "hpo_pipe.launch.targets.ec2:TARGET",
    "kubernetes": "hpo_pipe.launch.targets.kubernetes:TARGET",
    "local": "hpo_pipe.launch.targets.local:TARGET",
    "sagemaker": "hpo_pipe.launch.targets.sagemaker:TARGET",
    "slurm": "hpo_pipe.launch.targets.slurm:TARGET",
}
"""Target to ``module:object``, a :class:`~hpo_pipe.launch.target.Target`. Loaded on use."""


def launchers() -> dict[str, str]:
    """Return the shipped targets and those of other packages (entry points ``hpo_pipe.launchers``)."""
    outside = {point.name: point.value for point in entry_points(group="hpo_pipe.launchers")}
    return outside | LAUNCHERS


def find_target(name: str) -> Target:
    """Load a target.

    Raises:
        UserError: there is none of that name here.
    """
    known = launchers()
    if name not in known:
        raise UserError(
            f"target {name[:40]!r}: here are {', '.join(sorted(known))}{nearest(name, known)}; "
            "others come with packages that are not installed, or with a newer hpo-pipe"
        )
    module, _, attribute = known[name].partition(":")
    target: Target = getattr(import_module(module), attribute)
    return target
