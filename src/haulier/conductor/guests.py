"""What a host must be told to make or run a guest, put together from the server, its flavor and its image."""

from haulier.db.engine import Transaction
from haulier.db.store import images
from haulier.model.flavor import Flavor
from haulier.model.server import Server
from haulier.wire.to_compute import GuestSpec, ImageRef

GIB = 1 << 30


def guest_spec(tx: Transaction, server: Server, flavor: Flavor) -> GuestSpec:
    """The server as a guest of that flavor.

    A deleted image's record and file stay while a server rests on it, so that a move still works (scenario G11).

    Raises:
        ImageNotFound: the image's record is gone.
    """
    image = images.get(tx, server.image_id, deleted=True)
    return GuestSpec(
        name=server.name,
        vcpus=flavor.vcpus,
        memory_mb=flavor.memory_mb,
        root_bytes=flavor.root_gb * GIB or image.virtual_size,
        mac=server.mac,
        image=ImageRef(image.id, image.sha256, image.size, image.disk_format),
    )
