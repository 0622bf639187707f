"""What goes wrong at a moment: kill -9, loss of power, an error, a message lost, twice or late, a deletion, a cancel.

A fault is written as `kind` or `kind:process`, such as `error`, `lost` or `kill:target`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from haulier.bus.local import Said
from haulier.errors import Conflict
from tests.crash.moments import HOSTS

if TYPE_CHECKING:
    from tests.crash.cloud import CrashCloud
    from tests.crash.processes import Process

AWAY = 1.5
"""Seconds that a process stays away in the kind `away`: longer than any patience of the small cloud."""
CUT_OFF = 0.3
INJECTED = "(injected)"


@dataclass
class Fault:
    """`struck` says that it has happened; `said` is the message that is about to be said."""

    kind: str = ""
    whom: str = ""
    struck: bool = False
    said: Said | None = None
    _withhold: Said | None = None
    _request: "asyncio.Task[str] | None" = None
    _kept: list[Said] = field(default_factory=list)

    @classmethod
    def read(cls, text: str) -> "Fault":
        kind, _, whom = text.partition(":")
        return cls(kind, whom)

    async def strike(self, cloud: "CrashCloud", process: "Process", error: Callable[[str], BaseException]) -> None:
        """It happens now, while `process` passes through the moment."""
        self.struck = True
        if self.kind in ("kill", "reboot", "away"):
            self._kill(cloud)
        elif self.kind == "error":
            raise error(f"the disk is on fire {INJECTED}")
        elif self.kind == "delete":
            await self._ask(cloud, cloud.delete())
        elif self.kind == "cancel":
            await self._ask(cloud, cloud.cancel())
        elif self.kind == "cutoff":
            cloud.aside(self._cut_off(cloud))
            await asyncio.sleep(0)
        else:
            self._message(cloud)

    async def _ask(self, cloud: "CrashCloud", asking: Coroutine[Any, Any, str]) -> None:
        """A user asks for something in this very moment; what is refused is no fault of anybody's."""
        self._request = cloud.aside(asking)
        with contextlib.suppress(Conflict):
            await asyncio.shield(self._request)

    def strike_in_transaction(self, cloud: "CrashCloud", process: "Process") -> None:
        """It happens in the writer's thread, before the commit."""
        from tests.crash.processes import KilledInTransaction

        self.struck = True
        if self.kind == "error":
            raise RuntimeError(f"before the commit {INJECTED}")
        if self.kind == "cutoff":
            cloud.loop.call_soon_threadsafe(lambda: cloud.aside(self._cut_off(cloud)))
            return
        done: Any = asyncio.run_coroutine_threadsafe(self._kill_soon(cloud), cloud.loop)
        done.result()
        if self.whom == process.role:
            raise KilledInTransaction

    async def _kill_soon(self, cloud: "CrashCloud") -> None:
        self._kill(cloud)

    def _kill(self, cloud: "CrashCloud") -> None:
        away = AWAY if self.kind == "away" else 0.0
        cloud.kill(self.whom, reboot=self.kind == "reboot", away=away)

    def _message(self, cloud: "CrashCloud") -> None:
        assert self.said is not None
        if self.kind == "twice":
            cloud.broker.deliver(self.said)
            return
        self._withhold = self.said
        if self.kind in ("late", "latest"):
            self._kept.append(self.said)

    async def done(self) -> None:
        """Wait until what was asked for has been accepted or refused."""
        if self._request is not None:
            await asyncio.wait([self._request])
            if not isinstance(self._request.exception(), Conflict):
                self._request.result()

    @property
    def accepted(self) -> bool:
        """Whether what was asked for in that moment was accepted."""
        request = self._request
        return request is not None and request.done() and request.exception() is None

    def withholds(self, said: Said) -> bool:
        """Whether this very message is not delivered now."""
        return self._withhold is said

    def moved_on(self, cloud: "CrashCloud") -> None:
        """The move has made a transition: what is late comes now."""
        if self.kind == "late":
            self.deliver(cloud)

    def deliver(self, cloud: "CrashCloud") -> bool:
        """Deliver what was kept; whether there was anything."""
        kept, self._kept = self._kept, []
        for said in kept:
            cloud.broker.deliver(said)
        return bool(kept)

    async def _cut_off(self, cloud: "CrashCloud") -> None:
        """The network loses all that the host says and hears, for a while."""
        host = HOSTS[self.whom]

        def loses(said: Said) -> bool:
            return f".{host}." in f"{said.subject}."

        cloud.broker.losses.append(loses)
        await asyncio.sleep(CUT_OFF)
        cloud.broker.losses.remove(loses)
