"""Copy, disk and kept disk as files: what a crash between two changes leaves, and that either way goes on from it."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from haulier.compute.driver import HostTrouble, Sent
from haulier.compute.qemu import layers as module
from haulier.compute.qemu.layers import Layers
from haulier.compute.qemu.layout import Layout
from haulier.model.ids import MigrationId, ServerId

SERVER, MOVE = ServerId("server"), MigrationId(7)
OLD, NEW = b"old" * 1000, b"new" * 1000


class Died(BaseException):
    """The process is gone at this call."""


class Folder:
    def __init__(self, root: Path) -> None:
        layout = Layout(str(root), None)
        layout.make()
        self.path = layout.make_folder(SERVER)
        self.layers = Layers(layout)
        self.write("disk.qcow2", OLD)

    def write(self, name: str, content: bytes) -> None:
        (self.path / name).write_bytes(content)

    def files(self) -> dict[str, bytes]:
        return {each.name: each.read_bytes() for each in self.path.iterdir() if each.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def copied(folder: Folder) -> Folder:
    folder.write("copy.7.qcow2", NEW)
    return folder


def linked(folder: Folder) -> Folder:
    os.link(folder.path / "disk.qcow2", folder.path / "kept.7.qcow2")
    return folder


def swapped(folder: Folder) -> Folder:
    copied(folder).layers.use_copy(SERVER, MOVE)
    return folder


def both(folder: Folder) -> Folder:
    return linked(copied(folder))


STATES: tuple[Callable[[Folder], Folder], ...] = (lambda folder: folder, copied, both, linked, swapped)
NAMES = ("untouched", "copied", "copied-and-linked", "linked", "swapped")


@pytest.mark.parametrize("state", [copied, both, swapped], ids=["copied", "copied-and-linked", "swapped"])
def test_use_copy_ends_the_same_from_every_state(folder: Folder, state: Callable[[Folder], Folder]) -> None:
    state(folder).layers.use_copy(SERVER, MOVE)
    assert folder.files() == {"disk.qcow2": NEW, "kept.7.qcow2": OLD}
    assert (folder.path / "kept.7.qcow2").stat().st_mode & 0o222 == 0, "nobody may write to what is kept"


@pytest.mark.parametrize("state", [STATES[0], linked], ids=["untouched", "linked"])
def test_use_copy_without_a_copy_fails_and_leaves_the_disk(folder: Folder, state: Callable[[Folder], Folder]) -> None:
    with pytest.raises(HostTrouble, match="there is no copy"):
        state(folder).layers.use_copy(SERVER, MOVE)
    assert folder.files()["disk.qcow2"] == OLD


@pytest.mark.parametrize("state", STATES, ids=NAMES)
def test_use_kept_ends_the_same_from_every_state(folder: Folder, state: Callable[[Folder], Folder]) -> None:
    state(folder)
    folder.write("copy.7.part", b"half")
    for _ in range(2):
        folder.layers.use_kept(SERVER, MOVE)
        assert folder.files() == {"disk.qcow2": OLD}
    assert (folder.path / "disk.qcow2").stat().st_mode & 0o600 == 0o600


@pytest.mark.parametrize("call", ["link", "rename", "sync_folder"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_death_at_any_call_of_use_copy_leaves_a_state_both_ways_go_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, after: bool
) -> None:
    for way in ("forward", "back"):
        for count in (1, 2):
            folder = copied(Folder(tmp_path / f"{way}-{count}"))
            with monkeypatch.context() as patched:
                die_at(patched, call, count, after=after)
                try:
                    folder.layers.use_copy(SERVER, MOVE)
                except Died:
                    assert (folder.path / "disk.qcow2").exists(), "the disk is there at every moment"
            if way == "forward":
                folder.layers.use_copy(SERVER, MOVE)
                assert folder.files() == {"disk.qcow2": NEW, "kept.7.qcow2": OLD}
            else:
                folder.layers.use_kept(SERVER, MOVE)
                assert folder.files() == {"disk.qcow2": OLD}


def die_at(patched: pytest.MonkeyPatch, call: str, count: int, *, after: bool) -> None:
    owner = {"link": os, "rename": Path, "sync_folder": module}[call]
    does, seen = getattr(owner, call), [0]

    def dies(*args: object) -> object:
        seen[0] += 1
        if seen[0] == count and not after:
            raise Died
        result = does(*args)
        if seen[0] == count:
            raise Died
        return result

    patched.setattr(owner, call, dies)


def test_another_moves_kept_disk_is_never_put_back(folder: Folder) -> None:
    folder.write("kept.6.qcow2", b"long ago")
    folder.layers.use_kept(SERVER, MOVE)
    assert folder.files() == {"disk.qcow2": OLD, "kept.6.qcow2": b"long ago"}
    assert not folder.layers.has_kept(SERVER, MOVE)


def test_drop_kept_takes_what_is_of_its_move_only(folder: Folder) -> None:
    swapped(folder)
    folder.write("kept.6.qcow2", b"long ago")
    for _ in range(2):
        folder.layers.drop_kept(SERVER, MOVE)
        assert folder.files() == {"disk.qcow2": NEW, "kept.6.qcow2": b"long ago"}
    folder.layers.drop_kept(ServerId("long gone"), MOVE)


async def test_a_copy_is_the_same_bytes_with_the_same_holes(folder: Folder) -> None:
    disk = folder.path / "disk.qcow2"
    with disk.open("wb") as file:
        file.write(b"head")
        file.seek(32 << 20)
        file.write(os.urandom(5 << 20))
        file.truncate(64 << 20)
    heard: list[Sent] = []
    sent = await folder.layers.copy(SERVER, MOVE, heard.append)
    copy = folder.path / "copy.7.qcow2"
    assert copy.read_bytes() == disk.read_bytes()
    assert copy.stat().st_blocks <= disk.stat().st_blocks + 64
    assert sent.total == 64 << 20
    assert sorted(folder.files()) == ["copy.7.qcow2", "disk.qcow2"]


async def test_a_copy_that_is_not_wanted_any_more_ends_and_is_none(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write("disk.qcow2", os.urandom(9 << 20))
    monkeypatch.setattr(module.fcntl, "ioctl", no_clone)
    first = asyncio.Event()
    task = asyncio.create_task(folder.layers.copy(SERVER, MOVE, lambda _: first.set()))
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    left = sorted(folder.files())
    assert left in (["copy.7.part", "disk.qcow2"], ["copy.7.qcow2", "disk.qcow2"])
    await folder.layers.copy(SERVER, MOVE, lambda _: None)
    assert sorted(folder.files()) == ["copy.7.qcow2", "disk.qcow2"]


def no_clone(*_: object) -> None:
    raise OSError("this file system shares no blocks")
