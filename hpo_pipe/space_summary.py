"""A space in words, for who creates a study."""

from __future__ import annotations

from hpo_pipe.space import Space

MAX_SHOWN = 5


def space_lines(space: Space) -> list[str]:
    """Return a line on the parameters, and more where some are conditional, or forbidden, or the user knows more."""
    free = len(space.dimensions)
    fixed = len(space.parameters) - free
    size = "" if space.size is None else f", {space.size:,} configurations"
    lines = [f"{free} free parameter{'s' * (free != 1)}{f' and {fixed} fixed' if fixed else ''}{size}"]
    for name, clause in list(space.conditions.items())[:MAX_SHOWN]:
        lines.append(f"  {name}: only where {clause}")
    if len(space.conditions) > MAX_SHOWN:
        lines.append(f"  and {len(space.conditions) - MAX_SHOWN} more conditional parameters")
    lines += [f"  never: {clause}" for clause in space.forbidden[:MAX_SHOWN]]
    if len(space.forbidden) > MAX_SHOWN:
        lines.append(f"  and {len(space.forbidden) - MAX_SHOWN} more forbidden combinations")
    if space.priors:
        lines.append(f"  priors: {', '.join(space.priors)}")
    return lines
