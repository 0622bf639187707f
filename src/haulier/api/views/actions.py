"""The action log in full, as /haulier/v1 shows it."""

from typing import Any

from sqlalchemy import Row

from haulier.api.views.common import utc
from haulier.db.engine import Transaction
from haulier.db.store import actions
from haulier.model.ids import ServerId


def full(tx: Transaction, server_id: ServerId, *, reasons: bool) -> list[dict[str, Any]]:
    """Every action of a server, newest first, with its steps; hosts and reasons only with `reasons`."""
    return [_action(tx, row, reasons) for row in actions.of_server(tx, server_id)]


def _action(tx: Transaction, row: Row[Any], reasons: bool) -> dict[str, Any]:
    events = actions.events_of(tx, row.server_id, row.request_id)
    return {
        "action": row.action,
        "request_id": row.request_id,
        "user_id": row.user_id,
        "project_id": row.project_id,
        "message": row.message,
        "started_at": utc(row.started_at),
        "finished_at": utc(row.finished_at),
        "events": [_event(event, reasons) for event in events],
    }


def _event(row: Row[Any], reasons: bool) -> dict[str, Any]:
    shown = {
        "event": row.event,
        "result": row.result,
        "started_at": utc(row.started_at),
        "finished_at": utc(row.finished_at),
    }
    return {**shown, "host": row.host, "reason": row.details} if reasons else shown
