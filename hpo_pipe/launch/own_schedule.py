"""The EventBridge schedule that calls a coordinator's function: switched off when nothing is left to be done."""

from __future__ import annotations

import re
from typing import Any

from storage_schema.errors import UserError

_NAME = re.compile(r"(?:([0-9A-Za-z_.-]{1,64})/)?([0-9A-Za-z_.-]{1,64})")
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
_LIKE_A_NAME = 200


def schedule_named(text: str) -> tuple[str, str]:
    """Return group and name of ``name`` or ``group/name``.

    Raises:
        UserError: no such name.
    """
    found = _NAME.fullmatch(text)
    if not found:
        raise UserError(
            f"HPO_PIPE_SCHEDULE: {text[:_LIKE_A_NAME]!r}: expected name or group/name of an EventBridge schedule: "
            "letters, digits and _.- (64 at most)"
        )
    return found[1] or "default", found[2]


def switch_off(client: Any, group: str, name: str) -> str:
    """Disable a schedule; return what came of it, in words. Doing it twice is doing it once; no failure is fatal.

    UpdateSchedule replaces the whole schedule: all that GetSchedule tells of it is sent back with it.

    Args:
        client: boto3's of the service ``scheduler``.
        group: its group.
        name: its name.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = client.get_schedule(GroupName=group, Name=name)
        if found.get("State") == "DISABLED":
            return f"schedule {group}/{name} is off"
        known = client.meta.service_model.operation_model("UpdateSchedule").input_shape.members
        kept = {field: value for field, value in found.items() if field in known}
        client.update_schedule(**{**kept, "GroupName": group, "Name": name, "State": "DISABLED"})
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        hint = "; its role lacks rights (hpo-pipe submit policy --schedule-arn)" if code in _DENIED else ""
        return f"schedule {group}/{name} stays on: {code or 'no code'}{hint}"
    except (BotoCoreError, OSError) as error:
        return f"schedule {group}/{name} stays on: {type(error).__name__}"
    return f"schedule {group}/{name} switched off"
