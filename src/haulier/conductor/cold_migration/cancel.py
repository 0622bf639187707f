"""A cancel: until the switch a move can be told to end as it began, with the server as it was found.

The API's transaction takes the move out of the state it was in, so from there on no answer of a host leads on any
more. Dying before that commit, nothing was asked; after it, the request in the outbox is taken up by any conductor.
"""

from haulier.conductor.cold_migration import attempts, in_place, steps
from haulier.conductor.cold_migration.step import DISCARD, Step
from haulier.conductor.cold_migration.steps import CancelAsked
from haulier.conductor.machine import leads_to
from haulier.db.store import actions, outbox, servers
from haulier.model.migration import State
from haulier.model.server import PowerState, TaskState, VmState
from haulier.wire import codec
from haulier.wire.events import Failed, Restored
from haulier.wire.to_compute import Command, RestoreGuest, RestoreInPlace

WHY = "the move was cancelled"
RESTORE = "restore_source"


def end_unbegun(step: Step, _asked: CancelAsked) -> None:
    """No host has been told anything and nothing was claimed: the server is free.

    Unless it is being deleted since, which the deletion was free to begin: then this cancel is the deletion's to end.
    """
    if step.server.task_state == TaskState.DELETING:
        return
    actions.supersede(step.tx, step.server.id, step.request_id, WHY)
    step.set_server(task_state=None, progress=0)
    actions.finish(step.tx, step.server.id, step.request_id)


def leave_target(step: Step, _asked: CancelAsked) -> None:
    """The target drops what it has, the source ends a copy under way and starts the guest again if it stopped it."""
    _take_back(step)
    attempts.note_failure(step, WHY)
    step.discard_target()
    step.tell(step.migration.source, RESTORE, RestoreGuest(step.guest(step.migration.old_flavor), start=None))


def leave_copy(step: Step, _asked: CancelAsked) -> None:
    """The host drops what there is of the copy, and starts the guest again if it stopped it."""
    _take_back(step)
    in_place.leave_copy(step, WHY)
    step.tell(step.target, RESTORE, RestoreInPlace(step.guest(step.migration.old_flavor), start=None))


def go_nowhere_else(step: Step, _asked: CancelAsked) -> None:
    """The source is bringing the server back already: it is asked again, so that its answer ends the move.

    It may have answered since the cancel was accepted, which led nowhere any more. A guest that runs is left running.
    """
    source = step.migration.source
    told = [codec.decode(row.body, Command) for row in outbox.commands_to(step.tx, step.migration.id, source)]
    restores = [command.instruction for command in told if command.step == RESTORE]
    _take_back(step)
    step.tell(source, RESTORE, restores[0] if restores else _restore_again(step))


def _restore_again(step: Step) -> RestoreGuest | RestoreInPlace:
    order = RestoreInPlace if step.migration.in_place else RestoreGuest
    return order(step.guest(step.migration.old_flavor), start=step.migration.was_running or None)


def close(step: Step, restored: Restored) -> None:
    """The server is as it was found."""
    attempts.return_source_claim(step)
    steps.close_reverted(step, restored)


def close_in_place(step: Step, restored: Restored) -> None:
    """The server is as it was found, and the copy is gone."""
    in_place.hold_as_found(step)
    close(step, restored)


@leads_to(State.CANCELLED)
def end_stopped(step: Step, failed: Failed) -> State:
    """Cancelled, but the guest does not start again: the server is shown as what it is, off, and the reason is kept."""
    attempts.return_source_claim(step)
    step.keep(reasons=(*step.migration.reasons, attempts.tell_why(step, failed.reason)))
    step.set_server(vm_state=VmState.STOPPED, task_state=None, power_state=PowerState.SHUTDOWN, progress=0)
    servers.add_fault(step.tx, step.server.id, 500, failed.reason)
    actions.finish(step.tx, step.server.id, step.request_id, failed.reason)
    return State.CANCELLED


@leads_to(State.CANCELLED)
def end_stopped_in_place(step: Step, failed: Failed) -> State:
    """The copy is gone, but the guest does not start again: the server is shown as off, and the reason is kept."""
    in_place.hold_as_found(step)
    return end_stopped(step, failed)


def _take_back(step: Step) -> None:
    """What was said and not answered is not said again, but for what tells a target to delete what it has."""
    outbox.drop_for_move(step.tx, step.migration.id, besides=DISCARD)
    actions.supersede(step.tx, step.server.id, step.request_id, WHY)
    step.keep(alternates=())
