"""I1 to I8 of ARCHITECTURE.md, looked at when a cloud has come to rest: what is wrong, as clauses; nothing if all hold.

What must hold at every moment (no guest twice, none but the owner's, no copy deleted that is needed) the hosts of the
sweep watch themselves: see `host.py` and `CrashCloud`. It is reported from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from haulier.bus import permissions
from haulier.compute.driver import HAS_PROCESS
from haulier.compute.journal import Journal
from haulier.conductor.audit.service import Audit
from haulier.db.engine import Transaction
from haulier.db.store import actions, claims, migrations, servers
from haulier.model.flavor import Flavor
from haulier.model.ids import ServerId
from haulier.model.migration import Migration, State
from haulier.model.server import PowerState, Server, VmState, resting_state
from tests.crash.cloud import FINAL, CrashCloud

WINDOW = State.AWAITS_CONFIRM


@dataclass(frozen=True)
class Before:
    """The cloud at rest before something was asked of it."""

    host: str
    flavor: str
    running: bool
    contents: dict[str, bytes]
    kept: bytes | None
    """What a resize on the same host keeps for its revert."""
    boots: int


async def look(cloud: CrashCloud) -> Before:
    """What the cloud is like now."""
    server = await cloud.found()
    contents = {
        host: driver.disks[cloud.server].content
        for host, driver in cloud.drivers.items()
        if cloud.server in driver.disks
    }
    assert server.host is not None
    running = cloud.drivers[server.host].power_state(cloud.server) in HAS_PROCESS
    kept = next((disk.content for disk in cloud.drivers[server.host].kept.values()), None)
    return Before(server.host, server.flavor.name, running, contents, kept, len(cloud.fleet.boots))


@dataclass(frozen=True)
class Rows:
    """What the database says of the server, read as one snapshot."""

    server: Server
    moves: list[Migration]
    claims: dict[tuple[str, int], dict[str, int]]
    outbox: list[str]
    logs: dict[int, list[Any]]
    actions: list[Any]
    events: list[Any]
    spec: Any


def read_rows(tx: Transaction, server_id: ServerId) -> Rows:
    server = servers.find(tx, server_id)
    assert server is not None
    held: dict[tuple[str, int], dict[str, int]] = {}
    for row in claims.of_server(tx, server_id):
        held.setdefault((row.host, row.migration_id), {})[row.resource_class] = row.amount
    moves = migrations.of_server(tx, server_id)
    acts = actions.of_server(tx, server_id)
    return Rows(
        server,
        moves,
        held,
        [f"{row[0]}@{row[1]}" for row in tx.connection.exec_driver_sql("SELECT step, host FROM outbox")],
        {move.id: migrations.log_of(tx, move.id) for move in moves},
        acts,
        [event for act in acts for event in actions.events_of(tx, server_id, act.request_id)],
        servers.request_spec(tx, server_id),
    )


async def violations(cloud: CrashCloud, before: Before, *, power_may_differ: bool = False) -> list[str]:
    """All that is wrong with a cloud that should be at rest. `power_may_differ`: a host lost its power."""
    rows = await cloud.db.read(read_rows, cloud.server)
    found = [*cloud.fleet.violations, *await audited(cloud)]
    if rows.outbox:
        found.append(f"I4: still to be said: {', '.join(rows.outbox)}")
    if rows.server.vm_state == VmState.DELETED:
        return found + _deleted(cloud, rows) + _records(rows)
    found += _one_owner(cloud, rows)
    found += _claims(rows)
    found += _ends(rows)
    found += _as_accepted(cloud, rows, before, power_may_differ)
    found += _disks(cloud, rows, before)
    found += _records(rows)
    return found


async def audited(cloud: CrashCloud) -> list[str]:
    """What the product's own audit says of I2 and I7: it must see nothing wrong, and must have seen every host.

    The checks below say the same in words of their own, so that neither can be blind without the other's noticing.
    """
    bus = cloud.broker.connect("audit", permissions.CONDUCTOR)
    report = await Audit(cloud.conductor_settings, cloud.db, bus).look()
    found = [f"audit, {each.invariant}: {each.what}; {each.cause}" for each in report.violations]
    return found + [f"audit: host {each.host} is unknown: {each.why}" for each in report.unknown_hosts]


class Hosts(Protocol):
    """What the checks of one server need of its cloud, here or elsewhere (`tests/crash_machine`)."""

    server: ServerId
    drivers: Any
    journals: Mapping[str, Journal]


def of_server(cloud: Hosts, rows: Rows) -> list[str]:
    """Of the above, what needs no knowledge of how the server was found: owner, claims, ends, records."""
    if rows.server.vm_state == VmState.DELETED:
        return _deleted(cloud, rows) + _records(rows)
    return _one_owner(cloud, rows) + _claims(rows) + _ends(rows) + _records(rows)


def _one_owner(cloud: Hosts, rows: Rows) -> list[str]:
    found = []
    for host, driver in cloud.drivers.items():
        runs = driver.power_state(cloud.server) in HAS_PROCESS
        if runs and host != rows.server.host:
            found.append(f"I1: the guest runs on {host}, owned by {rows.server.host}")
    owner = rows.server.host
    if owner is None or cloud.server not in cloud.drivers[owner].disks:
        return [*found, f"I8: the owner {owner} has no disk"]
    record = cloud.journals[owner].record(cloud.server)
    if record.owner_epoch > rows.server.owner_epoch:
        found.append(f"I1: {owner} has heard of epoch {record.owner_epoch}, the server is at {rows.server.owner_epoch}")
    if record.disk_epoch and record.disk_epoch != rows.server.owner_epoch:
        found.append(f"I1: {owner} holds the disk at epoch {record.disk_epoch}, not {rows.server.owner_epoch}")
    return found


def _amounts(flavor: Flavor) -> dict[str, int]:
    return {resource.value: amount for resource, amount in flavor.claims().items()}


def _claims(rows: Rows) -> list[str]:
    expected: dict[tuple[str, int], dict[str, int]] = {}
    assert rows.server.host is not None
    move = next((move for move in rows.moves if move.state == WINDOW), None)
    expected[(rows.server.host, 0)] = _amounts(rows.server.flavor)
    if move is not None:
        kept = _amounts(move.old_flavor)
        if move.source == move.target:
            # One process runs at a time, so each class counts the larger; both copies of the disk are there.
            new = _amounts(move.new_flavor)
            total = {name: max(kept.get(name, 0), new.get(name, 0)) for name in {**kept, **new}}
            total["DISK_GB"] = kept["DISK_GB"] + new["DISK_GB"]
            held: dict[str, int] = {}
            for (host, _), amounts in rows.claims.items():
                for name, amount in amounts.items():
                    held[name] = held.get(name, 0) + amount if host == move.source else held.get(name, 0)
            return [] if held == total else [f"I2: held on {move.source}: {held}, expected {total}"]
        expected[(move.source, move.id)] = kept
    return [] if rows.claims == expected else [f"I2: claims are {rows.claims}, expected {expected}"]


def _ends(rows: Rows) -> list[str]:
    found = [f"I4: migration {m.id} rests in {m.state}" for m in rows.moves if m.state not in (WINDOW, *FINAL)]
    if rows.server.task_state is not None:
        found.append(f"I4: the server is left in {rows.server.task_state}")
    return found


def _as_accepted(cloud: CrashCloud, rows: Rows, before: Before, power_may_differ: bool) -> list[str]:
    """I3: moved as accepted, or as found."""
    found = []
    server = rows.server
    move = rows.moves[0] if rows.moves else None
    windows = [one for one in rows.moves if one.state == WINDOW]
    if move is not None and move.state in (State.FAILED, State.REVERTED):
        wanted = (move.source, move.old_flavor.name)
    elif move is not None and move.state in (WINDOW, State.CONFIRMED):
        wanted = (move.target or "", move.new_flavor.name)
    else:
        wanted = (before.host, before.flavor)
    if (server.host, server.flavor.name) != wanted:
        found.append(f"I3: the server is on {server.host} as {server.flavor.name}, expected {wanted}")
    assert server.host is not None
    seen = cloud.drivers[server.host].power_state(cloud.server)
    if seen != server.power_state:
        found.append(f"I6: the server shows {server.power_state!r}, its guest is {seen!r}")
    if (seen in HAS_PROCESS) != before.running and not power_may_differ:
        found.append(f"I3: running was {before.running}, is {seen in HAS_PROCESS}")
    vm_state = VmState.RESIZED if windows else resting_state(PowerState(seen))
    if server.vm_state != vm_state:
        found.append(f"I3: the server is {server.vm_state}, expected {vm_state}")
    return found


def _disks(cloud: CrashCloud, rows: Rows, before: Before) -> list[str]:
    """The authoritative disk has every boot that it should have; every other disk has an owner (I7, I8)."""
    owner, source = rows.server.host, next((one.source for one in rows.moves if one.state == WINDOW), None)
    found = [
        f"I7: {host} has a disk of the server, which is on {owner}"
        for host, driver in cloud.drivers.items()
        if cloud.server in driver.disks and host not in (owner, source)
    ]
    if source is not None and cloud.server not in cloud.drivers[source].disks:
        found.append(f"I8: {source} has lost its copy before the confirm")
    found += [f"I7: {host} exports {driver.exported}" for host, driver in cloud.drivers.items() if driver.exported]
    found += [f"I7: export {name} is open" for name in cloud.fleet.exports]
    found += _leftovers_in_place(cloud, rows)
    disk = cloud.drivers[owner or ""].disks.get(cloud.server)
    if disk is None or owner is None:
        return found
    expected = _expected_boots(cloud, rows, before, owner)
    if list(disk.content) != expected:
        found.append(f"I8: the disk on {owner} has the boots {list(disk.content)}, expected {expected}")
    if disk.size < rows.server.flavor.root_gb << 30:
        found.append(f"I3: the disk is {disk.size} bytes, smaller than {rows.server.flavor.name}")
    return found


def _leftovers_in_place(cloud: CrashCloud, rows: Rows) -> list[str]:
    """Copies end with their move; a kept disk is there exactly while the window of a resize on its host is open."""
    window = next((one for one in rows.moves if one.state == WINDOW and one.in_place), None)
    wanted = {(window.source, window.id)} if window is not None else set()
    kept = {(host, move) for host, driver in cloud.drivers.items() for _, move in driver.kept}
    copies = [host for host, driver in cloud.drivers.items() if driver.copies]
    found = [f"I7: a copy is left on {host}" for host in copies]
    return found if kept == wanted else [*found, f"I7: disks are kept for {kept}, expected {wanted}"]


def _expected_boots(cloud: CrashCloud, rows: Rows, before: Before, owner: str) -> list[int]:
    """The marks of all starts that belong to the disk which is the server's now, without what a loss of power took.

    What a target did with its copy is gone with a revert, and with the second switch of a move that failed.
    """
    boots = [boot for boot in cloud.fleet.boots[before.boots :] if not boot.lost]
    lost = {boot.mark for boot in cloud.fleet.boots if boot.lost}
    newest = rows.moves[0] if rows.moves else None
    base = before.contents.get(owner, before.contents[before.host])
    lineage = [owner] if owner in before.contents else [before.host, owner]
    if newest is not None and newest.in_place and newest.state in (State.FAILED, State.REVERTED, State.CANCELLED):
        base = before.kept if before.kept is not None else base
        boots = [boot for boot in boots if not boot.on_copy]
    return [mark for mark in base if mark not in lost] + [boot.mark for boot in boots if boot.host in lineage]


def extra_boots(cloud: CrashCloud, before: Before, restores: int) -> list[str]:
    """Guests that were started more often than the move needed: once by the target, once after each restore."""
    found = []
    for host in cloud.drivers:
        times = sum(1 for boot in cloud.fleet.boots[before.boots :] if boot.host == host)
        most = restores if host == before.host else 1
        if times > most:
            found.append(f"I1: the guest was started {times} times on {host}, {most} at most were needed")
    return found


def _records(rows: Rows) -> list[str]:
    """I6: log, action, events and reasons agree; I5: nothing that was asked once sticks."""
    found = []
    for move in rows.moves:
        chain = [State.REQUESTED.value, *(line.to_state for line in rows.logs[move.id])]
        starts = [line.from_state for line in rows.logs[move.id]]
        if starts != chain[:-1] or chain[-1] != move.state.value:
            found.append(f"I6: the log of migration {move.id} is no chain: {starts} to {chain}")
        if [line.generation for line in rows.logs[move.id]] != list(range(1, move.generation + 1)):
            found.append(f"I6: the log of migration {move.id} skips a generation")
        if move.state == State.FAILED and not move.reasons:
            found.append(f"I6: migration {move.id} failed without a reason")
        told = {act.request_id: act for act in rows.actions}[move.request_id]
        if move.state == State.FAILED and told.message != "Error":
            found.append(f"I6: migration {move.id} failed, its action says {told.message}")
        if move.state in (WINDOW, State.CONFIRMED) and told.message is not None:
            found.append(f"I6: migration {move.id} succeeded, its action says {told.message}")
        if move.state in (State.FAILED, WINDOW) and not move.named and rows.moves[0].id == move.id:
            stuck = rows.spec.requested_destination
            if stuck is not None:
                found.append(f"I5: requested_destination is {stuck} after a request that named none")
    found += [f"I6: action {act.action} has no end" for act in rows.actions if act.finished_at is None]
    found += [f"I6: event {event.event} has no end" for event in rows.events if event.finished_at is None]
    return found


def _deleted(cloud: Hosts, rows: Rows) -> list[str]:
    found = []
    if rows.claims:
        found.append(f"I2: a deleted server holds {rows.claims}")
    for host, driver in cloud.drivers.items():
        if cloud.server in driver.disks:
            found.append(f"I7: {host} has a disk of a deleted server")
        if driver.power_state(cloud.server) in HAS_PROCESS:
            found.append(f"I1: {host} runs a deleted server")
        if driver.exported:
            found.append(f"I7: {host} exports {driver.exported}")
    found += [f"I4: migration {m.id} rests in {m.state}" for m in rows.moves if m.state not in FINAL]
    return found
