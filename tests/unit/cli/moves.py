"""Documents of `/haulier/v1/migrations/{id}` as the API gives them, for tests that need a move."""

from datetime import UTC, datetime, timedelta
from typing import Any

BEGUN = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
FORWARD = ("PREPARING", "COPYING", "RECEIVING", "SWITCHED", "AWAITS_CONFIRM")


def at(seconds: float) -> str:
    return (BEGUN + timedelta(seconds=seconds)).isoformat()


def move(*states: str, **values: Any) -> dict[str, Any]:
    """A move from node1 to node2 that went through `states`, half a second each."""
    path = ("REQUESTED", *states)
    transitions = [
        {
            "seconds": 0.5,
            "generation": number,
            "at": at(number / 2),
            "from": path[number - 1],
            "to": path[number],
            "event": "Failed" if path[number] in ("FAILED", "RESTORING") else "Something",
            "actor": "conductor",
            "detail": None,
        }
        for number in range(1, len(path))
    ]
    return {
        "id": 7,
        "server_id": "11111111-1111-4111-8111-111111111111",
        "type": "migration",
        "state": path[-1],
        "status": path[-1].lower(),
        "source": "node1",
        "target": "node2" if states else None,
        "attempts": [{"number": 1, "host": "node2", "failed": None}] if states else [],
        "named": True,
        "forced": False,
        "skipped": [],
        "was_running": True,
        "reasons": [],
        "attempt": 1 if states else 0,
        "owner": {"project_id": "demo", "user_id": "demo-user"},
        "asked_by": {"project_id": "admin", "user_id": "admin-user", "request_id": "req-1"},
        "acts_now": "user" if path[-1] == "AWAITS_CONFIRM" else None,
        "age_seconds": len(states) / 2,
        "progress": {"bytes_done": 0, "bytes_total": 0},
        "waiting_for": [],
        "created_at": at(0),
        "updated_at": at(len(states) / 2),
        "transitions": transitions,
        **values,
    }
