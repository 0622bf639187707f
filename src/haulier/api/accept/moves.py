"""Accepting a move, its confirmation and its revert: each one transaction, in which nothing is written on refusal."""

import uuid

from msgspec import UNSET
from msgspec.structs import replace

from haulier.api.accept import sizes
from haulier.api.accept.asker import Asker, free, heard, not_locked, record, server_of
from haulier.api.bodies.migrate import Migrate
from haulier.db.engine import Transaction
from haulier.db.store import flavors, hosts, images, migrations, outbox, servers
from haulier.errors import (
    HostForcedDown,
    MigrationEnded,
    NoLiveMigration,
    SameFlavor,
    SameHost,
    TooLateToCancel,
    UnknownFlavor,
    WrongState,
)
from haulier.model.flavor import Flavor
from haulier.model.ids import HostName, MigrationId
from haulier.model.migration import ON_CANCEL, Kind, Migration, State
from haulier.model.server import Server, TaskState, VmState
from haulier.wire import codec, subjects
from haulier.wire.to_conductor import CancelMigration, ConfirmMigration, MigrateServer, Request, RevertMigration

MOVABLE = frozenset({VmState.ACTIVE, VmState.STOPPED})
RESIZED = frozenset({VmState.RESIZED})


def migrate(tx: Transaction, asker: Asker, server_id: str, asked: Migrate) -> MigrationId:
    """Accept a cold migration, to a named host or to one that the scheduler chooses.

    Raises:
        ServerNotFound, ServerLocked, WrongState, AgentSilent, AgentStopping, HostForcedDown, HostNotFound, SameHost,
            LostRace:
            refused.
    """
    server = _movable(tx, asker, server_id, "migrate")
    host = None if asked.host is UNSET else asked.host
    if host is not None:
        if host == server.host:
            raise SameHost
        hosts.get(tx, host)
    forced = asked.force is True
    return _request(tx, asker, server, Kind.MIGRATION, server.flavor, asked, host, forced=forced)


def resize(tx: Transaction, asker: Asker, server_id: str, flavorid: str) -> MigrationId:
    """Accept a resize: the same move with another flavor.

    Raises:
        ServerNotFound, ServerLocked, WrongState, AgentSilent, AgentStopping, HostForcedDown, UnknownFlavor, SameFlavor,
            RootDiskTooSmall, MemoryTooSmall, NotOffered, LostRace: refused.
    """
    server = _movable(tx, asker, server_id, "resize")
    flavor = flavors.find(tx, flavorid)
    if flavor is None or flavor.disabled or not (flavor.is_public or asker.is_admin):
        raise UnknownFlavor(flavorid)
    if flavor.id == server.flavor.id:
        raise SameFlavor
    sizes.takes_over(flavor, server.flavor, images.find(tx, server.image_id))
    return _request(tx, asker, server, Kind.RESIZE, flavor, Migrate(), None, forced=False)


def confirm(tx: Transaction, asker: Asker, server_id: str) -> MigrationId:
    """Accept that the window closes for good. The conductor asks the target first whether it holds the disks.

    Raises:
        ServerNotFound, ServerLocked, WrongState, AgentSilent, AgentStopping, LostRace: refused.
    """
    server, move = _in_window(tx, asker, server_id, "confirmResize")
    heard(tx, asker, move.source)
    heard(tx, asker, move.target)
    migrations.advance(tx, move, State.ATTESTING, event="ConfirmAsked", actor=asker.user_id)
    record(tx, asker, server, "confirmResize")
    _send(tx, server, move.id, "confirm_migration", ConfirmMigration(move.id, move.generation + 1, asker.request_id))
    return move.id


def revert(tx: Transaction, asker: Asker, server_id: str) -> MigrationId:
    """Accept that the server goes back. A silent target is waited for, not refused: the source is the one needed.

    Raises:
        ServerNotFound, ServerLocked, WrongState, AgentSilent, AgentStopping, LostRace: refused.
    """
    server, move = _in_window(tx, asker, server_id, "revertResize")
    heard(tx, asker, move.source)
    servers.swap(tx, server, task_state=TaskState.RESIZE_REVERTING)
    migrations.advance(tx, move, State.REVERT_CHECKING, event="RevertAsked", actor=asker.user_id)
    record(tx, asker, server, "revertResize")
    _send(tx, server, move.id, "revert_migration", RevertMigration(move.id, move.generation + 1, asker.request_id))
    return move.id


def cancel(tx: Transaction, asker: Asker, server_id: str, migration_id: str) -> None:
    """Accept that a move ends as it began. Asked twice it is the same as once; a silent source is waited for.

    Raises:
        ServerNotFound, ServerLocked, NoLiveMigration, MigrationEnded, TooLateToCancel, LostRace: refused.
    """
    server = server_of(tx, asker, server_id)
    not_locked(asker, server)
    move = migrations.find(tx, migration_id)
    if move is None or move.server_id != server.id:
        raise NoLiveMigration(migration_id, server.id)
    if move.state is State.CANCELLING:
        return
    if not move.is_live:
        raise MigrationEnded(move.id, move.status)
    if move.state not in ON_CANCEL:
        raise TooLateToCancel(move.id, move.status)
    migrations.advance(tx, move, ON_CANCEL[move.state], event="CancelAsked", actor=asker.user_id)
    record(tx, asker, server, "cold_migration_cancel")
    message = CancelMigration(move.id, move.generation + 1, asker.request_id, move.state)
    _send(tx, server, move.id, "cancel_migration", message)


def _movable(tx: Transaction, asker: Asker, server_id: str, action: str) -> Server:
    server = server_of(tx, asker, server_id)
    not_locked(asker, server)
    free(server, action, MOVABLE)
    source = heard(tx, asker, server.host)
    if source is not None and source.forced_down:
        raise HostForcedDown(source.name)
    return server


def _in_window(tx: Transaction, asker: Asker, server_id: str, action: str) -> tuple[Server, Migration]:
    server = server_of(tx, asker, server_id)
    not_locked(asker, server)
    free(server, action, RESIZED)
    move = migrations.live_of(tx, server.id)
    if move is None or move.state != State.AWAITS_CONFIRM:
        raise WrongState(action, server.id, "migration status", move.status if move else "none")
    return server, move


def _request(
    tx: Transaction,
    asker: Asker,
    server: Server,
    kind: Kind,
    new_flavor: Flavor,
    asked: Migrate,
    host: HostName | None,
    *,
    forced: bool,
) -> MigrationId:
    # What one request asks for is set or cleared by every request, so that nothing sticks (invariant I5).
    spec = replace(servers.request_spec(tx, server.id), requested_destination=None if forced else host)
    servers.swap(tx, server, task_state=TaskState.RESIZE_PREP, request_spec=spec, progress=0)
    move = migrations.add(
        tx,
        uuid=str(uuid.uuid4()),
        server_id=server.id,
        kind=kind,
        source=server.host,
        target=None,
        named=host is not None,
        forced=forced,
        old_flavor=server.flavor,
        new_flavor=new_flavor,
        confirm_after=asked.confirm_after,
        request_id=asker.request_id,
        project_id=asker.project_id,
        user_id=asker.user_id,
    )
    record(tx, asker, server, "migrate" if kind is Kind.MIGRATION else "resize")
    message = MigrateServer(move, server.id, asker.request_id, host=asked.host, force=asked.force)
    _send(tx, server, move, "migrate_server", message)
    return move


def _send(tx: Transaction, server: Server, move: MigrationId, step: str, message: Request) -> None:
    body = codec.encode(message)
    outbox.put(tx, subjects.CONDUCTOR_OUTBOX, body, server_id=server.id, step=step, migration_id=move)
