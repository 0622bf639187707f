"""The bodies of `POST /servers` and `PUT /servers/{id}`."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from haulier.api.bodies.fields import Description, Key, Name, Value, boolean, printable
from haulier.api.bodies.reader import invalid, not_of_type, read
from haulier.api.context import is_uuid
from haulier.errors import NotOffered, TooManyMetadata

METADATA_ITEMS = 128


class NewServer(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Nova's `server` up to 2.18. What haulier does not have is known here, so that `wanted` can refuse it by name."""

    name: Name
    flavor_ref: str | int = msgspec.field(name="flavorRef")
    image_ref: str | None = msgspec.field(name="imageRef", default=None)
    admin_pass: str | None = msgspec.field(name="adminPass", default=None)
    metadata: dict[Key, Value] = {}
    networks: Any = UNSET
    disk_config: Any = msgspec.field(name="OS-DCF:diskConfig", default="MANUAL")
    access_ipv4: str | None = msgspec.field(name="accessIPv4", default=None)
    access_ipv6: str | None = msgspec.field(name="accessIPv6", default=None)
    availability_zone: Name | None = None
    block_device_mapping: list[Any] = []
    block_device_mapping_v2: list[Any] = []
    config_drive: Any = None
    key_name: str | None = None
    min_count: str | int = 1
    max_count: str | int = 1
    return_reservation_id: Any = False
    security_groups: list[dict[str, str]] = []
    personality: list[Any] = []
    user_data: str | None = None


class NewServer219(NewServer, forbid_unknown_fields=True, kw_only=True):
    description: Description | None = None


class NewServer252(NewServer219, forbid_unknown_fields=True, kw_only=True):
    tags: list[str] = []


class Create(msgspec.Struct, frozen=True):
    """What is asked for, in our words. `zone` may still be `zone:host`."""

    name: str
    description: str | None
    flavorid: str
    image_id: str
    zone: str | None
    metadata: dict[str, str]
    disk_config: str
    admin_pass: str | None


class _Whole(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    server: Any
    hints: Any = msgspec.field(name="os:scheduler_hints", default=None)
    old_hints: Any = msgspec.field(name="OS-SCH-HNT:scheduler_hints", default=None)


_whole = read(_Whole)


def create_from(model: type[NewServer], *, networks_required: bool) -> Any:
    """The reader of a create body with `model` as its server."""
    convert = read(model, root="server")

    def body(value: Any) -> Create:
        whole = _whole(value)
        if whole.hints or whole.old_hints:
            raise NotOffered("Placing a server by scheduler hints")
        server = convert(whole.server)
        _networks(server, whole.server, required=networks_required)
        _offered(server)
        return _create(server)

    return body


def _create(server: NewServer) -> Create:
    image_id = _image(server)
    if server.disk_config not in ("AUTO", "MANUAL"):
        why = f"{server.disk_config!r} is not one of ['AUTO', 'MANUAL']"
        raise invalid("OS-DCF:diskConfig", server.disk_config, why)
    description = getattr(server, "description", None)
    return Create(
        name=printable("name", server.name),
        description=server.name if description is None and not hasattr(server, "description") else description,
        flavorid=flavor_ref(server.flavor_ref),
        image_id=image_id,
        zone=server.availability_zone and printable("availability_zone", server.availability_zone),
        metadata=metadata(server.metadata),
        disk_config=str(server.disk_config),
        admin_pass=server.admin_pass,
    )


def metadata(items: dict[str, str]) -> dict[str, str]:
    """Raises TooManyMetadata when there are more than a server may have."""
    if len(items) > METADATA_ITEMS:
        raise TooManyMetadata(METADATA_ITEMS)
    return items


def flavor_ref(value: str | int) -> str:
    """A flavor's id, or the last part of its URL."""
    text = str(value).rstrip("/").rpartition("/")[2]
    if not text or len(text) > 255:
        raise invalid("flavorRef", value, "it is not the id of a flavor")
    return text


def _networks(server: NewServer, raw: Any, *, required: bool) -> None:
    if server.networks is UNSET:
        if required:
            raise invalid("server", raw, "'networks' is a required property")
    elif isinstance(server.networks, list):
        raise NotOffered("Connecting a server to a list of networks")
    elif not required:
        raise invalid("networks", server.networks, not_of_type(server.networks, "array"))
    elif server.networks not in ("auto", "none"):
        raise invalid("networks", server.networks, f"{server.networks!r} is not one of ['none', 'auto']")


def _offered(server: NewServer) -> None:
    """What this version does not have is refused, never left out in silence."""
    for given, what in (
        (server.user_data, "User data"),
        (server.key_name, "A key pair (key_name)"),
        (server.personality, "Injecting files (personality)"),
        (server.block_device_mapping, "Booting with volumes (block_device_mapping)"),
        (server.access_ipv4 or server.access_ipv6, "An access address (accessIPv4, accessIPv6)"),
        (getattr(server, "tags", []), "Tagging a server"),
    ):
        if given:
            raise NotOffered(what)
    if server.config_drive not in (None, "") and boolean("config_drive", server.config_drive):
        raise NotOffered("A config drive")
    if boolean("return_reservation_id", server.return_reservation_id):
        raise NotOffered("A reservation id")
    if any(group != {"name": "default"} for group in server.security_groups):
        raise NotOffered("A security group other than 'default'")
    for field, value in (("min_count", server.min_count), ("max_count", server.max_count)):
        if str(value) != "1":
            raise NotOffered(f"Making several servers with one request ({field} {value!r})")


def _image(server: NewServer) -> str:
    image_id = (server.image_ref or "").rstrip("/").rpartition("/")[2] or None
    for device in server.block_device_mapping_v2:
        image_id = _boot_device(device, image_id)
    if len(server.block_device_mapping_v2) > 1:
        raise NotOffered("More than one block device (block_device_mapping_v2)")
    if image_id is None:
        raise NotOffered("A server without an image (imageRef)")
    if not is_uuid(image_id):
        raise invalid("imageRef", server.image_ref, f"{image_id!r} is not a 'uuid'")
    return image_id


def _boot_device(device: Any, image_id: str | None) -> str:
    """The image of the one entry that stock clients send: the image itself as the local boot disk."""
    known = {"boot_index", "delete_on_termination", "destination_type", "source_type", "uuid"}
    if not isinstance(device, dict):
        raise invalid("block_device_mapping_v2", device, not_of_type(device, "object"))
    plain = (
        set(device) <= known
        and device.get("source_type") == "image"
        and device.get("destination_type", "local") == "local"
        and str(device.get("boot_index", 0)) == "0"
        and device.get("delete_on_termination", True) in (True, "True", "true")
    )
    if not plain:
        raise NotOffered("A block device other than the image's own local disk (block_device_mapping_v2)")
    found = device.get("uuid")
    if not isinstance(found, str) or (image_id is not None and found != image_id):
        raise invalid("uuid", found, "the block device is not the image of imageRef")
    return found


class ServerUpdate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: Name | UnsetType = UNSET
    disk_config: Any = msgspec.field(name="OS-DCF:diskConfig", default=None)
    access_ipv4: str | None = msgspec.field(name="accessIPv4", default=None)
    access_ipv6: str | None = msgspec.field(name="accessIPv6", default=None)


class ServerUpdate219(ServerUpdate, forbid_unknown_fields=True, kw_only=True):
    description: Description | None | UnsetType = UNSET


class _Update(msgspec.Struct, forbid_unknown_fields=True):
    server: Any


_update = read(_Update)


def update_from(model: type[ServerUpdate]) -> Any:
    """The reader of an update body with `model` as its server: the columns to set."""
    convert = read(model, root="server")

    def body(value: Any) -> dict[str, Any]:
        server = convert(_update(value).server)
        if server.access_ipv4 or server.access_ipv6:
            raise NotOffered("An access address (accessIPv4, accessIPv6)")
        columns: dict[str, Any] = {}
        if server.name is not UNSET:
            columns["name"] = printable("name", server.name)
        if getattr(server, "description", UNSET) is not UNSET:
            columns["description"] = getattr(server, "description")  # noqa: B009 - older models have none
        return columns

    return body
