"""Whether a flavor can carry an image, or take over from another flavor."""

from typing import Any

from sqlalchemy import Row

from haulier.errors import MemoryTooSmall, NotOffered, RootDiskTooSmall
from haulier.model.flavor import Flavor

GIB = 1 << 30


def has_one_disk(flavor: Flavor) -> None:
    """Check that a flavor asks for no other disk than the root disk: a server would not get it.

    Raises:
        NotOffered: it asks for swap or for an ephemeral disk.
    """
    if flavor.ephemeral_gb or flavor.swap_mb:
        raise NotOffered(f"The swap or ephemeral disk that flavor {flavor.name} asks for")


def carries(flavor: Flavor, image: Row[Any]) -> None:
    """Check a flavor against an image. A root disk of 0 GiB means: as large as the image, so it always fits.

    Raises:
        RootDiskTooSmall, MemoryTooSmall: it is too small for the image's disk, or for what the image asks for.
        NotOffered: as above.
    """
    has_one_disk(flavor)
    of = f"image {image.id}"
    if flavor.memory_mb < image.min_memory_mb:
        raise MemoryTooSmall(flavor.name, flavor.memory_mb, image.min_memory_mb, of)
    needed = max(image.virtual_size or image.size or 0, image.min_disk_gb * GIB)
    if flavor.root_gb and flavor.root_gb * GIB < needed:
        raise RootDiskTooSmall(flavor.name, flavor.root_gb, gib(needed), of)


def takes_over(new: Flavor, old: Flavor, image: Row[Any] | None) -> None:
    """Check the new flavor of a resize: no disk shrinks, none is added, and the image still fits.

    Raises:
        RootDiskTooSmall, MemoryTooSmall, NotOffered: as above.
    """
    has_one_disk(new)
    if new.root_gb < old.root_gb:
        raise RootDiskTooSmall(new.name, new.root_gb, str(old.root_gb), f"its present flavor {old.name}")
    if image is not None:
        carries(new, image)


def gib(size: int) -> str:
    """Bytes in GiB, exact when whole, else rounded up to two decimals so that it never looks as if it fitted."""
    if size % GIB == 0:
        return str(size // GIB)
    hundredths = -(-size * 100 // GIB)
    return f"{hundredths // 100}.{hundredths % 100:02d}"
