"""What the audit makes of books and censuses, on plain data: each kind, and what is let be."""

from typing import Any

import pytest

from haulier.conductor.audit import compare
from haulier.conductor.audit.books import Books, Entry, Held, Holder, Told
from haulier.model.ids import HostName, Incarnation, MigrationId, ServerId
from haulier.model.migration import State
from haulier.model.resources import Amounts
from haulier.model.server import VmState
from haulier.wire.to_compute import Census, Presence
from tests.unit.conductor.test_due import DISK, MEMORY, NEW, OLD_CLAIMS, SERVER, VCPU, A, B, C, move, server

OTHER = ServerId("11111111-1111-4111-8111-111111111111")
WHOLE: dict[str, Any] = {"folder": True, "disk": True}


def books(*entries: Entry, claims: dict[Holder, Amounts] | None = None) -> Books:
    held = {holder: Held(amounts, "a cause") for holder, amounts in (claims or {}).items()}
    return Books(at=0.0, hosts={}, heard_at={}, servers={entry.id: entry for entry in entries}, claims=held)


def has(server_id: ServerId = SERVER, **what: Any) -> Presence:
    return Presence(server_id=server_id, **(WHOLE | what))


def there(**hosts: Presence | None) -> dict[HostName, Census]:
    """What each host has: one server or none."""
    return {HostName(name): census(name, *([each] if each else [])) for name, each in hosts.items()}


def census(name: str, *servers: Presence, **more: Any) -> Census:
    return Census(HostName(name), Incarnation("i"), servers, **more)


def kinds(found: Any) -> list[tuple[str, str | None]]:
    return [(each.kind, each.host) for each in found]


# -- claims ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({Holder(A, SERVER, 0): OLD_CLAIMS}, []),
        ({Holder(A, SERVER, 0): {**OLD_CLAIMS, VCPU: 3}}, [("claim_amount", "a")]),
        ({Holder(A, SERVER, 0): {VCPU: 2, MEMORY: 64}}, [("claim_amount", "a")]),
        ({Holder(A, SERVER, 0): {**OLD_CLAIMS, DISK: 0}}, [("claim_amount", "a")]),
        ({}, [("claim_missing", "a")]),
        ({Holder(A, SERVER, 7): OLD_CLAIMS}, [("claim_without_cause", "a"), ("claim_missing", "a")]),
        (
            {Holder(A, SERVER, 0): OLD_CLAIMS, Holder(B, SERVER, 0): OLD_CLAIMS},
            [("claim_without_cause", "b")],
        ),
        ({Holder(A, SERVER, 0): OLD_CLAIMS, Holder(A, OTHER, 0): OLD_CLAIMS}, [("claim_without_cause", "a")]),
    ],
)
def test_claims(claims: dict[Holder, Amounts], expected: list[tuple[str, str]]) -> None:
    assert kinds(compare.claims(books(server(), claims=claims))) == expected


def test_a_claim_of_a_deleted_server_stands_while_its_host_is_to_delete_it() -> None:
    deleted = {"vm_state": VmState.DELETED, "host": None}
    claims = {Holder(A, SERVER, 0): OLD_CLAIMS}
    assert kinds(compare.claims(books(server(**deleted), claims=claims))) == [("claim_without_cause", "a")]
    waits = server(**deleted, told=(Told("1", A, "delete_server"),))
    assert kinds(compare.claims(books(waits, claims=claims))) == []
    elsewhere = server(**deleted, told=(Told("1", B, "delete_server"),))
    assert kinds(compare.claims(books(elsewhere, claims=claims))) == [("claim_without_cause", "a")]


# -- hosts -----------------------------------------------------------------------------------------------------

STOPPED, RUNS = has(), has(guests=(1,))


@pytest.mark.parametrize(
    ("entry", "hosts", "expected"),
    [
        (server(), there(a=RUNS, b=None), []),
        (server(), there(a=STOPPED), []),
        (server(), there(b=None), []),
        (server(), there(a=None, b=None), [("disk_missing", "a")]),
        (server(), there(a=has(disk=False)), [("disk_missing", "a")]),
        (server(), there(a=RUNS, b=STOPPED), [("files", "b")]),
        (server(), there(a=RUNS, b=has(folder=False, disk=False, guests=(2,))), [("guest", "b")]),
        (server(), there(a=RUNS, b=has(folder=False, disk=False, senders=(2,))), [("export", "b")]),
        (server(), there(a=has(guests=(1, 2))), [("guest_twice", "a")]),
        (server(), there(a=has(guests=(1, 2), elsewhere=(2,))), [("stray_guest", "a")]),
        (server(), there(a=has(exports=(3,), elsewhere=(3,))), [("export", "a")]),
        (server(), there(a=has(exports=(3,))), [("export", "a")]),
        (server(), there(a=has(senders=(3,))), [("export", "a")]),
        (server(), there(a=has(unfinished=("copy.7.part",))), [("layer", "a")]),
        (server(), there(a=has(kept=(MigrationId(7),))), [("layer", "a")]),
        (server(move(State.AWAITS_CONFIRM), host=B, flavor=NEW), there(a=STOPPED, b=RUNS), []),
        (server(move(State.AWAITS_CONFIRM), host=B, flavor=NEW), there(a=None, b=RUNS), [("disk_missing", "a")]),
        (
            server(move(State.AWAITS_CONFIRM), host=B, flavor=NEW),
            there(a=RUNS, b=STOPPED),
            [("guest", "a")],
        ),
        (server(move(State.AWAITS_CONFIRM, A), flavor=NEW), there(a=has(kept=(MigrationId(7),))), []),
        (server(move(State.COPYING)), there(a=has(senders=(1,)), b=has(exports=(2,), disk=False)), []),
        (server(move(State.COPYING)), there(a=RUNS, b=has(guests=(2,))), [("guest_twice", "a")]),
        (server(move(State.COPYING)), there(a=RUNS, b=None, c=STOPPED), [("files", "c")]),
        (server(told=(Told("1", C, "discard_target"),)), there(a=RUNS, c=has(guests=(2,))), [("guest_twice", "a")]),
        (server(told=(Told("1", C, "discard_target"),)), there(a=RUNS, c=STOPPED), []),
        (server(vm_state=VmState.DELETED, host=None), there(a=STOPPED), [("files", "a")]),
        (server(), there(a=RUNS, b=has(busy=True)), []),
        (server(), there(a=has(disk=False, busy=True)), []),
    ],
)
def test_hosts(entry: Entry, hosts: dict[HostName, Census], expected: list[tuple[str, str]]) -> None:
    assert kinds(compare.hosts(books(entry), hosts)) == expected


def test_a_server_that_changed_during_the_look_is_left_out() -> None:
    hosts = there(a=None, b=RUNS)
    assert kinds(compare.hosts(books(server()), hosts)) != []
    assert kinds(compare.hosts(books(server()), hosts, {SERVER})) == []
    assert [each.why for each in compare.in_transition(books(server()), hosts, {SERVER})] == [
        "it changed during the look"
    ]


def test_only_what_is_proven_may_be_repaired() -> None:
    (leftover,) = compare.hosts(books(server()), there(a=RUNS, b=STOPPED))
    assert leftover.repair
    assert "haulier audit --repair" in leftover.remedy
    only_copy, _ = compare.hosts(books(server()), there(a=None, b=STOPPED))
    assert not only_copy.repair
    assert only_copy.remedy.endswith("a does not say that it has the disk, so this may be the only one")
    (unseen,) = compare.hosts(books(server()), there(b=STOPPED))
    assert not unseen.repair, "the owner could not be looked at"
    (stranger,) = compare.hosts(books(), there(a=has(OTHER)))
    assert not stranger.repair
    assert stranger.cause.startswith("the database knows no such server")


def test_what_belongs_to_no_server() -> None:
    left = {"unknown": ("notes",), "trash": (f"trash/{OTHER}.ab12",), "unused_bases": ("base/x.raw",)}
    hosts = {A: census("a", **left)}
    expected = [("unknown_file", "a"), ("trash", "a"), ("unused_base", "a")]
    assert kinds(compare.hosts(books(), hosts)) == expected


def test_what_is_being_deleted_is_no_trash_yet() -> None:
    doomed = server(id=OTHER, vm_state=VmState.DELETED, host=None, told=(Told("1", A, "delete_server"),))
    hosts = {A: census("a", trash=(f"trash/{OTHER}.ab12",))}
    assert kinds(compare.hosts(books(doomed), hosts)) == []
    busy = {A: census("a", Presence(server_id=OTHER, busy=True), trash=(f"trash/{OTHER}.ab12",))}
    assert kinds(compare.hosts(books(), busy)) == []


def test_what_could_not_be_judged_is_named() -> None:
    entries = (
        server(move(State.COPYING)),
        server(id=ServerId("t"), told=(Told("1", C, "discard_target"),)),
        server(id=ServerId("b")),
    )
    busy = {B: census("b", Presence(server_id=ServerId("b"), busy=True))}
    found = [(each.server_id, each.host, each.why) for each in compare.in_transition(books(*entries), busy)]
    assert found == [
        ("s", None, "migration 7 is COPYING"),
        ("t", "c", "c has not answered discard_target yet"),
        ("b", "b", "b is carrying out a command"),
    ]
