"""A real nats-server for tests, with haulier's users and nobody else: started on a loopback address of its own.

Its log has every protocol line it received, and by whom: see `who_said`.
"""

import asyncio
import os
import random
import re
import shutil
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haulier.bus.nats import NatsBus
from haulier.bus.nkeys import UserKey
from haulier.bus.permissions import User, server_config
from haulier.config.bus import BusSettings

PATIENCE = 20.0
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""Before a command: whatever becomes of the tests, it does not outlive them."""


def address() -> str:
    """HOST:PORT on loopback that nobody else has.

    Not a free port of 127.0.0.1: the kernel may give that to a connection while the server is down between two runs.
    """
    pick = random.SystemRandom().randrange
    return f"127.{pick(1, 255)}.{pick(256)}.{pick(1, 255)}:{pick(10_000, 30_000)}"


@dataclass(frozen=True)
class Said:
    """A message as the server received it. `sender` is the user whose key the connection was made with."""

    sender: str
    subject: str
    reply: str


class NatsServer:
    """`folder` gets its configuration, its log and the seeds of `users`. `at`: where it listens, if not on loopback."""

    def __init__(self, folder: Path, users: Iterable[User], at: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.address = at or address()
        self.log = folder / "nats.log"
        self.config = folder / "nats.conf"
        self._users = {user.name: user for user in users}
        self._public: dict[str, str] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._ending = False
        for name in self._users:
            key = UserKey.make()
            self.seed_file(name).write_text(key.seed)
            self._public[name] = key.public
        self.config.write_text(server_config(self._users.values(), self._public, self.address))

    def seed_file(self, user: str) -> Path:
        return self.folder / f"{user}.nk"

    def settings(self, user: str, **more: Any) -> BusSettings:
        """How that user connects."""
        seed = str(self.seed_file(user))
        return BusSettings(servers=(f"nats://{self.address}",), seed_file=seed, again_after=0.05, **more)

    def bus(self, name: str, *, believes: User | None = None, **more: Any) -> NatsBus:
        """That user's connection, started; `believes` is who its process thinks it is, if not the same."""
        bus = NatsBus(self.settings(name, **more), believes or self._users[name])
        bus.start()
        return bus

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        if self._process is not None:
            await self._process.wait()
        program = shutil.which("nats-server", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "nats-server is missing: scripts/system-packages nats"
        with self.log.open("ab") as log:
            command = (*DIES_WITH_US, program, "-c", str(self.config), "-DV")
            nothing = asyncio.subprocess.DEVNULL
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=nothing, stdout=log, stderr=log, start_new_session=True
            )
        self._ending = False
        host, port = self.address.split(":")
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    _, writer = await asyncio.open_connection(host, int(port))
                except OSError:
                    assert self._process.returncode is None, self.log.read_text()
                    await asyncio.sleep(0.01)
                else:
                    writer.close()
                    return await writer.wait_closed()

    @property
    def runs(self) -> bool:
        """Whether it was started and not sent to its end."""
        return self._process is not None and not self._ending

    @property
    def stopped(self) -> bool:
        """Whether a SIGSTOP has taken effect, in every thread: that takes a moment."""
        assert self._process is not None
        states = [path.read_text() for path in Path(f"/proc/{self._process.pid}/task").glob("*/stat")]
        return all(state.rpartition(")")[2].split()[0] == "T" for state in states)

    async def end(self, number: int = signal.SIGKILL) -> None:
        """End it with that signal, and wait until it has."""
        self.send(signal.SIGCONT)
        self.send(number)
        if self._process is not None:
            await self._process.wait()

    def send(self, number: int) -> None:
        """That signal: a stopped server is what a network that drops packets looks like."""
        self._ending = self._ending or number in (signal.SIGKILL, signal.SIGTERM)
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def who_said(self) -> list[Said]:
        """Every message that a client sent so far, in order, by the server's own log."""
        names = {key: name for name, key in self._public.items()}
        senders: dict[str, str] = {}
        said = []
        for line in self.log.read_text(errors="replace").splitlines():
            if (found := re.search(r"\[TRC\] \S+ - (cid:\d+) .*<<- \[(CONNECT|PUB|HPUB) (.*)\]$", line)) is None:
                continue
            client, verb, rest = found.groups()
            if verb == "CONNECT":
                key = re.search(r'"nkey": *"(\w+)"', rest)
                senders[client] = names.get(key[1] if key else "", "nobody")
            else:
                words = rest.split()[: -1 if verb == "PUB" else -2]
                said.append(Said(senders[client], words[0], words[1] if len(words) > 1 else ""))
        return said

    def refused(self) -> list[str]:
        """The lines in which it says that a permission was violated."""
        return [
            line
            for line in self.log.read_text(errors="replace").splitlines()
            if "[ERR]" in line and "Violation" in line
        ]

    async def until_logged(self, pattern: str) -> None:
        """Wait until a line of its log has that in it."""
        async with asyncio.timeout(PATIENCE):
            while not re.search(pattern, self.log.read_text(errors="replace")):  # noqa: ASYNC110 - a file gives no event
                await asyncio.sleep(0.01)

    async def __aenter__(self) -> "NatsServer":
        await self.start()
        return self

    async def __aexit__(self, *problem: object) -> None:
        await self.end()
