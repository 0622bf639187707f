"""The flush: what must have reached the disk before this host says so."""

import os
from pathlib import Path


def make_durable(path: Path) -> None:
    """Flush a file and the folder it is in: after this, a loss of power takes neither its bytes nor its name.

    The daemon that wrote it flushed too, but an error of its last flush may not have reached anybody.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
