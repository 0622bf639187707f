"""Files that hold secrets: written whole, synced, readable by their owner alone from the first moment on."""

import os
import secrets
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Put `content` at `path` with mode 0600; a reader sees the old file or the new one, whole."""
    draft = _draft(path, content)
    draft.replace(path)
    _sync_folder(path.parent)


def write_once(path: Path, content: bytes) -> None:
    """The same, except that a file which is there already wins: two processes may both try."""
    draft = _draft(path, content)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def _draft(path: Path, content: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
