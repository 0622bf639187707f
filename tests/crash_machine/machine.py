"""The machine: hypothesis chooses, step by step, what is asked of a cloud of five hosts and what goes wrong in it.

`tests/crash` breaks one move of one server at each of its moments. Here nothing is as precise, but everything happens
at once: up to 20 servers, requests that meet each other, hosts that go and come back with several things in hand. It
has the sweep's words for the invariants, and the functional tests' cloud, since its requests go through the real API.
A process that ends lets what it has in hand go unanswered; how each moment of a death looks is the sweep's matter.

After each step: what must hold at every moment. `settle`, and the end of each example, mend all that is broken, wait
until nothing is under way, and look at everything. Nothing here waits for what was accepted before the next step.
"""

import asyncio
import itertools
import time
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from haulier.config.conductor import AfterHostReboot
from haulier.model.server import VmState
from tests.crash_machine import checks
from tests.crash_machine.world import HOSTS, World, is_hello

MOST_SERVERS = 20
PATIENCE = 30.0
"""Seconds in which a mended cloud must come to rest."""
HOST = st.sampled_from(HOSTS)
WHICH = st.integers(0, MOST_SERVERS - 1)
FLAVOR = st.sampled_from(["small", "large"])
BREAKABLE = [
    "create_disk",
    "grow_disk",
    "fetch_base",
    "check_disk",
    "digest",
    "delete",
    "copy_disk",
    "digest_copy",
    "grow_copy",
    "use_copy",
    "check_kept",
    "use_kept",
    "drop_kept",
    "open_export",
    "close_export",
    "make_durable",
    "send_disk",
    "end_copy",
    "can_run",
    "start",
    "power_off",
]
POWER = {"start", "power_off", "can_run"}
"""Who can not start or stop a guest may be unable to leave it as it was found."""
ACTIONS: dict[str, dict[str, Any]] = {
    "confirm": {"confirmResize": None},
    "revert": {"revertResize": None},
    "stop": {"os-stop": None},
    "start": {"os-start": None},
    "reboot": {"reboot": {"type": "HARD"}},
    "migrate": {"migrate": None},
    "resize": {"resize": {"flavorRef": "large"}},
}


class Violated(AssertionError):
    """Something is as it must never be."""


class Machine(RuleBasedStateMachine):
    """One example. `loop`, `folder` and `template` are set by who runs it."""

    loop: asyncio.AbstractEventLoop
    folder: Path
    template: Path
    numbers = itertools.count()
    steps_done = 0
    settled = 0
    requests = 0
    slowest = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        self.servers: list[str] = []
        self.runs: dict[str, bool] = {}
        self.power_is_unsure = False
        self.steps: list[str] = []
        self.broken = False
        self.began = time.monotonic()

    # -- how a step is made ----------------------------------------------------------------------------------

    def _do(self, what: str, work: Any) -> Any:
        self.steps.append(what)
        type(self).steps_done += 1
        return self.loop.run_until_complete(self._done(work))

    async def _done(self, work: Any) -> Any:
        done = await work
        await self._look(await checks.at_any_moment(self._world))
        return done

    async def _look(self, wrong: list[str]) -> None:
        if wrong:
            self.broken = True
            told = await checks.story(self._world, wrong)
            steps = [f"  {step}" for step in self.steps]
            self.complain("\n".join([*dict.fromkeys(wrong), "after:", *steps, "about it:", *told]))

    def complain(self, wrong: str) -> None:
        """This example has found something."""
        raise Violated(wrong)

    @property
    def _world(self) -> World:
        assert self.world is not None
        return self.world

    def _server(self, which: int) -> str | None:
        return self.servers[which % len(self.servers)] if self.servers else None

    async def _act(self, server: str | None, body: dict[str, Any]) -> int:
        if server is None:
            return 0
        status = (await self._world.ask("POST", f"/v2.1/servers/{server}/action", body)).status_code
        if "revertResize" in body and status == 202:
            self.runs.pop(server, None)  # it is to be as the move found it, whatever became of it in the window
        return status

    # -- the cloud -------------------------------------------------------------------------------------------

    @initialize(
        then=st.sampled_from(AfterHostReboot),
        same_host=st.booleans(),
        confirm_after=st.sampled_from([0, 0, 0.3]),
        hosts=st.lists(HOST, min_size=3, max_size=8),
    )
    def begin(self, then: AfterHostReboot, same_host: bool, confirm_after: float, hosts: list[str]) -> None:
        folder = self.folder / str(next(self.numbers))
        self.world = World(folder, self.template, then, same_host, confirm_after)
        self.then = then
        self._do(f"begin {then} same_host={same_host} confirm_after={confirm_after}", self.world.begin())
        self._do(f"create on {hosts}", self._create_all(hosts))

    def teardown(self) -> None:
        if self.world is None:
            return
        try:
            if not self.broken:
                self.steps.append("end: all is mended, everything is moved, windows end in turn by confirm and revert")
                self.loop.run_until_complete(self._last())
        finally:
            cls = type(self)
            cls.requests += self.world.requests
            cls.slowest = max(cls.slowest, time.monotonic() - self.began)
            self.loop.run_until_complete(self._end())

    async def _last(self) -> None:
        """After all that has happened, each server can still be moved, and a window be ended either way."""
        await self._settle()
        await self._all(ACTIONS["migrate"])
        await self._settle()
        for number, server in enumerate(self.servers):
            await self._act(server, ACTIONS["revert" if number % 2 else "confirm"])
        await self._settle()

    async def _end(self) -> None:
        await self._world.mend()
        await self._world.end()

    # -- what is asked ---------------------------------------------------------------------------------------

    @rule(host=st.one_of(st.none(), HOST), flavor=FLAVOR)
    def create(self, host: str | None, flavor: str) -> None:
        if len(self.servers) < MOST_SERVERS:
            self._do(f"create on {host} as {flavor}", self._create(host, flavor))

    @rule(hosts=st.lists(HOST, min_size=2, max_size=4))
    def create_some(self, hosts: list[str]) -> None:
        if len(self.servers) + len(hosts) <= MOST_SERVERS:
            self._do(f"create on {hosts}", self._create_all(hosts))

    async def _create_all(self, hosts: list[str]) -> None:
        for host in hosts:
            await self._create(host, "small")

    async def _create(self, host: str | None, flavor: str) -> None:
        number = len(self.steps)
        body = {"name": f"vm{number}", "imageRef": self._world.cloud.image, "flavorRef": flavor, "networks": "none"}
        if host is not None:
            body["availability_zone"] = f"nova:{host}"
        answer = await self._world.ask("POST", "/v2.1/servers", {"server": body})
        if answer.status_code == 202:
            self.servers.append(answer.json()["server"]["id"])
            self.runs[self.servers[-1]] = True

    @rule(which=WHICH, host=st.one_of(st.none(), HOST), force=st.booleans())
    def migrate(self, which: int, host: str | None, force: bool) -> None:
        wanted: dict[str, Any] | None = None if host is None else {"host": host, "force": force}
        self._do(f"migrate {which} to {wanted}", self._act(self._server(which), {"migrate": wanted}))

    @rule(which=WHICH, flavor=FLAVOR)
    def resize(self, which: int, flavor: str) -> None:
        self._do(f"resize {which} to {flavor}", self._act(self._server(which), {"resize": {"flavorRef": flavor}}))

    @rule(which=WHICH, end=st.sampled_from(["confirm", "revert"]))
    def end_window(self, which: int, end: str) -> None:
        self._do(f"{end} {which}", self._act(self._server(which), ACTIONS[end]))

    @rule(end=st.sampled_from(["confirm", "revert"]))
    def end_every_window(self, end: str) -> None:
        self._do(f"{end} all", self._all(ACTIONS[end]))

    async def _all(self, body: dict[str, Any]) -> None:
        await asyncio.gather(*(self._act(server, body) for server in self.servers))

    @rule(which=WHICH)
    def cancel(self, which: int) -> None:
        self._do(f"cancel {which}", self._cancel(self._server(which)))

    async def _cancel(self, server: str | None) -> None:
        if server is None:
            return
        listed = (await self._world.ask("GET", f"/v2.1/servers/{server}/migrations")).json()
        for move in listed.get("migrations", [])[:1]:
            await self._world.ask("DELETE", f"/v2.1/servers/{server}/migrations/{move['id']}")

    @rule(which=WHICH, how=st.sampled_from(["stop", "start", "reboot"]))
    def power(self, which: int, how: str) -> None:
        self._do(f"{how} {which}", self._power(self._server(which), how))

    async def _power(self, server: str | None, how: str) -> None:
        if server is None:
            return
        found = await self._world.cloud.server(server)
        free = found.task_state is None and found.vm_state in (VmState.ACTIVE, VmState.STOPPED)
        if await self._act(server, ACTIONS[how]) == 202:
            self.runs.pop(server, None)
            if free:
                self.runs[server] = how != "stop"

    @rule(which=WHICH)
    def delete(self, which: int) -> None:
        self._do(f"delete {which}", self._delete(self._server(which)))

    async def _delete(self, server: str | None) -> None:
        if server is None:
            return
        if (await self._world.ask("DELETE", f"/v2.1/servers/{server}")).status_code == 204:
            self.servers.remove(server)
            self.runs.pop(server, None)

    @rule(which=WHICH, kinds=st.lists(st.sampled_from([*sorted(ACTIONS), "cancel", "delete"]), min_size=2, max_size=4))
    def at_once(self, which: int, kinds: list[str]) -> None:
        """Several clients, the same moment, the same server."""
        self._do(f"at once on {which}: {kinds}", self._at_once(self._server(which), kinds))

    async def _at_once(self, server: str | None, kinds: list[str]) -> None:
        if server is None:
            return
        if {"start", "stop", "reboot"} & set(kinds):
            self.runs.pop(server, None)
        other = {"cancel": self._cancel, "delete": self._delete_once}
        await asyncio.gather(*(other[k](server) if k in other else self._act(server, ACTIONS[k]) for k in kinds))

    async def _delete_once(self, server: str) -> None:
        if server in self.servers:
            await self._delete_quietly(server)

    async def _delete_quietly(self, server: str) -> None:
        answer = await self._world.ask("DELETE", f"/v2.1/servers/{server}")
        if answer.status_code == 204 and server in self.servers:
            self.servers.remove(server)
            self.runs.pop(server, None)

    # -- what goes wrong ---------------------------------------------------------------------------------------

    @rule(host=HOST, comes_back=st.booleans())
    def crash_agent(self, host: str, comes_back: bool) -> None:
        self._do(f"agent of {host} ends, comes_back={comes_back}", self._crash_agent(host, comes_back))

    async def _crash_agent(self, host: str, comes_back: bool) -> None:
        await self._world.stop_agent(host)
        if comes_back:
            await self._world.start_agent(host)

    @rule(host=HOST, comes_back=st.booleans())
    def reboot_host(self, host: str, comes_back: bool) -> None:
        self._do(f"{host} loses its power, comes_back={comes_back}", self._reboot_host(host, comes_back))

    async def _reboot_host(self, host: str, comes_back: bool) -> None:
        """What ran and was left alone runs again afterwards, if the setting is `start` and the boot was heard of.

        Of other servers it is not said whether they run. Two ways are known in which one that ran is then off: a start
        that was carried out and journaled, not answered, when the power went, is answered from the journal after the
        boot; and a move that had come to COPYING finds the guest off if its source had not heard of it before.
        """
        world = self._world
        heard = comes_back and host not in world.cut_hosts() and not world.conductor_is_down
        sure = heard and host not in world.down and self.then is AfterHostReboot.START
        for server in await world.db.read(checks.may_be_off, host, also_idle=not sure):
            self.runs.pop(server, None)
        await world.stop_agent(host, power=True)
        if comes_back:
            await world.start_agent(host)
        if heard:
            await asyncio.wait_for(world.cloud.allinone.agents[host].welcomed.wait(), PATIENCE)

    @rule(comes_back=st.booleans())
    def crash_conductor(self, comes_back: bool) -> None:
        self._do(f"the conductor ends, comes_back={comes_back}", self._crash_conductor(comes_back))

    async def _crash_conductor(self, comes_back: bool) -> None:
        await self._world.stop_conductor()
        if comes_back:
            await self._world.start_conductor()

    @rule(host=HOST, keep=st.booleans())
    def cut_off(self, host: str, keep: bool) -> None:
        self._do(f"{host} is cut off, keep={keep}", self._now(self._world.cut_off, host, keep))

    @rule(host=HOST, backwards=st.booleans())
    def come_back(self, host: str, backwards: bool) -> None:
        """The conductor is up, and a host up and reachable; what was kept of its messages comes, if not in order."""
        self._do(f"the conductor and {host} are back, backwards={backwards}", self._come_back(host, backwards))

    async def _come_back(self, host: str, backwards: bool) -> None:
        await self._world.start_conductor()
        await self._world.start_agent(host)
        self._world.reconnect(host, backwards)

    async def _now(self, function: Any, *args: Any) -> None:
        function(*args)
        await asyncio.sleep(0)

    @rule(host=HOST, primitive=st.sampled_from(BREAKABLE), times=st.sampled_from([1, 2, 3, 1000]))
    def disk_full(self, host: str, primitive: str, times: int) -> None:
        self.power_is_unsure |= primitive in POWER
        breaks = {primitive: times}
        self._do(f"{primitive} fails on {host} {times} times", self._now(self._drivers(host).breaks.update, breaks))

    def _drivers(self, host: str) -> Any:
        return self._world.drivers[host]

    @rule(host=HOST, seconds=st.sampled_from([0.0, 0.01, 0.05]))
    def slow(self, host: str, seconds: float) -> None:
        self._do(f"{host} takes {seconds} s for each act", self._now(setattr, self._drivers(host), "latency", seconds))

    @rule(back=st.lists(st.integers(1, 400), min_size=1, max_size=8))
    def again(self, back: list[int]) -> None:
        """Messages come again, late and in any order, save for hellos: see `is_hello`."""
        self._do(f"again: {back}", self._again(back))

    async def _again(self, back: list[int]) -> None:
        told = [said for said in self._world.cloud.recorder.said[-2000:] if said.verb == "tell" and not is_hello(said)]
        for number in back:
            if number <= len(told):
                self._world.broker.deliver(told[-number])
        await asyncio.sleep(0)

    # -- time --------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.005, 0.02, 0.05, 0.1]))
    def wait(self, seconds: float) -> None:
        self._do(f"wait {seconds}", asyncio.sleep(seconds))

    @rule()
    def settle(self) -> None:
        self._do("settle", self._settle())

    async def _settle(self) -> None:
        """Mend all, and see that all comes to rest as it must be."""
        type(self).settled += 1
        await self._world.mend()
        end = self.loop.time() + PATIENCE
        runs = {} if self.power_is_unsure else self.runs
        while wrong := await checks.at_rest(self._world, runs):
            if self.loop.time() > end or await checks.at_any_moment(self._world):
                break
            await asyncio.sleep(0.03)
        await self._look(wrong)
        self.runs = await checks.powered(self._world)
        self.power_is_unsure = False
