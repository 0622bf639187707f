"""One process of this host, ours or an earlier agent's, held by a pidfd, so that its id can't come to mean another.

The processes outlive the agent: they have their own session, and nothing of them hangs on a pipe to it.
"""

import asyncio
import os
import pwd
import select
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from haulier.compute.driver import HostTrouble


@dataclass(frozen=True)
class Account:
    """Whom QEMU's programs run as when the agent is root."""

    uid: int
    gid: int


def account_for(user: str) -> Account | None:
    """The account to change to, None where the agent is not root and can't.

    Raises:
        HostTrouble: there is no such user.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise HostTrouble(f"there is no user {user} to run QEMU as (setting qemu_user)") from None
    return Account(entry.pw_uid, entry.pw_gid)


class Child:
    """`ended` is set when the process is gone and reaped. Made inside a running event loop."""

    def __init__(self, pid: int) -> None:
        """Take hold of a process.

        Raises:
            ProcessLookupError: there is none of that id.
        """
        self.pid = pid
        self.ended = asyncio.Event()
        self.status: int | None = None
        self._pidfd = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    @classmethod
    def spawn(
        cls,
        argv: Sequence[str],
        folder: Path,
        account: Account | None,
        stdout: IO[bytes] | int = subprocess.DEVNULL,
        stderr: IO[bytes] | int = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> "Child":
        """Start a program in `folder`, by another account if given: it enters the folder before it changes.

        Raises:
            HostTrouble: the program can't be started.
        """
        who = {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}
        try:
            process = subprocess.Popen(
                argv,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                pass_fds=pass_fds,
                **who,  # type: ignore[call-overload]
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise HostTrouble(f"{argv[0]} can't be started: {error}") from error
        process.returncode = 0  # From here on the pidfd is the truth, and Popen has nothing to warn about.
        return cls(process.pid)

    @property
    def alive(self) -> bool:
        return not self.ended.is_set() and not select.select([self._pidfd], [], [], 0)[0]

    async def ends_within(self, seconds: float) -> bool:
        """Wait at most `seconds` for the end of the process."""
        try:
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        except TimeoutError:
            return False
        return True

    async def kill(self) -> None:
        """End the process by force, and wait until it has ended."""
        if not self.ended.is_set():
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            await self.ended.wait()

    def let_go(self) -> None:
        """Stop watching; the process lives on."""
        if not self.ended.is_set():
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        try:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, os.WNOHANG)[1])
        except ChildProcessError:
            self.status = None  # started by an earlier agent: somebody else reaps it
        self.ended.set()


def processes_in(folder: Path) -> list[tuple[int, list[str]]]:
    """Id and command line of every process whose working directory is `folder`: the kernel remembers, no pid file."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if os.readlink(f"/proc/{entry.name}/cwd") == str(folder):
                    command = Path(f"/proc/{entry.name}/cmdline").read_bytes().decode(errors="replace")
                    found.append((int(entry.name), command.split("\0")))
            except OSError:
                continue  # gone meanwhile, a zombie, or another user's
    return found


def find(folder: Path, program: str, mark: str) -> Child | None:
    """The process of `program` in `folder` that has `mark` in its command line."""
    for pid, command in processes_in(folder):
        if Path(command[0]).name == program and any(mark in word for word in command):
            try:
                return Child(pid)
            except ProcessLookupError:
                continue
    return None
