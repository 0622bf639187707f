"""I1 to I8 of ARCHITECTURE.md, looked at from outside when a move rests: what is wrong, as clauses; else nothing.

The database is only read, the hosts' folders and /proc are looked at, and the guest's own disk says how often it
was started and what it wrote.
"""

import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from haulier import guest_image
from haulier.db.engine import Transaction
from haulier.db.store import actions, claims, migrations, servers
from haulier.guest_image import GuestState
from haulier.model.flavor import Flavor
from haulier.model.ids import ServerId
from haulier.model.migration import FINAL, Migration, State
from haulier.model.server import PowerState, Server, VmState
from tests.crash_real.strike import QEMU, processes_in
from tests.guest.processes.fleet import Fleet

GUEST_BYTES = 1 << 20
RESTS = {*FINAL, State.AWAITS_CONFIRM}


class Rows(NamedTuple):
    """What the database says, read as one snapshot; of `outbox` and `unfinished`, the names of what is there."""

    server: Server
    move: Migration
    log: list[Any]
    claims: dict[tuple[str, int], dict[str, int]]
    outbox: list[str]
    unfinished: list[str]


def read_rows(tx: Transaction, server_id: ServerId) -> Rows:
    server = servers.find(tx, server_id)
    assert server is not None
    move = migrations.of_server(tx, server_id)[0]
    held: dict[tuple[str, int], dict[str, int]] = {}
    for row in claims.of_server(tx, server_id):
        held.setdefault((row.host, row.migration_id), {})[row.resource_class] = row.amount
    outbox = [f"{step} to {host}" for step, host in tx.connection.exec_driver_sql("SELECT step, host FROM outbox")]
    done = actions.of_server(tx, server_id)
    events = [event for action in done for event in actions.events_of(tx, server_id, action.request_id)]
    unfinished = [row.action for row in done if row.finished_at is None]
    unfinished += [row.event for row in events if row.finished_at is None]
    return Rows(server, move, migrations.log_of(tx, move.id), held, outbox, unfinished)


def rests(rows: Rows) -> bool:
    """Whether nothing is being done to the server, or is still to be said about anything."""
    return rows.server.task_state is None and not rows.outbox and rows.move.state in RESTS


@dataclass(frozen=True)
class Before:
    """The server before it was asked to move."""

    host: str
    target: str
    runs: bool
    flavor: Flavor
    written: GuestState
    disk_bytes: int = GUEST_BYTES


def violations(cloud: Fleet, rows: Rows, before: Before, in_state: State) -> list[str]:
    """What is wrong with a move that should rest in this state. Blocks."""
    if rows.move.state != in_state:
        why = "; ".join(rows.move.reasons)
        return [f"I4: the move rests in {rows.move.state}, {in_state} was expected ({why})"]
    found = [*_records(rows), *_hosts(cloud, rows, before)]
    if rows.server.vm_state == VmState.DELETED:
        return found + ([f"I2: a deleted server holds {rows.claims}"] if rows.claims else [])
    return found + _server(rows, before) + _claims(rows, before) + _disks(cloud, rows, before)


def _records(rows: Rows) -> list[str]:
    """I4, I6: nothing is left to do, and the log tells the way without a gap."""
    found = [f"I4: still to be said: {', '.join(rows.outbox)}"] if rows.outbox else []
    found += [f"I6: {name} has no end" for name in rows.unfinished]
    chain = [State.REQUESTED.value, *(line.to_state for line in rows.log)]
    if [line.from_state for line in rows.log] != chain[:-1] or chain[-1] != rows.move.state:
        found.append(f"I6: the log of the move is no chain: {chain}")
    if rows.move.state == State.FAILED and not rows.move.reasons:
        found.append("I6: the move failed without a reason")
    return found


def _owner(rows: Rows, before: Before) -> str:
    moved = rows.move.state in (State.AWAITS_CONFIRM, State.CONFIRMED)
    return before.target if moved else before.host


def _server(rows: Rows, before: Before) -> list[str]:
    """I3, I6: who has the server, and in which state."""
    rested = VmState.ACTIVE if before.runs else VmState.STOPPED
    vm_state = VmState.RESIZED if rows.move.state == State.AWAITS_CONFIRM else rested
    power = PowerState.RUNNING if before.runs else PowerState.SHUTDOWN
    expected = (_owner(rows, before), vm_state, None, power, before.flavor)
    server = rows.server
    real = (server.host, server.vm_state, server.task_state, server.power_state, server.flavor)
    return [] if real == expected else [f"I3: the server is {real}, not {expected}"]


def _claims(rows: Rows, before: Before) -> list[str]:
    amounts = {key.value: amount for key, amount in before.flavor.claims().items()}
    expected = {(_owner(rows, before), claims.BY_SERVER): amounts}
    if rows.move.state == State.AWAITS_CONFIRM:
        expected[before.host, rows.move.id] = amounts
    return [] if rows.claims == expected else [f"I2: the claims are {rows.claims}, not {expected}"]


def _hosts(cloud: Fleet, rows: Rows, before: Before) -> list[str]:
    """I1, I7: processes and files, on every host."""
    found = []
    deleted = rows.server.vm_state == VmState.DELETED
    owner = None if deleted else _owner(rows, before)
    keeps = set() if deleted else {owner}
    if rows.move.state == State.AWAITS_CONFIRM:
        keeps.add(before.host)
    for host in cloud.hosts:
        folder = state_dir(cloud, host)
        mine = folder / "servers" / rows.server.id
        guests = [line for line in processes_in(mine).values() if QEMU in line]
        expected = 1 if host == owner and before.runs else 0
        if len(guests) != expected:
            found.append(f"I1: {len(guests)} processes run the guest on {host}, not {expected}")
        others = [line for line in processes_in(folder).values() if b"qemu" in line and QEMU not in line]
        found += [f"I7: {host} still runs {line[:60]!r}" for line in others]
        if mine.exists() != (host in keeps):
            found.append(f"I7: {host} {'has' if mine.exists() else 'lacks'} files of the server")
        left = [path.name for path in (folder / "trash").iterdir()]
        left += [path.name for path in mine.glob("*.part")]
        found += [f"I7: {host} has {name}" for name in left]
    return found


def started_again(rows: Rows, before: Before) -> int:
    """How often, since before the move: a cancel comes before the guest is off."""
    return 1 if before.runs and rows.move.state != State.CANCELLED else 0


def _disks(cloud: Fleet, rows: Rows, before: Before) -> list[str]:
    """I1, I8: started exactly once more where it runs now, and nothing of what it wrote is missing."""
    owner = _owner(rows, before)
    disk = read_disk(cloud, owner, rows.server.id, before.disk_bytes)
    if disk is None:
        return [f"I8: no disk can be read on {owner}"]
    now = guest_image.read_state(disk)
    boots = before.written.boots + started_again(rows, before)
    found = [] if now.boots == boots else [f"I1: the guest on {owner} was started {now.boots} times, not {boots}"]
    if now.seq < before.written.seq:
        found.append(f"I8: the disk on {owner} ends at write {now.seq}, it was at {before.written.seq} before the move")
    if rows.move.state == State.AWAITS_CONFIRM:
        found += _sealed(cloud, rows, before, disk)
    return found


def _sealed(cloud: Fleet, rows: Rows, before: Before, arrived: bytes) -> list[str]:
    """The source's copy in the window: every block that it has is on the target, as it was or written anew since."""
    disk = read_disk(cloud, before.host, rows.server.id, before.disk_bytes)
    if disk is None:
        return [f"I8: no disk can be read on {before.host}, which keeps it"]
    sealed, found = guest_image.read_state(disk), []
    if sealed.boots != before.written.boots:
        found.append(f"I1: the guest was started again on {before.host} during the move: {sealed}, {before.written}")
    here, there = guest_image.last_blocks(disk), guest_image.last_blocks(arrived)
    lost = [number for number, (kept, now) in enumerate(zip(here, there, strict=True)) if now < kept]
    if lost:
        found.append(f"I8: {len(lost)} blocks of the guest did not arrive, block {lost[0]} first")
    if max(here) < sealed.seq - 1:
        found.append(f"I8: the last write, {sealed.seq}, is not on the sealed disk; {max(here)} is")
    return found


def state_dir(cloud: Fleet, host: str) -> Path:
    return Path(cloud.allinone.agents[host].settings.state_dir)


def read_disk(cloud: Fleet, host: str, server: str, size: int) -> bytes | None:
    """The first bytes of a server's disk as its guest sees them, also while it runs; None when it can't be read."""
    disk = state_dir(cloud, host) / "servers" / server / "disk.qcow2"
    raw = Path(cloud.allinone.settings.state_dir) / f"looked-at.{threading.get_ident()}.raw"
    block = 1 << 16
    words = ["qemu-img", "dd", "-U", "-f", "qcow2", "-O", "raw", f"bs={block}", f"count={size // block}"]
    done = subprocess.run([*words, f"if={disk}", f"of={raw}"], capture_output=True, check=False)
    try:
        return raw.read_bytes() if done.returncode == 0 else None
    finally:
        raw.unlink(missing_ok=True)


def written(cloud: Fleet, host: str, server: str) -> GuestState:
    """What the guest has written about itself; nothing where its disk can't be read."""
    start = read_disk(cloud, host, server, 1 << 16)
    return GuestState(0, 0, 0) if start is None else guest_image.read_state(start)


class Watch:
    """Looks all the time for the one thing that must never be, not even for a moment: two processes with one guest."""

    def __init__(self, cloud: Fleet, server: str) -> None:
        self._folders = [state_dir(cloud, host) / "servers" / server for host in cloud.hosts]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seen: list[str] = []

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.3):
            first = self._guests()
            # One may have ended before the other was found: only two that are both there afterwards are two at once.
            if len(first) > 1 and len(both := first & self._guests()) > 1:
                self.seen.append(f"I1: processes {sorted(both)} ran the guest at the same time")

    def _guests(self) -> set[int]:
        return {pid for folder in self._folders for pid, line in processes_in(folder).items() if QEMU in line}
