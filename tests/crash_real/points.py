"""The points where a real process is killed: derived by rule, from what each scenario makes the processes do.

A point reads `scenario/process/moment/how`, such as `confirm/target/receive_disk/kill-after`. Each scenario is run once
with simulated hosts and tells which commands its hosts are given and which transitions the conductor makes; the rules
below say who is killed at each. Two scenarios that have come the same way so far are the same: the first has the point.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from haulier.db.store import migrations
from haulier.model.ids import MigrationId
from haulier.model.migration import State
from tests.functional.cloud import Cloud, running, settings
from tests.functional.hooks import held_before

HOSTS = ("node1", "node2")
CLIENTS_OWN = ("ConfirmAsked", "RevertAsked", "CancelAsked", "Deleted")
"""The transitions that the api makes, in the transaction of the request."""
REHEARSED = ("kill", "kill-after")
SIGNAL = "signal-9"
"""From outside, as something is heard on the bus: it strikes where no rehearsal was written for."""
REBOOT = "reboot"
"""Signal 9 for the agent and for all of QEMU on its host."""


class Scenario(NamedTuple):
    """A server is migrated, and then `end`; a cancel comes before the source's guest is off.

    `errors` are rehearsed on the target; `rests_in` is where the move ends.
    """

    name: str
    end: str = ""
    runs: bool = True
    errors: tuple[str, ...] = ()
    rests_in: State = State.FAILED


SCENARIOS = (
    Scenario("confirm", "confirm", rests_in=State.CONFIRMED),
    Scenario("revert", "revert", rests_in=State.REVERTED),
    Scenario("undo", errors=("receive_disk:error:1",)),
    Scenario("switch-back", errors=("finish_resize:error:1",)),
    Scenario("off", "confirm", runs=False, rests_in=State.CONFIRMED),
    Scenario("delete", "delete", rests_in=State.CANCELLED),
    Scenario("cancel", "cancel", rests_in=State.CANCELLED),
)
LARGE = Scenario("large", "confirm", rests_in=State.CONFIRMED)
"""F1, F6: struck in the middle of a copy of many megabytes."""
NAMED = {scenario.name: scenario for scenario in (*SCENARIOS, LARGE)}

IN_THE_COPY = (
    ("source", SIGNAL),
    ("target", SIGNAL),
    ("source", REBOOT),
    ("target", REBOOT),
    ("conductor", SIGNAL),
    ("nats", SIGNAL),
    ("sender", SIGNAL),
    ("receiver", SIGNAL),
)
"""`sender` and `receiver` are the two qemu-storage-daemons."""
BREAK_THE_COPY = (("sender", SIGNAL), ("receiver", SIGNAL), ("target", REBOOT))
"""The bytes that have arrived are gone, or their way is: this attempt fails, and the server is as it was found."""


class Point(NamedTuple):
    scenario: str
    process: str
    at: str
    how: str

    @property
    def id(self) -> str:
        return "/".join(self)

    @property
    def rests_in(self) -> State:
        """Where the move ends."""
        broken = self.scenario == LARGE.name and (self.process, self.how) in BREAK_THE_COPY
        return State.FAILED if broken else NAMED[self.scenario].rests_in


class Trace(NamedTuple):
    """`steps` are (role, step) of each command, `states` those that the conductor goes to, both in order."""

    scenario: Scenario
    steps: tuple[tuple[str, str], ...]
    states: tuple[str, ...]


def points(traces: list[Trace]) -> list[Point]:
    """All of them, in the order in which they are run."""
    found: dict[object, Point] = {}

    def add(way: object, point: Point) -> None:
        found.setdefault((way, *point[1:]), point)

    for trace in traces:
        for way, point in _of(trace):
            add(way, point)
    for process, how in IN_THE_COPY:
        add(LARGE.name, Point(LARGE.name, process, "copy", how))
    return list(dict.fromkeys(found.values()))


def _of(trace: Trace) -> Iterator[tuple[object, Point]]:
    """With the way to each: what was done before it, for the process that is killed there.

    - an agent, at each command that it carries out, before and after it;
    - the conductor, at each transition, before and after the commit;
    - nats-server, as each command travels, and the conductor as each answer does;
    - the guest's own process, as its host is told to power it off;
    - api and scheduler, who hold nothing, as the one has accepted something and the other is asked.
    """
    scenario, name = trace.scenario, trace.scenario.name
    for number, (role, step) in enumerate(trace.steps):
        way = (scenario.runs, trace.steps[:number])
        for how in REHEARSED:
            yield way, Point(name, role, step, how)
        if scenario.runs:
            yield way, Point(name, "nats", step, SIGNAL)
            if step != "prep_resize" or not scenario.errors:
                yield way, Point(name, "conductor", f"answer-to-{step}", SIGNAL)
            if step == "resize_instance":
                yield way, Point(name, "guest", step, SIGNAL)
    for number, state in enumerate(trace.states):
        for how in REHEARSED:
            yield trace.states[:number], Point(name, "conductor", state.lower(), how)
    for request in ("migrate", scenario.end):
        if request:
            yield request, Point(name, "api", f"{request}-accepted", SIGNAL)
    yield "scheduler", Point(name, "scheduler", "asked", SIGNAL)


async def trace_all(folder: Path) -> list[Trace]:
    """Run every scenario once, with simulated hosts and without a strike."""
    return [await _trace(folder / scenario.name, scenario) for scenario in SCENARIOS]


async def _trace(folder: Path, scenario: Scenario) -> Trace:
    folder.mkdir()
    made = settings(folder, HOSTS)
    source, target = made.hosts
    hosts = (source, msgspec.structs.replace(target, fail_at=scenario.errors))
    async with running(msgspec.structs.replace(made, hosts=hosts)) as cloud:
        server = await cloud.create(host=HOSTS[0])
        if not scenario.runs:
            await cloud.stop(server)
        before = len(cloud.recorder.steps())
        if scenario.end == "cancel":
            reached, _ = held_before(cloud.drivers[HOSTS[0]], "power_off")
            assert (await cloud.action(server, {"migrate": {"host": HOSTS[1]}})).status_code == 202
            await reached()
            move = await cloud.newest(server)
        else:
            move = await cloud.move(server, HOSTS[1])
        await _end(cloud, scenario.end, server, move.id)
        roles = dict(zip(HOSTS, ("source", "target"), strict=True))
        steps = dict.fromkeys((roles[host], step) for host, step in cloud.recorder.steps()[before:])
        log = await cloud.allinone.db.read(migrations.log_of, move.id)
        states = [line.to_state for line in log if line.event not in CLIENTS_OWN]
        assert log[-1].to_state == scenario.rests_in, (scenario, log)
        return Trace(scenario, tuple(steps), tuple(states))


async def _end(cloud: Cloud, end: str, server: str, move: MigrationId) -> None:
    if end == "confirm":
        await cloud.confirm(server)
    elif end == "revert":
        await cloud.revert(server)
    elif end == "delete":
        assert (await cloud.call("DELETE", f"/v2.1/servers/{server}")).status_code == 204
    elif end == "cancel":
        assert (await cloud.call("DELETE", f"/v2.1/servers/{server}/migrations/{move}")).status_code == 202
    await cloud.until(lambda: _at_rest(cloud, server))


async def _at_rest(cloud: Cloud, server: str) -> bool:
    """Nothing is still to be said: the steps that nobody waits for have been seen, too."""
    waiting = await cloud.allinone.db.read(lambda tx: tx.connection.exec_driver_sql("SELECT 1 FROM outbox").all())
    return not waiting and (await cloud.server(server)).task_state is None
