"""What a machine does when it starts: ``user-data.sh``, with what it runs filled in. Pure."""

from __future__ import annotations

import math
import re
import shlex
from functools import cache
from importlib.resources import files

from hpo_pipe.launch.order import Order
from hpo_pipe.launch.targets.ec2.options import PROGRAM
from storage_schema.errors import UserError
from storage_schema.graces import GRACES_S
from storage_schema.machine import VARIABLES

GRACE_S = GRACES_S["ec2"]
MAX_BYTES = 16 * 1024
"""Of user data, before base64."""
RESERVE_S = 3600
"""Of the machine's life, for what is before and after the worker's own time: boot, image, saving."""
LIMIT_S = 7 * 86_400
"""The machine's life where no ``--max-runtime`` is given."""
_FILLED_IN = re.compile(
    r"(?<=^# begin: what it runs\n).*?(?=^# end: what it runs$)", re.MULTILINE | re.DOTALL
)


def user_data(order: Order, *, own: bool = False) -> str:
    """Return the script.

    Args:
        order: whose machines run it.
        own: for this submission only; otherwise it is the same for all that want equal workers, and machines know from
            their tags which one it is.

    Raises:
        UserError: it is too long for EC2.
    """
    plan = order.plan
    given = {name: value for name, value in order.worker_environment().items() if name not in VARIABLES}
    limit_s = LIMIT_S if plan.max_runtime_s is None else math.ceil(plan.max_runtime_s) + RESERVE_S
    values = {
        "IMAGE": plan.image,
        "PROGRAM": order.settings["program"] or PROGRAM,
        "ARGUMENTS": shlex.join(order.worker_arguments(GRACE_S)),
        "ENVIRONMENT": "\n".join(f"{name}={shlex.quote(value)}" for name, value in sorted(given.items())),
        "PRICES": "\n".join(
            f"{price.instance_type} {price.lifecycle} {price.dollars_per_hour!r}" for price in plan.prices
        ),
        "GRACE_S": f"{GRACE_S:.0f}",
        "LIMIT_S": str(limit_s),
        "GROUP": "",
        "SUBMISSION": str(order.number) if own else "",
    }
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    script = _FILLED_IN.sub(lambda _: lines, template())
    if (size := len(script.encode())) > MAX_BYTES:
        raise UserError(
            f"--env: the machines' user data have {size:,} bytes with all variables, options and prices, expected at "
            f"most {MAX_BYTES:,}"
        )
    return script


@cache
def template() -> str:
    """Return the script as it lies in the package, with an example of what it runs."""
    return (files(__package__) / "user-data.sh").read_text("utf-8")
