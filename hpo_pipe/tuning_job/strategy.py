"""Strategy, StrategyConfig and early stopping as ``[algorithm]`` and ``[resource]``."""

from __future__ import annotations

from collections.abc import Mapping

from hpo_pipe.tuning_job.parameters import whole_number
from hpo_pipe.tuning_job.request import CONFIG, Request
from storage_schema.codec import Json

SEARCHERS = {"Bayesian": "gp", "Random": "random", "Grid": "grid", "Hyperband": "random"}
EPOCHS = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")
"""Static hyper-parameters that SageMaker infers Hyperband's MaxResource from."""
MAX_RESOURCE = 20_000
_HYPERBAND = (CONFIG, "StrategyConfig", "HyperbandStrategyConfig")
_STOPPING = (CONFIG, "TrainingJobEarlyStoppingType")


def read_strategy(
    request: Request, constants: Mapping[str, str], max_resource: int | None
) -> dict[str, Json]:
    """Return ``[algorithm]``, and ``[resource]`` where trials are stopped or paused; mistakes are noted in `request`.

    Args:
        request: what is read.
        constants: the static hyper-parameters.
        max_resource: units of a whole training, where the request does not tell.
    """
    strategy = request.take(CONFIG, "Strategy")
    if strategy == "Hyperband":
        return _hyperband(request, constants, max_resource)
    if request.at(CONFIG, "StrategyConfig"):
        request.refuse((CONFIG, "StrategyConfig"), {}, f"none, for Strategy is {strategy}: it is Hyperband's")
    algorithm = {"scheduler": "none", "searcher": SEARCHERS[strategy]}
    if request.at(*_STOPPING) != "Auto":
        request.take(*_STOPPING)
        return {"algorithm": algorithm}
    name, most = _whole_training(constants, max_resource)
    if most is None:
        request.leave(
            _STOPPING,
            "median stopping compares trials on their way, and the request does not say how long a training is: give "
            "--max-resource N, how often a whole training reports its objective",
        )
        return {"algorithm": algorithm}
    request.take(*_STOPPING)
    request.notes.append(
        f"TrainingJobEarlyStoppingType Auto: median stopping; a whole training reports {most} times ([resource] max)"
    )
    return {"resource": {"name": name, "max": most}, "algorithm": algorithm | {"scheduler": "median"}}


def _hyperband(request: Request, constants: Mapping[str, str], max_resource: int | None) -> dict[str, Json]:
    if request.take(*_STOPPING) == "Auto":
        request.refuse(_STOPPING, "Auto", "Off, for Strategy is Hyperband, which stops trials itself")
    name, inferred = _whole_training(constants, max_resource)
    low = request.take(*_HYPERBAND, "MinResource") or 1
    high = request.take(*_HYPERBAND, "MaxResource") or inferred
    if high is None:
        known = f"or one of the static hyper-parameters {', '.join(EPOCHS)}, or --max-resource"
        request.refuse((*_HYPERBAND, "MaxResource"), None, f"an integer up to {MAX_RESOURCE}, {known}")
    elif high > MAX_RESOURCE:
        request.refuse((*_HYPERBAND, "MaxResource"), high, f"an integer up to {MAX_RESOURCE}")
    elif high < low:
        request.refuse((*_HYPERBAND, "MaxResource"), high, f"at least MinResource ({low})")
    request.notes.append(
        "Hyperband: trials pause at each rung, and the best third train on: from their checkpoints, or from their "
        "beginning where a script saves none"
    )
    return {
        "resource": {"name": name, "min": low, "max": high},
        "algorithm": {"scheduler": "hyperband", "searcher": SEARCHERS["Hyperband"]},
    }


def _whole_training(constants: Mapping[str, str], given: int | None) -> tuple[str, int | None]:
    """Return a resource's name, and how many units a whole training has, as far as the request tells."""
    for name in EPOCHS:
        epochs = whole_number(constants.get(name, ""))
        if epochs is not None and epochs >= 1:
            return "epoch", given or epochs
    return "report", given
