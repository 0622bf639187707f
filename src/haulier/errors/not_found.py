"""What was named does not exist."""

from dataclasses import dataclass

from haulier.errors.base import NotFound


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
class NoHypervisorMatches(NotFound):
    pattern: str
    text = "No hypervisor matching '{pattern}' could be found."


@dataclass(eq=False)
class NoLiveMigration(NotFound):
    """No move of that number of that server, in the words of Nova, which knows the route for live ones only."""

    migration: str
    server: str
    text = "In-progress live migration {migration} is not found for server {server}."


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
