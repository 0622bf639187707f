"""Whether uploaded bytes are what they are said to be, and safe to give to QEMU.

Reads the file and starts nothing. Formats are told apart by oslo.utils' inspector, which OpenStack made after images
had been used to read files of the host (CVE-2024-32498): an image may name other files, and may hide in another.
"""

from pathlib import Path

from oslo_utils.imageutils.format_inspector import ImageFormatError, InspectWrapper, SafetyCheckFailed

from haulier.api.images import qcow2
from haulier.errors import ImageRefused

DISK_FORMATS = ("raw", "qcow2")

SECTOR = 512

AS_RAW = frozenset({"raw", "gpt", "iso"})
"""What a raw disk may begin with. A boot sector is 'gpt' to the inspector, with or without partitions; a disk that
starts from CD too is 'iso'. QEMU probes for neither, and neither can name a file of the host."""


def inspect(path: Path, disk_format: str) -> int:
    """The size in bytes of the disk that a guest would see.

    Raises:
        ImageRefused: not of that format, or not safe; `why` says which.
    """
    size = path.stat().st_size
    if size == 0:
        raise ImageRefused("it is empty")
    seen, unsafe = _look(path)
    if disk_format == "raw":
        if not seen <= AS_RAW:
            raise ImageRefused(f"it was said to be raw, but it is {_words(seen - AS_RAW)}")
        return -(-size // SECTOR) * SECTOR  # QEMU fills up the last sector with zeros
    if seen != {"qcow2"}:
        raise ImageRefused(f"it was said to be {disk_format}, but it is {_words(seen - {'qcow2'})}")
    if unsafe:
        raise ImageRefused(unsafe)
    return qcow2.check(path)


def _look(path: Path) -> tuple[set[str], str]:
    """All formats that the bytes could be taken for, and what is unsafe about them if they are qcow2."""
    with path.open("rb") as file:
        stream = InspectWrapper(file)
        while stream.formats is None and stream.read(1 << 16):
            pass
        stream.close()
    found = stream.formats or []
    unsafe = ""
    for inspector in found:
        if inspector.NAME == "qcow2":
            try:
                inspector.safety_check()
            except SafetyCheckFailed as failed:
                unsafe = "; ".join(str(failure) for failure in failed.failures.values())
            except ImageFormatError as problem:
                unsafe = str(problem)
    return {str(inspector) for inspector in found}, unsafe


def _words(formats: set[str]) -> str:
    return " and ".join(sorted(formats)) or "something else"
