"""Below /haulier/v1: what Nova has no place for. Moves in full, and hosts."""

from typing import Any

from starlette.responses import Response

from haulier.api.accept import hosts as accept
from haulier.api.accept import moves
from haulier.api.answers import json
from haulier.api.bodies import host as bodies
from haulier.api.bodies import migrate as migrate_bodies
from haulier.api.bodies.queries import page
from haulier.api.bodies.reader import invalid
from haulier.api.context import Asked
from haulier.api.handlers.instance_actions import RULE as ACTIONS
from haulier.api.handlers.server_actions import MIGRATE
from haulier.api.handlers.servers import asker_of, permitted
from haulier.api.microversion import handles
from haulier.api.views import actions as action_views
from haulier.api.views import hosts as host_views
from haulier.api.views import moves as views
from haulier.api.views.common import next_page
from haulier.db.engine import Transaction
from haulier.db.store import migrations, servers
from haulier.errors import MarkerNotFound, MigrationNotFound, ServiceNotFound
from haulier.model.ids import MigrationId
from haulier.model.migration import STATUS, State

VERSION = "1.0"


@handles("haulier.version")
async def version(asked: Asked) -> Response:
    return json({"version": {"id": "v1", "version": VERSION, "status": "CURRENT"}})


@handles("haulier.migrations.index")
async def index(asked: Asked) -> Response:
    """All moves, newest first; with `?server=` one server's, which its project may see too.

    `host` (either end), `status` and `owner` (of the server: a project or a user) narrow it down; pages by `limit`
    and `marker`.
    """
    server_id = asked.query.get("server")
    if server_id is None:
        asked.require("haulier:migrations:index")
    else:
        await _visible(asked, server_id)
    limit, marker = page(asked)
    wanted = {
        "server_id": server_id,
        "host": asked.query.get("host"),
        "owner": asked.query.get("owner"),
        "states": _states(asked.query.get("status")),
    }
    found = await asked.db.read(_listed, marker, asked.settings.down_after, limit=limit, **wanted)
    following = next_page(asked, "migrations", [str(move["id"]) for move in found], limit, root="haulier/v1")
    return json({"migrations": found} | ({"migrations_links": following} if following else {}))


@handles("haulier.migrations.show")
async def show(asked: Asked) -> Response:
    which = asked.path("migration_id")
    move = await asked.db.read(migrations.find, which)
    if move is None or not await _may_see(asked, move.server_id):
        raise MigrationNotFound(which)
    return await _move(asked, move.id)


@handles("haulier.servers.migrate", body=migrate_bodies.own)
async def migrate(asked: Asked, wanted: migrate_bodies.Migrate) -> Response:
    """The request of Nova's `migrate` action with haulier's own keys; answers the move, by whose id it is followed."""
    if wanted.host:
        await permitted(asked, f"{MIGRATE}:host")
    server = await permitted(asked, MIGRATE)
    made = await asked.db.write(moves.migrate, asker_of(asked), server.id, wanted)
    await asked.nudge()
    return await _move(asked, made, 202)


@handles("haulier.actions.index")
async def list_actions(asked: Asked) -> Response:
    """The action log of a server in full, newest first: Nova's has no place for the host of a step below 2.62."""
    server = await permitted(asked, f"{ACTIONS}:list", deleted=True)
    reasons = asked.may(f"{ACTIONS}:events", server.project_id)
    return json({"actions": await asked.db.read(action_views.full, server.id, reasons=reasons)})


@handles("haulier.hosts.index")
async def list_hosts(asked: Asked) -> Response:
    asked.require("haulier:hosts:index")
    seen = await asked.db.read(host_views.all_seen, with_servers=False)
    return json({"hosts": [views.host(asked, each) for each in seen]})


@handles("haulier.hosts.drain")
async def drain(asked: Asked) -> Response:
    return await _drain(asked, draining=True)


@handles("haulier.hosts.undrain")
async def undrain(asked: Asked) -> Response:
    return await _drain(asked, draining=False)


@handles("haulier.hosts.fence", body=bodies.fence)
async def fence(asked: Asked, body: bodies.Fence) -> Response:
    """The operator's word that a host is off: moves that wait for it go on without it."""
    asked.require("haulier:hosts:fence")
    name, by = asked.path("name"), asked.caller.user_id
    down_after = asked.settings.down_after
    await asked.db.write(accept.fence, name, by=by, reason=body.reason, down_after=down_after)
    await asked.nudge()
    return await _shown(asked, name)


async def _drain(asked: Asked, *, draining: bool) -> Response:
    asked.require("haulier:hosts:drain")
    name = asked.path("name")
    await asked.db.write(accept.change, name, {"draining": draining})
    await asked.nudge()
    return await _shown(asked, name)


async def _shown(asked: Asked, name: str) -> Response:
    for each in await asked.db.read(host_views.all_seen, with_servers=False):
        if each.host.name == name:
            return json({"host": views.host(asked, each)})
    raise ServiceNotFound(name)


async def _move(asked: Asked, migration_id: MigrationId, status: int = 200) -> Response:
    return json({"migration": await asked.db.read(_full, migration_id, asked.settings.down_after)}, status)


def _full(tx: Transaction, migration_id: MigrationId, down_after: float) -> dict[str, Any]:
    return views.full(tx, migrations.get(tx, migration_id), down_after)


def _listed(tx: Transaction, /, marker: str | None, down_after: float, **wanted: Any) -> list[dict[str, Any]]:
    last = migrations.find(tx, marker) if marker is not None else None
    if marker is not None and last is None:
        raise MarkerNotFound(marker)
    found = migrations.search(tx, before=last.id if last is not None else None, **wanted)
    return [views.full(tx, move, down_after) for move in found]


def _states(status: str | None) -> list[State] | None:
    known = sorted(set(STATUS.values()))
    if status is not None and status not in known:
        raise invalid("status", status, f"{status!r} is not one of {known}")
    return None if status is None else [state for state, word in STATUS.items() if word == status]


async def _may_see(asked: Asked, server_id: str) -> bool:
    server = await asked.db.read(servers.find, server_id)
    return server is not None and asked.may("haulier:migrations:show", server.project_id)


async def _visible(asked: Asked, server_id: str) -> None:
    if not await _may_see(asked, server_id):
        raise MigrationNotFound(f"of server {server_id}")
