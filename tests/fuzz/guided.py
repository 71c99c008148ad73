"""One coverage-guided run of one target, in a process of its own: atheris ends the process that it runs in.

``python -m tests.fuzz.guided TARGET FOLDER [libFuzzer's options]``; the folder holds inputs to begin from.
"""

from __future__ import annotations

import random
import sys
import warnings

import atheris

with atheris.instrument_imports(include=["storage_schema", "hpo_pipe", "workers"]):
    from tests.fuzz.mutations import mutated_bytes, mutated_json
    from tests.fuzz.targets import TARGETS, check


def main() -> None:
    """Run until libFuzzer's limit, or the first broken law."""
    name = sys.argv.pop(1)
    target = TARGETS[name]
    warnings.simplefilter("error")

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        try:
            if target.is_json and rng.randrange(2):
                return mutated_json(data, rng, checked=target.is_record)[:max_size]
            if rng.randrange(2):
                return mutated_bytes(data, rng, target.samples)[:max_size]
        except (ValueError, TypeError, RecursionError):  # no JSON any more, or too deep to be written
            pass
        mutated: bytes = atheris.Mutate(data, max_size)
        return mutated

    atheris.Setup(sys.argv, lambda data: check(name, data) and None, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
