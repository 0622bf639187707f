"""A fleet whose hosts can be cut off, and what every test of that asks of it."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from haulier.db.store import hosts, outbox
from haulier.model.ids import HostName, ServerId
from haulier.model.migration import Migration, State
from haulier.model.server import PowerState
from haulier.wire import subjects
from tests.guest.partition.network import Network, Way
from tests.guest.partition.watch import Watch
from tests.guest.processes.fleet import HOSTS, Fleet, fleet
from tests.guest.test_move import folder

CONVERGES = 30.0
"""Seconds after the network is whole in which everything must have come to its end."""
OBSERVED = 1.5
"""Seconds for which nothing may happen while a host is cut off: many times as long as a command takes."""
STALL = 3.0
DOWN_AFTER = 3.0
PREPARE = 15.0
SLOW = 0.3
"""Seconds by which every step begins late: so that a host is cut off before its answer is out."""
STEPS = (
    "prep_resize", "resize_instance", "receive_disk", "finish_resize", "restore_source", "attest_disk",
    "confirm_resize", "check_disk", "revert_resize", "finish_revert_resize",
)  # fmt: skip


class Cut:
    """One server on SOURCE, and one host at a time between which and the rest there is nothing."""

    def __init__(self, cloud: Fleet, network: Network, watch: Watch, server: str) -> None:
        self.cloud = cloud
        self.network = network
        self.watch = watch
        self.server = server
        self.cut_at = self.healed_at = 0.0

    def at(self, step: str, host: str, way: Way, *, cut: str) -> asyncio.Event:
        """Cut a host off in the moment in which a step is said to `host`; the event is set when that is done."""
        return self.when(subjects.commands(HostName(host)), step.encode(), lambda: self.off(cut, way))

    def when(self, subject: str, content: bytes, do: Callable[[], None]) -> asyncio.Event:
        """Do something in the moment in which a message about this server is heard, once."""
        done = asyncio.Event()

        def tap(said_on: str, body: bytes) -> None:
            if said_on == subject and content in body and (self.server.encode() in body):
                self.cloud.taps.remove(tap)
                do()
                done.set()

        self.cloud.taps.append(tap)
        return done

    def off(self, host: str, way: Way) -> None:
        self.network.cut(host, way)
        self.cut_at = time.monotonic()

    async def ask(self, action: str, body: Any = None) -> None:
        answer = await self.cloud.action(self.server, {action: body})
        assert answer.status_code in (202, 204), answer.text

    async def move(self) -> Migration:
        return await self.cloud.newest(self.server)

    async def waits_for(self, host: str, step: str) -> bool:
        """Whether haulier's own API says that the move waits for that."""
        answer = await self.cloud.call("GET", f"/haulier/v1/migrations/{(await self.move()).id}")
        waiting = answer.json()["migration"]["waiting_for"]
        return [(one["host"], one["step"]) for one in waiting if one["step"] != "discard_target"] == [(host, step)]

    async def has_come_to(self, states: tuple[State, ...]) -> bool:
        return (await self.move()).state in states

    async def rests(self) -> bool:
        """Nothing is under way any more, as far as users are concerned."""
        return (await self.cloud.server(self.server)).task_state is None

    async def settled(self) -> bool:
        """Nothing is left to be said to anybody about this server."""
        return await self.rests() and not await self.cloud.allinone.db.read(
            outbox.waiting_on_server, ServerId(self.server)
        )

    async def nothing_happens(self, seconds: float = OBSERVED) -> None:
        """For so long: the same processes, and the move where it was."""
        before = [(run.pid, run.ended) for run in self.watch.of(self.server)], (await self.move()).generation
        await asyncio.sleep(seconds)
        after = [(run.pid, run.ended) for run in self.watch.of(self.server)], (await self.move()).generation
        assert before == after, (before, after)

    async def on_the_way(self) -> bool:
        """Whether some of the disk has arrived, and not all."""
        move = await self.move()
        return move.state == State.COPYING and move.bytes_done > 0

    async def fence(self, host: str) -> None:
        """The operator's word that it is off, as soon as it may be given."""

        async def taken() -> bool:
            answer = await self.cloud.call("POST", f"/haulier/v1/hosts/{host}/fence", {"reason": "no answer"})
            return answer.status_code == 200

        await self.cloud.until(taken)

    async def all_are_back(self) -> bool:
        """Whether every host counts as up again and was heard since; one that was fenced knows what it owns by then.

        One that was cut off for a moment only may count as up all the time, and be silent for seconds afterwards.
        """
        seen = [await self.cloud.allinone.db.read(hosts.find, host) for host in HOSTS]
        healed = time.monotonic() - self.healed_at
        return all(host is not None and host.why_down(DOWN_AFTER) is None and host.silent_for < healed for host in seen)

    def began_since_cut(self) -> set[str]:
        """The hosts on which the guest was started since the last cut."""
        return {run.host for run in self.watch.of(self.server) if run.began > self.cut_at}

    async def heal(self) -> float:
        """All are together again; how many seconds it took until nothing was left to do."""
        self.make_whole()
        self.healed_at = time.monotonic()
        async with asyncio.timeout(CONVERGES):
            await self.until_asked(self.all_are_back, self.settled)
        return time.monotonic() - self.healed_at

    def make_whole(self) -> None:
        for host in HOSTS:
            self.network.throttle(host, None)
            self.network.heal(host)

    async def lives_on(self, host: str, *, boots: int = 2) -> None:
        """The guest runs there and nowhere else, from the disk that all its boots were from; claims and files fit."""
        await self.until_runs(host)
        await self.cloud.until(lambda: self._said(f"BOOT {boots:08x}"))
        found, move = await self.cloud.server(self.server), await self.move()
        both = {host, move.source, move.target} if move.is_live else {host}
        assert (found.host, found.power_state) == (host, PowerState.RUNNING), found
        files = {name for name in HOSTS if folder(self.cloud, name, self.server).exists()}
        assert files == both, (files, move.state)
        claimed = {held.split()[0] for held in await self.cloud.claims(self.server)}
        assert claimed == both, (claimed, move.state)

    async def _said(self, word: str) -> bool:
        """Whether the guest has. For a while NATS may send a question to the connection that a host has no more."""
        answer = await self.cloud.action(self.server, {"os-getConsoleOutput": {}})
        return answer.status_code == 200 and word in answer.json()["output"]

    async def until_runs(self, host: str | None) -> None:
        await self.until(lambda: self.watch.where(self.server) == ([host] if host else []))

    async def until(self, look: Callable[[], bool]) -> None:
        async def looks() -> bool:
            return look()

        await self.cloud.until(looks)

    async def until_asked(self, *looks: Callable[[], Awaitable[bool]]) -> None:
        for look in looks:
            await self.cloud.until(look)


@asynccontextmanager
async def divided(tmp_path: Path) -> AsyncIterator[tuple[Fleet, Network, Watch]]:
    """The fleet, each agent in a namespace of its own, and the copies between them over the network."""
    with Network(HOSTS) as network, Watch(tmp_path / "hosts") as watch:
        late = [f"{step}:delay={SLOW}" for step in STEPS]
        compute = {
            host: {"address": network.address[host], "stall_after": STALL, "fail_at": late, "power_off_grace": 5.0}
            for host in HOSTS
        }
        within = {host: network.inside(host) for host in HOSTS}
        conductor = {"down_after": DOWN_AFTER, "prepare_timeout": PREPARE}
        at = f"{network.here}:4222"
        async with fleet(tmp_path, conductor=conductor, compute=compute, nats_at=at, within=within) as cloud:
            cloud.configure("api", down_after=DOWN_AFTER)
            await cloud.restart("api")
            yield cloud, network, watch


def why_not() -> str | None:
    """Why this machine can't run these tests."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "iptables-restore", "nsenter", "unshare", "tc") if shutil.which(name) is None]
    return f"missing: {', '.join(missing)} (scripts/system-packages network)" if missing else None
