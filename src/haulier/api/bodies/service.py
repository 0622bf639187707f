"""The bodies of `PUT /os-services/...`: an action in the path up to 2.52, a state in the body from 2.53 on."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from haulier.api.bodies.fields import Name, Reason, boolean
from haulier.api.bodies.reader import invalid, read
from haulier.errors import InvalidBody

BINARY = "nova-compute"
"""The only kind of service that there is to see: clients know an agent by this name."""


class OldUpdate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which agent, and for some actions why or what."""

    host: Name
    binary: Name
    disabled_reason: Reason | UnsetType = UNSET
    forced_down: Any = UNSET


def columns_of(action: str, update: OldUpdate) -> dict[str, Any]:
    """What an action of before 2.53 sets on the host.

    Raises:
        InvalidBody: the action needs a field that is not there.
    """
    if action == "enable":
        return {"enabled": True, "disabled_reason": None}
    if action == "disable":
        return {"enabled": False, "disabled_reason": None}
    if action == "disable-log-reason":
        if update.disabled_reason is UNSET:
            raise InvalidBody("Missing disabled reason field")
        return {"enabled": False, "disabled_reason": update.disabled_reason}
    if update.forced_down is UNSET:
        raise InvalidBody("Missing forced_down field")
    return {"forced_down": boolean("forced_down", update.forced_down)}


old_update = read(OldUpdate)


class _Update(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    status: Any = UNSET
    disabled_reason: Reason | UnsetType = UNSET
    forced_down: Any = UNSET


_update = read(_Update)


def update(value: Any) -> dict[str, Any]:
    """What to set on the host, from 2.53 on.

    Raises:
        InvalidField, InvalidBody: it makes no sense, or sets nothing.
    """
    asked = _update(value)
    columns: dict[str, Any] = {}
    if asked.status == "enabled":
        if asked.disabled_reason is not UNSET:
            raise InvalidBody("Specifying 'disabled_reason' with status 'enabled' is invalid.")
        columns = {"enabled": True, "disabled_reason": None}
    elif asked.status == "disabled":
        reason = None if asked.disabled_reason is UNSET else asked.disabled_reason
        columns = {"enabled": False, "disabled_reason": reason}
    elif asked.status is not UNSET:
        raise invalid("status", asked.status, f"{asked.status!r} is not one of ['enabled', 'disabled']")
    if asked.forced_down is not UNSET:
        columns["forced_down"] = boolean("forced_down", asked.forced_down)
    if not columns:
        raise InvalidBody("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
    return columns
