"""Servers: lists, one, new, changed, deleted."""

import secrets
from typing import Any

from starlette.responses import Response

from haulier.api.accept import servers as accept
from haulier.api.accept.asker import Asker
from haulier.api.answers import empty, json
from haulier.api.bodies import queries
from haulier.api.bodies import server as bodies
from haulier.api.bodies.server_filters import NOTHING, wanted_from
from haulier.api.context import Asked
from haulier.api.microversion import handles
from haulier.api.views import servers as views
from haulier.api.views.common import next_page
from haulier.db.engine import Transaction
from haulier.db.store import hosts, server_lists, servers
from haulier.errors import ServerNotFound
from haulier.model.ids import ProjectId, RequestId, UserId
from haulier.model.server import Server

RULE = "os_compute_api:servers"


def asker_of(asked: Asked) -> Asker:
    """What a transaction needs to know of who asks."""
    return Asker(
        user_id=UserId(asked.caller.user_id),
        project_id=ProjectId(asked.caller.project_id),
        request_id=RequestId(asked.request_id),
        sees=asked.scope,
        is_admin=asked.is_admin,
        down_after=asked.settings.down_after,
    )


async def server_of(asked: Asked, *, deleted: bool = False) -> Server:
    """The server that the URL names, if the caller can see it.

    Raises:
        ServerNotFound: there is none, or it is another project's.
    """
    server_id = asked.path("server_id")
    server = await asked.db.read(servers.get, server_id, deleted=deleted)
    if asked.scope is not None and server.project_id != asked.scope:
        raise ServerNotFound(server_id)
    return server


async def permitted(asked: Asked, rule: str, *, deleted: bool = False) -> Server:
    """The server that the URL names, if the caller may do `rule` to it."""
    server = await server_of(asked, deleted=deleted)
    asked.require(rule, server.project_id)
    return server


def surroundings(tx: Transaction, found: list[Server]) -> list[views.Found]:
    """The servers with their hosts, and with the newest fault where the state shows one."""
    around = hosts.named(tx, {server.host for server in found if server.host is not None})
    return [
        views.Found(
            server,
            around.get(server.host) if server.host is not None else None,
            servers.newest_fault(tx, server.id) if server.vm_state in views.WITH_FAULT else None,
        )
        for server in found
    ]


def _page(tx: Transaction, wanted: server_lists.Wanted, limit: int, marker: str | None) -> list[views.Found]:
    return surroundings(tx, server_lists.search(tx, wanted, limit, marker))


async def _listed(asked: Asked, rule: str) -> tuple[list[views.Found], int]:
    asked.require(rule)
    wanted = wanted_from(asked, f"{rule}:get_all_tenants")
    limit, marker = queries.page(asked)
    return ([] if wanted is NOTHING else await asked.db.read(_page, wanted, limit, marker)), limit


def _with_next(asked: Asked, collection: str, shown: list[dict[str, Any]], limit: int) -> Response:
    body: dict[str, Any] = {"servers": shown}
    following = next_page(asked, collection, [server["id"] for server in shown], limit)
    if following:
        body["servers_links"] = following
    return json(body)


@handles("servers.index")
async def index(asked: Asked) -> Response:
    found, limit = await _listed(asked, f"{RULE}:index")
    return _with_next(asked, "servers", [views.basic(asked, each.server) for each in found], limit)


@handles("servers.detail")
async def detail(asked: Asked) -> Response:
    found, limit = await _listed(asked, f"{RULE}:detail")
    return _with_next(asked, "servers/detail", [views.show(asked, each) for each in found], limit)


@handles("servers.show")
async def show(asked: Asked) -> Response:
    server = await permitted(asked, f"{RULE}:show")
    [found] = await asked.db.read(surroundings, [server])
    return json({"server": views.show(asked, found)})


@handles("servers.create", until="2.18", body=bodies.create_from(bodies.NewServer, networks_required=False))
@handles(
    "servers.create", since="2.19", until="2.36", body=bodies.create_from(bodies.NewServer219, networks_required=False)
)
@handles(
    "servers.create", since="2.37", until="2.51", body=bodies.create_from(bodies.NewServer219, networks_required=True)
)
@handles("servers.create", since="2.52", body=bodies.create_from(bodies.NewServer252, networks_required=True))
async def create(asked: Asked, wanted: bodies.Create) -> Response:
    asked.require(f"{RULE}:create")
    if wanted.zone is not None and ":" in wanted.zone:
        asked.require(f"{RULE}:create:forced_host")
    server_id = await asked.db.write(accept.create, asker_of(asked), wanted)
    await asked.nudge()
    # Nobody sets this password in the guest; the key is there because clients look for it.
    password = wanted.admin_pass or secrets.token_urlsafe(9)
    shown = views.created(asked, server_id, wanted.disk_config, password)
    return json({"server": shown}, 202, {"Location": shown["links"][0]["href"]})


@handles("servers.update", until="2.18", body=bodies.update_from(bodies.ServerUpdate))
@handles("servers.update", since="2.19", body=bodies.update_from(bodies.ServerUpdate219))
async def update(asked: Asked, columns: dict[str, Any]) -> Response:
    server = await permitted(asked, f"{RULE}:update")
    changed = await asked.db.write(accept.update, asker_of(asked), server.id, columns)
    [found] = await asked.db.read(surroundings, [changed])
    return json({"server": _as_updated(views.show(asked, found))})


def _as_updated(shown: dict[str, Any]) -> dict[str, Any]:
    """Up to 2.74 an update answers without the extensions' fields."""
    left_out = ("OS-EXT-", "OS-SRV-USG:", "os-extended-volumes:")
    gone = {"config_drive", "key_name", "security_groups", "host_status"}
    return {key: value for key, value in shown.items() if not key.startswith(left_out) and key not in gone}


@handles("servers.delete")
async def delete(asked: Asked) -> Response:
    server = await permitted(asked, f"{RULE}:delete")
    await asked.db.write(accept.delete, asker_of(asked), server.id)
    await asked.nudge()
    return empty(204)


@handles("servers.ips")
async def ips(asked: Asked) -> Response:
    await permitted(asked, "os_compute_api:ips:index")
    return json({"addresses": {}})
