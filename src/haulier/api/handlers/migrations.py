"""Migrations, as Nova lists them; what it has no place for is below /haulier/v1."""

from typing import Any

from starlette.responses import Response

from haulier.api.accept import moves as accept
from haulier.api.answers import json
from haulier.api.context import Asked
from haulier.api.handlers.servers import asker_of, permitted
from haulier.api.microversion import handles
from haulier.api.views.common import naive
from haulier.db.store import migrations
from haulier.errors import NoLiveMigration
from haulier.model.migration import STATUS, Migration, State

RULE = "os_compute_api:servers:migrations"


@handles("migrations.index")
async def index(asked: Asked) -> Response:
    asked.require("os_compute_api:os-migrations:index")
    query = asked.query
    source, node = query.get("source_compute"), query.get("source_node")
    if source and node and source != node:
        return json({"migrations": []})
    found = await asked.db.read(
        migrations.search,
        host=query.get("host"),
        source=source or node,
        target=query.get("dest_compute"),
        server_id=query.get("instance_uuid"),
        kind=query.get("migration_type"),
        states=_states(query.get("status")),
    )
    return json({"migrations": [_shown(asked, move) for move in found]})


def _states(status: str | None) -> list[State] | None:
    return None if status is None else [state for state, word in STATUS.items() if word == status]


def _shown(asked: Asked, move: Migration) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": move.id,
        "instance_uuid": move.server_id,
        "status": move.status,
        "source_compute": move.source,
        "source_node": move.source,
        "dest_compute": move.target,
        "dest_node": move.target,
        "dest_host": move.target,
        "old_instance_type_id": move.old_flavor.id,
        "new_instance_type_id": move.new_flavor.id,
        "created_at": naive(move.created_at),
        "updated_at": naive(move.updated_at),
    }
    if asked.since("2.23"):
        shown["migration_type"] = move.kind
    return shown


@handles("server_migrations.index", since="2.23")
async def live(asked: Asked) -> Response:
    """Nova lists live migrations here, and there are none yet."""
    await permitted(asked, f"{RULE}:index")
    return json({"migrations": []})


@handles("server_migrations.show", since="2.23")
async def show_live(asked: Asked) -> Response:
    server = await permitted(asked, f"{RULE}:show")
    raise NoLiveMigration(asked.path("migration_id"), server.id)


@handles("server_migrations.delete", since="2.24")
async def cancel(asked: Asked) -> Response:
    """Until the switch; a cold migration too, where Nova knows only live ones."""
    server = await permitted(asked, f"{RULE}:delete")
    await asked.db.write(accept.cancel, asker_of(asked), server.id, asked.path("migration_id"))
    await asked.nudge()
    return Response(status_code=202)
