"""Lists of servers: filtered, sorted, page by page."""

import re
from typing import Any

import msgspec
from sqlalchemy import Row, Select, and_, or_, select

from haulier.db.engine import Transaction
from haulier.db.schema import servers
from haulier.db.store.servers import to_server
from haulier.errors import MarkerNotFound
from haulier.model.server import Server, VmState

SORT_KEYS = {
    "created_at": servers.c.created_at,
    "updated_at": servers.c.updated_at,
    "launched_at": servers.c.launched_at,
    "terminated_at": servers.c.terminated_at,
    "display_name": servers.c.name,
    "display_description": servers.c.description,
    "host": servers.c.host,
    "node": servers.c.host,
    "image_ref": servers.c.image_id,
    "power_state": servers.c.power_state,
    "progress": servers.c.progress,
    "project_id": servers.c.project_id,
    "task_state": servers.c.task_state,
    "user_id": servers.c.user_id,
    "uuid": servers.c.id,
    "vm_state": servers.c.vm_state,
    "availability_zone": servers.c.zone,
}
"""Nova's words for what a list can be sorted by."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a list is to have. `None` never filters, `deleted` None means both; `name` is searched for in names.

    `states` are pairs of vm_state and task_states; `order` pairs of a word of SORT_KEYS and "asc" or "desc".
    `changed_since` is in seconds since 1970.
    """

    project_id: str | None = None
    user_id: str | None = None
    host: str | None = None
    flavorid: str | None = None
    image_id: str | None = None
    server_id: str | None = None
    zone: str | None = None
    locked: bool | None = None
    power_state: int | None = None
    states: tuple[tuple[str, tuple[str | None, ...]], ...] | None = None
    deleted: bool | None = False
    changed_since: float | None = None
    name: re.Pattern[str] | None = None
    order: tuple[tuple[str, str], ...] = (("created_at", "desc"),)


def search(tx: Transaction, wanted: Wanted, limit: int, marker: str | None) -> list[Server]:
    """At most `limit` servers, those after the one with the id `marker`.

    Raises:
        MarkerNotFound: the marker is not one of the servers that match.
    """
    found = [row.id for row in tx.execute(_matching(wanted)) if _matches(row, wanted)]
    if marker is not None:
        if marker not in found:
            raise MarkerNotFound(marker)
        found = found[found.index(marker) + 1 :]
    page = found[:limit]
    rows = {row.id: row for row in tx.execute(select(servers).where(servers.c.id.in_(page)))} if page else {}
    return [to_server(rows[server_id]) for server_id in page]


def _matching(wanted: Wanted) -> Select[Any]:
    # Names and flavors are compared in Python: SQLite has no regular expressions, and a flavor is a document.
    columns = [servers.c.id, servers.c.name, *([servers.c.flavor] if wanted.flavorid is not None else [])]
    chosen = select(*columns).where(*_conditions(wanted))
    for key, direction in (*wanted.order, ("uuid", wanted.order[-1][1])):
        column = SORT_KEYS[key]
        chosen = chosen.order_by(column.desc() if direction == "desc" else column.asc())
    return chosen


def _conditions(wanted: Wanted) -> list[Any]:
    equal = {
        servers.c.project_id: wanted.project_id,
        servers.c.user_id: wanted.user_id,
        servers.c.host: wanted.host,
        servers.c.image_id: wanted.image_id,
        servers.c.id: wanted.server_id,
        servers.c.zone: wanted.zone,
        servers.c.locked: wanted.locked,
        servers.c.power_state: wanted.power_state,
    }
    conditions: list[Any] = [column == value for column, value in equal.items() if value is not None]
    if wanted.deleted is not None:
        gone = servers.c.vm_state == VmState.DELETED
        conditions.append(gone if wanted.deleted else servers.c.vm_state != VmState.DELETED)
    if wanted.changed_since is not None:
        conditions.append(servers.c.updated_at >= wanted.changed_since)
    if wanted.states is not None:
        conditions.append(or_(False, *(_in_state(vm_state, tasks) for vm_state, tasks in wanted.states)))
    return conditions


def _in_state(vm_state: str, tasks: tuple[str | None, ...]) -> Any:
    named = [task for task in tasks if task is not None]
    task = servers.c.task_state.in_(named)
    return and_(servers.c.vm_state == vm_state, or_(task, servers.c.task_state.is_(None)) if None in tasks else task)


def _matches(row: Row[Any], wanted: Wanted) -> bool:
    if wanted.name is not None and wanted.name.search(row.name) is None:
        return False
    return wanted.flavorid is None or row.flavor.flavorid == wanted.flavorid


def usage(tx: Transaction, project_id: str) -> dict[str, int]:
    """What a project has: instances, cores, ram (MiB)."""
    here = (servers.c.project_id == project_id) & (servers.c.vm_state != VmState.DELETED)
    flavors = list(tx.execute(select(servers.c.flavor).where(here)).scalars())
    return {
        "instances": len(flavors),
        "cores": sum(flavor.vcpus for flavor in flavors),
        "ram": sum(flavor.memory_mb for flavor in flavors),
    }
