"""One haulier of real processes on which points are run, one after the other, as long as each ends clean."""

import asyncio
import dataclasses
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import httpx2

from haulier import guest_image
from haulier.guest_image import GuestState
from haulier.model.ids import ServerId
from haulier.model.migration import State
from haulier.model.server import VmState
from tests.crash_real.checks import (
    GUEST_BYTES,
    Before,
    Rows,
    Watch,
    read_rows,
    rests,
    started_again,
    violations,
    written,
)
from tests.crash_real.points import HOSTS, LARGE, NAMED, Point
from tests.crash_real.strike import Strike
from tests.guest.processes.fleet import Fleet, fleet

CONVERGES_IN = 30.0
"""Seconds from the last restart in which all must have come to rest."""
PATIENCE = 60.0
"""Seconds for a strike to happen and its victim to run again."""
PATIENCE_WITH_GUESTS = 240.0
"""Seconds that a guest may take to write what it is moved with: its BIOS writes a block a tick, 18 in a second."""
LARGE_BLOCKS = 2048
"""The larger guest writes 64 MiB in all..."""
LARGE_BYTES = (LARGE_BLOCKS + 2) * guest_image.BLOCK_SECTORS * guest_image.SECTOR
WRITTEN_FIRST = 1056
"""...and is moved when it has written 33."""


class Result(NamedTuple):
    """`converged`: seconds from the restart until all was well; `seconds`: all that the point took."""

    point: Point
    wrong: list[str]
    converged: float
    seconds: float
    note: str = ""


class Stage:
    """`async with Stage(folder) as stage: await stage.run(point)`. After a violation it is of no use any more."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: dict[str, str] = {}
        self._boots: dict[str, int] = {}
        self._large_image = ""
        self._stack = AsyncExitStack()
        self.cloud: Fleet

    async def __aenter__(self) -> "Stage":
        where = Path(self._stack.enter_context(tempfile.TemporaryDirectory(dir=self._folder, prefix="fleet-")))
        where.chmod(0o711)
        self.cloud = await self._stack.enter_async_context(fleet(where, HOSTS))
        return self

    async def __aexit__(self, *problem: object) -> None:
        await self._stack.aclose()

    async def run(self, point: Point) -> Result:
        began = time.monotonic()
        self.cloud.heard.clear()
        try:
            before, server = await self._arrange(point)
            run = _Run(self.cloud, point, before, server)
            with Watch(self.cloud, server) as watch:
                await run.play()
            wrong = [*run.wrong, *watch.seen]
        except (OSError, AssertionError, httpx2.HTTPError) as problem:
            return Result(point, [f"did not come to its end: {problem!r}"], 0.0, time.monotonic() - began)
        self._boots[server] = run.boots
        if run.deleted:
            self._servers = {kind: known for kind, known in self._servers.items() if known != server}
        return Result(point, wrong, run.converged, time.monotonic() - began, run.note)

    def show_logs(self) -> None:
        self.cloud.show_logs()

    async def _arrange(self, point: Point) -> tuple[Before, str]:
        """A server as the scenario wants it, whose guest has written something."""
        scenario, large = NAMED[point.scenario], point.scenario == LARGE.name
        kind = "large" if large else "small"
        if not large and "large" in self._servers:
            await self._delete(self._servers.pop("large"))  # it keeps a processor busy
        if kind not in self._servers:
            self._servers[kind] = await self._create(large=large)
        server = self._servers[kind]
        found = await self.cloud.server(server)
        if (found.vm_state == VmState.ACTIVE) != scenario.runs:
            answer = await self.cloud.action(server, {"os-start" if scenario.runs else "os-stop": None})
            assert answer.status_code == 202, answer.text
            found = await self.cloud.free(server)
            self._boots[server] = self._boots.get(server, 1) + (1 if scenario.runs else 0)
        boots = self._boots.setdefault(server, 1)
        assert found.host is not None
        host, enough = str(found.host), WRITTEN_FIRST if large else 1
        state = await self._has_written(server, host, boots, enough)
        target = next(other for other in HOSTS if other != host)
        size = LARGE_BYTES if large else GUEST_BYTES
        return Before(host, target, scenario.runs, found.flavor, state, size), server

    async def _has_written(self, server: str, host: str, boots: int, enough: int) -> GuestState:
        """What the guest has written, once it is enough; a disk gives no event."""
        async with asyncio.timeout(PATIENCE_WITH_GUESTS):
            while True:
                state = await asyncio.to_thread(written, self.cloud, host, server)
                assert state.boots <= boots, f"I1: started {state.boots} times since it was made, not {boots}"
                if state.boots == boots and state.seq >= enough:
                    return state
                await asyncio.sleep(0.1)

    async def _create(self, *, large: bool) -> str:
        if not large:
            return await self.cloud.create(host=HOSTS[0])
        small = self.cloud.image
        if not self._large_image:
            self._large_image = await self._upload_large()
        self.cloud.image = self._large_image
        try:
            return await self.cloud.create(host=HOSTS[0])
        finally:
            self.cloud.image = small

    async def _upload_large(self) -> str:
        record = {"name": "large", "disk_format": "raw", "container_format": "bare", "visibility": "public"}
        image = str((await self.cloud.admin.post("/image/v2/images", json=record)).json()["id"])
        content = guest_image.disk_image(size=LARGE_BYTES, blocks_per_tick=40, nblocks=LARGE_BLOCKS)
        headers = {"Content-Type": "application/octet-stream"}
        sent = await self.cloud.admin.put(f"/image/v2/images/{image}/file", content=content, headers=headers)
        assert sent.status_code == 204, sent.text
        return image

    async def _delete(self, server: str) -> None:
        assert (await self.cloud.call("DELETE", f"/v2.1/servers/{server}")).status_code == 204
        await self.cloud.until(lambda: self._is_deleted(server))

    async def _is_deleted(self, server: str) -> bool:
        return (await self.cloud.server(server)).vm_state == VmState.DELETED


class _Run:
    """One point: the requests of its scenario, and what is found after each."""

    def __init__(self, cloud: Fleet, point: Point, before: Before, server: str) -> None:
        self._cloud = cloud
        self._point = point
        self._scenario = NAMED[point.scenario]
        self._before = before
        self._server = server
        self._strike = Strike(cloud, point, server, before.host, before.target)
        self._healed = False
        self.wrong: list[str] = []
        self.converged = 0.0
        self.deleted = False
        self.boots = before.written.boots

    @property
    def note(self) -> str:
        return self._strike.note

    async def play(self) -> None:
        known = len(self._cloud.errors())
        await self._strike.arm(self._scenario.errors, slow_source=self._scenario.end == "cancel")
        try:
            await self._play()
        finally:
            await self._strike.give_up()
        self.wrong += [f"logged: {error[:600]}" for error in self._cloud.errors()[known:]]

    async def _play(self) -> None:
        end = self._scenario.end if self._point.rests_in != State.FAILED else ""
        await self._ask("migrate", {"migrate": {"host": self._before.target}})
        if end == "cancel":
            await asyncio.wait_for(self._cloud.until(self._copies), PATIENCE)
            await self._ask("cancel", None)
            await self._look(self._point.rests_in, last=True)
            return
        await self._look(State.AWAITS_CONFIRM if end else self._point.rests_in, last=not end)
        if self.wrong:
            return
        if end == "delete":
            await self._ask("delete", None)
        elif end:
            await self._ask(end, {f"{end}Resize": None})
        if end:
            await self._look(self._point.rests_in, last=True)

    async def _ask(self, name: str, body: object) -> None:
        """Ask for something; again, if the api died before it had accepted it, as a client would."""
        self._strike.asking(name)
        generations = await self._generations()
        while True:
            try:
                if body is None:
                    answer = await self._cloud.call("DELETE", await self._deleted_by(name))
                else:
                    answer = await self._cloud.action(self._server, body)
            except httpx2.TransportError:
                await self._strike.done(PATIENCE)
            else:
                assert answer.status_code in (202, 204), answer.text
                return
            if await self._generations() != generations:
                return

    async def _deleted_by(self, name: str) -> str:
        """What is deleted: the server, or to cancel it its move."""
        path = f"/v2.1/servers/{self._server}"
        return path if name == "delete" else f"{path}/migrations/{(await self._rows()).move.id}"

    async def _copies(self) -> bool:
        return (await self._rows()).move.state == State.COPYING

    async def _generations(self) -> object:
        def look(tx):  # type: ignore[no-untyped-def]
            query = "SELECT count(*), max(id), sum(generation) FROM migrations"
            return tx.connection.exec_driver_sql(query).one()

        return tuple(await self._cloud.allinone.db.read(look))

    async def _look(self, state: State, *, last: bool) -> None:
        """Wait until all rests and is well, or has had its time."""
        if last:
            await self._strike.done(PATIENCE)
        await self._until_rest(PATIENCE if not self._strike.struck.is_set() else CONVERGES_IN)
        if self._strike.struck.is_set():
            await self._strike.done(PATIENCE)
        since = self._strike.healed_at or time.monotonic()
        wrong = await self._wrong(state, last)
        while wrong and time.monotonic() - since < CONVERGES_IN:
            await asyncio.sleep(0.05)
            wrong = await self._wrong(state, last)
        if self._strike.healed_at and not self._healed:
            self._healed = True
            self.converged = time.monotonic() - self._strike.healed_at
        self.wrong += wrong

    async def _until_rest(self, patience: float) -> None:
        try:
            await asyncio.wait_for(self._cloud.until(self._rests), patience)
        except TimeoutError:
            rows = await self._rows()
            self.wrong.append(f"I4: no rest: {rows.move.state}, {rows.server.task_state}, to be said: {rows.outbox}")
            raise

    async def _rests(self) -> bool:
        return rests(await self._rows())

    async def _wrong(self, state: State, last: bool) -> list[str]:
        rows = await self._rows()
        before = self._before
        if self._point.process == "guest":
            # Dead before its host looked, it was off by itself and stays so; after that, it ran and runs again.
            before = dataclasses.replace(before, runs=bool(rows.move.was_running))
        self.deleted = rows.server.vm_state == VmState.DELETED
        self.boots = before.written.boots + started_again(rows, before)
        wrong = await asyncio.to_thread(violations, self._cloud, rows, before, state)
        return await self._audited() if last and not wrong else wrong

    async def _audited(self) -> list[str]:
        """What the product's own audit says: nothing, and it must have seen every host."""
        answer = await self._cloud.call("GET", "/haulier/v1/audit")
        if answer.status_code != 200:
            return [f"the audit answers {answer.status_code}: {answer.text}"]
        report = answer.json()["audit"]
        wrong = [f"audit, {each['invariant']}: {each['what']}; {each['cause']}" for each in report["violations"]]
        return wrong + [f"audit: {each['host']} is unknown: {each['why']}" for each in report["unknown_hosts"]]

    async def _rows(self) -> Rows:
        return await self._cloud.allinone.db.read(read_rows, ServerId(self._server))
