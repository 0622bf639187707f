"""The request can never succeed as it stands."""

from dataclasses import dataclass

from haulier.errors.base import BadInput, HaulierError


@dataclass(eq=False)
class InvalidField(BadInput):
    """A field of a body or a query that does not have the form it must have. `why` is a whole clause."""

    field: str
    value: str
    why: str
    text = "Invalid input for field/attribute {field}. Value: {value}. {why}"


@dataclass(eq=False)
class MalformedBody(BadInput):
    text = "Malformed request body"


@dataclass(eq=False)
class InvalidBody(BadInput):
    """The body as a whole does not have the form it must have. `why` is a whole clause."""

    why: str
    text = "{why}"


@dataclass(eq=False)
class BodyTooLarge(HaulierError):
    limit: int
    text = "The request body is larger than the {limit} bytes that may be sent here."


@dataclass(eq=False)
class InvalidId(BadInput):
    id: str
    text = "Invalid uuid {id}"


@dataclass(eq=False)
class MarkerNotFound(BadInput):
    marker: str
    text = "marker [{marker}] not found"


@dataclass(eq=False)
class VersionMalformed(BadInput):
    version: str
    text = "API Version String {version} is of invalid format. Must be of format MajorNum.MinorNum."


@dataclass(eq=False)
class VersionNotOffered(HaulierError):
    version: str
    minimum: str
    maximum: str
    text = "Version {version} is not supported by the API. Minimum is {minimum} and maximum is {maximum}."


@dataclass(eq=False)
class UnknownFlavor(BadInput):
    """A flavor named in a body (a 400, not a 404: the URL was right)."""

    flavor: str
    text = "Flavor {flavor} could not be found."


@dataclass(eq=False)
class UnknownImage(BadInput):
    """An image named in a body that is not there or not the caller's to see."""

    image: str
    text = "Can not find requested image {image}"


@dataclass(eq=False)
class UnknownZone(BadInput):
    zone: str
    text = "The requested availability zone {zone} is not available: no host is in it."


@dataclass(eq=False)
class TooManyMetadata(HaulierError):
    allowed: int
    text = "Maximum number of metadata items exceeds {allowed}"


@dataclass(eq=False)
class UnknownAction(BadInput):
    action: str
    text = "There is no such action: {action}"


@dataclass(eq=False)
class HostNotFound(BadInput):
    """A named target that no agent ever reported from (a 400, not a 404: the URL was right)."""

    host: str
    text = "Compute host {host} could not be found."


@dataclass(eq=False)
class SameHost(BadInput):
    text = "Cannot migrate to the host where the server exists."


@dataclass(eq=False)
class ForceNeedsHost(BadInput):
    """Requirement 5 of design.md; scenario K7."""

    text = "'force' is true but no host is named: name the target in 'host', or leave 'force' out"


@dataclass(eq=False)
class RootDiskTooSmall(BadInput):
    """`flavor_gb` GiB were offered where `needed_gb` GiB are needed by `of` (an image or the old flavor)."""

    flavor: str
    flavor_gb: int
    needed_gb: str
    of: str
    text = "Flavor {flavor} has a root disk of {flavor_gb} GiB, which is smaller than the {needed_gb} GiB of {of}."


@dataclass(eq=False)
class MemoryTooSmall(BadInput):
    flavor: str
    flavor_mb: int
    needed_mb: int
    of: str
    text = "Flavor {flavor} has {flavor_mb} MiB of memory, which is less than the {needed_mb} MiB that {of} asks for."


@dataclass(eq=False)
class SameFlavor(BadInput):
    text = "When resizing, instances must change flavor!"


@dataclass(eq=False)
class NotOffered(BadInput):
    """A feature of the Compute API that this version does not have; `what` is a noun phrase."""

    what: str
    text = "{what} is not available here yet."


@dataclass(eq=False)
class NotSupported(HaulierError):
    """What Nova itself leaves to the hypervisor, and this one does not tell: clients go on without it."""

    what: str
    text = "{what} is not known to the hypervisor."


@dataclass(eq=False)
class ImageNotActive(BadInput):
    image: str
    status: str
    text = "Image {image} is not active (it is {status}): upload its data first."


@dataclass(eq=False)
class ImageRefused(BadInput):
    """Uploaded bytes that are not safe to open, or not what they were said to be."""

    why: str
    text = "The image was refused: {why}"


@dataclass(eq=False)
class ImageTooLarge(BodyTooLarge):
    text = "The image is larger than the {limit} bytes that may be uploaded here."


@dataclass(eq=False)
class ImageStoreFull(HaulierError):
    text = "There is no room for this image here."


@dataclass(eq=False)
class WrongMediaType(HaulierError):
    """`wanted` is the Content-Type that the route takes."""

    wanted: str
    text = "This takes a body of Content-Type {wanted}."
