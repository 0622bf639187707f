"""A guest's console log: QEMU appends to it, this keeps it short and reads its end."""

import os
from pathlib import Path

from haulier.compute.qemu.layout import CONSOLE, CONSOLE_BEFORE

_CAREFULLY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""QEMU's user owns the folder of the log: what is there may be a link or a pipe by now."""


def trim(folder: Path, limit: int) -> None:
    """Keep the older part aside and empty the file once it is longer than half of `limit` bytes.

    QEMU has it open for appending, so it goes on writing at the new end. What it writes between the copy and the
    truncation is lost: a few bytes of a log.
    """
    content = _end_of(folder / CONSOLE, limit // 2)
    if len(content) < limit // 2:
        return
    (folder / CONSOLE_BEFORE).write_bytes(content)
    descriptor = os.open(folder / CONSOLE, os.O_WRONLY | _CAREFULLY)
    try:
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def read(folder: Path, lines: int | None, limit: int) -> str:
    """The last `lines` lines, or all that is kept: at most `limit` bytes."""
    content = _end_of(folder / CONSOLE_BEFORE, limit) + _end_of(folder / CONSOLE, limit)
    text = content[-limit:].decode(errors="replace").replace("\r\n", "\n")
    if lines is None:
        return text
    return "".join(text.splitlines(keepends=True)[-lines:]) if lines > 0 else ""


def _end_of(path: Path, limit: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | _CAREFULLY)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        file.seek(max(0, os.fstat(descriptor).st_size - limit))
        return file.read(limit)
