"""Services: each host's agent, under the name that clients know it by."""

from typing import Any

from starlette.responses import Response

from haulier.api.accept import hosts as accept
from haulier.api.answers import json
from haulier.api.bodies import service as bodies
from haulier.api.bodies.service import BINARY
from haulier.api.context import Asked, is_uuid
from haulier.api.microversion import handles
from haulier.api.views import hosts as views
from haulier.errors import InvalidBody, InvalidId, NoSuchResource, NotOffered, ServiceNotFound

RULE = "os_compute_api:os-services"
ACTIONS = frozenset({"enable", "disable", "disable-log-reason"})


@handles("services.index")
async def index(asked: Asked) -> Response:
    asked.require(f"{RULE}:list")
    host, binary = asked.query.get("host"), asked.query.get("binary")
    found = [
        views.service(asked, seen)
        for seen in await asked.db.read(views.all_seen, with_servers=False)
        if (not host or seen.host.name == host) and (not binary or binary == BINARY)
    ]
    return json({"services": found})


@handles("services.update", until="2.52", body=bodies.old_update)
async def update_by_action(asked: Asked, update: bodies.OldUpdate) -> Response:
    asked.require(f"{RULE}:update")
    action = asked.path("service_id")
    if action not in ACTIONS and not (action == "force-down" and asked.since("2.11")):
        raise NoSuchResource
    columns = bodies.columns_of(action, update)
    if update.binary != BINARY:
        raise InvalidBody(
            f"Updating a {update.binary} service is not supported. Only {BINARY} services can be updated."
        )
    await asked.db.write(accept.change, update.host, columns)
    await asked.nudge()
    return json({"service": {"host": update.host, "binary": update.binary, **_said(columns)}})


def _said(columns: dict[str, Any]) -> dict[str, Any]:
    if "enabled" not in columns:
        return columns
    shown = {"status": "enabled" if columns["enabled"] else "disabled"}
    return {**shown, "disabled_reason": columns["disabled_reason"]} if columns["disabled_reason"] else shown


@handles("services.update", since="2.53", body=bodies.update)
async def update(asked: Asked, columns: dict[str, Any]) -> Response:
    asked.require(f"{RULE}:update")
    seen = await _service_of(asked)
    await asked.db.write(accept.change, seen.host.name, columns)
    await asked.nudge()
    return json({"service": views.service(asked, await _service_of(asked))})


@handles("services.delete")
async def delete(asked: Asked) -> Response:
    asked.require(f"{RULE}:delete")
    raise NotOffered("Removing a host")


async def _service_of(asked: Asked) -> views.Seen:
    service_id = asked.path("service_id")
    if not is_uuid(service_id):
        raise InvalidId(service_id)
    for seen in await asked.db.read(views.all_seen, with_servers=False):
        if seen.host.uuid == service_id:
            return seen
    raise ServiceNotFound(service_id)
