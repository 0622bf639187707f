"""The second layer of a server that is resized on its host: first a copy, then what is kept of the old disk.

Every change is one link or rename, flushed before the next; the table in `compute/commands/__init__.py` says what each
state between two of them leads to. Nothing here looks into a layer: it is copied as the file that it is.
"""

import asyncio
import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from haulier.compute.driver import HostTrouble, ProgressWatcher, Sent
from haulier.compute.qemu.durable import make_durable, sync_folder
from haulier.compute.qemu.layout import COPY, DISK, KEPT, Layout
from haulier.model.ids import MigrationId, ServerId

_FICLONE = 0x40049409
"""ioctl of file systems that let two files share blocks (XFS, Btrfs): the copy takes no time and, at first, no room."""
_BLOCK = 4 << 20


class _Stopped(Exception):
    """The copy is not wanted any more."""


class Layers:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    async def copy(self, server_id: ServerId, move: MigrationId, watcher: ProgressWatcher) -> Sent:
        """A copy that has its name only when it is whole and durable. Cancelling ends it."""
        loop, stop = asyncio.get_running_loop(), threading.Event()

        def tell(done: Sent) -> None:
            loop.call_soon_threadsafe(watcher, done)

        work = asyncio.create_task(asyncio.to_thread(self._copy, server_id, move, tell, stop))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.gather(work, return_exceptions=True)
            raise

    def _copy(
        self, server_id: ServerId, move: MigrationId, tell: Callable[[Sent], None], stop: threading.Event
    ) -> Sent:
        folder = self._layout.folder(server_id)
        copy = folder / COPY.format(move)
        draft = copy.with_suffix(".part")
        for earlier in (draft, copy):
            earlier.unlink(missing_ok=True)
        with (
            _opened(folder / DISK, os.O_RDONLY) as source,
            _opened(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL) as target,
        ):
            sent = _copy_bytes(source, target, tell, stop)
            os.fsync(target)
        self._layout.hand_over(draft)
        draft.rename(copy)
        sync_folder(folder)
        return sent

    def make_copy_durable(self, server_id: ServerId, move: MigrationId) -> None:
        make_durable(self._layout.folder(server_id) / COPY.format(move))

    def use_copy(self, server_id: ServerId, move: MigrationId) -> None:
        """Raises HostTrouble: there is no copy."""
        folder, disk, copy, kept = self._paths(server_id, move)
        if not (kept.exists() and not kept.samefile(disk)):
            if not copy.exists():
                raise HostTrouble(f"there is no copy of the disk of server {server_id} for move {move}")
            if not kept.exists():
                os.link(disk, kept)
                sync_folder(folder)
            copy.rename(disk)
            sync_folder(folder)
        self._layout.lay_by(kept)

    def has_kept(self, server_id: ServerId, move: MigrationId) -> bool:
        return self._paths(server_id, move)[3].exists()

    def use_kept(self, server_id: ServerId, move: MigrationId) -> None:
        """A rename of two names of one file would do nothing, so then the second one is deleted."""
        folder, disk, copy, kept = self._paths(server_id, move)
        for left in (copy.with_suffix(".part"), copy):
            left.unlink(missing_ok=True)
        if kept.exists():
            if disk.exists() and kept.samefile(disk):
                kept.unlink()
            else:
                self._layout.hand_over(kept)
                kept.rename(disk)
        sync_folder(folder)

    def drop_kept(self, server_id: ServerId, move: MigrationId) -> None:
        folder, _, copy, kept = self._paths(server_id, move)
        for left in (copy.with_suffix(".part"), copy, kept):
            left.unlink(missing_ok=True)
        if folder.exists():
            sync_folder(folder)

    def _paths(self, server_id: ServerId, move: MigrationId) -> tuple[Path, Path, Path, Path]:
        folder = self._layout.folder(server_id)
        return folder, folder / DISK, folder / COPY.format(move), folder / KEPT.format(move)


@contextlib.contextmanager
def _opened(path: Path, how: int) -> Iterator[int]:
    descriptor = os.open(path, how | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _copy_bytes(source: int, target: int, tell: Callable[[Sent], None], stop: threading.Event) -> Sent:
    """Copy a file, holes kept. How far it is counts holes, how much was moved does not."""
    size = os.fstat(source).st_size
    with contextlib.suppress(OSError):
        fcntl.ioctl(target, _FICLONE, source)
        return Sent(size, size)
    os.ftruncate(target, size)
    moved = 0
    for start, end in _data(source, size):
        for position in range(start, end, _BLOCK):
            if stop.is_set():
                raise _Stopped
            moved += _copy_block(source, target, position, min(_BLOCK, end - position))
            tell(Sent(min(position + _BLOCK, end), size))
    return Sent(moved, size)


def _data(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """The stretches of a file that are no holes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:  # ENXIO: from here on there are only holes
            return
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end


def _copy_block(source: int, target: int, position: int, length: int) -> int:
    """Both calls may do less than they were asked to."""
    done = 0
    while done < length:
        data = os.pread(source, length - done, position + done)
        if not data:
            raise HostTrouble("the disk became shorter while it was copied")
        done += os.pwrite(target, data, position + done)
    return length
