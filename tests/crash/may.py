"""What a host may do to a server at this very moment, by the database's word: why not, None if it may (I1, I8)."""

from sqlite3 import Connection

from haulier.compute.journal import Journal
from haulier.model.ids import ServerId


def why_no_start(eye: Connection, journal: Journal, host: str, server: str) -> str | None:
    row = eye.execute("SELECT host, owner_epoch, task_state, vm_state FROM servers WHERE id = ?", (server,)).fetchone()
    if row is None or row[3] == "deleted":
        return "the server is deleted"
    if row[0] != host:
        return f"{row[0]} owns it"
    epoch = journal.record(ServerId(server)).owner_epoch
    return None if epoch == row[1] or row[2] == "deleting" else f"at epoch {epoch}, the owner's is {row[1]}"


def why_no_delete(eye: Connection, host: str, server: str) -> str | None:
    row = eye.execute("SELECT host, task_state, vm_state FROM servers WHERE id = ?", (server,)).fetchone()
    if row is None or row[2] == "deleted" or row[1] == "deleting":
        return None
    move = eye.execute(
        "SELECT id, state, source, target FROM migrations WHERE server_id = ? ORDER BY id DESC LIMIT 1", (server,)
    ).fetchone()
    if move is None:
        return "it owns the server" if row[0] == host and row[1] != "spawning" else None
    events = [event for (event,) in eye.execute("SELECT event FROM transitions WHERE migration_id = ?", (move[0],))]
    if host == row[0]:
        returning = move[1] == "REVERTING" and host == move[3] and "Checked" in events
        return None if returning else f"it owns the server (the move is in {move[1]})"
    if host == move[2] and move[1] not in ("CONFIRMED", "REVERTED", "FAILED", "CANCELLED"):
        attested = move[1] == "CONFIRMING" and "Attested" in events
        return None if attested else f"it is the source, and the move is in {move[1]}"
    return None
