"""What the steps of an action are called in its log: Nova's name where Nova has the step, else a name of its form."""

from haulier.db.engine import Transaction
from haulier.db.store import actions
from haulier.model.ids import HostName, ServerId

MIGRATE = ("conductor_migrate_server", "cold_migrate")
"""The conductor looks for a target: at the request, and again after each target that failed. One inside the other."""
BUILD = ("conductor_build_server",)
"""The same for a new server."""

NOVA = {
    "build_server": "compute__do_build_and_run_instance",
    "delete_server": "compute_terminate_instance",
    "start_server": "compute_start_instance",
    "stop_server": "compute_stop_instance",
    "reboot_server": "compute_reboot_instance",
    "pause_server": "compute_pause_instance",
    "unpause_server": "compute_unpause_instance",
}
"""Nova's words for steps that have another word here; every other one is called as here, after `compute_`."""

UNRECORDED = frozenset({"discard_target", "discard_orphan"})
"""Clearing up that no request waits for: it goes on after the action has ended, so it is no step of one."""


def begin_step(tx: Transaction, server_id: ServerId, request_id: str, step: str, host: HostName) -> None:
    """A host is told to do a step."""
    if step not in UNRECORDED:
        actions.begin_event(tx, server_id, request_id, _name(step), host)


def end_step(
    tx: Transaction, server_id: ServerId, request_id: str, step: str, host: HostName, problem: str | None
) -> None:
    """The host has answered, or is not waited for any longer: Success, or Error with the reason."""
    actions.end_event(tx, server_id, request_id, _name(step), problem, host=host)


def begin_search(tx: Transaction, server_id: ServerId, request_id: str, events: tuple[str, ...], took: float) -> None:
    """The conductor looks for a host, since `took` seconds. If it finds none the events end with the action."""
    for event in events:
        actions.begin_event(tx, server_id, request_id, event, took=took)


def end_search(tx: Transaction, server_id: ServerId, request_id: str, events: tuple[str, ...]) -> None:
    """It has found one."""
    for event in reversed(events):
        actions.end_event(tx, server_id, request_id, event)


def _name(step: str) -> str:
    return NOVA.get(step, f"compute_{step}")
