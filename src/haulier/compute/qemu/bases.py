"""Base images: each fetched once, verified while it is read, kept as a raw file that nobody may write.

An image comes from a user. Before QEMU's tools see it, its header is read here: one that points at another file, or
is encrypted, is refused; it is never probed, and what was hashed is what is converted.
"""

import asyncio
import hashlib
import os
import secrets
import time
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from haulier.compute.driver import HostTrouble
from haulier.compute.qemu.durable import make_durable
from haulier.compute.qemu.tools import run_tool
from haulier.wire.to_compute import ImageRef

_BLOCK = 1 << 20
_ZEROS = bytes(_BLOCK)
UNUSED_FOR = 3600.0
"""Seconds that a base is kept after the last server that rested on it is gone."""


class _Info(msgspec.Struct, rename="kebab"):
    """What `qemu-img info` says; only what matters here."""

    format: str
    backing_filename: str | None = None
    encrypted: bool = False


class Bases:
    def __init__(self, folder: Path, images_dir: Path) -> None:
        self._folder = folder
        self._images = images_dir
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def path(self, image: ImageRef) -> Path:
        return self._folder / f"{image.sha256}.raw"

    async def fetch(self, image: ImageRef) -> Path:
        """The base of an image, made if it is not here yet.

        Raises:
            HostTrouble: the image's file is missing, not what it should be, or of a kind that is not taken.
        """
        base = self.path(image)
        async with self._locks.setdefault(image.sha256, asyncio.Lock()):
            if base.exists():
                os.utime(base)
                return base
            draft = self._folder / f"{image.sha256}.{secrets.token_hex(4)}.part"
            try:
                await self._make(image, draft)
                draft.chmod(0o444)
                draft.rename(base)
                await asyncio.to_thread(make_durable, base)
            finally:
                draft.unlink(missing_ok=True)
        return base

    async def _make(self, image: ImageRef, draft: Path) -> None:
        source = self._images / image.id
        if image.disk_format == "raw":
            await asyncio.to_thread(_copy_verified, source, draft, image)
        elif image.disk_format == "qcow2":
            copy = draft.with_suffix(".qcow2.part")
            try:
                await asyncio.to_thread(_copy_verified, source, copy, image)
                await self._convert(image, copy, draft)
            finally:
                copy.unlink(missing_ok=True)
        else:
            raise HostTrouble(f"image {image.id} is {image.disk_format}; raw and qcow2 are taken", elsewhere=False)

    async def _convert(self, image: ImageRef, copy: Path, draft: Path) -> None:
        complaint = why_refused(_header(copy))
        if complaint is None:
            said = await run_tool(["qemu-img", "info", "--output=json", "-f", "qcow2", copy.name], self._folder)
            info = msgspec.json.decode(said, type=_Info)
            if info.backing_filename is not None or info.encrypted:
                complaint = "it has a backing file or is encrypted"
        if complaint is not None:
            raise HostTrouble(f"image {image.id} was refused: {complaint}", elsewhere=False)
        await run_tool(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", copy.name, draft.name], self._folder)

    def sweep(self, unused_for: float = UNUSED_FOR) -> None:
        """Remove what an earlier agent left half made, and bases that nothing has rested on for a while."""
        for entry in self._folder.iterdir():
            status = entry.stat()
            unused = status.st_nlink == 1 and time.time() - status.st_mtime > unused_for
            if unused:
                entry.unlink()


def why_refused(header: bytes) -> str | None:
    """What makes a qcow2 header one that is not opened at all, or None."""
    if len(header) < 72 or header[:4] != b"QFI\xfb":
        return "it is not qcow2"
    version = int.from_bytes(header[4:8], "big")
    if version not in (2, 3) or (version == 3 and len(header) < 80):
        return f"its qcow2 version {version} is unknown"
    if any(header[8:16]):
        return "it has a backing file"
    if any(header[32:36]):
        return "it is encrypted"
    if version == 3 and header[79] & 4:
        return "its data is in another file"
    return None


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(104)


def _copy_verified(source: Path, target: Path, image: ImageRef) -> None:
    """Copy a file, holes kept, and compare its size and hash with what they should be."""
    digest, size = hashlib.sha256(), 0
    try:
        with source.open("rb") as reader, target.open("wb") as writer:
            while block := reader.read(_BLOCK):
                digest.update(block)
                size += len(block)
                if block == _ZEROS[: len(block)]:
                    writer.seek(len(block), os.SEEK_CUR)
                else:
                    writer.write(block)
            writer.truncate(size)
    except FileNotFoundError:
        raise HostTrouble(f"the base image {image.id} is missing on this host") from None
    if (size, digest.hexdigest()) != (image.size, image.sha256):
        raise HostTrouble(
            f"the base image {image.id} is corrupt on this host: {size} bytes with sha256 {digest.hexdigest()}, "
            f"should be {image.size} bytes with {image.sha256}"
        )
