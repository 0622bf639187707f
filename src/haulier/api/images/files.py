"""The folder of image files: `<id>` is an image's data, whole and synced; `.<id>.<random>.part` is one on its way.

Knows nothing of records. Everything here blocks, and is called in a thread.
"""

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from haulier.errors import ImageStoreFull, ImageTooLarge


class Digests(NamedTuple):
    """Hexadecimal."""

    md5: str
    sha256: str
    sha512: str


class ImageFolder:
    """`folder` must be on one file system; `max_bytes` is the largest image."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def path(self, image_id: str) -> Path:
        return self.folder / image_id

    def begin(self, image_id: str) -> "Incoming":
        """A place for data on its way."""
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        return Incoming(self, image_id)

    def remove(self, image_id: str) -> None:
        """The data of an image, if there is any."""
        self.path(image_id).unlink(missing_ok=True)

    def stored(self) -> list[str]:
        """The ids of all images that have data here."""
        if not self.folder.is_dir():
            return []
        return [entry.name for entry in self.folder.iterdir() if not entry.name.startswith(".")]

    def drop_parts(self) -> None:
        """What uploads left behind that a stop cut off. To be called while there is no upload."""
        for part in self.folder.glob(".*.part"):
            part.unlink(missing_ok=True)


class Incoming:
    """Data on its way: written, hashed and counted; then kept under the image's id or discarded."""

    def __init__(self, folder: ImageFolder, image_id: str) -> None:
        self._folder = folder
        self._image_id = image_id
        self.path = folder.folder / f".{image_id}.{secrets.token_hex(8)}.part"
        self._file = open(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0)  # noqa: SIM115
        self._hashes = (hashlib.md5(usedforsecurity=False), hashlib.sha256(), hashlib.sha512())
        self.size = 0

    def write(self, data: bytes) -> None:
        """Add `data` at the end.

        Raises:
            ImageTooLarge, ImageStoreFull: it does not fit.
        """
        self.size += len(data)
        if self.size > self._folder.max_bytes:
            raise ImageTooLarge(self._folder.max_bytes)
        with _told_when_full():
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        for each in self._hashes:
            each.update(data)

    def digests(self) -> Digests:
        md5, sha256, sha512 = (each.hexdigest() for each in self._hashes)
        return Digests(md5, sha256, sha512)

    def keep(self) -> None:
        """Put the data where the agents look for it. When this returns, it stays there whatever happens."""
        with _told_when_full():
            os.fsync(self._file.fileno())
        os.fchmod(self._file.fileno(), 0o644)
        self._file.close()
        self.path.rename(self._folder.path(self._image_id))
        descriptor = os.open(self._folder.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def discard(self) -> None:
        """Leave nothing, if it was not kept."""
        self._file.close()
        self.path.unlink(missing_ok=True)


@contextmanager
def _told_when_full() -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ImageStoreFull() from None
        raise
