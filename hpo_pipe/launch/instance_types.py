"""Instance types held against the names that this botocore has. Newer ones are no mistake, so they are only told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hpo_pipe.service_model import enumeration
from storage_schema.errors import nearest

_SHAPES = {"sagemaker": "TrainingInstanceType", "ec2": "InstanceType"}
"""Target, and so the SDK's name of the service, to the shape that its types are an enumeration of."""


def notes_on(target: str, types: Iterable[str]) -> Iterator[str]:
    """Yield a line for each of `types`, once, that the model of a target's service does not have."""
    if target not in _SHAPES:
        return
    known = enumeration(target, _SHAPES[target])
    for name in dict.fromkeys(types):
        if name and name not in known:
            yield (
                f"note: --instance-type {name} is not among the {len(known)} types that this botocore knows"
                f"{nearest(name, known)}; a newer one is tried all the same"
            )
