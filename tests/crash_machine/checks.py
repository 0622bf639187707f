"""What must hold at every moment, and once a mended cloud has come to rest: what is wrong, as clauses."""

from dataclasses import dataclass
from typing import Any

import msgspec

from haulier.bus.local import Said
from haulier.compute.driver import HAS_PROCESS
from haulier.compute.journal import Journal
from haulier.db.engine import Transaction
from haulier.db.schema import servers as servers_table
from haulier.db.store import actions, claims, hosts
from haulier.model.ids import ServerId
from haulier.model.migration import FINAL, State
from haulier.model.server import PowerState, VmState, resting_state
from tests.crash import invariants
from tests.crash.invariants import Rows
from tests.crash_machine.world import World


async def at_any_moment(world: World) -> list[str]:
    """I1 and I8 as the hosts see them, I2 and I7 by the audit and by the capacity of hosts, answers, logs."""
    found = [*world.wrong, *world.fleet.violations, *(f"logged: {line}" for line in world.errors.seen)]
    found += await world.db.read(_over_capacity)
    report = await world.audit.look()
    found += [f"audit, {each.invariant}: {each.server_id}: {each.what}; {each.cause}" for each in report.violations]
    found += [f"I2: {swept} claims had to be swept" for swept in [world.claims_swept()] if swept]
    return found


def _over_capacity(tx: Transaction) -> list[str]:
    found = []
    for host, used in claims.all_used(tx).items():
        stock = hosts.get(tx, host).stock
        for resource, amount in used.items():
            if amount > stock[resource].capacity:
                found.append(f"I2: {amount} {resource} claimed on {host}, which has {stock[resource].capacity}")
    return found


@dataclass
class One:
    """One server, as the sweep's checks look at it."""

    server: ServerId
    drivers: dict[str, Any]
    journals: dict[str, Journal]


def _read_all(tx: Transaction) -> list[Rows]:
    ids = tx.connection.execute(servers_table.select()).mappings()
    return [invariants.read_rows(tx, ServerId(row["id"])) for row in ids]


async def at_rest(world: World, runs: dict[str, bool]) -> list[str]:
    """`runs`: the servers of which it is known whether they must run."""
    found = await at_any_moment(world)
    report = await world.audit.look()
    found += [f"audit: {each.host} is unknown: {each.why}" for each in report.unknown_hosts]
    found += [f"audit: in transition: {each}" for each in report.in_transition]
    found += [f"I6: an event outlived its action: {each}" for each in await world.db.read(actions.left_open)]
    every = await world.db.read(_read_all)
    journals = {host: agent.journal for host, agent in world.cloud.allinone.agents.items()}
    if every and every[0].outbox:
        found.append(f"I4: still to be said: {', '.join(every[0].outbox)}")
    for rows in every:
        one = One(rows.server.id, world.drivers, journals)
        found += [f"{rows.server.name} {rows.server.id}: {wrong}" for wrong in _of_server(world, one, rows, runs)]
    known = {rows.server.id for rows in every}
    for host, driver in world.drivers.items():
        found += [f"I7: {host} has a copy {key}" for key in driver.copies]
        found += [f"I7: {host} exports {name}" for name in driver.exported]
        found += [f"I7: {host} has a disk of {each}, which nobody asked for" for each in driver.disks.keys() - known]
    found += [f"I7: export {name} is open" for name in world.fleet.exports]
    return found


def _of_server(world: World, one: One, rows: Rows, runs: dict[str, bool]) -> list[str]:
    server = rows.server
    if server.vm_state == VmState.ERROR and server.host is None:
        found = [f"I2: a server that was not built holds {rows.claims}"] if rows.claims else []
        found += [f"I7: {host} has a disk of it" for host, each in world.drivers.items() if server.id in each.disks]
        return found + ([f"I4: it is left in {server.task_state}"] if server.task_state else [])
    if server.vm_state != VmState.DELETED and server.host is None:
        return [f"I4: it is {server.vm_state}, {server.task_state} and on no host"]
    found = invariants.of_server(one, rows)
    if server.vm_state == VmState.DELETED or server.host is None:
        return found
    window = next((move for move in rows.moves if move.state == State.AWAITS_CONFIRM), None)
    found += [
        f"I4: migrations {m.id} rests in {m.state}" for m in rows.moves if m is not window and m.state not in FINAL
    ]
    needed = {server.host} | ({window.source} if window is not None else set())
    there = {host for host, driver in world.drivers.items() if server.id in driver.disks}
    if there != needed:
        found.append(f"I7, I8: disks are on {sorted(there)}, needed on {sorted(needed)}")
    kept = {(host, move) for host, each in world.drivers.items() for owner, move in each.kept if owner == server.id}
    if kept != ({(window.source, window.id)} if window is not None and window.in_place else set()):
        found.append(f"I7: disks are kept for {kept}, the window is {window}")
    seen = world.drivers[server.host].power_state(server.id)
    if seen != server.power_state:
        found.append(f"I6: it shows power {server.power_state!r}, its guest is {seen!r}")
    vm_state = VmState.RESIZED if window is not None else resting_state(PowerState(seen))
    if server.vm_state != vm_state:
        found.append(f"I3: it is {server.vm_state}, expected {vm_state}")
    wanted = runs.get(server.id)
    if wanted is not None and (seen in HAS_PROCESS) != wanted:
        found.append(f"I3: it must {'' if wanted else 'not '}run, its guest is {seen!r}")
    return found


def may_be_off(tx: Transaction, host: str, *, also_idle: bool) -> list[str]:
    """The servers on a host that loses its power to which something is being done; or all that it has to do with."""
    found = []
    for rows in _read_all(tx):
        live = [move for move in rows.moves if move.state not in FINAL]
        concerned = {rows.server.host, *(move.source for move in live), *(move.target for move in live)}
        idle = rows.server.task_state is None and not live
        if (host in concerned or rows.server.host is None) and (also_idle or not idle):
            found.append(str(rows.server.id))
    return found


async def powered(world: World) -> dict[str, bool]:
    """Whether each server runs, now."""
    found = await world.db.read(_read_all)
    return {
        rows.server.id: world.drivers[rows.server.host].power_state(rows.server.id) in HAS_PROCESS
        for rows in found
        if rows.server.host is not None and rows.server.vm_state not in (VmState.DELETED, VmState.ERROR)
    }


async def story(world: World, wrong: list[str]) -> list[str]:
    """What happened to each server that something is wrong with: its moves, and the last that was said about it."""
    found = []
    for rows in await world.db.read(_read_all):
        if not any(rows.server.id in each for each in wrong):
            continue
        server = rows.server
        found.append(
            f"{server.id} is {server.vm_state}, {server.task_state} on {server.host}, epoch {server.owner_epoch}"
        )
        for move in reversed(rows.moves):
            log = " ".join(f"{line.event}>{line.to_state}" for line in rows.logs[move.id])
            found.append(f"  migration {move.id} from {move.source} to {move.target}, attempt {move.attempt}: {log}")
        about = [said for said in world.cloud.recorder.said if server.id.encode() in said.body and _told(said)]
        found += [f"  {said.sender} {said.verb} {said.subject}: {_told(said)}" for said in about[-60:]]
    return found


def _told(said: Said) -> str:
    body = msgspec.msgpack.decode(said.body)
    one = body.get("command") or body
    if "heartbeat" in said.subject or "census" in said.subject or not isinstance(one, dict) or said.verb == "reply":
        return ""
    names = ("step", "owner_epoch", "migration_id", "attempt", "generation", "outcome", "failed", "guest")
    return " ".join(f"{name}={one[name]}" for name in names if one.get(name) is not None)
