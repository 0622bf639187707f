"""Uploaded bytes are what they are said to be, or they are refused with the reason."""

import shutil
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from haulier.api.images.inspection import inspect
from haulier.errors import ImageRefused
from tests.unit.api_images import crafted
from tests.unit.api_images.crafted import CLUSTER, boot_sector, qcow2

HEAD = 104


def look(tmp_path: Path, content: bytes, disk_format: str) -> int:
    path = tmp_path / "image"
    path.write_bytes(content)
    return inspect(path, disk_format)


def refusal(tmp_path: Path, content: bytes, disk_format: str) -> str:
    with pytest.raises(ImageRefused) as refused:
        look(tmp_path, content, disk_format)
    return refused.value.why


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (boot_sector(), 512),
        (boot_sector() + bytes(512 * 3), 2048),
        (boot_sector(b"\x80\x01\x01\x00\x83\xfe\xff\xff" + struct.pack("<II", 2048, 4096) + bytes(48)), 512),
        (boot_sector(b"\x77" * 64), 512),  # code where a table would be: a boot sector of 510 bytes
        (b"x", 512),
        (b"x" * 513, 1024),
        (bytes(1 << 20), 1 << 20),
        (crafted.iso(), 64 << 10),
        (boot_sector() + crafted.iso()[512:], 64 << 10),
    ],
)
def test_raw(tmp_path: Path, content: bytes, size: int) -> None:
    assert look(tmp_path, content, "raw") == size


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (qcow2(), "qcow2"),
        (qcow2(backing_offset=256), "qcow2"),
        (b"QFI\xfb".ljust(512, b"\0"), "qcow2"),
        (crafted.vmdk(), "vmdk"),
        (crafted.vhd(), "vhd"),
        (crafted.vdi(), "vdi"),
        (crafted.luks(), "luks"),
        (b"QED\0".ljust(4096, b"\0"), "qed"),
    ],
)
def test_said_to_be_raw(tmp_path: Path, content: bytes, kind: str) -> None:
    assert refusal(tmp_path, content, "raw") == f"it was said to be raw, but it is {kind}"


@pytest.mark.parametrize("content", [boot_sector(), bytes(1024), crafted.vmdk(), crafted.iso(), b"QFI", b"QFI\xfb"])
def test_said_to_be_qcow2(tmp_path: Path, content: bytes) -> None:
    assert refusal(tmp_path, content, "qcow2").startswith("it was said to be qcow2, but it is")


@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_empty(tmp_path: Path, disk_format: str) -> None:
    assert refusal(tmp_path, b"", disk_format) == "it is empty"


def test_two_formats_at_once(tmp_path: Path) -> None:
    both = bytearray(qcow2())
    both[510:512] = b"\x55\xaa"
    assert "it is gpt" in refusal(tmp_path, bytes(both), "qcow2")
    assert "it is qcow2" in refusal(tmp_path, bytes(both), "raw")


def test_a_sane_qcow2(tmp_path: Path) -> None:
    assert look(tmp_path, qcow2(size=5 << 20), "qcow2") == 5 << 20
    data = qcow2(l1=(1 << 63 | 4 * CLUSTER,), l2=(1 << 63 | 5 * CLUSTER, 0, 1))
    assert look(tmp_path, data, "qcow2") == 1 << 20


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (qcow2(backing_offset=256), "Image has a backing file"),
        (qcow2(incompatible=1 << 2), "Image has data_file set"),
        (qcow2(incompatible=1 << 4), "Unknown QCOW2 features found"),
        (qcow2(incompatible=1 << 40), "Unknown QCOW2 features found"),
        (qcow2(incompatible=1 << 1), "it is marked as corrupt"),
        (qcow2(version=1), "Unsupported qcow2 version"),
        (qcow2(version=4), "Unsupported qcow2 version"),
        (qcow2(encryption=1), "it is encrypted"),
        (qcow2(encryption=2), "it is encrypted"),
        (qcow2(cluster_bits=8), "its cluster size"),
        (qcow2(cluster_bits=22), "its cluster size"),
        (qcow2(cluster_bits=2**32 - 1), "its cluster size"),
        (qcow2(size=2**63), "its disk is said to have 9223372036854775808 bytes, but its tables have entries for"),
        (qcow2(size=(1 << 29) + 1), "its disk is said to have 536870913 bytes"),
        (qcow2(l1_entries=2**32 - 1), "its disk is said to have"),
        (qcow2(l1_offset=2**64 - 1), "its first table is not in the file"),
        (qcow2(l1=(2**56 - 512,)), "a second table is not in the file"),
        (qcow2(l1=(4 * CLUSTER,), l2=(6 * CLUSTER,)), "data that its tables point at is not in the file"),
        (qcow2(l1=(4 * CLUSTER,), l2=(1 << 62 | 6 * CLUSTER,)), "data that its tables point at is not in the file"),
        (qcow2()[: 2 * CLUSTER - 1], "it is cut off"),
        (qcow2(l1_offset=CLUSTER)[: 2 * CLUSTER - 1], "its table of reference counts is not in the file"),
        (qcow2()[:512], "it is cut off"),
    ],
)  # fmt: skip
def test_qcow2_that_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    assert why in refusal(tmp_path, content, "qcow2")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    head=st.binary(min_size=HEAD, max_size=HEAD),
    keep=st.integers(0, HEAD),
    end=st.integers(0, 6 * CLUSTER),
    disk_format=st.sampled_from(["raw", "qcow2"]),
)
def test_any_header_is_taken_or_refused(tmp_path: Path, head: bytes, keep: int, end: int, disk_format: str) -> None:
    sane = qcow2(l1=(4 * CLUSTER,), l2=(5 * CLUSTER,))
    content = (sane[:keep] + head[keep:] + sane[HEAD:])[:end]
    with suppress(ImageRefused):
        assert look(tmp_path, content, disk_format) > 0 or disk_format == "qcow2"


needs_qemu = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")


def made(path: Path, *words: str) -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *words], check=True)
    return path


@needs_qemu
@pytest.mark.parametrize(
    "options",
    ["compat=0.10", "compat=1.1", "cluster_size=512", "cluster_size=2M", "preallocation=metadata", "lazy_refcounts=on"],
)
def test_what_qemu_makes_is_taken(tmp_path: Path, options: str) -> None:
    path = tmp_path / "image"
    made(path, "-o", options, str(path), "64M")
    assert inspect(path, "qcow2") == 64 << 20


@needs_qemu
@pytest.mark.parametrize("compressed", [True, False])
def test_data_that_qemu_wrote_is_taken_whole_and_refused_cut_off(tmp_path: Path, compressed: bool) -> None:
    raw, path = tmp_path / "raw", tmp_path / "image"
    raw.write_bytes(b"".join(struct.pack(">Q", number * 0x9E3779B97F4A7C15 % 2**64) for number in range(1 << 18)))
    subprocess.run(["qemu-img", "convert", *(["-c"] * compressed), "-O", "qcow2", raw, path], check=True)
    assert inspect(path, "qcow2") == 2 << 20
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    assert "cut off" in refusal_of(path)


@needs_qemu
def test_what_qemu_makes_of_other_files_is_refused(tmp_path: Path) -> None:
    base, overlay, outside = tmp_path / "base", tmp_path / "overlay", tmp_path / "outside"
    made(base, str(base), "1M")
    made(overlay, "-b", str(base), "-F", "qcow2", str(overlay))
    assert "backing file" in refusal_of(overlay)
    made(outside, "-o", f"data_file={tmp_path / 'data'}", str(outside), "1M")
    assert "data_file" in refusal_of(outside)


def refusal_of(path: Path) -> str:
    with pytest.raises(ImageRefused) as refused:
        inspect(path, "qcow2")
    return refused.value.why
