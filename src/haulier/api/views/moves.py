"""A move in full, and a host, as /haulier/v1 shows them."""

from typing import Any

from sqlalchemy import Row

from haulier.api.context import Asked
from haulier.api.views.common import utc
from haulier.api.views.hosts import Seen
from haulier.db.engine import Transaction
from haulier.db.store import hosts, migrations, outbox, servers
from haulier.model.ids import HostName
from haulier.model.migration import Migration, State

CONFIRM = "automatic_confirm"
"""What is waited for when an automatic confirm is due and can't be made."""


def full(tx: Transaction, move: Migration, down_after: float) -> dict[str, Any]:
    """All that is kept of a move, who is waited for and since how many seconds, and every transition.

    An automatic confirm that is due waits for hosts that were not heard for `down_after` seconds.
    """
    server = servers.get(tx, move.server_id, deleted=True)
    log = migrations.log_of(tx, move.id)
    entered = log[-1].at if log else move.created_at
    return {
        **_move(move),
        "owner": {"project_id": server.project_id, "user_id": server.user_id},
        "age_seconds": round(max(0.0, tx.now - move.created_at.timestamp()), 3),
        "waiting_for": _waited_for(tx, move, down_after) if move.is_live else [],
        "next": move.next_state,
        "transitions": _transitions(move, log),
        "phase_seconds": round(max(0.0, tx.now - entered.timestamp()), 3) if move.is_live else None,
    }


def _move(move: Migration) -> dict[str, Any]:
    return {
        "id": move.id,
        "uuid": move.uuid,
        "server_id": move.server_id,
        "type": move.kind,
        "state": move.state,
        "status": move.status,
        "generation": move.generation,
        "source": move.source,
        "target": move.target,
        "attempt": move.attempt,
        "attempts": [{"number": each.number, "host": each.host, "failed": each.failed} for each in move.attempts],
        "alternates": move.alternates,
        "named": move.named,
        "forced": move.forced,
        "skipped": move.skipped,
        "reasons": move.reasons,
        "was_running": move.was_running,
        "confirm_after": move.confirm_after,
        "confirms_at": utc(move.confirms_at) if move.state == State.AWAITS_CONFIRM else None,
        "progress": {"bytes_done": move.bytes_done, "bytes_total": move.bytes_total},
        "old_flavor": move.old_flavor.name,
        "new_flavor": move.new_flavor.name,
        "asked_by": {"project_id": move.project_id, "user_id": move.user_id, "request_id": move.request_id},
        "acts_now": move.acts,
        "created_at": utc(move.created_at),
        "updated_at": utc(move.updated_at),
    }


def _waited_for(tx: Transaction, move: Migration, down_after: float) -> list[dict[str, Any]]:
    asked = [
        _waiting(row.host, row.step, row.created_at.timestamp(), tx.now) for row in outbox.waiting_for(tx, move.id)
    ]
    return [*asked, *_confirm_waits_for(tx, move, down_after)]


def _confirm_waits_for(tx: Transaction, move: Migration, down_after: float) -> list[dict[str, Any]]:
    """Who keeps an automatic confirm that is due from being made: silent hosts, else the conductor (host None)."""
    due = move.confirms_at.timestamp() if move.confirms_at is not None else None
    if move.state != State.AWAITS_CONFIRM or due is None or due > tx.now:
        return []
    parties = hosts.named(tx, {name for name in (move.source, move.target) if name is not None}).values()
    silent = [host for host in parties if host.fenced or host.silent_for > down_after]
    waits = [_waiting(host.name, CONFIRM, max(due, tx.now - host.silent_for), tx.now) for host in silent]
    return waits or [_waiting(None, CONFIRM, due, tx.now)]


def _waiting(host: HostName | None, step: str, since: float, now: float) -> dict[str, Any]:
    return {"host": host, "step": step, "seconds": round(max(0.0, now - since), 3)}


def _transitions(move: Migration, log: list[Row[Any]]) -> list[dict[str, Any]]:
    """Each with how many seconds the move had been in the state that it left."""
    since = [move.created_at, *(row.at for row in log)]
    return [_transition(row, (row.at - entered).total_seconds()) for row, entered in zip(log, since, strict=False)]


def _transition(row: Row[Any], seconds: float) -> dict[str, Any]:
    return {
        "seconds": round(seconds, 3),
        "generation": row.generation,
        "at": utc(row.at),
        "from": row.from_state,
        "to": row.to_state,
        "event": row.event,
        "actor": row.actor,
        "detail": row.detail,
        "target": row.target,
        "attempt": row.attempt,
    }


def host(asked: Asked, seen: Seen) -> dict[str, Any]:
    """Capacity is what may be claimed at most, used what is claimed, both by resource class."""
    return {
        "name": seen.host.name,
        "uuid": seen.host.uuid,
        "zone": seen.host.zone,
        "enabled": seen.host.enabled,
        "reason": seen.host.disabled_reason,
        "draining": seen.host.draining,
        "forced_down": seen.host.forced_down,
        "fence": fence(seen.row),
        "up": seen.up(asked),
        "stopping": seen.host.stopping and seen.host.silent_for <= asked.settings.down_after,
        "silent_for": round(seen.host.silent_for, 3),
        "free_disk_bytes": seen.host.free_disk_bytes,
        "resources": {
            resource_class.value: {"capacity": stock.capacity, "used": seen.used.get(resource_class, 0)}
            for resource_class, stock in seen.host.stock.items()
        },
    }


def fence(row: Row[Any]) -> dict[str, Any] | None:
    """Who gave their word that the host is off, when and why; None when nobody did."""
    if row.fenced_at is None:
        return None
    return {"by": row.fenced_by, "at": utc(row.fenced_at), "reason": row.fence_reason}
