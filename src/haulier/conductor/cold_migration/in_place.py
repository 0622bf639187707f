"""A resize on the host where the server is: what differs from a move, for the table IN_PLACE.

No disk travels. The host makes a copy of the server's own layer; at the switch the copy becomes the disk, and what
was the disk is kept until confirm or revert. Never is the host told here to discard the guest: it is the owner.
"""

from haulier.conductor.cold_migration import attempts, steps, undo
from haulier.conductor.cold_migration.step import Step
from haulier.conductor.machine import leads_to
from haulier.db.store import claims
from haulier.model.migration import State
from haulier.model.resources import Amounts, of_a_copy
from haulier.model.server import PowerState, TaskState
from haulier.wire.events import Attested, Checked, Failed, Restored, Sealed, Stopped
from haulier.wire.to_compute import (
    CheckKept,
    CopyInPlace,
    DropKept,
    FinishInPlace,
    RestoreInPlace,
    StopInPlace,
)


def tell_to_copy(step: Step, _checked: Checked) -> None:
    """The host could run the new size and has room for a copy: the guest is powered off and its layer copied."""
    step.set_server(task_state=TaskState.RESIZE_MIGRATING)
    copy = CopyInPlace(step.settings.power_off_grace, step.guest(step.migration.new_flavor).root_bytes)
    step.tell(step.target, "resize_instance", copy)


def hand_over_to_copy(step: Step, sealed: Sealed) -> None:
    """The switch, on one host: from this commit on the copy is the server's disk, one epoch on.

    The guest's process is gone and the copy is durable and was compared. Nothing before this line may start the
    guest on the copy, nothing after it on what was the disk.
    """
    migration = step.migration
    epoch = step.server.owner_epoch + 1
    step.keep(
        was_running=sealed.was_running,
        digest=sealed.digest,
        bytes_done=sealed.bytes_sent,
        bytes_total=sealed.bytes_total,
    )
    step.set_server(
        owner_epoch=epoch,
        flavor=migration.new_flavor,
        task_state=TaskState.RESIZE_FINISH,
        power_state=PowerState.SHUTDOWN,
    )
    finish = FinishInPlace(step.guest(migration.new_flavor), start=sealed.was_running)
    step.tell(step.target, "finish_resize", finish, owner_epoch=epoch)


def tell_to_drop_kept(step: Step, _attested: Attested) -> None:
    """The server is what it was again; what the kept disk takes stays claimed until it is deleted."""
    steps.free_server(step)
    step.tell(step.target, "confirm_resize", DropKept())


def ask_for_kept(step: Step, _asked: steps.RevertAsked) -> None:
    """The guest is not stopped before the host has said that the kept disk is sound (I8)."""
    step.tell(step.target, "check_disk", CheckKept())


def tell_to_stop(step: Step, _checked: Checked) -> None:
    """The new disk stays until the owner has changed: what gives way and what comes back are one rename."""
    step.tell(step.target, "revert_resize", StopInPlace())


def hand_back_to_kept(step: Step, _stopped: Stopped) -> None:
    """The second switch, after the tombstone: the kept disk is the server's again, one epoch on."""
    migration = step.migration
    epoch = step.server.owner_epoch + 1
    _hold(step, server=migration.old_flavor.claims(), migration=of_a_copy(migration.new_flavor.claims()))
    step.set_server(owner_epoch=epoch, flavor=migration.old_flavor)
    restore = RestoreInPlace(step.guest(migration.old_flavor), start=bool(migration.was_running))
    step.tell(step.target, "finish_revert_resize", restore, owner_epoch=epoch)


def close_reverted(step: Step, restored: Restored) -> None:
    _hold(step, server=step.migration.old_flavor.claims(), migration={})
    steps.close_reverted(step, restored)


def try_elsewhere(step: Step, restored: Restored) -> State:
    """The guest is as it was found, the copy is gone; the next alternate if there is one, else the move ends here."""
    hold_as_found(step)
    return steps.try_elsewhere(step, restored)


# -- the way back --------------------------------------------------------------------------------------------


@leads_to(State.PREPARING, State.FAILED)
def next_alternate(step: Step, failed: Failed) -> State:
    """prep_resize failed: nothing was touched, so the next host is asked at once."""
    hold_as_found(step)
    return undo.next_alternate(step, failed)


@leads_to(State.RESTORING)
def restore(step: Step, failed: Failed) -> State:
    """The copy failed, before the switch: the host drops what there is of it and starts the guest if it ran."""
    _copy_failed(step, failed)
    step.tell(step.target, "restore_source", RestoreInPlace(step.guest(step.migration.old_flavor), start=None))
    return State.RESTORING


@leads_to(State.RESTORING)
def switch_back(step: Step, failed: Failed) -> State:
    """The guest does not run in its new size, after the switch: the host has stopped it and written its tombstone.

    The second switch, the other way: the kept disk is the server's again, one epoch on.
    """
    migration = step.migration
    epoch = step.server.owner_epoch + 1
    _copy_failed(step, failed)
    step.set_server(owner_epoch=epoch, flavor=migration.old_flavor)
    restored = RestoreInPlace(step.guest(migration.old_flavor), start=bool(migration.was_running))
    step.tell(step.target, "restore_source", restored, owner_epoch=epoch)
    return State.RESTORING


@leads_to(State.FAILED)
def end_stopped(step: Step, failed: Failed) -> State:
    """The disk is as it was, but the guest does not start again: the move ends, and the server is shown as off."""
    hold_as_found(step)
    return undo.end_stopped(step, failed)


@leads_to(State.REVERTED)
def end_reverted_stopped(step: Step, failed: Failed) -> State:
    """Reverted, but the guest does not start: the server is off, and the reason is kept."""
    _hold(step, server=step.migration.old_flavor.claims(), migration={})
    return undo.end_reverted_stopped(step, failed)


def _copy_failed(step: Step, failed: Failed) -> None:
    if step.migration.named or not failed.elsewhere:
        step.keep(alternates=())
    leave_copy(step, failed.reason)


def leave_copy(step: Step, reason: str) -> None:
    """This attempt is over; what the copy takes of the disk stays claimed until the host has dropped it."""
    attempts.note_failure(step, reason)
    migration = step.migration
    _hold(step, server=of_a_copy(migration.new_flavor.claims()), migration=migration.old_flavor.claims())


def hold_as_found(step: Step) -> None:
    """There is no copy any more: the migration holds what the server held before it."""
    _hold(step, server={}, migration=step.migration.old_flavor.claims())


def _hold(step: Step, *, server: Amounts, migration: Amounts) -> None:
    """What the two hold on the host from here on; never more than they held together before."""
    host, server_id = step.migration.source, step.server.id
    claims.set_held(step.tx, host, server_id, server, held_by=claims.BY_SERVER, cause="server")
    claims.set_held(step.tx, host, server_id, migration, held_by=step.migration.id, cause="move, source")
