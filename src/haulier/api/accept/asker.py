"""Who asks, for a transaction: what the rules need to know, and what the records keep."""

import msgspec

from haulier.db.engine import Transaction
from haulier.db.store import actions, hosts, servers
from haulier.errors import AgentSilent, AgentStopping, ServerLocked, ServerNotFound, WrongState
from haulier.model.host import Host
from haulier.model.ids import HostName, ProjectId, RequestId, UserId
from haulier.model.server import Server, VmState


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """`sees` is the project whose servers the asker can see, None for all. `down_after` is in seconds of silence."""

    user_id: UserId
    project_id: ProjectId
    request_id: RequestId
    sees: str | None
    is_admin: bool
    down_after: float


def server_of(tx: Transaction, asker: Asker, server_id: str) -> Server:
    """The server of that id, if it is the asker's to see.

    Raises:
        ServerNotFound: it is not, or there is none.
    """
    server = servers.get(tx, server_id)
    if asker.sees is not None and server.project_id != asker.sees:
        raise ServerNotFound(server_id)
    return server


def not_locked(asker: Asker, server: Server) -> None:
    """Raise ServerLocked when the server is locked, unless an administrator asks."""
    if server.locked and not asker.is_admin:
        raise ServerLocked(server.id)


def free(server: Server, action: str, allowed: frozenset[VmState]) -> None:
    """Raise WrongState unless the server is in one of these states and nothing is being done to it."""
    if server.vm_state not in allowed:
        raise WrongState(action, server.id, "vm_state", server.vm_state.value)
    if server.task_state is not None:
        raise WrongState(action, server.id, "task_state", server.task_state.value)


def heard(tx: Transaction, asker: Asker, host: HostName | None) -> Host | None:
    """The host, if its agent can do something for it, whatever an operator said of the host.

    Raises:
        AgentSilent: it has not been heard lately.
        AgentStopping: it was asked to end.
    """
    if host is None:
        return None
    found = hosts.get(tx, host)
    if found.silent_for > asker.down_after:
        raise AgentSilent(host, found.silent_for)
    if found.stopping:
        raise AgentStopping(host)
    return found


def record(tx: Transaction, asker: Asker, server: Server, action: str) -> None:
    """Begin the server's action log of this request."""
    actions.start(tx, server.id, asker.request_id, action, project_id=asker.project_id, user_id=asker.user_id)
