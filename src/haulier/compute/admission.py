"""Who may run a guest: whether a command is taken, and whether a start is. Pure functions over the journal's record.

Epochs say who owns a server; (migration id, generation) orders the commands of its moves. A tombstone at epoch n
means that this host may not start the guest below n. It is written as one above the epoch at which the guest was
given up (sealed, discarded, or failed to start), because no later command at that epoch may bring it back here; only
a new preparation followed by FinishResize at n or above, or RestoreGuest, clears it.
"""

import msgspec

from haulier.compute.journal import Holds, ServerRecord
from haulier.model.ids import HostName, Incarnation, ServerId
from haulier.wire.to_compute import Command, DiscardGuest, DropKept, Owned


def why_stale(command: Command, host: HostName, incarnation: Incarnation, record: ServerRecord) -> str | None:
    """Why a command must not be carried out at all, or None: it was meant for somebody else or has been overtaken."""
    if command.host != host:
        return f"meant for host {command.host}, this is {host}"
    if command.incarnation != incarnation:
        return f"meant for incarnation {command.incarnation} of this agent, this is {incarnation}"
    if isinstance(command.instruction, DropKept):
        return None  # what it deletes is named after its own move, which is over: nothing newer can want it
    if command.owner_epoch < record.owner_epoch:
        return f"epoch {command.owner_epoch} is below {record.owner_epoch}, the highest heard for this server"
    move = _place(command)
    if move is not None and move < record.newest_move:
        newest = "migration {}, generation {}".format(*record.newest_move)
        return f"migration {move[0]}, generation {move[1]} was overtaken by {newest}"
    return None


def _place(command: Command) -> tuple[int, int] | None:
    """Where a command stands among the moves of its server; None for one that no move orders."""
    if command.migration_id is not None:
        return command.migration_id, command.generation
    return command.instruction.as_of if isinstance(command.instruction, DiscardGuest) else None


def heard(record: ServerRecord, command: Command) -> ServerRecord:
    """The record after a command was taken: its epoch and its place in the move are the newest now."""
    move = (command.migration_id or 0, command.generation)
    return msgspec.structs.replace(
        record,
        owner_epoch=max(record.owner_epoch, command.owner_epoch),
        newest_move=max(record.newest_move, move) if command.migration_id is not None else record.newest_move,
    )


def awaits_more(record: ServerRecord) -> bool:
    """Whether this host has begun its part of a move, and is to be told how it goes on.

    A disk is arriving here, or the guest was stopped here for a move that has not sealed its disk: then either the disk
    goes or the guest comes back. A sealed disk awaits nothing: it may be kept for days, until confirm or revert.
    """
    stopped_half_way = record.holds is Holds.OWNED and record.stopped_for is not None
    return record.holds is Holds.ARRIVING or stopped_half_way


def continues(command: Command, record: ServerRecord) -> bool:
    """Whether a command goes on with, or ends, what this host has begun for the server; anything else is new work."""
    return awaits_more(record) and command.migration_id in (None, record.newest_move[0])


def why_no_start(record: ServerRecord, epoch: int) -> str | None:
    """Why the guest may not be started at this epoch, or None."""
    if epoch < record.owner_epoch:
        return f"epoch {epoch} is below {record.owner_epoch}"
    if epoch < record.tombstone:
        return f"this host gave the guest up: it may not start it below epoch {record.tombstone}"
    if record.holds is Holds.SEALED:
        return "the disk here is sealed: it was sent to another host"
    if record.holds is Holds.ARRIVING:
        return "the disk here is still arriving from another host"
    return None


def buried(record: ServerRecord, epoch: int) -> ServerRecord:
    """The record with a tombstone: whatever happened at `epoch`, the guest is not started here at it any more."""
    tombstone = max(record.tombstone, epoch + 1)
    return msgspec.structs.replace(record, tombstone=tombstone, disk_epoch=0, expected_running=False, stopped_for=None)


def must_stop(record: ServerRecord, owned: Owned | None) -> bool:
    """Whether a guest that runs here must be stopped, given what the conductor says that this host owns."""
    return owned is None or owned.owner_epoch > record.owner_epoch > 0


def adopted(record: ServerRecord, owned: Owned, runs: bool, has_disk: bool) -> ServerRecord:
    """The record of an owned server after the conductor's word; a lost journal's record is written anew."""
    if record != ServerRecord():
        return msgspec.structs.replace(record, owner_epoch=max(record.owner_epoch, owned.owner_epoch))
    holds = Holds.OWNED if has_disk else Holds.NOTHING
    epoch = owned.owner_epoch
    return ServerRecord(epoch, holds=holds, disk_epoch=epoch if has_disk else 0, expected_running=runs)


def welcome_list(owned: tuple[Owned, ...]) -> dict[ServerId, Owned]:
    return {entry.server_id: entry for entry in owned}
