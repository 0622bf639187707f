"""A guest of 512 bytes for tests and demonstrations: it counts its boots and its writes on its own disk.

So a lost write or a double start shows. `boot_sector.s` is its source; the bytes are here so that nobody needs an
assembler. It prints BOOT, TICK and DOWN with a number to its serial port, and answers the ACPI power button.
"""

import base64
import struct
from typing import NamedTuple

SECTOR = 512
BLOCK_SECTORS = 64
"""The guest writes blocks of 32 KiB."""

_STATE = struct.Struct("<6I")
_BOOT_SECTOR = base64.b64decode(
    "+jHAjtiOwI7QvAB8+/yIFnx9tELo8gAPgpAAZv8GAH5mxwYEfgAAAAC0Q+jbAHJ7ugIGuAAB775kfWahAH7o7wC6AAbt9sQBdT1m"
    "oWwEZjsGfX11A/Tr6WajfX2oD3UKvmp9ZqEUfujGAGaLDgh+Z+PPZlHoQAByMmZZZ+L0tEPohgByJuu6ZscGBH4BAAAAtEPodABy"
    "FL5wfWahFH7ojwC6BAa4ACDv9Ov9vnZ9Zg+2xOh7AOvxZqEUfmYx0mb3NhB+ZsHiBmYDFgx+ZokWiX1moRR+uwAQjsMx/7lAACZm"
    "iQUmZolVBIHHAALi8ccGg31AAMcGhX0AAMcGh30AEGb/BhR+tEPrG8cGg30BAMcGhX0AfscGh30AAGbHBol9AQAAAL6BfYoWfH2w"
    "AM0Tw2ZQrITAdAXoIwDr9mZauQgAZsHCBIjQJA8EMDw5dgIEJ+gJAOLrsA3oAgCwClK6+APuWsNCT09UIABUSUNLIABET1dOIABG"
    "QUlMIAAAAAAAABAAAQAAfgAAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAVao="
)
_HALT = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jump back to hlt


class GuestState(NamedTuple):
    """`boots` so far; `clean` 1 if it was powered off by its button; `seq` blocks written so far."""

    boots: int
    clean: int
    seq: int


def disk_image(
    size: int = 1 << 20, blocks_per_tick: int = 1, start_lba: int = BLOCK_SECTORS, nblocks: int = 8
) -> bytes:
    """A raw disk of `size` bytes with the guest on it.

    At each tick (18.2 a second) it writes `blocks_per_tick` blocks, round and round over the `nblocks` blocks that
    start at sector `start_lba`, each holding its sequence number in every sector.
    """
    assert size % SECTOR == 0
    assert (start_lba + nblocks * BLOCK_SECTORS) * SECTOR <= size
    state = _STATE.pack(0, 0, blocks_per_tick, start_lba, nblocks, 0)
    return (_BOOT_SECTOR + state).ljust(size, b"\0")


def deaf_disk_image(size: int = 1 << 20) -> bytes:
    """A raw disk whose guest stops at once and never answers its power button."""
    return (_HALT.ljust(SECTOR - 2, b"\0") + b"\x55\xaa").ljust(size, b"\0")


def read_state(start_of_disk: bytes) -> GuestState:
    """What the guest has written about itself, from the first 1024 bytes of its disk."""
    boots, clean, _, _, _, seq = _STATE.unpack_from(start_of_disk, SECTOR)
    return GuestState(boots, clean, seq)


def last_blocks(disk: bytes) -> list[int]:
    """The sequence number in each of the guest's blocks, in the order they lie on the disk."""
    _, _, _, start, count, _ = _STATE.unpack_from(disk, SECTOR)
    blocks = (SECTOR * (start + number * BLOCK_SECTORS) for number in range(count))
    return [struct.unpack_from("<I", disk, position)[0] for position in blocks]
