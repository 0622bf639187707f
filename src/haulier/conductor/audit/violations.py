"""Every kind of violation: which invariant it breaks, and what to do about it. The words of a report are here."""

from enum import StrEnum
from typing import NamedTuple

from haulier.model.ids import HostName, ServerId
from haulier.wire.to_conductor import Violation


class Kind(StrEnum):
    CLAIM_WITHOUT_CAUSE = "claim_without_cause"
    CLAIM_MISSING = "claim_missing"
    CLAIM_AMOUNT = "claim_amount"
    FILES = "files"
    """Files of a server on a host that has no business with it."""
    GUEST = "guest"
    """A guest's process where none may be."""
    GUEST_TWICE = "guest_twice"
    STRAY_GUEST = "stray_guest"
    """A guest's process that does not work in its server's folder."""
    EXPORT = "export"
    """A process that lets a disk be written to, or sends it, outside of a move."""
    LAYER = "layer"
    """A second disk or half a file beside a server's disk that no move needs."""
    DISK_MISSING = "disk_missing"
    UNKNOWN_FILE = "unknown_file"
    TRASH = "trash"
    UNUSED_BASE = "unused_base"


class _Kind(NamedTuple):
    invariant: str
    remedy: str


REPAIR = "`haulier audit --repair` does it"
_KINDS = {
    Kind.CLAIM_WITHOUT_CAUSE: _Kind("I2", f"release the claim: {REPAIR}"),
    Kind.CLAIM_MISSING: _Kind("I2", "move the server and confirm: a move makes its claims anew"),
    Kind.CLAIM_AMOUNT: _Kind("I2", "move the server and confirm: a move makes its claims anew"),
    Kind.FILES: _Kind("I7", "delete the files"),
    Kind.GUEST: _Kind("I1", "end the process"),
    Kind.GUEST_TWICE: _Kind("I1", "find out which of them has the server's disk open, and end the others"),
    Kind.STRAY_GUEST: _Kind("I1", "end the process on its host, once it is clear who started it"),
    Kind.EXPORT: _Kind("I7", "end the process"),
    Kind.LAYER: _Kind("I7", "delete the file in the server's folder"),
    Kind.DISK_MISSING: _Kind("I8", "bring the disk back from a backup, or delete the server"),
    Kind.UNKNOWN_FILE: _Kind("I7", "move it elsewhere; haulier removes nothing that it did not make"),
    Kind.TRASH: _Kind("I7", "start the host's agent again: it empties its trash"),
    Kind.UNUSED_BASE: _Kind("I7", "see in the agent's log why its sweep could not remove it"),
}


def found(
    kind: Kind,
    host: HostName | None,
    server_id: ServerId | None,
    what: str,
    cause: str,
    *,
    repair: bool = False,
    by_hand: str | None = None,
) -> Violation:
    """One violation. `repair`: the repair may do what the remedy says; `by_hand`: why not, if it might."""
    remedy = _KINDS[kind].remedy
    if repair and REPAIR not in remedy:
        remedy = f"{remedy}: {REPAIR}"
    elif by_hand is not None:
        remedy = f"{remedy} by hand: {by_hand}"
    return Violation(kind.value, _KINDS[kind].invariant, host, server_id, what, cause, remedy, repair)
