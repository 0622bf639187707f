"""The audit with real QEMU: processes, folders and exports that were put there behind haulier's back are found."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from haulier.compute.qemu.process import PROGRAM, machine_name
from haulier.compute.qemu.storage_daemon import PROGRAM as STORAGE_DAEMON
from haulier.model.ids import ServerId
from tests.functional.cloud import Cloud, settings
from tests.functional.test_audit import audit, wrong
from tests.guest.real import real
from tests.guest.test_move import folder

pytestmark = pytest.mark.guest
HOSTS = ("node1", "node2", "node3")
SOCKET = "run/planted.sock"


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    """No sweep runs: what was planted stays."""
    async with real(settings(tmp_path, HOSTS, sweep_every=3600.0)) as made:
        made.audits = False
        yield made


class Planted:
    """Programs of QEMU's, started by nobody that haulier knows."""

    def __init__(self) -> None:
        self.running: list[subprocess.Popen[bytes]] = []

    def guest(self, server: str, where: Path) -> int:
        """A machine without a disk, under a server's UUID and name."""
        words = ["-S", "-machine", "none", "-nodefaults", "-display", "none", "-uuid", server]
        return self._start([PROGRAM, *words, "-name", f"guest={machine_name(ServerId(server))}"], where)

    def export(self, disk: Path, where: Path) -> int:
        """The disk, writable by whoever finds the socket."""
        node = f"driver=file,node-name=planted,filename={disk},locking=off"
        server = f"addr.type=unix,addr.path={SOCKET}"
        (where / SOCKET).parent.mkdir(exist_ok=True)
        share = "type=nbd,id=planted,node-name=planted,writable=on"
        words = ["--blockdev", node, "--nbd-server", server, "--export", share]
        return self._start([STORAGE_DAEMON, *words], where)

    def _start(self, words: list[str], where: Path) -> int:
        self.running.append(subprocess.Popen(words, cwd=where))
        return self.running[-1].pid

    def end(self) -> None:
        for one in self.running:
            one.kill()
            one.wait()


@pytest.fixture
def planted() -> Iterator[Planted]:
    made = Planted()
    yield made
    made.end()


async def opened(pid: int, path: Path) -> None:
    """Wait until a process has a file open; it has then been started for good."""
    async with asyncio.timeout(20):
        while str(path) not in {_target(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}:  # noqa: ASYNC110 - /proc
            await asyncio.sleep(0.01)


def _target(entry: Path) -> str:
    try:
        return os.readlink(entry)
    except OSError:
        return ""


async def test_a_move_with_real_guests_leaves_nothing(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    assert (await audit(cloud))["clean"]
    await cloud.move(server, "node2")
    assert (await audit(cloud))["clean"], "the kept disk on node1 has its reason"
    await cloud.confirm(server)
    report = await audit(cloud)
    assert report["clean"], report


async def test_a_second_process_under_a_servers_uuid(cloud: Cloud, planted: Planted, tmp_path: Path) -> None:
    """It works somewhere else, where nothing that haulier does to the server's folder would ever find it."""
    server = await cloud.create(host="node1")
    pid = planted.guest(server, tmp_path)
    report = await audit(cloud)
    seen = {(each["kind"], each["server_id"]) for each in report["violations"]}
    assert seen == {("stray_guest", server)}, report
    assert all(f"(process {pid})" in each["what"] for each in report["violations"])
    assert not any(each["repair"] for each in report["violations"])
    assert (await audit(cloud, repair=True))["repaired"] == []
    assert planted.running[0].poll() is None, "what haulier did not start it does not end"


async def test_a_guest_on_a_host_that_has_no_business_with_it(cloud: Cloud, planted: Planted) -> None:
    server = await cloud.create(host="node1")
    where = folder(cloud, "node3", server)
    where.mkdir()
    pid = planted.guest(server, where)
    assert sorted(await wrong(cloud)) == [("files", "node3", server), ("guest", "node3", server)]
    assert len((await audit(cloud, repair=True))["repaired"]) == 2

    async with asyncio.timeout(20):
        while not (await audit(cloud))["clean"]:  # noqa: ASYNC110 - the host answers when it is done
            await asyncio.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
    assert not where.exists()
    assert (folder(cloud, "node1", server) / "disk.qcow2").exists()


async def test_a_stray_folder(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    shutil.copytree(
        folder(cloud, "node1", server), folder(cloud, "node2", server), ignore=shutil.ignore_patterns("run")
    )
    assert await wrong(cloud) == [("files", "node2", server)]


@pytest.mark.parametrize("works_in_the_folder", [True, False])
async def test_a_stray_export(cloud: Cloud, planted: Planted, tmp_path: Path, works_in_the_folder: bool) -> None:
    """Of the disk of a server that is at rest: by where the process works, or by the file that it has open."""
    server = await cloud.create(host="node1")
    await cloud.stop(server)
    disk = folder(cloud, "node1", server) / "disk.qcow2"
    await opened(planted.export(disk, disk.parent if works_in_the_folder else tmp_path), disk)
    assert await wrong(cloud) == [("export", "node1", server)]
    planted.end()
    (disk.parent / SOCKET).unlink(missing_ok=True)
    assert (await audit(cloud))["clean"]


async def test_files_that_are_none_of_hauliers_are_said_and_left(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    state = folder(cloud, "node1", server).parent.parent
    planted = [state / "notes.txt", state / "servers" / "backup", folder(cloud, "node1", server) / "disk.bak"]
    for path in planted:
        path.write_text("mine")
    report = await audit(cloud, repair=True)
    paths = [each["what"] for each in report["violations"] if each["kind"] == "unknown_file"]
    assert len(paths) == len(report["violations"]) == 3
    for path in planted:
        assert any(str(path.relative_to(state)) in each for each in paths)
        assert path.exists()
    assert report["repaired"] == []


async def test_what_the_trash_still_has_and_half_a_copy(cloud: Cloud, planted: Planted) -> None:
    server = await cloud.create(host="node1")
    state = folder(cloud, "node1", server).parent.parent
    (state / "trash" / f"{server}.abcd").mkdir()
    (folder(cloud, "node1", server) / "copy.7.part").write_bytes(b"half")
    assert sorted(await wrong(cloud), key=str) == [("layer", "node1", server), ("trash", "node1", None)]
    planted.guest(server, state / "trash" / f"{server}.abcd")
    assert ("stray_guest", "node1", server) in await wrong(cloud), "no discard would end it"
