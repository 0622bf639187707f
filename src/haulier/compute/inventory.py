"""What this host has: from the machine itself, unless the settings say otherwise."""

import os
import re
from pathlib import Path

from haulier.compute.driver import HostTrouble
from haulier.config.compute import ComputeSettings
from haulier.model.resources import ResourceClass, Stock
from haulier.wire.events import Inventory

_VERSION = re.compile(r"version (\d+)\.(\d+)\.(\d+)")


def take_inventory(settings: ComputeSettings, hypervisor_version: int) -> Inventory:
    """Totals with their ratios and reserves, and what the file system of `state_dir` really has left."""
    file_system = os.statvfs(settings.state_dir)
    free = file_system.f_bavail * file_system.f_frsize
    return Inventory(_stock(settings, file_system), free, hypervisor_version, _cpu_model(), os.cpu_count() or 1)


def _stock(settings: ComputeSettings, file_system: os.statvfs_result) -> dict[ResourceClass, Stock]:
    vcpus = settings.vcpus if settings.vcpus is not None else os.cpu_count() or 1
    memory_mb = settings.memory_mb if settings.memory_mb is not None else _memory_mb()
    disk_gb = settings.disk_gb
    if disk_gb is None:
        disk_gb = file_system.f_blocks * file_system.f_frsize >> 30
    return {
        ResourceClass.VCPU: Stock(vcpus, settings.vcpu_ratio, settings.reserved_vcpus),
        ResourceClass.MEMORY_MB: Stock(memory_mb, settings.memory_ratio, settings.reserved_memory_mb),
        ResourceClass.DISK_GB: Stock(disk_gb, settings.disk_ratio, settings.reserved_disk_gb),
    }


def version_number(said: str) -> int:
    """QEMU's version as Nova writes it, from what `--version` prints: 7.2.22 is 7002022.

    Raises:
        HostTrouble: there is no version in it.
    """
    match = _VERSION.search(said)
    if match is None:
        raise HostTrouble(f"QEMU does not say its version: {said[:80]!r}")
    major, minor, micro = (int(part) for part in match.groups())
    return major * 1_000_000 + minor * 1_000 + micro


def _memory_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"
