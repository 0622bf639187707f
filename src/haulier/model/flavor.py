"""A flavor: the size of a server."""

import msgspec

from haulier.model.resources import Amounts, ResourceClass


class Flavor(msgspec.Struct, frozen=True):
    """A size as it was when a server took it; a server keeps its own copy, so a deleted flavor hurts nobody.

    `id` is the database's number (Nova's `instance_type_id`), `flavorid` the public id.
    Memory in MiB, disks in GiB, swap in MiB.
    """

    id: int
    flavorid: str
    name: str
    vcpus: int
    memory_mb: int
    root_gb: int
    ephemeral_gb: int = 0
    swap_mb: int = 0
    is_public: bool = True
    disabled: bool = False
    description: str | None = None
    extra_specs: dict[str, str] = {}

    def claims(self) -> Amounts:
        """What a server of this flavor takes of its host; swap is rounded up to a whole GiB as Nova does."""
        disk = self.root_gb + self.ephemeral_gb + -(-self.swap_mb // 1024)
        amounts = {
            ResourceClass.VCPU: self.vcpus,
            ResourceClass.MEMORY_MB: self.memory_mb,
            ResourceClass.DISK_GB: disk,
        }
        return {resource_class: amount for resource_class, amount in amounts.items() if amount}
