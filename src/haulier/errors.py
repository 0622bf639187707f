"""Every error the product can mean, as a noun with fields.

Nothing here knows of HTTP: `api/faults.py` holds the one table from error to status and Nova's wording.
The text of an error says what was refused and why; where there is something to do about it, it says that too.
"""

from dataclasses import dataclass, fields
from typing import ClassVar


class HaulierError(Exception):
    """Base of all errors with a meaning. Subclasses are dataclasses and give `text`, a format of their fields."""

    text: ClassVar[str] = "something went wrong"

    def __str__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return self.text.format(**values)


class NotFound(HaulierError):
    """What was named does not exist, or the caller may not know that it does."""


class BadInput(HaulierError):
    """The request can never succeed as it stands."""


class Conflict(HaulierError):
    """The request is fine, the moment is not: the same request may succeed later."""


class Refused(HaulierError):
    """An accepted request that can't be carried out; the reason ends up in its records."""


# -- not found ---------------------------------------------------------------------------------------------


@dataclass(eq=False)
class ServerNotFound(NotFound):
    server: str
    text = "server {server} could not be found"


@dataclass(eq=False)
class FlavorNotFound(NotFound):
    flavor: str
    text = "flavor {flavor} could not be found"


@dataclass(eq=False)
class ImageNotFound(NotFound):
    image: str
    text = "image {image} could not be found"


@dataclass(eq=False)
class MigrationNotFound(NotFound):
    migration: str
    text = "migration {migration} could not be found"


@dataclass(eq=False)
class ActionNotFound(NotFound):
    request_id: str
    text = "action {request_id} could not be found"


@dataclass(eq=False)
class ServiceNotFound(NotFound):
    service: str
    text = "service {service} could not be found"


@dataclass(eq=False)
class HypervisorNotFound(NotFound):
    hypervisor: str
    text = "hypervisor {hypervisor} could not be found"


@dataclass(eq=False)
class NoSuchResource(NotFound):
    """The URL names nothing, or nothing that this microversion knows."""

    text = "The resource could not be found."


@dataclass(eq=False)
class ExtraSpecNotFound(NotFound):
    flavor: str
    key: str
    text = "Flavor {flavor} has no extra specs with key {key}."


@dataclass(eq=False)
class MetadataItemNotFound(NotFound):
    key: str
    text = "Metadata item was not found"


@dataclass(eq=False)
class TagNotFound(NotFound):
    tag: str
    text = "tag {tag} could not be found"


@dataclass(eq=False)
class IdentityNotFound(NotFound):
    """`kind` is user, project or token."""

    kind: str
    id: str
    text = "Could not find {kind}: {id}."


# -- bad input ---------------------------------------------------------------------------------------------


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


# -- conflict ----------------------------------------------------------------------------------------------


@dataclass(eq=False)
class WrongState(Conflict):
    """`attribute` is vm_state or task_state, as Nova names them in this message."""

    action: str
    server: str
    attribute: str
    state: str
    text = "Cannot '{action}' server {server} while it is in {attribute} {state}"


@dataclass(eq=False)
class ServerLocked(Conflict):
    server: str
    text = "server {server} is locked"


@dataclass(eq=False)
class AgentSilent(Conflict):
    """The agent of `host` has not been heard for `seconds` seconds, and nothing can be done there without it."""

    host: str
    seconds: float
    text = "The agent of host {host} has not answered for {seconds:.0f} s. Try again when it is back."


@dataclass(eq=False)
class HostForcedDown(Conflict):
    """An operator said that the host is down; nothing new is begun from or to it until that is taken back."""

    host: str
    text = "Host {host} is marked as down (forced_down). Take that back before you move servers away from it."


@dataclass(eq=False)
class NoConsole(Conflict):
    """`why` is a whole clause."""

    why: str
    text = "There is no console log: {why}"


@dataclass(eq=False)
class AlreadyExists(Conflict):
    what: str
    name: str
    text = "{what} {name} already exists."


@dataclass(eq=False)
class StillUsed(Conflict):
    what: str
    by: str
    text = "{what} is in use by {by}."


@dataclass(eq=False)
class LostRace(Conflict):
    """A compare-and-swap found another value than the one the decision was made on: nothing was written."""

    what: str
    text = "{what} was changed by another request at the same time. Look at it again before you retry."


@dataclass(eq=False)
class ImageHasData(Conflict):
    """Data is uploaded once: only an image that is queued takes some."""

    image: str
    status: str
    text = "Image {image} is {status}: data can be uploaded only while it is queued."


@dataclass(eq=False)
class PropertyNotFound(Conflict):
    """A 409, as Glance has it."""

    name: str
    text = "Property {name} does not exist."


# -- who may ask -------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Unauthenticated(HaulierError):
    text = "This server could not verify that you are authorized to access the document you requested."


@dataclass(eq=False)
class Forbidden(HaulierError):
    rule: str
    text = "Policy doesn't allow {rule} to be performed."


@dataclass(eq=False)
class NotAllowed(HaulierError):
    """What nobody may do as things are, whatever their role. `why` is a sentence."""

    why: str
    text = "{why}"


# -- accepted, then refused --------------------------------------------------------------------------------


@dataclass(eq=False)
class ClaimRefused(Refused):
    """No room: `shortages` says for each resource class what was needed and what is free."""

    host: str
    shortages: str
    text = "host {host} has no room: {shortages}"


@dataclass(eq=False)
class NoValidHost(Refused):
    """`reasons` is one clause per host that was refused."""

    reasons: str
    text = "No valid host was found. {reasons}"


@dataclass(eq=False)
class StepFailed(Refused):
    """A step of a move or of a build failed on a host; `elsewhere` says whether another host could help."""

    step: str
    host: str
    why: str
    elsewhere: bool = True
    text = "{step} failed on {host}: {why}"
