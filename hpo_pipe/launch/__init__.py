"""Where workers can be started. Adding a target means one file, and one line in :data:`LAUNCHERS`."""

from __future__ import annotations

from importlib.metadata import entry_points

LAUNCHERS: dict[str, str] = {
    "local": "hpo_pipe.launch.local:local",
}
"""Target to ``module:command``, a click command. Loaded on use."""


def launchers() -> dict[str, str]:
    """Return the shipped targets and those of other packages (entry points ``hpo_pipe.launchers``)."""
    outside = {point.name: point.value for point in entry_points(group="hpo_pipe.launchers")}
    return outside | LAUNCHERS
