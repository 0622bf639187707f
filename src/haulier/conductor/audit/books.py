"""What the database says of servers, moves, claims and commands, as one snapshot. Four statements, however many hosts.

Servers that were deleted and about which nothing is left are not in it; `read` is told which of them are wanted.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row

from haulier.db.engine import Transaction
from haulier.db.store import claims, hosts, migrations, outbox, servers
from haulier.model.flavor import Flavor
from haulier.model.host import Host
from haulier.model.ids import HostName, MigrationId, ServerId
from haulier.model.migration import Migration
from haulier.model.resources import Amounts, ResourceClass
from haulier.model.server import TaskState, VmState


class Holder(NamedTuple):
    """Who holds a claim: a server on a host, or a migration on its behalf (0 for the server itself)."""

    host: HostName
    server_id: ServerId
    migration_id: int


class Told(msgspec.Struct, frozen=True):
    """One row of the outbox: what `host` is told and has not answered, None for a request not taken up yet."""

    id: str
    host: HostName | None
    step: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One server: who has it, what is being done to it. `moves` are those that have not ended, oldest first.

    `updated_at` is in seconds since 1970.
    """

    id: ServerId
    host: HostName | None
    owner_epoch: int
    vm_state: VmState
    task_state: TaskState | None
    flavor: Flavor
    updated_at: float
    moves: tuple[Migration, ...] = ()
    told: tuple[Told, ...] = ()

    @property
    def mark(self) -> tuple[Any, ...]:
        """The same twice means that nothing was done to the server in between."""
        moves = tuple((move.id, move.state, move.generation) for move in self.moves)
        told = frozenset(each.id for each in self.told)
        return self.owner_epoch, self.host, self.vm_state, self.task_state, moves, told

    def waits_for(self, host: HostName) -> bool:
        """Whether that host is still to be told something about it, or to answer."""
        return any(each.host == host for each in self.told)


class Held(msgspec.Struct, frozen=True):
    """What one holder has claimed, and why."""

    amounts: Amounts
    cause: str


class Books(msgspec.Struct, frozen=True):
    """`at` is when it was read, by the database's clock; `heard_at` when each host was last heard."""

    at: float
    hosts: Mapping[HostName, Host]
    heard_at: Mapping[HostName, float]
    servers: Mapping[ServerId, Entry]
    claims: Mapping[Holder, Held]


def read(tx: Transaction, also: Iterable[ServerId] = ()) -> Books:
    """The whole of it; with the servers of `also` even if they were deleted long ago."""
    seen = {HostName(row.name): row for row in hosts.all_rows(tx)}
    found = {name: hosts.to_host(row, tx.now) for name, row in seen.items()}
    reported = {guest.server_id for host in found.values() for guest in host.guests}
    held = _claims(tx)
    moves = _by_server(migrations.unfinished(tx))
    told = _told(tx)
    wanted = {*also, *reported, *told, *(holder.server_id for holder in held)}
    return Books(
        at=tx.now,
        hosts=found,
        heard_at={name: row.last_heard.timestamp() for name, row in seen.items()},
        servers={
            ServerId(row.id): _entry(row, moves.get(row.id, ()), told.get(row.id, ()))
            for row in servers.in_brief(tx, wanted)
        },
        claims=held,
    )


def _entry(row: Row[Any], moves: Iterable[Migration], told: Iterable[Told]) -> Entry:
    return Entry(
        id=ServerId(row.id),
        host=HostName(row.host) if row.host is not None else None,
        owner_epoch=row.owner_epoch,
        vm_state=VmState(row.vm_state),
        task_state=TaskState(row.task_state) if row.task_state is not None else None,
        flavor=row.flavor,
        updated_at=row.updated_at.timestamp(),
        moves=tuple(moves),
        told=tuple(told),
    )


def _claims(tx: Transaction) -> dict[Holder, Held]:
    amounts: dict[Holder, dict[ResourceClass, int]] = {}
    causes: dict[Holder, str] = {}
    for row in claims.all_rows(tx):
        holder = Holder(HostName(row.host), ServerId(row.server_id), row.migration_id)
        amounts.setdefault(holder, {})[ResourceClass(row.resource_class)] = row.amount
        causes[holder] = row.cause
    return {holder: Held(held, causes[holder]) for holder, held in amounts.items()}


def _by_server(moves: Iterable[Migration]) -> dict[ServerId, list[Migration]]:
    found: dict[ServerId, list[Migration]] = {}
    for move in moves:
        found.setdefault(move.server_id, []).append(move)
    return found


def _told(tx: Transaction) -> dict[ServerId, list[Told]]:
    found: dict[ServerId, list[Told]] = {}
    for row in outbox.unanswered(tx):
        host = HostName(row.host) if row.host is not None else None
        found.setdefault(ServerId(row.server_id), []).append(Told(row.id, host, row.step))
    return found


def newest_move(tx: Transaction, server_id: ServerId) -> tuple[MigrationId, int]:
    """(id, generation) of the server's newest migration, (0, 0) if it never moved: see `DiscardGuest.as_of`."""
    found = migrations.of_server(tx, server_id)
    return (found[0].id, found[0].generation) if found else (MigrationId(0), 0)
