"""What follows from the books: the claims that must be there, and what business each host has with a server.

Pure, and the only place that says it: the audit compares with it, and the reconcilers sweep by it.
"""

from collections.abc import Collection
from enum import StrEnum

from haulier.conductor.audit.books import Books, Entry, Holder
from haulier.db.store.claims import BY_SERVER
from haulier.model.ids import HostName, ServerId
from haulier.model.migration import Migration, State
from haulier.model.resources import Amounts, in_one_place, less, of_a_copy
from haulier.model.server import TaskState, VmState

HELD_BY_BOTH = frozenset(
    {
        State.PREPARING,
        State.COPYING,
        State.RECEIVING,
        State.SWITCHED,
        State.AWAITS_CONFIRM,
        State.ATTESTING,
        State.REVERT_CHECKING,
        State.REVERTING,
    }
)
"""While these last, source and target are both claimed (I2)."""
GOES_BACK = frozenset({State.RESTORING, State.CANCELLING})
"""The attempt is over and its target released; what the source holds is with the migration until it is as it was."""
HELD_BY_ONE = frozenset({State.REQUESTED, State.CONFIRMING, State.RETURNING}) | GOES_BACK
"""Here there is no target, or it was released already."""

Due = dict[Holder, Amounts]


class Business(StrEnum):
    """What a host has to do with a server."""

    NONE = "none"
    OWNS = "owns"
    """It has the server, and nothing is being done about it."""
    KEEPS = "keeps"
    """It has the disk that a revert would go back to, and runs nothing."""
    BUSY = "busy"
    """It takes part in something that is under way: files, processes and exports may come and go."""


# -- claims ----------------------------------------------------------------------------------------------------


def claims_due(entry: Entry) -> Due | None:
    """What must be claimed for a server, by holder. None when that can't be said: see `why_unsettled`.

    A transition takes its claims with it in one transaction, so this holds in the middle of a move as well.
    """
    if why_unsettled(entry) is not None:
        return None
    if entry.vm_state == VmState.DELETED or entry.host is None:
        return {}
    due = {Holder(entry.host, entry.id, BY_SERVER): entry.flavor.claims()}
    for move in entry.moves:
        _add_claims(due, move)
    counted = {holder: {each: amount for each, amount in amounts.items() if amount} for holder, amounts in due.items()}
    return {holder: amounts for holder, amounts in counted.items() if amounts}


def why_unsettled(entry: Entry) -> str | None:
    """Why nothing can be said of what must be claimed for a server, None if it can.

    A request that was accepted has made its transition, and the conductor does the rest of it when it takes it up.
    A deletion goes by the claims to find whom to tell, and releases each with the host's answer. Nothing is concluded
    from a state that is not known here (a test looks that there is none).
    """
    if entry.task_state == TaskState.DELETING:
        return "it is being deleted"
    request = next((each.step for each in entry.told if each.host is None), None)
    if request is not None:
        return f"{request} was accepted and is not taken up yet"
    strange = next((move for move in entry.moves if move.state not in HELD_BY_BOTH | HELD_BY_ONE), None)
    return f"migration {strange.id} is {strange.state}" if strange is not None else None


def claims_to_release(books: Books) -> list[Holder]:
    """Claims that nothing stands behind (I2). One of a wrong amount is none of them: something does."""
    return [holder for holder in books.claims if not _stands(books.servers.get(holder.server_id), holder)]


def awaits_host(entry: Entry, holder: Holder) -> bool:
    """A claim of a deleted server whose host has not yet said that it deleted its files (I2)."""
    return entry.vm_state == VmState.DELETED and entry.waits_for(holder.host)


def _stands(entry: Entry | None, holder: Holder) -> bool:
    if entry is None:
        return False
    due = claims_due(entry)
    return due is None or holder in due or awaits_host(entry, holder)


def _add_claims(due: Due, move: Migration) -> None:
    source = Holder(move.source, move.server_id, move.id)
    old, new = move.old_flavor.claims(), move.new_flavor.claims()
    if move.state == State.CONFIRMING:
        due[source] = of_a_copy(old)
    elif move.in_place:
        _add_in_place(due, move, source, old, new)
    elif move.state in HELD_BY_BOTH and move.target is not None:
        due.pop(Holder(move.source, move.server_id, BY_SERVER), None)
        due[source] = old
        due[Holder(move.target, move.server_id, BY_SERVER)] = new
    elif move.state in GOES_BACK:
        due.pop(Holder(move.source, move.server_id, BY_SERVER), None)
        due[source] = old


def _add_in_place(due: Due, move: Migration, source: Holder, old: Amounts, new: Amounts) -> None:
    """One host, two holders: the server what its size takes, the migration what is needed beyond that for a revert."""
    server = Holder(move.source, move.server_id, BY_SERVER)
    if move.state in HELD_BY_BOTH:
        due[server], due[source] = new, less(in_one_place(old, new), new)
    elif move.state in GOES_BACK:
        due[server], due[source] = of_a_copy(new), old
    elif move.state == State.RETURNING:
        due[server], due[source] = old, of_a_copy(new)


# -- hosts -----------------------------------------------------------------------------------------------------


def business(entry: Entry, host: HostName) -> Business:
    """What `host` has to do with a server of the books."""
    if entry.waits_for(host) or _deletion_is_not_taken_up(entry):
        return Business.BUSY
    if host not in parties(entry):
        return Business.NONE
    deletes_copy = any(move.state == State.CONFIRMING and move.source == host for move in entry.moves)
    if deletes_copy or why_under_way(entry) is not None:
        return Business.BUSY
    return Business.OWNS if host == entry.host else Business.KEEPS


def _deletion_is_not_taken_up(entry: Entry) -> bool:
    """It was accepted, which ended a move under way, and the hosts that it concerns are still to be told."""
    return entry.task_state == TaskState.DELETING and any(each.host is None for each in entry.told)


def parties(entry: Entry) -> set[HostName]:
    """The hosts that own the server or take part in a move of it, besides those that are still to be told something."""
    if entry.vm_state == VmState.DELETED:
        return set()
    hosts = {entry.host} if entry.host is not None else set()
    for move in entry.moves:
        hosts.add(move.source)
        if move.target is not None and move.state != State.CONFIRMING:  # from there on it is the owner, or was
            hosts.add(move.target)
    return hosts


def why_under_way(entry: Entry) -> str | None:
    """What is being done to a server, None if nothing is: an open window is nothing, nor is a copy to be deleted."""
    move = next((move for move in entry.moves if move.state not in (State.AWAITS_CONFIRM, State.CONFIRMING)), None)
    if move is not None:
        return f"migration {move.id} is {move.state}"
    if entry.task_state is not None:
        return f"it is {entry.task_state}"
    return why_unsettled(entry)


def kept_in_place(entry: Entry) -> set[int]:
    """The migrations for which the server's own host keeps a second disk at present."""
    return {move.id for move in entry.moves if move.in_place and move.state == State.AWAITS_CONFIRM}


# -- what belongs to nobody ------------------------------------------------------------------------------------


def may_discard(entry: Entry | None, host: HostName, holding: Collection[HostName]) -> bool:
    """Whether it is proven that nobody needs what `host` has of a server (I7, I8).

    The proof is the server's own row: it is deleted, or on another host, of which `holding` says that it has the
    disk. A server that the database never heard of proves nothing: rows are never removed, so the database is an
    older one, or the host is another cloud's.
    """
    if entry is None or business(entry, host) is not Business.NONE:
        return False
    return entry.vm_state == VmState.DELETED or (entry.host is not None and entry.host in holding)


def reporting(books: Books) -> dict[ServerId, set[HostName]]:
    """The hosts whose last heartbeat said that they have files of a server, by server."""
    found: dict[ServerId, set[HostName]] = {}
    for name, host in books.hosts.items():
        for guest in host.guests:
            found.setdefault(guest.server_id, set()).add(name)
    return found
