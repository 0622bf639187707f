"""What a new `haulier up` has in it, so that there is something to boot: three flavors and the tiny guest's image."""

from io import BytesIO
from typing import NamedTuple

from haulier.cli.cloud import Cloud
from haulier.cli.image import upload

IMAGE = "tiny"


class Size(NamedTuple):
    """A flavor for tiny guests; memory in MiB, disk in GiB."""

    name: str
    memory_mb: int
    disk_gb: int


FLAVORS = (Size("m1.nano", 64, 1), Size("m1.tiny", 128, 1), Size("m1.small", 256, 2))


def seed(cloud: Cloud) -> None:
    """Make what is not there yet; what somebody deleted comes back, what they changed stays.

    Raises:
        Problem: the API refused something.
    """
    there = {one["name"] for one in cloud.client.compute("GET", "/flavors/detail", is_public="None")["flavors"]}
    for size in FLAVORS:
        if size.name not in there:
            body = {"name": size.name, "vcpus": 1, "ram": size.memory_mb, "disk": size.disk_gb}
            cloud.client.compute("POST", "/flavors", {"flavor": body})
    if not cloud.client.image("GET", "/images", name=IMAGE)["images"]:
        from haulier.guest_image import disk_image

        upload(cloud, IMAGE, BytesIO(disk_image()), "raw", public=True)
