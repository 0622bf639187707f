"""Runs one point: a fresh cloud, the scenario, the fault, and when all is at rest again a look at the invariants."""

import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from haulier.db.store import hosts, migrations
from haulier.model.ids import HostName
from haulier.model.migration import State
from haulier.model.server import VmState
from tests.crash.cloud import PATIENCE, CrashCloud, Template, copy_of
from tests.crash.faults import Fault
from tests.crash.invariants import Before, extra_boots, look, violations
from tests.crash.points import Point, Seen
from tests.crash.scenarios import Scenario
from tests.crash.template import make_template, quiet

HARMLESS = frozenset({"kill", "lost", "twice", "late", "latest", "cutoff", "cancel"})
"""These must not make a move fail, nor change what it ends as."""
LATEST = 1.0
"""Seconds after all is at rest in which the moment may still come: something is said after its commit."""
RESTORES = ("restore_source", "finish_revert_resize")


@dataclass
class Result:
    point: Point
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


async def make_templates(folder: Path) -> dict[bool, Template]:
    """The cloud at rest, by whether its server is stopped."""
    quiet()
    return {stopped: await make_template(folder / str(stopped), stopped=stopped) for stopped in (False, True)}


async def trace(templates: dict[bool, Template], folder: Path, scenario: Scenario) -> Seen:
    """The moments that a scenario passes through when nothing goes wrong."""
    states: list[str] = []
    async with copy_of(templates[scenario.stopped], folder) as cloud:
        await begin(cloud, scenario)
        cloud.probe.armed = True
        await scenario.ask(cloud)
        cloud.scheduler_may_answer.set()
        assert await rests(cloud), f"{scenario.name} did not come to rest"
        cloud.probe.armed = False
        for move in (await cloud.moves())[:1]:
            states = [line.to_state for line in await cloud.db.read(migrations.log_of, move.id)]
    return Seen(scenario, tuple(cloud.probe.seen.values()), tuple(["REQUESTED", *states] if states else states))


async def begin(cloud: CrashCloud, scenario: Scenario) -> Before:
    """Bring the cloud to where the scenario begins; what it is like there."""
    if scenario.first is not None and not scenario.cuts_in:
        await scenario.first(cloud)
    before = await look(cloud)
    if scenario.first is not None and scenario.cuts_in:
        await scenario.first(cloud)
    if scenario.fails is not None:
        host, primitive = scenario.fails
        cloud.drivers[host].fails_once.add(primitive)
    return before


async def rests(cloud: CrashCloud, patience: float = PATIENCE) -> bool:
    """Whether everything comes to its end, heartbeats included, and stays so."""

    async def settled() -> bool:
        if not await cloud.at_rest():
            return False
        server = await cloud.found()
        if server.host is None:
            return True
        return cloud.drivers[server.host].power_state(cloud.server) == server.power_state

    return await cloud.until(settled, patience)


async def run_point(templates: dict[bool, Template], folder: Path, scenario: Scenario, point: Point) -> Result:
    result = Result(point)
    started = time.monotonic()
    try:
        async with copy_of(templates[scenario.stopped], folder, Fault.read(point.fault)) as cloud:
            await _strike_and_look(cloud, scenario, point, result)
    except Exception as problem:  # noqa: BLE001 - whatever it is, the point has failed
        result.wrong.append(f"broke: {type(problem).__name__}: {problem}")
        result.wrong.append("".join(traceback.format_tb(problem.__traceback__)[-3:]))
    result.seconds = time.monotonic() - started
    return result


async def _strike_and_look(cloud: CrashCloud, scenario: Scenario, point: Point, result: Result) -> None:
    before = await begin(cloud, scenario)
    cloud.probe.at, cloud.probe.armed = point.at, True
    await scenario.ask(cloud)
    cloud.scheduler_may_answer.set()
    came_to_rest = await rests(cloud)
    if came_to_rest and await cloud.until(lambda: _struck(cloud), LATEST):
        await cloud.fault.done()
        came_to_rest = await rests(cloud)
    cloud.probe.armed = False
    if not cloud.probe.struck:
        result.wrong.append("the moment never came")
        return
    if came_to_rest and any([cloud.fault.deliver(cloud), cloud.deliver_held()]):
        came_to_rest = await cloud.answers_all() and await rests(cloud)
    if not came_to_rest:
        moves = await cloud.moves()
        result.wrong.append(f"I4: not at rest after {PATIENCE:.0f} s: {[(m.id, m.state.value) for m in moves]}")
    result.wrong += await violations(cloud, before, power_may_differ=_power_may_differ(scenario, point))
    result.wrong += await _ended_well(cloud, scenario, point, before)
    if not result.wrong:
        await _one_more(cloud, result)


async def _struck(cloud: CrashCloud) -> bool:
    return cloud.probe.struck


def _kind(point: Point) -> str:
    return point.fault.partition(":")[0]


def _power_may_differ(scenario: Scenario, point: Point) -> bool:
    """A guest goes with its host's power; one that its source can't start again is shown as what it is, off."""
    restoring = point.at.split("/")[1] in RESTORES or scenario.fails is not None
    return _kind(point) == "reboot" or (_kind(point) == "error" and restoring)


async def _ended_well(cloud: CrashCloud, scenario: Scenario, point: Point, before: Before) -> list[str]:
    server, moves = await cloud.found(), await cloud.moves()
    deleted = scenario.deletes_in is not None or _kind(point) == "delete"
    if deleted:
        return [] if server.vm_state == VmState.DELETED else [f"the server is not deleted but {server.vm_state}"]
    newest = moves[0]
    found = []
    # What fails once in the scenario may have failed in the work that the kill undid, and not again.
    ends = scenario.ends | ({State.AWAITS_CONFIRM} if scenario.fails is not None else set())
    if _kind(point) == "cancel" and cloud.fault.accepted:
        ends = frozenset({State.CANCELLED})
    if _kind(point) in HARMLESS and newest.state not in ends:
        reasons = "; ".join(newest.reasons)
        found.append(f"I3: it ended in {newest.state}, expected {sorted(ends)}: {reasons}")
    if _kind(point) in HARMLESS:
        restores = sum(1 for attempt in newest.attempts if attempt.failed) + (newest.state == State.REVERTED)
        moved_in_place = newest.in_place and newest.state in (State.AWAITS_CONFIRM, State.CONFIRMED)
        found += extra_boots(cloud, before, restores + moved_in_place)
    return found


async def _one_more(cloud: CrashCloud, result: Result) -> None:
    """Whatever happened, the server can be moved from here, and the move can be confirmed."""
    server = await cloud.found()
    if server.vm_state == VmState.DELETED:
        return
    for host in cloud.drivers:
        await cloud.db.write(hosts.change, HostName(host), enabled=True)
    if server.vm_state != VmState.RESIZED:
        before = await look(cloud)
        await cloud.migrate()
        await _again(cloud, before, State.AWAITS_CONFIRM, result)
    if not result.wrong:
        before = await look(cloud)
        await cloud.confirm()
        await _again(cloud, before, State.CONFIRMED, result)


async def _again(cloud: CrashCloud, before: Before, end: State, result: Result) -> None:
    if not await rests(cloud):
        result.wrong.append(f"I4: one more request, and not at rest after {PATIENCE:.0f} s")
    newest = (await cloud.moves())[0]
    if newest.state != end:
        result.wrong.append(f"one more request ended in {newest.state}, not {end}: {'; '.join(newest.reasons)}")
    result.wrong += [f"after one more request: {wrong}" for wrong in await violations(cloud, before)]
