"""The command line of a guest's QEMU, and the choice of its accelerator."""

import json
from pathlib import Path

from haulier.compute.qemu.layout import CONSOLE, QMP
from haulier.compute.qemu.nodes import TOP, as_arguments, disk_nodes
from haulier.config.compute import Accelerator
from haulier.model.ids import ServerId
from haulier.wire.to_compute import GuestSpec

PROGRAM = "qemu-system-x86_64"
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


def machine_name(server_id: ServerId) -> str:
    """QEMU's `-name`: with the UUID it proves over QMP whose process this is. The server's own name stays out of it."""
    return f"haulier-{server_id}"


def command_line(server_id: ServerId, guest: GuestSpec, machine_type: str, accelerator: Accelerator) -> list[str]:
    """For a process that works in the server's folder.

    `shutdown=pause` keeps QEMU when the guest powers itself off, so that this is seen even if no agent watched.
    """
    words = [PROGRAM, "-no-user-config", "-nodefaults", "-nic", "none", "-display", "none"]
    words += ["-name", f"guest={machine_name(server_id)}", "-uuid", server_id]
    words += ["-machine", f"type={machine_type},accel={accelerator}"]
    if accelerator is Accelerator.KVM:
        words += ["-cpu", "host"]
    words += ["-m", f"size={guest.memory_mb}M", "-smp", str(guest.vcpus), "-rtc", "base=utc"]
    words += as_arguments(disk_nodes(read_only=False))
    words += ["-device", json.dumps({"driver": "virtio-blk-pci", "drive": TOP, "bootindex": 1})]
    words += ["-chardev", f"file,id=console,path={CONSOLE},append=on", "-serial", "chardev:console"]
    words += ["-qmp", f"unix:{QMP},server=on,wait=off"]
    words += ["-action", "shutdown=pause", "-sandbox", SANDBOX]
    return words


def choose_accelerator(wanted: Accelerator) -> Accelerator:
    """KVM only where the processor has it: /dev/kvm may be there without, and QEMU then takes it and crawls."""
    if wanted is not Accelerator.AUTO:
        return wanted
    flags = set(Path("/proc/cpuinfo").read_text().split())
    usable = Path("/dev/kvm").exists() and bool(flags & {"vmx", "svm"})
    return Accelerator.KVM if usable else Accelerator.TCG
