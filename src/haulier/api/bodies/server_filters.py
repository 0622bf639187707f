"""The query of `GET /servers`: which servers are wanted."""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from haulier.api.bodies import queries
from haulier.api.bodies.fields import FALSE, TRUE
from haulier.api.bodies.reader import invalid
from haulier.api.context import Asked
from haulier.db.store.server_lists import SORT_KEYS, Wanted
from haulier.errors import Forbidden, InvalidBody
from haulier.model.server import PowerState, TaskState, VmState, public_status

NOTHING: Final = None
"""Asked for something that no server here can have."""

Shows = Callable[[VmState, TaskState | None], bool]

ABSENT = ("ip", "ip6", "key_name", "tags", "tags-any", "reservation_id", "kernel_id", "ramdisk_id")
"""Attributes that no server has yet: a filter by one matches none, rather than all."""


def wanted_from(asked: Asked, all_rule: str) -> Wanted | None:
    """What the query asks for, NOTHING when no server can match.

    Raises:
        Forbidden: all projects' servers, or deleted ones, and the caller may not see them.
        InvalidField: a filter has not the form it must have.
    """
    everybody = queries.flag(asked, "all_tenants") or False
    if everybody:
        asked.require(all_rule)
    states = _states(asked)
    if states == () or any(asked.query.get(name) for name in ABSENT):
        return NOTHING
    only_deleted = states is not None and {vm_state for vm_state, _ in states} == {VmState.DELETED.value}
    if only_deleted and not asked.is_admin:
        raise Forbidden("os_compute_api:servers:allow_all_filters")
    name = asked.query.get("name")
    since = asked.query.get("changes-since")
    plain = Wanted(
        project_id=_project(asked, everybody=everybody),
        flavorid=_last(asked.query.get("flavor")),
        image_id=_last(asked.query.get("image")),
        states=states,
        deleted=True if only_deleted else None if since else False,
        changed_since=queries.moment("changes-since", since) if since else None,
        name=queries.pattern("name", name) if name else None,
        order=queries.order(asked, set(SORT_KEYS), "created_at"),
    )
    return _for_admins(asked, plain) if asked.may("os_compute_api:servers:allow_all_filters") else plain


def _for_admins(asked: Asked, plain: Wanted) -> Wanted | None:
    query = asked.query
    power = query.get("power_state")
    if power is not None and power not in {str(int(state)) for state in PowerState}:
        raise invalid("power_state", power, f"{power!r} is not a power state")
    deleted = query.get("deleted")
    given: dict[str, Any] = {
        "host": query.get("host") or query.get("node"),
        "user_id": query.get("user_id"),
        "server_id": query.get("uuid"),
        "zone": query.get("availability_zone"),
        "power_state": int(power) if power is not None else None,
        "locked": queries.flag(asked, "locked") if asked.since("2.73") else None,
    }
    if deleted is not None and deleted.lower() in TRUE | FALSE:
        given["deleted"] = deleted.lower() in TRUE
    return replace(plain, **{key: value for key, value in given.items() if value is not None})


def _project(asked: Asked, *, everybody: bool) -> str | None:
    if not everybody:
        return asked.caller.project_id
    return asked.query.get("project_id") or asked.query.get("tenant_id")


def _last(reference: str | None) -> str | None:
    return reference.rstrip("/").rpartition("/")[2] if reference else None


def _states(asked: Asked) -> tuple[tuple[str, tuple[str | None, ...]], ...] | None:
    """The states that show as the status asked for; None when it is not asked for, () when nothing shows so."""
    given = asked.query.getlist("status")
    found: dict[str, list[str | None]] = {}
    if given:
        words = {word.upper() for word in given}
        _collect(found, lambda vm_state, task: public_status(vm_state, task) in words)
        if not found and asked.since("2.38"):
            raise InvalidBody("Invalid status value")
    elif asked.is_admin and (asked.query.get("vm_state") or asked.query.get("task_state")):
        vm_states, tasks = asked.query.getlist("vm_state"), asked.query.getlist("task_state")
        _collect(
            found, lambda vm_state, task: (not vm_states or vm_state in vm_states) and (not tasks or task in tasks)
        )
    else:
        return None
    return tuple((vm_state, tuple(tasks)) for vm_state, tasks in found.items())


def _collect(found: dict[str, list[str | None]], shows: Shows) -> None:
    for vm_state in VmState:
        for task in (None, *TaskState):
            if shows(vm_state, task):
                found.setdefault(vm_state.value, []).append(task.value if task else None)
