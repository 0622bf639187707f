"""The settings of one compute agent. Sizes and times carry their unit in the name or in the docstring."""

from enum import StrEnum
from typing import Annotated

import msgspec


class Accelerator(StrEnum):
    AUTO = "auto"
    """KVM where the processor really has it and /dev/kvm is there, else TCG."""
    KVM = "kvm"
    TCG = "tcg"


class ComputeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`state_dir` holds journal, base images and disks; `images_dir` one file per image id, read only.

    `qemu_user` is who QEMU runs as when the agent is root; otherwise it runs as the agent's own user. `address` is
    where other hosts reach this one for moves. `vcpus`, `memory_mb` and `disk_gb` replace what the machine has.
    `fail_at` rehearses failures: `step[@host]:error[:times]`, see `compute/faults.py`.
    """

    host: Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9-._]+$", max_length=255)]
    state_dir: str
    images_dir: str
    zone: str = "nova"
    accelerator: Accelerator = Accelerator.AUTO
    machine_type: str = "pc"
    qemu_user: str = "nobody"
    address: str = "127.0.0.1"
    heartbeat: float = 5.0
    """Seconds between two heartbeats."""
    hello_again: float = 1.0
    """Seconds between two Hellos until the conductor has answered one."""
    power_off_grace: float = 60.0
    """Seconds that a guest gets which the agent stops by itself, since another host owns it now."""
    power_button_again: float = 1.0
    """Seconds between two presses of the power button: a guest that has not enabled it yet misses a press."""
    stall_after: float = 60.0
    """Seconds without a byte of progress after which a copy has failed."""
    start_timeout: float = 30.0
    """Seconds that QEMU may take until it answers."""
    console_bytes: int = 1 << 20
    """How much of each guest's console is kept."""
    vcpu_ratio: float = 4.0
    memory_ratio: float = 1.0
    disk_ratio: float = 1.0
    reserved_vcpus: int = 0
    reserved_memory_mb: int = 512
    reserved_disk_gb: int = 0
    vcpus: int | None = None
    memory_mb: int | None = None
    disk_gb: int | None = None
    shutdown_timeout: float = 60.0
    """Seconds that commands and moves in hand get when the agent is told to end; the rest starts over later."""
    fail_at: tuple[str, ...] = ()
