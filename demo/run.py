"""`make demo`: a server moves between three hosts, is confirmed, reverted, forced, refused and sent elsewhere.

Everything is real: QEMU runs a guest of 512 bytes that counts its own boots and writes on its own disk. The demo
needs nothing but this tree, takes less than a minute and leaves nothing behind.
"""

import json
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import screen
from local_cloud import DemoFailed, LocalCloud

SERVER = "demo"
PATIENCE = 20.0
"""Seconds until a guest must have written to its console."""


class Story:
    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._step = 0
        self.times: list[tuple[str, float]] = []

    def run(self) -> None:
        for chapter in (
            self.boot,
            self.named_move,
            self.revert,
            self.refused,
            self.forced,
            self.first_target_fails,
            self.delete,
        ):
            self._chapter(chapter)

    def _chapter(self, chapter: Callable[[], str]) -> None:
        begun = time.monotonic()
        self.times.append((chapter(), time.monotonic() - begun))

    # -- the chapters: each returns its line in the summary ------------------------------------------------

    def boot(self) -> str:
        self._heading("A server is booted; the scheduler picks the host")
        self._haulier("server", "create", "--image", "tiny", "--flavor", "m1.nano", SERVER)
        self._counters(boots=1)
        return f"boot, on {self._host()}"

    def named_move(self) -> str:
        source = self._host()
        self._heading("Move it to node2, and keep it there")
        boots, writes = self._counters()
        self._haulier("migrate", SERVER, "node2")
        self._expect_host("node2")
        _, after = self._counters(boots=boots + 1)
        if after < writes:
            raise DemoFailed(f"the guest had written {writes} blocks before the move and {after} after it")
        screen.fact("exactly one more boot, and the count of writes went on from where it was")
        self._haulier("server", "confirm", SERVER)
        return f"move from {source} to node2, confirmed"

    def revert(self) -> str:
        self._heading("Move it to node1, and change your mind")
        boots, _ = self._counters()
        self._haulier("migrate", SERVER, "node1")
        self._expect_host("node1")
        self._haulier("server", "revert", SERVER)
        self._expect_host("node2")
        self._counters(boots=boots + 1)
        screen.fact("node2's own copy again, as it was when the guest was powered off there, booted once since")
        return "move to node1, reverted"

    def refused(self) -> str:
        self._heading("A move that a rule refuses, and why")
        self._haulier("host", "disable", "node1", "--reason", "new power supply")
        self._haulier("migrate", SERVER, "node1", refused=True)
        self._expect_host("node2")
        return "move to the disabled node1, refused"

    def forced(self) -> str:
        self._heading("The same move, forced: the rule is not asked, the room for it still is")
        boots, _ = self._counters()
        self._haulier("migrate", "--force", "True", SERVER, "node1")
        self._expect_host("node1")
        self._counters(boots=boots + 1)
        self._haulier("server", "confirm", SERVER)
        self._haulier("host", "enable", "node1")
        return "the same move, forced and confirmed"

    def first_target_fails(self) -> str:
        self._heading("No host named: the best one, node3, fails in prep_resize (rehearsed), the next one serves")
        boots, _ = self._counters()
        self._haulier("migrate", SERVER)
        self._expect_host("node2")
        self._counters(boots=boots + 1)
        self._haulier("server", "confirm", SERVER)
        self._haulier("migration", "list")
        return "move to anywhere: node3 fails, node2 serves"

    def delete(self) -> str:
        self._heading("The end")
        self._haulier("server", "delete", SERVER)
        return "delete"

    # -- what the chapters are made of ---------------------------------------------------------------------

    def _heading(self, text: str) -> None:
        self._step += 1
        screen.heading(self._step, text)

    def _haulier(self, *words: str, refused: bool = False) -> None:
        screen.command(words)
        status = self._cloud.run(words).returncode
        if status != int(refused):
            raise DemoFailed(f"`haulier {' '.join(words)}` ended with status {status}, not {int(refused)}")

    def _host(self) -> str:
        shown = self._cloud.run(("server", "show", SERVER, "--format", "json"), capture=True)
        if shown.returncode != 0:
            raise DemoFailed("the server cannot be shown")
        return str(json.loads(shown.stdout)["OS-EXT-SRV-ATTR:host"])

    def _expect_host(self, host: str) -> None:
        found = self._host()
        if found != host:
            raise DemoFailed(f"the server is on {found}, not on {host}")

    def _counters(self, boots: int | None = None) -> tuple[int, int]:
        """The guest's own count of its boots and of the blocks it wrote, from its console; says them.

        With `boots`, waits for that many, and accepts no other number.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            console = self._cloud.run(("server", "console", SERVER, "--lines", "20"), capture=True).stdout or ""
            booted = re.findall(r"^BOOT ([0-9a-f]{8})", console, re.MULTILINE)
            written = re.findall(r"^TICK ([0-9a-f]{8})", console.rpartition("BOOT ")[2], re.MULTILINE)
            if booted and written and boots in (None, int(booted[-1], 16)):
                break
            if time.monotonic() > deadline:
                raise DemoFailed(f"the guest did not count its boot number {boots}; its console ends with {console!r}")
            time.sleep(0.2)
        counted = int(booted[-1], 16), int(written[-1], 16)
        screen.fact(f"the guest's own counters, on {self._host()}: boots {counted[0]}, blocks written {counted[1]}")
        return counted


def main() -> int:
    begun = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    screen.say("haulier on this machine: the control plane and three hosts in one process, real QEMU guests.")
    try:
        with LocalCloud() as cloud:
            started = time.monotonic() - begun
            story = Story(cloud)
            story.run()
    except DemoFailed as problem:
        screen.line("\n".join(("", *problem.last_words)))
        screen.trouble(f"The demo failed: {problem}.")
        return 1
    except KeyboardInterrupt:
        screen.trouble("Stopped; nothing is left behind.")
        return 130
    _summary([("start of the control plane and three hosts", started), *story.times], time.monotonic() - begun)
    return 0


def _summary(times: list[tuple[str, float]], total: float) -> None:
    screen.line()
    for what, seconds in times:
        screen.line(f"  {what:<48} {seconds:5.1f} s")
    screen.line(f"  {'all, ended and cleaned up':<48} {total:5.1f} s")
    screen.line()
    screen.say("Next: `make up` starts the same and stays, with a clouds.yaml for `openstack` and `haulier`.")
    screen.say("docs/operate/cold-migration.md tells the rest.")


if __name__ == "__main__":
    sys.exit(main())
