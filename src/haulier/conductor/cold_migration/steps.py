"""The way forward: one small function per row of the table, each inside the transaction of its transition."""

import msgspec

from haulier.conductor.cold_migration import attempts, undo
from haulier.conductor.cold_migration.step import Step
from haulier.db.store import actions, claims
from haulier.model.ids import HostName
from haulier.model.migration import State
from haulier.model.request import Refusal, Rule
from haulier.model.resources import ResourceClass
from haulier.model.server import PowerState, TaskState, VmState, resting_state
from haulier.wire.events import Attested, Checked, Discarded, Finished, Prepared, Received, Restored, Sealed
from haulier.wire.to_compute import (
    AttestDisk,
    CheckDisk,
    DiscardGuest,
    FinishResize,
    ReceiveDisk,
    ResizeInstance,
    RestoreGuest,
)


class Chosen(msgspec.Struct, frozen=True):
    """The scheduler's answer, or the named host alone when the move is forced; and why others were refused.

    `took`: seconds that the choice took.
    """

    hosts: tuple[HostName, ...]
    refusals: tuple[Refusal, ...]
    skipped: tuple[str, ...]
    took: float = 0.0


class ConfirmAsked(msgspec.Struct, frozen=True):
    """The API accepted a confirm, and made the transition itself (its compare-and-swap is the acceptance)."""


class RevertAsked(msgspec.Struct, frozen=True):
    """The API accepted a revert, and made the transition itself."""


class CancelAsked(msgspec.Struct, frozen=True):
    """The API accepted a cancel, and made the transition itself."""


def claim_target(step: Step, chosen: Chosen) -> State:
    """The first host that has room takes the claim; the source's claim becomes the migration's.

    Both in the transaction that leaves REQUESTED: a crash can leave a claim with a migration, never a claim without.
    """
    step.keep(skipped=chosen.skipped)
    telling = [refusal for refusal in chosen.refusals if refusal.rule not in (Rule.DESTINATION, Rule.IGNORED)]
    return attempts.claim_next(step, chosen.hosts, [], [str(refusal) for refusal in telling], took=chosen.took)


def tell_source_to_send(step: Step, prepared: Prepared) -> None:
    """The target is ready: the source powers the guest off, sends its disk and seals it."""
    step.set_server(task_state=TaskState.RESIZE_MIGRATING)
    instruction = ResizeInstance(
        address=prepared.address,
        port=prepared.port,
        export=prepared.export,
        grace=step.settings.power_off_grace,
        guest=step.guest(step.migration.old_flavor),
    )
    step.tell(step.migration.source, "resize_instance", instruction)


def tell_target_to_keep(step: Step, sealed: Sealed) -> None:
    """The source's guest is off for good, and its digest known: the target makes what it has durable and compares."""
    step.keep(
        was_running=sealed.was_running,
        digest=sealed.digest,
        bytes_done=sealed.bytes_sent,
        bytes_total=sealed.bytes_total,
    )
    step.set_server(task_state=TaskState.RESIZE_MIGRATED, power_state=PowerState.SHUTDOWN)
    step.tell(step.target, "receive_disk", ReceiveDisk(sealed.digest))


def hand_over_ownership(step: Step, received: Received) -> State:
    """The switch: one commit makes the target the owner, one epoch on.

    The source has sealed and the target has received, flushed and compared; nothing before this line may start the
    guest on the target, nothing after it on the source.
    """
    migration = step.migration
    if received.digest != migration.digest:
        return undo.restore_source(step, "the disk that arrived is not the one that was sent")
    epoch = step.server.owner_epoch + 1
    step.set_server(
        host=step.target,
        owner_epoch=epoch,
        flavor=migration.new_flavor,
        task_state=TaskState.RESIZE_FINISH,
    )
    finish = FinishResize(step.guest(migration.new_flavor), start=bool(migration.was_running))
    step.tell(step.target, "finish_resize", finish, owner_epoch=epoch)
    return State.SWITCHED


def open_window(step: Step, finished: Finished) -> None:
    """The move is done; the claims stay on both hosts until it is confirmed or reverted.

    Here the time until the automatic confirm begins to run: a setting that is changed later counts for later windows.
    """
    wish = step.migration.confirm_after
    patience = step.settings.confirm_after if wish is None else wish
    step.keep(confirms_at=step.tx.now + patience if patience > 0 else None)
    step.set_server(vm_state=VmState.RESIZED, task_state=None, power_state=finished.power_state, progress=100)
    actions.finish(step.tx, step.server.id, step.request_id)


def ask_target_for_its_word(step: Step, _asked: ConfirmAsked) -> None:
    """Nothing is deleted on the source before the target has said that it holds the disk now (I8)."""
    step.tell(step.target, "attest_disk", AttestDisk())


def release_source(step: Step, _attested: Attested) -> None:
    """The server is what it was again; what the source's copy takes of the disk stays claimed until it is deleted."""
    free_server(step)
    step.tell(step.migration.source, "confirm_resize", DiscardGuest(end_running=False))


def free_server(step: Step) -> None:
    """The confirm is certain: anything may be done to the server again, and only the old copy's disk stays claimed.

    A confirm sets no task_state. One that is there all the same is a start that its host's reboot has called for.
    """
    claims.release(
        step.tx,
        step.server.id,
        host=step.migration.source,
        held_by=step.migration.id,
        only=[ResourceClass.VCPU, ResourceClass.MEMORY_MB],
    )
    step.set_server(vm_state=resting_state(step.server.power_state))


def close_confirmed(step: Step, _discarded: Discarded) -> None:
    """The source has deleted its copy: the last of its claim goes."""
    claims.release(step.tx, step.server.id, host=step.migration.source, held_by=step.migration.id)
    actions.finish(step.tx, step.server.id, step.request_id)


def ask_source_if_it_could(step: Step, _asked: RevertAsked) -> None:
    """Nothing is deleted on the target before the source has said that its own copy is sound (I8)."""
    step.tell(step.migration.source, "check_disk", CheckDisk(step.guest(step.migration.old_flavor)))


def tell_target_to_discard(step: Step, _checked: Checked) -> None:
    step.tell(step.target, "revert_resize", DiscardGuest(end_running=True))


def hand_back_ownership(step: Step, _discarded: Discarded) -> None:
    """The second switch, after the target's tombstone: the source owns the server again, one epoch on."""
    migration = step.migration
    epoch = step.server.owner_epoch + 1
    claims.release(step.tx, step.server.id, host=step.target, held_by=claims.BY_SERVER)
    attempts.return_source_claim(step)
    step.set_server(host=migration.source, owner_epoch=epoch, flavor=migration.old_flavor)
    restore = RestoreGuest(step.guest(migration.old_flavor), start=bool(migration.was_running))
    step.tell(migration.source, "finish_revert_resize", restore, owner_epoch=epoch)


def close_reverted(step: Step, restored: Restored) -> None:
    """The server is what it was before the move."""
    step.set_server(
        vm_state=resting_state(restored.power_state), task_state=None, power_state=restored.power_state, progress=0
    )
    actions.finish(step.tx, step.server.id, step.request_id)


def try_elsewhere(step: Step, restored: Restored) -> State:
    """The source's guest is as it was found; the next alternate if there is one, else the move ends here."""
    step.set_server(power_state=restored.power_state, vm_state=resting_state(restored.power_state))
    return attempts.claim_next(step, step.migration.alternates, list(step.migration.reasons))
