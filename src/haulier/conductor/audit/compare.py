"""Holds the books against themselves and against what hosts have: every violation, and what could not be judged. Pure.

Claims are judged in every state, since a transition takes them with it. Files, processes and exports are judged where
nothing is under way: what a command is changing at the moment is said to be in transition.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from haulier.conductor.audit import due
from haulier.conductor.audit.books import Books, Entry, Holder
from haulier.conductor.audit.due import Business
from haulier.conductor.audit.violations import Kind, found
from haulier.model.ids import HostName, ServerId
from haulier.model.resources import UNITS, Amounts, ResourceClass
from haulier.model.server import VmState
from haulier.wire.to_compute import Census, Presence
from haulier.wire.to_conductor import InTransition, Violation

Censuses = Mapping[HostName, Census]


# -- I2 --------------------------------------------------------------------------------------------------------


def claims(books: Books) -> Iterator[Violation]:
    """Claims that nothing stands behind, that are missing, or of a wrong amount."""
    for holder in due.claims_to_release(books):
        what = f"{_holder(holder)} holds {_amounts(books.claims[holder].amounts)}"
        why = f"{_where(books, holder.server_id)}, and no move needs it (its cause was: {books.claims[holder].cause})"
        yield found(Kind.CLAIM_WITHOUT_CAUSE, holder.host, holder.server_id, what, why, repair=True)
    for entry in books.servers.values():
        for holder, amounts in (due.claims_due(entry) or {}).items():
            yield from _amiss(books, holder, amounts)


def _amiss(books: Books, holder: Holder, needed: Amounts) -> Iterator[Violation]:
    held = books.claims.get(holder)
    if held is None:
        what = f"{_holder(holder)} holds nothing, {_amounts(needed)} must be claimed"
        yield found(Kind.CLAIM_MISSING, holder.host, holder.server_id, what, _where(books, holder.server_id))
    elif {each: amount for each, amount in held.amounts.items() if amount} != dict(needed):
        what = f"{_holder(holder)} holds {_amounts(held.amounts)} instead of {_amounts(needed)}"
        yield found(Kind.CLAIM_AMOUNT, holder.host, holder.server_id, what, _where(books, holder.server_id))


# -- I1, I7, I8 ------------------------------------------------------------------------------------------------


def hosts(books: Books, censuses: Censuses, moving: Collection[ServerId] = ()) -> Iterator[Violation]:
    """What hosts have and must not, or must have and have not. `moving` are servers that changed during the look."""
    there = _by_server(censuses)
    for server_id, at in there.items():
        holding = {host for host, each in at.items() if each.disk}
        for host, each in at.items():
            if server_id not in moving and not each.busy:
                yield from _presence(books, host, each, holding)
    for entry in books.servers.values():
        if entry.id not in moving:
            at = there.get(entry.id, {})
            yield from _twice(entry, at)
            yield from _missing(entry, at, censuses)
    for census in censuses.values():
        yield from _files_of_nobody(books, census, moving)


def _by_server(censuses: Censuses) -> dict[ServerId, dict[HostName, Presence]]:
    there: dict[ServerId, dict[HostName, Presence]] = {}
    for host, census in censuses.items():
        for each in census.servers:
            there.setdefault(each.server_id, {})[host] = each
    return there


def _presence(books: Books, host: HostName, each: Presence, holding: Collection[HostName]) -> Iterator[Violation]:
    entry = books.servers.get(each.server_id)
    business = due.business(entry, host) if entry is not None else Business.NONE
    if each.elsewhere and business is not Business.BUSY:
        yield from _elsewhere(books, host, each)
    each = _in_folder(each)
    if business is Business.NONE:
        yield from _unwanted(books, host, each, holding)
    elif business is not Business.BUSY:
        assert entry is not None
        yield from _beside(books, host, each, entry)
        if business is Business.KEEPS and each.guests:
            why = f"{_where(books, entry.id)}; {host} only keeps the disk for a revert"
            yield found(Kind.GUEST, host, entry.id, f"its guest runs on {host}{_pids(each.guests)}", why)


def _unwanted(books: Books, host: HostName, each: Presence, holding: Collection[HostName]) -> Iterator[Violation]:
    """A host that has no business with a server at all."""
    entry = books.servers.get(each.server_id)
    repair = due.may_discard(entry, host, holding)
    by_hand = None if repair else _no_proof(entry)
    why = f"{_where(books, each.server_id)}, and no move takes part of {host}"
    seen: tuple[tuple[Kind, bool, str], ...] = (
        (Kind.FILES, each.folder, f"{host} has files of it"),
        (Kind.GUEST, bool(each.guests), f"its guest runs on {host}{_pids(each.guests)}"),
        (Kind.EXPORT, bool(each.exports), f"{host} lets its disk be written to{_pids(each.exports)}"),
        (Kind.EXPORT, bool(each.senders), f"{host} sends its disk{_pids(each.senders)}"),
    )
    for kind, there, what in seen:
        if there:
            yield found(kind, host, each.server_id, what, why, repair=repair, by_hand=by_hand)


def _no_proof(entry: Entry | None) -> str:
    if entry is None:
        return "the host may be another cloud's, or the database older than the host"
    return f"{entry.host} does not say that it has the disk, so this may be the only one"


def _beside(books: Books, host: HostName, each: Presence, entry: Entry) -> Iterator[Violation]:
    """What must not be there beside a disk that must."""
    where, by_hand = _where(books, entry.id), "the disk beside it is needed"
    kept = due.kept_in_place(entry) if entry.host == host else set()
    names = [f"kept.{move}.qcow2" for move in each.kept if move not in kept]
    names += [*(f"copy.{move}.qcow2" for move in each.copies), *each.unfinished]
    for name in names:
        yield found(Kind.LAYER, host, entry.id, f"{host} has {name} beside its disk", f"{where}; no move needs it")
    for move in kept - set(each.kept):
        what, why = f"the disk that {host} keeps for a revert is missing", f"migration {move} can still be reverted"
        yield found(Kind.DISK_MISSING, host, entry.id, what, why)
    for pids, does in ((each.exports, "lets its disk be written to"), (each.senders, "sends its disk")):
        if pids:
            what = f"{host} {does}{_pids(pids)}"
            yield found(Kind.EXPORT, host, entry.id, what, f"{where}; no move is under way", by_hand=by_hand)


def _elsewhere(books: Books, host: HostName, each: Presence) -> Iterator[Violation]:
    why = f"{_where(books, each.server_id)}; what haulier starts there works in the server's folder"
    for pid in each.elsewhere:
        if pid in each.guests:
            yield found(Kind.STRAY_GUEST, host, each.server_id, f"{host} runs it a second time{_pids((pid,))}", why)
        else:
            by_hand = "haulier did not start it"
            yield found(
                Kind.EXPORT, host, each.server_id, f"{host} has its disk open{_pids((pid,))}", why, by_hand=by_hand
            )


def _in_folder(each: Presence) -> Presence:
    """Without the processes that do not work in the server's folder."""

    def inside(pids: Sequence[int]) -> tuple[int, ...]:
        return tuple(pid for pid in pids if pid not in each.elsewhere)

    return msgspec.structs.replace(
        each, guests=inside(each.guests), exports=inside(each.exports), senders=inside(each.senders)
    )


def _twice(entry: Entry, at: Mapping[HostName, Presence]) -> Iterator[Violation]:
    """A guest in two processes, on one host or on two that both have business with it: never, whatever is under way."""
    running = {host: _in_folder(each).guests for host, each in at.items() if each.guests}
    running = {host: pids for host, pids in running.items() if due.business(entry, host) is not Business.NONE}
    if sum(len(pids) for pids in running.values()) > 1:
        where = ", ".join(f"{host}{_pids(pids)}" for host, pids in sorted(running.items()))
        yield found(Kind.GUEST_TWICE, min(running), entry.id, f"its guest runs more than once: {where}", _owner(entry))


def _missing(entry: Entry, at: Mapping[HostName, Presence], looked_at: Collection[HostName]) -> Iterator[Violation]:
    """The disk of a server, or what is kept for a revert, on hosts that could be looked at."""
    for host in sorted(host for host in due.parties(entry) if host in looked_at):
        each = at.get(host, Presence(server_id=entry.id))
        business = due.business(entry, host)
        if business in (Business.OWNS, Business.KEEPS) and not each.disk and not each.busy:
            purpose = "" if business is Business.OWNS else " that is kept for a revert"
            what = f"the disk{purpose} is missing on {host}, or its base is"
            yield found(Kind.DISK_MISSING, host, entry.id, what, _owner(entry))


def _files_of_nobody(books: Books, census: Census, moving: Collection[ServerId]) -> Iterator[Violation]:
    trash = [path for path in census.trash if not _being_deleted(books, census, moving, path)]
    for kind, paths, what, why in (
        (Kind.UNKNOWN_FILE, census.unknown, "has", "nothing in haulier makes a file of that name"),
        (Kind.TRASH, trash, "still has", "it was deleted, and is there still"),
        (Kind.UNUSED_BASE, census.unused_bases, "still has", "no disk has rested on it for more than an hour"),
    ):
        for path in paths:
            yield found(kind, census.host, None, f"{census.host} {what} {path} in its state folder", why)


def _being_deleted(books: Books, census: Census, moving: Collection[ServerId], path: str) -> bool:
    """What is in the trash is called `trash/<server>.<random>`; the host answers when it is gone."""
    server_id = ServerId(path.removeprefix("trash/").split(".")[0])
    entry = books.servers.get(server_id)
    busy = any(each.busy for each in census.servers if each.server_id == server_id)
    return busy or server_id in moving or (entry is not None and entry.waits_for(census.host))


# -- what could not be judged ----------------------------------------------------------------------------------


def in_transition(books: Books, censuses: Censuses, moving: Collection[ServerId] = ()) -> Iterator[InTransition]:
    """What is being changed at the moment, by server, and by host where only one is concerned."""
    for entry in books.servers.values():
        why = "it changed during the look" if entry.id in moving else due.why_under_way(entry)
        if why is not None:
            yield InTransition(entry.id, None, why)
            continue
        for told in entry.told:
            if told.host is not None:
                yield InTransition(entry.id, told.host, f"{told.host} has not answered {told.step} yet")
    judged = {entry.id for entry in books.servers.values()}
    for host, census in censuses.items():
        for each in census.servers:
            if each.busy and each.server_id in judged and not books.servers[each.server_id].waits_for(host):
                yield InTransition(each.server_id, host, f"{host} is carrying out a command")


# -- words -----------------------------------------------------------------------------------------------------


def _where(books: Books, server_id: ServerId) -> str:
    entry = books.servers.get(server_id)
    return "the database knows no such server" if entry is None else _owner(entry)


def _owner(entry: Entry) -> str:
    if entry.vm_state == VmState.DELETED:
        return "the server is deleted"
    return f"the server is on {entry.host}" if entry.host is not None else "the server is on no host"


def _holder(holder: Holder) -> str:
    who = f"migration {holder.migration_id}" if holder.migration_id else "the server"
    return f"on {holder.host} {who}"


def _amounts(amounts: Amounts) -> str:
    return ", ".join(f"{amounts[each]} {UNITS[each]}" for each in ResourceClass if amounts.get(each)) or "nothing"


def _pids(pids: Sequence[int]) -> str:
    return f" (process {', '.join(str(pid) for pid in sorted(pids))})"
