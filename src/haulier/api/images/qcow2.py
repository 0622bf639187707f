"""What the header and the tables of a qcow2 image must say before QEMU gets to see it (QEMU's docs/interop/qcow2).

The format inspector looks for other files and unknown features. This looks at the rest: encryption, and whether
everything that is pointed at is in the file, so that an upload which was cut off is noticed here and not by a guest.
"""

import array
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple

from haulier.errors import ImageRefused

_HEADER = Struct(">4sIQIIQIIQQIIQ")
_OFFSET = 0x00FF_FFFF_FFFF_FE00
"""Bits of an L1 or L2 entry that are an offset in the file."""
_COMPRESSED = 1 << 62
_CORRUPT = 2
"""Bit of the incompatible features: the tables are known to be wrong."""
MOST_L1_BYTES = 32 << 20
"""QEMU opens no image with a larger first table."""


class Header(NamedTuple):
    magic: bytes
    version: int
    backing_offset: int
    backing_size: int
    cluster_bits: int
    size: int
    encryption: int
    l1_entries: int
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    snapshots: int
    snapshots_offset: int


def check(path: Path) -> int:
    """The size in bytes of the disk in the image.

    Raises:
        ImageRefused: encrypted, corrupt, cut off, or with tables that contradict each other.
    """
    end = path.stat().st_size
    with path.open("rb") as file:
        header = _read_header(file)
        _check_header(header, end)
        _check_tables(file, header, end)
    return header.size


def _read_header(file: BinaryIO) -> Header:
    start = file.read(104)
    if len(start) < 104 or start[:4] != b"QFI\xfb":
        raise ImageRefused("its qcow2 header is cut off")
    header = Header(*_HEADER.unpack(start[: _HEADER.size]))
    if header.version not in (2, 3):
        raise ImageRefused(f"qcow2 version {header.version} is not supported")
    features = int.from_bytes(start[72:80], "big") if header.version == 3 else 0
    if features & _CORRUPT:
        raise ImageRefused("it is marked as corrupt: repair it with qemu-img check -r all first")
    return header


def _check_header(header: Header, end: int) -> None:
    if header.encryption:
        raise ImageRefused("it is encrypted")
    if header.backing_offset or header.backing_size:
        raise ImageRefused("it has a backing file")
    if not 9 <= header.cluster_bits <= 21:
        raise ImageRefused(f"its cluster size, 2 to the {header.cluster_bits}, is out of range")
    covered = header.l1_entries << (2 * header.cluster_bits - 3)
    if header.l1_entries * 8 > MOST_L1_BYTES or header.size > covered:
        raise ImageRefused(f"its disk is said to have {header.size} bytes, but its tables have entries for {covered}")
    if header.l1_offset + header.l1_entries * 8 > end:
        raise ImageRefused("it is cut off: its first table is not in the file")
    if header.refcount_offset + (header.refcount_clusters << header.cluster_bits) > end:
        raise ImageRefused("it is cut off: its table of reference counts is not in the file")


def _check_tables(file: BinaryIO, header: Header, end: int) -> None:
    cluster = 1 << header.cluster_bits
    # A set, so that the work is bounded by the file's size whatever the first table says.
    for table in {entry & _OFFSET for entry in _entries(file, header.l1_offset, header.l1_entries)} - {0}:
        if table + cluster > end:
            raise ImageRefused("it is cut off: a second table is not in the file")
        for entry in _entries(file, table, cluster // 8):
            if _reach(entry, header.cluster_bits) > end:
                raise ImageRefused("it is cut off: data that its tables point at is not in the file")


def _reach(entry: int, cluster_bits: int) -> int:
    """The first byte after what an L2 entry must have in the file; 0 where it points at nothing."""
    if entry & _COMPRESSED:
        offset_bits = 62 - (cluster_bits - 8)
        # Its length is in sectors that need not be full: only the first byte is sure to be there.
        return (entry & ((1 << offset_bits) - 1)) + 1
    offset = entry & _OFFSET
    # The last cluster may be shorter in the file than it is on the disk.
    return offset + 1 if offset else 0


def _entries(file: BinaryIO, offset: int, count: int) -> Sequence[int]:
    file.seek(offset, os.SEEK_SET)
    table = array.array("Q", file.read(count * 8))
    if sys.byteorder == "little":
        table.byteswap()
    return table
