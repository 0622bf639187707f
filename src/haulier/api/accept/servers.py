"""Accepting a new server, changes of one that need no host, and its deletion."""

import secrets
import uuid
from typing import Any

from sqlalchemy import Row

from haulier.api.accept import sizes
from haulier.api.accept.asker import Asker, free, not_locked, record, server_of
from haulier.api.bodies.server import Create, metadata
from haulier.db.engine import Transaction
from haulier.db.store import actions, flavors, hosts, images, migrations, outbox, servers
from haulier.errors import ImageNotActive, MetadataItemNotFound, UnknownFlavor, UnknownImage, UnknownZone
from haulier.model.flavor import Flavor
from haulier.model.ids import HostName, ServerId
from haulier.model.migration import State
from haulier.model.request import RequestSpec
from haulier.model.server import PowerState, Server, TaskState, VmState
from haulier.wire import codec, subjects
from haulier.wire.to_conductor import BuildServer, DeleteServer

SETTLED = frozenset({VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED})


def create(tx: Transaction, asker: Asker, wanted: Create) -> ServerId:
    """Accept a new server; the conductor places and builds it.

    Raises:
        UnknownFlavor, UnknownImage, ImageNotActive, UnknownZone, HostNotFound, RootDiskTooSmall, MemoryTooSmall,
            NotOffered.
    """
    flavor = _flavor(tx, asker, wanted.flavorid)
    image = _image(tx, asker, wanted.image_id)
    sizes.carries(flavor, image)
    zone, host = _place(tx, wanted.zone)
    server_id = ServerId(str(uuid.uuid4()))
    spec = RequestSpec(
        server_id=server_id,
        project_id=asker.project_id,
        resources=flavor.claims(),
        zone=zone,
        requested_destination=host,
    )
    servers.add(
        tx,
        id=server_id,
        name=wanted.name,
        description=wanted.description,
        project_id=asker.project_id,
        user_id=asker.user_id,
        image_id=image.id,
        flavor=flavor,
        host=None,
        vm_state=VmState.BUILDING,
        task_state=TaskState.SCHEDULING,
        power_state=PowerState.NOSTATE,
        mac=_mac(),
        zone=zone,
        metadata=wanted.metadata,
        request_spec=spec,
    )
    record(tx, asker, servers.get(tx, server_id), "create")
    body = codec.encode(BuildServer(server_id, asker.request_id))
    outbox.put(tx, subjects.CONDUCTOR_OUTBOX, body, server_id=server_id, step="build_server")
    return server_id


def delete(tx: Transaction, asker: Asker, server_id: str) -> None:
    """Accept a deletion, in every state; asked twice it is the same as once. It supersedes a move under way.

    Raises:
        ServerNotFound, ServerLocked, LostRace: refused.
    """
    server = server_of(tx, asker, server_id)
    not_locked(asker, server)
    if server.task_state == TaskState.DELETING:
        return
    servers.swap(tx, server, owner_epoch=server.owner_epoch + 1, task_state=TaskState.DELETING)
    move = migrations.live_of(tx, server.id)
    if move is not None:
        migrations.advance(tx, move, State.CANCELLED, event="Deleted", actor=asker.user_id)
    record(tx, asker, server, "delete")
    body = codec.encode(DeleteServer(server.id, asker.request_id))
    outbox.put(tx, subjects.CONDUCTOR_OUTBOX, body, server_id=server.id, step="delete_server")


def update(tx: Transaction, asker: Asker, server_id: str, columns: dict[str, Any]) -> Server:
    """Set the name or the description."""
    server = server_of(tx, asker, server_id)
    if columns:
        servers.change(tx, server.id, **columns)
    return servers.get(tx, server_id)


def lock(tx: Transaction, asker: Asker, server_id: str, *, locked: bool) -> None:
    """Keep everybody but administrators from changing the server, or end that."""
    server = server_of(tx, asker, server_id)
    servers.swap(tx, server, locked=locked)
    record(tx, asker, server, "lock" if locked else "unlock")
    actions.finish(tx, server.id, asker.request_id)


def set_metadata(
    tx: Transaction, asker: Asker, server_id: str, items: dict[str, str], *, replace: bool
) -> dict[str, str]:
    """Add these items or, with `replace`, have no others; returns what the server has now.

    Raises:
        ServerNotFound, ServerLocked, WrongState, TooManyMetadata: refused.
    """
    server = server_of(tx, asker, server_id)
    not_locked(asker, server)
    free(server, "update metadata", SETTLED)
    now = metadata(items if replace else {**server.metadata, **items})
    servers.change(tx, server.id, metadata=now)
    return now


def remove_metadata(tx: Transaction, asker: Asker, server_id: str, key: str) -> None:
    """Remove one item.

    Raises:
        ServerNotFound, ServerLocked, WrongState, MetadataItemNotFound: refused.
    """
    server = server_of(tx, asker, server_id)
    not_locked(asker, server)
    free(server, "delete metadata", SETTLED)
    if key not in server.metadata:
        raise MetadataItemNotFound(key)
    servers.change(tx, server.id, metadata={name: value for name, value in server.metadata.items() if name != key})


def _flavor(tx: Transaction, asker: Asker, flavorid: str) -> Flavor:
    flavor = flavors.find(tx, flavorid)
    if flavor is None or flavor.disabled or not (flavor.is_public or asker.is_admin):
        raise UnknownFlavor(flavorid)
    return flavor


def _image(tx: Transaction, asker: Asker, image_id: str) -> Row[Any]:
    image = images.find(tx, image_id)
    if image is None or image.status == "deleted":
        raise UnknownImage(image_id)
    mine = image.project_id == asker.project_id or asker.is_admin
    if not mine and image.visibility not in ("public", "community"):
        raise UnknownImage(image_id)
    if image.status != "active":
        raise ImageNotActive(image_id, image.status)
    return image


def _place(tx: Transaction, asked: str | None) -> tuple[str | None, HostName | None]:
    """Zone and host of `zone`, `zone:host` or `zone:host:node`; a host is only for this one placement."""
    if not asked:
        return None, None
    zone, _, rest = asked.partition(":")
    host = rest.partition(":")[0] or None
    if zone and zone not in hosts.zones(tx):
        raise UnknownZone(zone)
    return zone or None, hosts.get(tx, host).name if host else None


def _mac() -> str:
    tail = secrets.token_bytes(3)
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in tail)
