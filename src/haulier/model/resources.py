"""What a host has and a server takes: resource classes, amounts, capacity."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class ResourceClass(StrEnum):
    VCPU = "VCPU"
    MEMORY_MB = "MEMORY_MB"
    DISK_GB = "DISK_GB"


UNITS = {ResourceClass.VCPU: "VCPU", ResourceClass.MEMORY_MB: "MiB of memory", ResourceClass.DISK_GB: "GiB of disk"}

BOTH_COPIES = frozenset({ResourceClass.DISK_GB})
"""Classes of which a copy takes as much as what is copied, whether it runs or not."""

Amounts = Mapping[ResourceClass, int]
"""How much of each class; a class that is absent counts as none."""


class Stock(msgspec.Struct, frozen=True):
    """What a host has of one resource class."""

    total: int
    ratio: float = 1.0
    reserved: int = 0

    @property
    def capacity(self) -> int:
        """What may be claimed at most: total x ratio - reserved (the Force table of design.md)."""
        return max(0, int(self.total * self.ratio) - self.reserved)


class Shortage(msgspec.Struct, frozen=True):
    """One class of which a host has less than what was asked."""

    resource_class: ResourceClass
    needed: int
    free: int

    def __str__(self) -> str:
        return f"needs {self.needed} {UNITS[self.resource_class]}, has {self.free} free"


def shortages(stock: Mapping[ResourceClass, Stock], used: Amounts, wanted: Amounts) -> list[Shortage]:
    """What is missing for `wanted` on a host that has `stock` and of which `used` is claimed; empty when it fits."""
    missing = []
    for resource_class, amount in wanted.items():
        held = stock.get(resource_class)
        free = (held.capacity if held else 0) - used.get(resource_class, 0)
        if amount > free:
            missing.append(Shortage(resource_class, amount, max(0, free)))
    return missing


def less(amounts: Amounts, taken: Amounts) -> Amounts:
    """`amounts` without `taken`; never below none."""
    return {each: max(0, amount - taken.get(each, 0)) for each, amount in amounts.items()}


def in_one_place(old: Amounts, new: Amounts) -> Amounts:
    """What a server needs in all of a host on which it is resized, from the claim until confirm or revert (I2).

    Only one of the two sizes runs, and a revert must always fit: the larger one of each class. Of what is in
    BOTH_COPIES both are needed, since both are there.
    """
    wanted = {}
    for each in ResourceClass:
        pair = (old.get(each, 0), new.get(each, 0))
        wanted[each] = sum(pair) if each in BOTH_COPIES else max(pair)
    return {each: amount for each, amount in wanted.items() if amount}


def of_a_copy(amounts: Amounts) -> Amounts:
    """What of these amounts a copy takes that does not run."""
    return {each: amount for each, amount in amounts.items() if each in BOTH_COPIES}


def describe(missing: list[Shortage]) -> str:
    """A clause for a person: `needs 4096 MiB of memory, has 1024 free; needs ...`."""
    return "; ".join(str(shortage) for shortage in missing)
