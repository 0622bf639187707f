"""The request is fine, the moment is not."""

from dataclasses import dataclass

from haulier.errors.base import Conflict


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
class AgentStopping(Conflict):
    """The agent of `host` was asked to end: it finishes what it has in hand and takes up nothing new."""

    host: str
    text = "The agent of host {host} is stopping and takes up nothing new. Try again when it has been started again."


@dataclass(eq=False)
class HostForcedDown(Conflict):
    """An operator said that the host is down; nothing new is begun from or to it until that is taken back."""

    host: str
    text = "Host {host} is marked as down (forced_down). Take that back before you move servers away from it."


@dataclass(eq=False)
class TooLateToCancel(Conflict):
    """A move can be cancelled until the target owns the server. `status` is the migration's."""

    migration: int
    status: str
    text = (
        "Migration {migration} is {status}: a move can be cancelled until its target has taken the server over. "
        "From then on, confirm it or revert it."
    )


@dataclass(eq=False)
class MigrationEnded(Conflict):
    migration: int
    status: str
    text = "Migration {migration} has ended, it is {status}: there is nothing left to cancel."


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


@dataclass(eq=False)
class AgentHeard(Conflict):
    """A fence is the word that a host is off; one whose agent still speaks is not."""

    host: str
    seconds: float
    text = (
        "The agent of host {host} was heard {seconds:.0f} s ago: it is not off. "
        "Switch the host off, and fence it when its agent has fallen silent."
    )
