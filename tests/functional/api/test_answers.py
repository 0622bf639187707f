"""What `migrate`, `confirmResize` and `revertResize` answer: as a Nova does, and where haulier differs on purpose."""

from typing import Any, NamedTuple

import pytest

from haulier.model.migration import State
from haulier.model.server import TaskState, VmState
from haulier.wire import subjects
from tests.functional.api.compute_api import ADMIN, MANAGER, MEMBER, OTHER, SERVER, ComputeApi

OLD, BEFORE, SINCE = "2.1", "2.55", "2.56"
MIGRATE_RULE = "Policy doesn't allow os_compute_api:os-migrate-server:migrate to be performed."
HOST_RULE = "Policy doesn't allow os_compute_api:os-migrate-server:migrate:host to be performed."
MALFORMED = "Malformed request body"


def field(name: str, value: object, why: str) -> str:
    return f"Invalid input for field/attribute {name}. Value: {value}. {why}"


class Taken(NamedTuple):
    """Accepted: what travels to the conductor. ... is "the key does not exist"."""

    inside: Any
    versions: tuple[str, ...]
    host: Any = ...
    force: Any = ...


class Refused(NamedTuple):
    body: Any
    versions: tuple[str, ...]
    status: int
    key: str
    message: str


def bad(inside: Any, message: str) -> Refused:
    return Refused({"migrate": inside}, (SINCE,), 400, "badRequest", message)


TAKEN = [
    Taken(None, (OLD, BEFORE)),
    Taken({}, (OLD, BEFORE)),
    Taken({"host": None}, (OLD, BEFORE)),
    Taken({"host": "dst"}, (OLD, BEFORE)),
    Taken({"host": "x", "force": True}, (OLD, BEFORE)),
    Taken({"host": "dst", "force": True}, (OLD, BEFORE)),
    Taken({"force": True}, (BEFORE,)),
    Taken({"host": "nosuch"}, (BEFORE,)),
    Taken({"host": "src"}, (BEFORE,)),
    Taken({"host": ""}, (BEFORE,)),
    Taken({"host": "a b"}, (BEFORE,)),
    Taken({"host": "a" * 256}, (BEFORE,)),
    Taken({"host": 5}, (BEFORE,)),
    Taken({"host": []}, (BEFORE,)),
    Taken({"host": "DST"}, (BEFORE,)),
    Taken("text", (BEFORE,)),
    Taken([], (BEFORE,)),
    Taken(True, (BEFORE,)),
    Taken(None, (SINCE,), host=None, force=False),
    Taken({}, (SINCE,), host=None, force=False),
    Taken({"host": None}, (SINCE,), host=None, force=False),
    Taken({"host": "dst"}, (SINCE,), host="dst", force=False),
    # A named host that is disabled, down or full is still accepted: the reason comes later, in the records.
    Taken({"host": "off"}, (SINCE,), host="off", force=False),
    Taken({"host": "down"}, (SINCE,), host="down", force=False),
    # haulier's own: force, with the lenient booleans.
    *(
        Taken({"host": "dst", "force": yes}, (SINCE,), host="dst", force=True)
        for yes in (True, "True", "true", "TRUE", "1", "yes", "y", "on", "t")
    ),
    *(
        Taken({"host": "dst", "force": no}, (SINCE,), host="dst", force=False)
        for no in (False, None, "False", "false", "0", "no", "n", "off", "f")
    ),
    Taken({"host": None, "force": False}, (SINCE,), host=None, force=False),
    Taken({"host": None, "force": None}, (SINCE,), host=None, force=False),
    Taken({"host": "off", "force": True}, (SINCE,), host="off", force=True),
]

NO_HOST = "'force' is true but no host is named: name the target in 'host', or leave 'force' out"
UNKNOWN_KEYS = "Additional properties are not allowed"
PATTERN = "'^[a-zA-Z0-9-._]*$'"
REFUSED = [
    bad({"host": "nosuch"}, "Compute host nosuch could not be found."),
    bad({"host": "src"}, "Cannot migrate to the host where the server exists."),
    bad({"host": "nosuch", "force": True}, "Compute host nosuch could not be found."),
    bad({"host": "src", "force": True}, "Cannot migrate to the host where the server exists."),
    bad({"host": ""}, field("host", "", "'' should be non-empty")),
    bad({"host": "a b"}, field("host", "a b", f"'a b' does not match {PATTERN}")),
    bad({"host": "dst\n"}, field("host", "dst\n", rf"'dst\n' does not match {PATTERN}")),
    bad({"host": "a" * 256}, field("host", "a" * 256, f"{'a' * 256!r} is too long")),
    bad({"host": "a" * 255}, f"Compute host {'a' * 255} could not be found."),
    bad({"host": 5}, field("host", 5, "5 is not of type 'string', 'null'")),
    bad({"host": []}, field("host", [], "[] is not of type 'string', 'null'")),
    bad({"host": "DST"}, "Compute host DST could not be found."),
    bad("text", field("migrate", "text", "'text' is not of type 'object', 'null'")),
    bad([], field("migrate", [], "[] is not of type 'object', 'null'")),
    bad(True, field("migrate", True, "True is not of type 'object', 'null'")),
    bad(0, field("migrate", 0, "0 is not of type 'object', 'null'")),
    bad({"force": True}, NO_HOST),
    bad({"host": None, "force": True}, NO_HOST),
    bad({"force": False}, field("migrate", {"force": False}, "'host' is a required property")),
    bad({"force": None}, field("migrate", {"force": None}, "'host' is a required property")),
    bad(
        {"host": "dst", "force": "perhaps"},
        field("force", "perhaps", "'perhaps' is not one of True, False or a word for one of them such as 'True', '1'"),
    ),
    bad(
        {"host": "dst", "force": 1},
        field("force", 1, "1 is not one of True, False or a word for one of them such as 'True', '1'"),
    ),
    bad(
        {"host": "dst", "x": 1},
        field("migrate", {"host": "dst", "x": 1}, f"{UNKNOWN_KEYS} ('x' was unexpected)"),
    ),
    bad(
        {"host": "dst", "x": 1, "a": 2},
        field(
            "migrate",
            {"host": "dst", "x": 1, "a": 2},
            "Additional properties are not allowed ('a', 'x' were unexpected)",
        ),
    ),
    Refused({"migrate": None, "other": 1}, (BEFORE, SINCE), 400, "badRequest", MALFORMED),
    Refused({"other": 1, "migrate": None}, (BEFORE, SINCE), 400, "badRequest", MALFORMED),
    Refused({}, (BEFORE, SINCE), 400, "badRequest", MALFORMED),
    Refused({"migrateX": None}, (BEFORE, SINCE), 400, "badRequest", "There is no such action: migrateX"),
    Refused(b"", (SINCE,), 400, "badRequest", MALFORMED),
    Refused(b"{", (SINCE,), 400, "badRequest", MALFORMED),
    Refused(b"[]", (SINCE,), 400, "badRequest", MALFORMED),
    Refused(b"null", (SINCE,), 400, "badRequest", MALFORMED),  # a Nova says 404
    Refused(b"[" * 5000, (SINCE,), 400, "badRequest", MALFORMED),
    Refused(b'{"migrate": "\xff"}', (SINCE,), 400, "badRequest", MALFORMED),
    Refused(
        {"migrate": None},
        ("2.999",),
        406,
        "computeFault",
        "Version 2.999 is not supported by the API. Minimum is 2.1 and maximum is 2.56.",
    ),
    Refused(
        {"migrate": None},
        ("2.57",),
        406,
        "computeFault",
        "Version 2.57 is not supported by the API. Minimum is 2.1 and maximum is 2.56.",
    ),
]


def named(rows: list[Any]) -> list[Any]:
    return [
        pytest.param(row, version, id=f"{version}-{str(row[0])[:50]}-{at}")
        for at, row in enumerate(rows)
        for version in row.versions
    ]


async def refused(api: ComputeApi, body: Any, status: int, key: str, message: str, **more: Any) -> None:
    """The request is refused in these words, and nothing was written or said."""
    before = await api.everything()
    answer = await api.action(body, **more)
    assert (answer.status_code, answer.json()) == (status, {key: {"code": status, "message": message}})
    assert await api.everything() == before
    assert api.bus.said == []


@pytest.mark.parametrize(("row", "version"), named(TAKEN))
async def test_accepted(api: ComputeApi, row: Taken, version: str) -> None:
    answer = await api.action({"migrate": row.inside}, version=version)
    assert (answer.status_code, answer.content) == (202, b"")
    [(step, message)] = await api.messages()
    assert (step, message["type"]) == ("migrate_server", "MigrateServer")
    assert message.get("host", ...) == row.host
    assert message.get("force", ...) == row.force
    assert message["request_id"] == answer.headers["x-openstack-request-id"]
    [(subject, _)] = api.bus.said
    assert subject == subjects.NUDGE


@pytest.mark.parametrize(("row", "version"), named(REFUSED))
async def test_refused(api: ComputeApi, row: Refused, version: str) -> None:
    await refused(api, row.body, row.status, row.key, row.message, version=version)


@pytest.mark.parametrize(
    ("inside", "destination", "named", "forced"),
    [
        (None, None, False, False),
        ({"host": "dst"}, "dst", True, False),
        ({"host": "dst", "force": True}, None, True, True),
    ],
)
async def test_J4_the_request_is_kept_with_the_move(
    api: ComputeApi, inside: Any, destination: str | None, named: bool, forced: bool
) -> None:
    """And what an earlier request had asked for is gone (invariant I5)."""
    await api.add_server("44444444-4444-4444-8444-444444444444")
    for server in (SERVER, "44444444-4444-4444-8444-444444444444"):
        assert (await api.action({"migrate": inside}, server=server)).status_code == 202
        rows = await api.everything()
        [kept] = [row for row in rows["servers"] if row[0] == server]
        spec = next(value for value in kept if type(value).__name__ == "RequestSpec")
        assert spec.requested_destination == destination
        assert "resize_prep" in kept
        move = next(row for row in rows["migrations"] if server in row)
        assert [value for value in move if isinstance(value, bool)][:2] == [named, forced]


UNKNOWN = "a29fac10-5692-4c1f-b73f-f5d2f01818c1"


@pytest.mark.parametrize("server", [UNKNOWN, "abc", "vm%20one", "%00"])
async def test_A26_a_server_that_does_not_exist(api: ComputeApi, server: str) -> None:
    answer = await api.action({"migrate": None}, server=server)
    assert answer.status_code == 404
    assert answer.json()["itemNotFound"]["message"].startswith("Instance ")


async def test_K2_who_may(api: ComputeApi) -> None:
    await refused(api, {"migrate": None}, 403, "forbidden", MIGRATE_RULE, who=MEMBER)
    await refused(api, {"migrate": {"host": "dst"}}, 403, "forbidden", HOST_RULE, who=MEMBER)
    await refused(api, {"migrate": {"host": "dst"}}, 403, "forbidden", HOST_RULE, who=MANAGER)
    await refused(api, {"migrate": None}, 404, "itemNotFound", f"Instance {SERVER} could not be found.", who=OTHER)
    assert (await api.action({"migrate": None}, who=MANAGER)).status_code == 202


async def test_a_locked_server(api: ComputeApi) -> None:
    await api.set_server(locked=True)
    await refused(api, {"migrate": None}, 409, "conflictingRequest", f"Instance {SERVER} is locked", who=MANAGER)
    assert (await api.action({"migrate": None}, who=ADMIN)).status_code == 202


STATES = [
    ("migrate", {"vm_state": VmState.RESIZED}, "vm_state resized"),
    ("migrate", {"vm_state": VmState.PAUSED}, "vm_state paused"),
    ("migrate", {"vm_state": VmState.ERROR}, "vm_state error"),
    ("migrate", {"vm_state": VmState.BUILDING}, "vm_state building"),
    *(("migrate", {"task_state": each}, f"task_state {each}") for each in TaskState),  # whatever it is, it blocks
    ("confirmResize", {}, "vm_state active"),
    ("revertResize", {}, "vm_state active"),
    ("confirmResize", {"vm_state": VmState.RESIZED}, "migration status none"),
    (
        "revertResize",
        {"vm_state": VmState.RESIZED, "task_state": TaskState.RESIZE_REVERTING},
        "task_state resize_reverting",
    ),
]


@pytest.mark.parametrize(("action", "columns", "state"), STATES)
async def test_A26_D13_K5_the_wrong_state(api: ComputeApi, action: str, columns: dict[str, Any], state: str) -> None:
    await api.set_server(**columns)
    message = f"Cannot '{action}' instance {SERVER} while it is in {state}"
    await refused(api, {action: None}, 409, "conflictingRequest", message)


async def test_a_stopped_server_moves(api: ComputeApi) -> None:
    await api.set_server(vm_state=VmState.STOPPED)
    assert (await api.action({"migrate": None})).status_code == 202


@pytest.mark.parametrize("inside", [None, {"host": "dst", "force": True}])
async def test_a_silent_source_is_a_conflict_at_once(api: ComputeApi, inside: Any) -> None:
    await api.silence("src")
    answer = await api.action({"migrate": inside})
    assert answer.status_code == 409
    assert "The agent of host src has not answered for 3600 s." in answer.json()["conflictingRequest"]["message"]
    assert await api.messages() == []


async def test_a_source_that_is_forced_down_is_a_conflict(api: ComputeApi) -> None:
    await api.set_host("src", forced_down=True)
    answer = await api.action({"migrate": None})
    assert answer.status_code == 409
    assert "forced_down" in answer.json()["conflictingRequest"]["message"]


async def test_B18_two_at_once_become_one(api: ComputeApi) -> None:
    assert (await api.action({"migrate": None})).status_code == 202
    again = await api.action({"migrate": None})
    assert again.status_code == 409
    assert len(await api.messages()) == 1


async def test_confirm(api: ComputeApi) -> None:
    await api.open_window()
    answer = await api.action({"confirmResize": None}, who=MEMBER)
    assert (answer.status_code, answer.content) == (204, b"")
    [(step, message)] = await api.messages()
    assert (step, message["type"], message["generation"]) == ("confirm_migration", "ConfirmMigration", 2)
    listed = await api.get("/os-migrations")
    assert [move["status"] for move in listed["migrations"]] == ["confirming"]
    again = await api.action({"confirmResize": None})
    assert again.status_code == 409


async def test_revert(api: ComputeApi) -> None:
    await api.open_window()
    answer = await api.action({"revertResize": {}}, who=MEMBER)
    assert (answer.status_code, answer.content) == (202, b"")
    [(step, message)] = await api.messages()
    assert (step, message["type"], message["generation"]) == ("revert_migration", "RevertMigration", 2)
    shown = await api.get(f"/servers/{SERVER}")
    assert shown["server"]["status"] == "REVERT_RESIZE"


@pytest.mark.parametrize(
    ("silent", "confirm", "revert"), [("src", 409, 409), ("dst", 409, 202)], ids=["source", "target"]
)
async def test_who_must_be_there_at_the_end_of_the_window(
    api: ComputeApi, silent: str, confirm: int, revert: int
) -> None:
    """A revert waits for a silent target and says so; it needs the source to be there."""
    await api.open_window()
    await api.silence(silent)
    assert (await api.action({"confirmResize": None})).status_code == confirm
    assert (await api.action({"revertResize": None})).status_code == revert


async def test_a_window_that_is_being_closed_is_a_conflict(api: ComputeApi) -> None:
    await api.open_window(state=State.ATTESTING)
    message = f"Cannot 'revertResize' instance {SERVER} while it is in migration status confirming"
    await refused(api, {"revertResize": None}, 409, "conflictingRequest", message)


async def test_the_bytes_below_2_56_have_neither_key(api: ComputeApi) -> None:
    """Requirement 6, on the bytes themselves."""
    for number, version in enumerate((OLD, BEFORE)):
        server = f"55555555-5555-4555-8555-55555555555{number}"
        await api.add_server(server)
        await api.action({"migrate": {"host": "dst", "force": True}}, server=server, version=version)
    rows = (await api.everything())["outbox"]
    for body in [value for row in rows for value in row if isinstance(value, bytes)]:
        assert b"host" not in body
        assert b"force" not in body
