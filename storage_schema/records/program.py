"""What a worker runs for a spec, as `study.json` holds it."""

from __future__ import annotations

from dataclasses import dataclass

from storage_schema.codec import Json
from storage_schema.records.reading import Fields

SAGEMAKER = "sagemaker"
LAYOUTS = (SAGEMAKER,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a worker runs for a spec: exactly one of `command` and `function`."""

    command: tuple[str, ...] = ()
    """Argument list; ``{name}`` within an argument is replaced by that parameter. Never a shell line."""
    function: str = ""
    """``module:name``, run in a warm process per slot."""
    metric_patterns: tuple[tuple[str, str], ...] = ()
    """(metric, regular expression with one group): for scripts that only print."""
    environment: tuple[tuple[str, str], ...] = ()
    layout: str = ""
    """``sagemaker``: the command also finds what SageMaker's training toolkit would have given it."""

    def to_json(self) -> Json:
        """Return the object within ``study.json``."""
        return {
            "command": list(self.command),
            "function": self.function,
            "metric_patterns": [list(pair) for pair in self.metric_patterns],
            "environment": [list(pair) for pair in self.environment],
            **({"layout": self.layout} if self.layout else {}),
        }

    @classmethod
    def from_fields(cls, f: Fields) -> Program:
        """Read back what :meth:`to_json` wrote."""
        return cls(
            command=_texts(f, "command", f.array("command")),
            function=f.text("function", ""),
            metric_patterns=_pairs(f, "metric_patterns"),
            environment=_environment(f),
            layout=f.one_of("layout", LAYOUTS) if f.has("layout") else "",
        )


def _texts(f: Fields, name: str, found: list[Json]) -> tuple[str, ...]:
    if not all(isinstance(text, str) and "\0" not in text for text in found):
        f.refuse(name, "something else", "an array of texts without NUL characters")
    return tuple(found)


def _environment(f: Fields) -> tuple[tuple[str, str], ...]:
    """Read the variables; what no process can be started with is refused here, and not by each worker's system."""
    pairs = _pairs(f, "environment")
    for name, value in pairs:
        _texts(f, "environment", [name, value])
        if not name or "=" in name:
            f.refuse("environment", name, "names of variables")
    return pairs


def _pairs(f: Fields, name: str) -> tuple[tuple[str, str], ...]:
    found = f.array(name)
    if not all(isinstance(p, list) and len(p) == 2 and all(isinstance(t, str) for t in p) for p in found):
        f.refuse(name, found, "an array of pairs of strings")
    return tuple((p[0], p[1]) for p in found)
