"""The action log of a server. The reason of a failure is in its event's `traceback`, the only place there is for it."""

from typing import Any

from sqlalchemy import Row
from starlette.responses import Response

from haulier.api.answers import json
from haulier.api.context import Asked
from haulier.api.handlers.servers import permitted
from haulier.api.microversion import handles
from haulier.api.views.common import naive
from haulier.db.store import actions
from haulier.errors import ActionNotFound

RULE = "os_compute_api:os-instance-actions"


@handles("actions.index")
async def index(asked: Asked) -> Response:
    server = await permitted(asked, f"{RULE}:list", deleted=asked.since("2.21"))
    found = await asked.db.read(actions.of_server, server.id)
    return json({"instanceActions": [_shown(row) for row in found]})


@handles("actions.show")
async def show(asked: Asked) -> Response:
    server = await permitted(asked, f"{RULE}:show", deleted=asked.since("2.21"))
    request_id = asked.path("request_id")
    row = await asked.db.read(actions.find, server.id, request_id)
    if row is None:
        raise ActionNotFound(request_id)
    shown = _shown(row)
    everything = asked.may(f"{RULE}:events", server.project_id)
    if everything or asked.since("2.51"):
        events = await asked.db.read(actions.events_of, server.id, request_id)
        shown["events"] = [_event(event, reasons=everything) for event in events]
    return json({"instanceAction": shown})


def _shown(row: Row[Any]) -> dict[str, Any]:
    return {
        "action": row.action,
        "instance_uuid": row.server_id,
        "request_id": row.request_id,
        "user_id": row.user_id,
        "project_id": row.project_id,
        "start_time": naive(row.started_at),
        "message": row.message,
    }


def _event(row: Row[Any], *, reasons: bool) -> dict[str, Any]:
    shown = {
        "event": row.event,
        "start_time": naive(row.started_at),
        "finish_time": naive(row.finished_at),
        "result": row.result,
    }
    return {**shown, "traceback": row.details} if reasons else shown
