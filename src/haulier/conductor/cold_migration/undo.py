"""The way back: what happens when the host that was asked answers *failed*. Named in the table's `failed` column.

An agent that answers failed has undone its own part already; what is undone here is the conductor's.
"""

from haulier.conductor import commands
from haulier.conductor.cold_migration import attempts
from haulier.conductor.cold_migration.step import Step
from haulier.conductor.machine import leads_to
from haulier.db.store import actions, migrations, servers
from haulier.model.migration import State
from haulier.model.server import PowerState, VmState
from haulier.wire.events import Failed
from haulier.wire.to_compute import RestoreGuest

LONGEST_WAIT = 600.0
"""Seconds: most that an automatic confirm which was refused waits before it is tried again."""


@leads_to(State.PREPARING, State.FAILED)
def next_alternate(step: Step, failed: Failed) -> State:
    """prep_resize failed: nothing was touched on the source, so the next host is asked at once.

    A host that was named is not replaced by another (scenario A3), nor is any when no other could help (A20).
    """
    attempts.note_failure(step, failed.reason)
    reasons = list(migrations.get(step.tx, step.migration.id).reasons)
    others = step.migration.alternates if failed.elsewhere and not step.migration.named else ()
    return attempts.claim_next(step, others, reasons)


@leads_to(State.RESTORING)
def restore_source(step: Step, failed: Failed | str) -> State:
    """The copy failed, before the switch: the target drops what it has, the source starts the guest if it ran.

    The source's guest runs again before another target is tried: at most one outage for each attempt.
    """
    reason = failed if isinstance(failed, str) else failed.reason
    _leave_target(step, reason, may_go_on=isinstance(failed, str) or failed.elsewhere)
    restore = RestoreGuest(step.guest(step.migration.old_flavor), start=None)
    step.tell(step.migration.source, "restore_source", restore)
    return State.RESTORING


@leads_to(State.RESTORING)
def switch_back(step: Step, failed: Failed) -> State:
    """The target could not run the server, after the switch: it has stopped it and written its tombstone.

    The second switch, the other way: the source owns the server again, one epoch on.
    """
    migration = step.migration
    epoch = step.server.owner_epoch + 1
    _leave_target(step, failed.reason, may_go_on=failed.elsewhere, owner_epoch=epoch)
    step.set_server(host=migration.source, owner_epoch=epoch, flavor=migration.old_flavor)
    restore = RestoreGuest(step.guest(migration.old_flavor), start=bool(migration.was_running))
    step.tell(migration.source, "restore_source", restore, owner_epoch=epoch)
    return State.RESTORING


def _leave_target(step: Step, reason: str, *, may_go_on: bool, owner_epoch: int | None = None) -> None:
    attempts.note_failure(step, reason)
    if step.migration.named or not may_go_on:
        step.keep(alternates=())
    step.discard_target(owner_epoch)


@leads_to(State.FAILED)
def end_stopped(step: Step, failed: Failed) -> State:
    """The source could not start the guest again: the move ends, and the server is shown as what it is, off."""
    reasons = (*step.migration.reasons, attempts.tell_why(step, failed.reason))
    step.set_server(vm_state=VmState.STOPPED, power_state=PowerState.SHUTDOWN)
    return attempts.give_up(step, reasons)


@leads_to(State.REVERTED)
def end_reverted_stopped(step: Step, failed: Failed) -> State:
    """Reverted, but the guest does not start: the server is the source's, off, and the reason is kept."""
    step.keep(reasons=(*step.migration.reasons, attempts.tell_why(step, failed.reason)))
    step.set_server(vm_state=VmState.STOPPED, task_state=None, power_state=PowerState.SHUTDOWN)
    servers.add_fault(step.tx, step.server.id, 500, failed.reason)
    actions.finish(step.tx, step.server.id, step.request_id, failed.reason)
    return State.REVERTED


@leads_to(State.AWAITS_CONFIRM)
def reopen_window(step: Step, failed: Failed) -> State:
    """Confirm or revert found something wrong before anything was touched: the window is open as before.

    An automatic confirm tries again later, each time after twice as long; never after a revert was asked for.
    """
    reasons = (*step.migration.reasons, attempts.tell_why(step, failed.reason))
    step.keep(confirms_at=_next_automatic_confirm(step), reasons=reasons)
    if step.migration.state == State.REVERT_CHECKING:  # a confirm has set none: one that is there is not ours
        step.set_server(task_state=None)
    actions.finish(step.tx, step.server.id, step.request_id, failed.reason)
    return State.AWAITS_CONFIRM


def _next_automatic_confirm(step: Step) -> float | None:
    migration = step.migration
    if migration.confirms_at is None or migration.state == State.REVERT_CHECKING:
        return None  # somebody wants the server back where it was: no clock may decide otherwise
    tried = migrations.times_entered(step.tx, migration.id, State.ATTESTING)
    wait: float = min(step.settings.retry_after * 2.0 ** min(tried, 20), LONGEST_WAIT)
    return max(migration.confirms_at.timestamp(), step.tx.now + wait)


@leads_to()
def keep_asking(step: Step, failed: Failed) -> State:
    """This must succeed in the end: the same thing is asked again, after a while."""
    assert step.answered is not None
    step.keep(reasons=(*step.migration.reasons[-20:], attempts.tell_why(step, failed.reason)))
    commands.again(step.tx, step.answered, step.settings.retry_after, generation=step.generation)
    return step.migration.state
