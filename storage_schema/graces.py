"""How long each provider lets a process live after it first says that it must go. The one table; both sides use it."""

from __future__ import annotations

from collections.abc import Mapping

VARIABLE = "HPO_PIPE_PROVIDER"
MAX_GRACE_S = 86_400.0

GRACES_S: Mapping[str, float] = {
    "aws-batch": 30.0,  # between SIGTERM and SIGKILL of a terminated or timed-out job
    "ec2": 120.0,  # between the notice of a spot interruption and the instance's end
    "kubernetes": 120.0,  # terminationGracePeriodSeconds of the Jobs that `hpo-pipe submit` makes
    "sagemaker": 120.0,  # between SIGTERM and SIGKILL of a training job
}
"""Seconds by provider. Slurm (the site's GraceTime and KillWait) and docker (``stop -t``) differ from call to call."""


def grace_of(provider: str) -> float | None:
    """Return the seconds from a provider's first signal to its SIGKILL, or None where that is not known."""
    return GRACES_S.get(provider)
