"""The digest of a disk's content: the same for holes and written zeros, and for any layout of the file.

It covers the size and, for each chunk of 4 MiB that is not all zeros, its number and its sha256.
"""

import hashlib
import os
import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence

import msgspec

CHUNK = 4 << 20
_ZEROS = bytes(CHUNK)


class Extent(msgspec.Struct, frozen=True):
    """A part of a disk, as `qemu-img map --output=json` says; `depth` numbers the files from the top layer down."""

    start: int
    length: int
    depth: int
    zero: bool
    data: bool
    present: bool = True
    offset: int | None = None

    @property
    def has_bytes(self) -> bool:
        return self.data and not self.zero


class CantRead(Exception):
    """Part of the disk can't be read directly, being compressed or encrypted."""


class Stopped(Exception):
    """The digest is not wanted any more."""


def digest_of(size: int, extents: Iterable[Extent], files: Sequence[int], stop: threading.Event) -> str:
    """Read and digest a disk of `size` bytes, whose extents lie in the open `files`, one per depth. Blocks.

    Raises:
        CantRead: an extent has bytes but no offset.
        Stopped: `stop` was set.
        OSError: reading failed.
    """
    with_bytes = sorted((extent for extent in extents if extent.has_bytes), key=lambda extent: extent.start)
    ends = [extent.start + extent.length for extent in with_bytes]
    whole = hashlib.sha256(f"haulier disk 1, size {size}, chunk {CHUNK}, sha256\n".encode())
    buffer = bytearray(CHUNK)
    for number, start in enumerate(range(0, size, CHUNK)):
        if stop.is_set():
            raise Stopped
        length = min(CHUNK, size - start)
        first = bisect_left(ends, start + 1)
        if first == len(with_bytes) or with_bytes[first].start >= start + length:
            continue
        buffer[:] = _ZEROS
        for extent in with_bytes[first:]:
            if extent.start >= start + length:
                break
            _read(extent, files, start, memoryview(buffer)[:length])
        if buffer != _ZEROS:
            whole.update(number.to_bytes(8, "big"))
            whole.update(hashlib.sha256(memoryview(buffer)[:length]).digest())
    return whole.hexdigest()


def _read(extent: Extent, files: Sequence[int], start: int, chunk: memoryview) -> None:
    """Read the part of `extent` that lies in the chunk at `start`; beyond the end of a file there are zeros."""
    if extent.offset is None:
        raise CantRead(f"{extent.length} bytes at {extent.start} are compressed or encrypted")
    begin, end = max(extent.start, start), min(extent.start + extent.length, start + len(chunk))
    position = extent.offset + begin - extent.start
    part = chunk[begin - start : end - start]
    while part:
        count = os.preadv(files[extent.depth], [part], position)
        if count == 0:
            return
        part, position = part[count:], position + count
