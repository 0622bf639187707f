"""Image headers made by hand, sane and otherwise."""

import struct

CLUSTER = 1 << 16


def qcow2(
    *,
    version: int = 3,
    backing_offset: int = 0,
    cluster_bits: int = 16,
    size: int = 1 << 20,
    encryption: int = 0,
    l1_entries: int = 1,
    l1_offset: int = 3 * CLUSTER,
    incompatible: int = 0,
    l1: tuple[int, ...] = (0,),
    l2: tuple[int, ...] = (),
    clusters: int = 6,
) -> bytes:
    """An image of `clusters` clusters: header, reference counts (two), L1, then an L2 table in cluster 4."""
    start = struct.pack(
        ">4sIQIIQIIQQIIQ",
        b"QFI\xfb", version, backing_offset, 8 if backing_offset else 0, cluster_bits, size, encryption,
        l1_entries, l1_offset, CLUSTER, 1, 0, 0,
    ) + struct.pack(">QQQII", incompatible, 0, 0, 4, 104)  # fmt: skip
    content = bytearray(clusters * CLUSTER)
    content[: len(start)] = start
    _put(content, 3 * CLUSTER, struct.pack(f">{len(l1)}Q", *l1))
    _put(content, 4 * CLUSTER, struct.pack(f">{len(l2)}Q", *l2))
    return bytes(content)


def _put(content: bytearray, offset: int, data: bytes) -> None:
    content[offset : offset + len(data)] = data


def vmdk() -> bytes:
    """A sparse VMDK header with its descriptor behind it."""
    descriptor = (
        b'# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicSparse"\n'
        b'RW 2048 SPARSE "disk.vmdk"\n'
    )
    header = struct.pack("<4sIIQQQQIQQQ", b"KDMV", 1, 3, 2048, 128, 1, 20, 512, 0, 21, 128)
    return (header.ljust(512, b"\0") + descriptor.ljust(20 * 512, b"\0")).ljust(1 << 20, b"\0")


def vhd() -> bytes:
    return (b"conectix" + bytes(32) + struct.pack(">Q", 1 << 20)).ljust(4096, b"\0")


def vdi() -> bytes:
    return (b"<<< Oracle VM VirtualBox Disk Image >>>".ljust(64, b"\0") + struct.pack("<I", 0xBEDA107F)).ljust(
        4096, b"\0"
    )


def luks() -> bytes:
    return (b"LUKS\xba\xbe\x00\x01" + b"aes".ljust(32, b"\0")).ljust(1 << 20, b"\0")


def boot_sector(partitions: bytes = bytes(64)) -> bytes:
    return b"\xeb\xfe" + bytes(444) + partitions + b"\x55\xaa"


def iso() -> bytes:
    content = bytearray(64 << 10)
    content[32768:32776] = b"\x01CD001\x01\x00"
    return bytes(content)
