"""Servers, and the two compare-and-swaps by which a request or the conductor takes hold of one."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, insert, select, update

from haulier.db.engine import Transaction
from haulier.db.schema import actions, builds, faults, servers
from haulier.errors import LostRace, ServerNotFound
from haulier.model.ids import HostName, ProjectId, ServerId, UserId
from haulier.model.request import RequestSpec
from haulier.model.server import PowerState, Server, TaskState, VmState

_AT_ONCE = 500
"""Most ids that one statement asks for."""


def to_server(row: Row[Any]) -> Server:
    """The value of one row of the `servers` table."""
    return Server(
        id=ServerId(row.id),
        name=row.name,
        description=row.description,
        project_id=ProjectId(row.project_id),
        user_id=UserId(row.user_id),
        image_id=row.image_id,
        flavor=row.flavor,
        host=HostName(row.host) if row.host is not None else None,
        owner_epoch=row.owner_epoch,
        vm_state=VmState(row.vm_state),
        task_state=TaskState(row.task_state) if row.task_state is not None else None,
        power_state=PowerState(row.power_state),
        locked=row.locked,
        mac=row.mac,
        zone=row.zone,
        progress=row.progress,
        metadata=row.metadata,
        created_at=row.created_at,
        updated_at=row.updated_at,
        launched_at=row.launched_at,
        terminated_at=row.terminated_at,
    )


def get(tx: Transaction, server_id: str, *, deleted: bool = False) -> Server:
    """The server of that id.

    Raises:
        ServerNotFound: there is none, or it is deleted and `deleted` was not asked for.
    """
    server = find(tx, server_id)
    if server is None or (server.vm_state == VmState.DELETED and not deleted):
        raise ServerNotFound(server_id)
    return server


def find(tx: Transaction, server_id: str) -> Server | None:
    """The server of that id, deleted ones included, or None."""
    row = tx.execute(select(servers).where(servers.c.id == server_id)).one_or_none()
    return to_server(row) if row is not None else None


def owned_by(tx: Transaction, host: HostName) -> list[Server]:
    """The servers that `host` owns and that are not deleted."""
    chosen = select(servers).where(servers.c.host == host, servers.c.vm_state != VmState.DELETED)
    return [to_server(row) for row in tx.execute(chosen)]


def in_brief(tx: Transaction, also: Collection[ServerId]) -> list[Row[Any]]:
    """Every server that is not deleted, and those of `also`: who owns it, its states, its flavor, its last change."""
    columns = ("id", "host", "owner_epoch", "vm_state", "task_state", "flavor", "updated_at")
    chosen = select(*(servers.c[name] for name in columns))
    found = list(tx.execute(chosen.where(servers.c.vm_state != VmState.DELETED)))
    rest = sorted(set(also) - {row.id for row in found})
    for start in range(0, len(rest), _AT_ONCE):
        found += tx.execute(chosen.where(servers.c.id.in_(rest[start : start + _AT_ONCE])))
    return found


def add(tx: Transaction, **values: Any) -> None:
    """A new row; times are filled in."""
    tx.execute(insert(servers).values(created_at=tx.now, updated_at=tx.now, **values))


def change(tx: Transaction, server_id: ServerId, **values: Any) -> None:
    """Set columns, whatever they were."""
    tx.execute(update(servers).where(servers.c.id == server_id).values(updated_at=tx.now, **values))


def swap(tx: Transaction, was: Server, **values: Any) -> None:
    """Set columns if the server's states, owner and lock are still what they were when `was` was read.

    Raises:
        LostRace: another request came first; nothing was written.
    """
    same = (
        (servers.c.id == was.id)
        & (servers.c.vm_state == was.vm_state)
        & servers.c.task_state.is_not_distinct_from(was.task_state)
        & (servers.c.owner_epoch == was.owner_epoch)
        & (servers.c.locked == was.locked)
    )
    if tx.execute(update(servers).where(same).values(updated_at=tx.now, **values)).rowcount != 1:
        raise LostRace(f"server {was.id}")


def request_spec(tx: Transaction, server_id: ServerId) -> RequestSpec:
    """What the server needs of a host."""
    found: RequestSpec = tx.execute(select(servers.c.request_spec).where(servers.c.id == server_id)).scalar_one()
    return found


def add_fault(tx: Transaction, server_id: ServerId, code: int, message: str, details: str = "") -> None:
    """Keep why something failed; Nova's `fault` shows the newest one when the status is ERROR or DELETED."""
    tx.execute(insert(faults).values(server_id=server_id, at=tx.now, code=code, message=message, details=details))


def newest_fault(tx: Transaction, server_id: ServerId) -> Row[Any] | None:
    """Columns at, code, message, details; None when there is none."""
    chosen = select(faults).where(faults.c.server_id == server_id).order_by(faults.c.id.desc()).limit(1)
    return tx.execute(chosen).one_or_none()


def put_build(tx: Transaction, server_id: ServerId, **values: Any) -> None:
    """Keep where a build stands: attempt, alternates, reasons, request_id."""
    drop_build(tx, server_id)
    tx.execute(insert(builds).values(server_id=server_id, **values))


def find_build(tx: Transaction, server_id: ServerId) -> Row[Any] | None:
    """Where a build stands, None when the server is not being built."""
    return tx.execute(select(builds).where(builds.c.server_id == server_id)).one_or_none()


def drop_build(tx: Transaction, server_id: ServerId) -> None:
    tx.execute(builds.delete().where(builds.c.server_id == server_id))


def being_deleted(tx: Transaction) -> list[tuple[ServerId, str]]:
    """Servers whose deletion was accepted and has not ended, with the request's id."""
    chosen = (
        select(servers.c.id, actions.c.request_id)
        .join(actions, (actions.c.server_id == servers.c.id) & (actions.c.action == "delete"))
        .where(servers.c.task_state == TaskState.DELETING)
    )
    return [(ServerId(row.id), row.request_id) for row in tx.execute(chosen)]
