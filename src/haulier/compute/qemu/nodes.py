"""How QEMU's programs are told to open a server's disk: every format and every layer named, nothing probed.

A guest may have written anything into its disk, and a broken QEMU anything into the layer's header; what is named
here wins over both.
"""

import json
from typing import Any

from haulier.compute.qemu.layout import BASE, DISK

TOP = "disk"
"""The node that a guest or an export uses."""


def layer_options(layer: str = DISK) -> str:
    """For `qemu-img info`, which looks at one layer and refuses to be told of another."""
    return f"driver=qcow2,file.driver=file,file.filename={layer}"


def image_options(layer: str = DISK) -> str:
    """A layer with its base, for the rest of qemu-img."""
    base = f"backing.driver=raw,backing.read-only=on,backing.file.driver=file,backing.file.filename={BASE}"
    return f"{layer_options(layer)},{base}"


IMAGE_OPTIONS = image_options()
"""The disk that the guest runs on."""


def disk_nodes(read_only: bool) -> list[dict[str, Any]]:
    """The arguments of `blockdev-add`, in order. No node of the base is ever writable, so no commit reaches it."""
    fixed = {"read-only": True, "auto-read-only": False}
    own = {"read-only": read_only, "auto-read-only": False, "discard": "unmap"}
    return [
        {"driver": "file", "node-name": "base-file", "filename": BASE, **fixed},
        {"driver": "raw", "node-name": "base", "file": "base-file", **fixed},
        {"driver": "file", "node-name": "disk-file", "filename": DISK, **own},
        {"driver": "qcow2", "node-name": TOP, "file": "disk-file", "backing": "base", **own},
    ]


def as_arguments(nodes: list[dict[str, Any]]) -> list[str]:
    """The same for a command line."""
    return [word for node in nodes for word in ("-blockdev", json.dumps(node))]
