"""Digest and flush: what a disk holds, whatever its file looks like, and that it is on stable storage."""

import json
import os
import random
import subprocess
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from haulier.compute.qemu import durable
from haulier.compute.qemu.digest import CHUNK, CantRead, Extent, Stopped, digest_of
from haulier.compute.qemu.durable import make_durable
from haulier.compute.qemu.nodes import IMAGE_OPTIONS

SIZE = 3 * CHUNK - 512


def digest(folder: Path, names: list[str], extents: list[Extent], size: int = SIZE) -> str:
    files = [os.open(folder / name, os.O_RDONLY) for name in names]
    try:
        return digest_of(size, extents, files, threading.Event())
    finally:
        for descriptor in files:
            os.close(descriptor)


def of_raw(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return digest(folder, [name], [Extent(0, len(content), 0, False, True, True, 0)], len(content))


def some_content() -> bytes:
    """Zeros with bytes here and there, across the borders of chunks, and the middle chunk all zeros."""
    content = bytearray(SIZE)
    noise = random.Random(1)
    for start, length in ((0, 700), (65536 * 3 - 10, 5000), (CHUNK - 100, 100), (2 * CHUNK, 4096), (SIZE - 512, 512)):
        content[start : start + length] = noise.randbytes(length)
    return bytes(content)


def tool(folder: Path, *argv: str) -> str:
    return subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_every_layout_has_the_same_digest(tmp_path: Path) -> None:
    content = some_content()
    wanted = of_raw(tmp_path, "flat.raw", content)
    (tmp_path / "base.raw").write_bytes(content[: CHUNK // 2].replace(b"\0", b"\1"))
    overlay = ["-f", "qcow2", "-F", "raw", "-b", "base.raw", "disk.qcow2", str(SIZE)]
    tool(tmp_path, "qemu-img", "create", "-q", *overlay)
    to_overlay = ["-n", "-f", "raw", "--target-image-opts", "flat.raw", IMAGE_OPTIONS]
    tool(tmp_path, "qemu-img", "convert", *to_overlay)
    said = tool(tmp_path, "qemu-img", "map", "--output=json", "--image-opts", IMAGE_OPTIONS)
    extents = msgspec.json.decode(said, type=list[Extent])
    assert len(extents) > 3
    assert digest(tmp_path, ["disk.qcow2", "base.raw"], extents) == wanted
    random.Random(2).shuffle(extents)
    assert digest(tmp_path, ["disk.qcow2", "base.raw"], extents) == wanted


def test_holes_and_written_zeros_are_the_same(tmp_path: Path) -> None:
    content = some_content()
    wanted = of_raw(tmp_path, "flat.raw", content)
    pieces = [(start, content[start : start + 512]) for start in range(0, SIZE, 512)]
    extents = [Extent(start, 512, 0, not any(piece), any(piece), True, start) for start, piece in pieces]
    assert digest(tmp_path, ["flat.raw"], extents) == wanted


@pytest.mark.parametrize("place", [0, 511, CHUNK - 1, CHUNK, 2 * CHUNK - 1, SIZE - 1])
def test_one_bit_changes_it(tmp_path: Path, place: int) -> None:
    content = bytearray(some_content())
    before = of_raw(tmp_path, "a", bytes(content))
    content[place] ^= 1
    assert of_raw(tmp_path, "a", bytes(content)) != before


def test_the_size_counts(tmp_path: Path) -> None:
    assert of_raw(tmp_path, "a", bytes(CHUNK)) != of_raw(tmp_path, "a", bytes(CHUNK + 512))
    swapped = bytes(CHUNK) + b"\1" * CHUNK
    assert of_raw(tmp_path, "a", swapped) != of_raw(tmp_path, "a", swapped[::-1])


def test_a_file_that_ends_early_reads_as_zeros(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"x" * 700)
    short = digest(tmp_path, ["short"], [Extent(0, 1024, 0, False, True, True, 0)], 1024)
    assert short == of_raw(tmp_path, "a", (b"x" * 700).ljust(1024, b"\0"))


def test_what_can_not_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(CantRead):
        digest(tmp_path, ["a"], [Extent(0, 512, 0, False, True)])


def test_it_can_be_stopped() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        digest_of(SIZE, [], [], stop)


def test_extents_are_read_as_qemu_img_says_them() -> None:
    said = '{"start": 0, "length": 512, "depth": 1, "present": true, "zero": false, "data": true, "offset": 9, "x": 1}'
    assert msgspec.convert(json.loads(said), Extent) == Extent(0, 512, 1, False, True, True, 9)


def test_file_and_folder_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"x")
    flushed: list[int] = []

    def observed(descriptor: int, fsync: Any = os.fsync) -> None:
        flushed.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(durable.os, "fsync", observed)
    make_durable(disk)
    assert flushed == [disk.stat().st_ino, tmp_path.stat().st_ino]
