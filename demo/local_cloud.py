"""A `haulier up` of the demo's own: in a directory that nobody else uses, on a free port, ended without a trace."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

HAULIER = str(Path(sys.executable).with_name("haulier"))
START_TIMEOUT = 40.0
"""Seconds that `haulier up` may take; it takes about three."""
CONFIG = """\
# Three small hosts. node3 has the most memory, so the scheduler likes it best; but it refuses whatever is moved to it.
[[hosts]]
host = "node1"
memory_mb = 512
disk_gb = 8

[[hosts]]
host = "node2"
memory_mb = 512
disk_gb = 8

[[hosts]]
host = "node3"
memory_mb = 1024
disk_gb = 8
fail_at = ["prep_resize@node3:error"]
"""


class DemoFailed(Exception):
    """The demo can't go on; the text says why. `last_words` is what haulier printed and logged last."""

    last_words: tuple[str, ...] = ()


class LocalCloud:
    """`with LocalCloud() as cloud`: inside it haulier answers, after it nothing of it is left."""

    def __enter__(self) -> "LocalCloud":
        self.directory = Path(tempfile.mkdtemp(prefix="haulier-demo-"))
        self.state = self.directory / "state"
        self._output = self.directory / "up.out"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        self.environment["HAULIER_STATE"] = str(self.state)
        self._up: subprocess.Popen[bytes] | None = None
        try:
            self._start()
        except BaseException as problem:
            self.__exit__(None, problem, None)
            raise
        return self

    def __exit__(self, _kind: object, problem: BaseException | None, _trace: object) -> None:
        if isinstance(problem, DemoFailed):
            problem.last_words = self._last_words()
        self.remove()

    def _start(self) -> None:
        config = self.directory / "demo.toml"
        config.write_text(CONFIG)
        with self._output.open("wb") as output:
            self._up = subprocess.Popen(
                [HAULIER, "up", "--listen", "127.0.0.1:0", "--config", str(config)],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that Ctrl-C reaches us alone, and we end it in the right order
            )
        deadline = time.monotonic() + START_TIMEOUT
        while b"answers at" not in self._output.read_bytes():
            if self._up.poll() is not None:
                raise DemoFailed("haulier ended while it started")
            if time.monotonic() > deadline:
                raise DemoFailed(f"haulier did not start within {START_TIMEOUT:.0f} s")
            time.sleep(0.05)

    def run(self, words: Sequence[str], *, capture: bool = False) -> subprocess.CompletedProcess[str]:
        """Run `haulier WORDS`; what it prints goes to the screen unless it is captured."""
        if self._up is not None and self._up.poll() is not None:
            raise DemoFailed(f"haulier ended by itself, with status {self._up.returncode}")
        where = subprocess.PIPE if capture else None
        return subprocess.run(
            [HAULIER, *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=where,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def _last_words(self, count: int = 15) -> tuple[str, ...]:
        """What haulier printed after its greeting, which has the password in it, and the end of its log."""
        printed = self._output.read_text(errors="replace").rpartition("answers at")
        after = printed[2].partition("Ctrl-C ends haulier")[2] if printed[1] else printed[2]
        log = self.state / "haulier.log"
        logged = log.read_text(errors="replace").splitlines()[-count:] if log.is_file() else []
        return (*after.splitlines()[1:], *logged)

    # -- the end -------------------------------------------------------------------------------------------

    def remove(self) -> None:
        """End haulier, then its guests, then whatever still works below our directory; delete that. May be repeated."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second Ctrl-C must not leave guests behind
        try:
            self._end_up()
            if self.state.exists():
                down = [HAULIER, "down", "--grace", "3"]
                quiet = subprocess.DEVNULL
                subprocess.run(
                    down, env=self.environment, stdin=quiet, stdout=quiet, stderr=quiet, check=False, timeout=30
                )
            for pid in self.processes():
                os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self.directory, ignore_errors=True)
        finally:
            signal.signal(signal.SIGINT, before)

    def _end_up(self) -> None:
        if self._up is None or self._up.poll() is not None:
            return
        self._up.terminate()
        try:
            self._up.wait(15)
        except subprocess.TimeoutExpired:
            self._up.kill()
            self._up.wait()

    def processes(self) -> list[int]:
        """The ids of all processes whose working directory is below ours: QEMU's programs work in a server's folder."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    if (entry / "cwd").readlink().is_relative_to(self.directory):
                        found.append(int(entry.name))
                except OSError:
                    continue  # gone meanwhile, or another user's
        return found
