"""Servers: made, listed, shown, changed, deleted; on both sides of each microversion that changes their shape."""

from typing import Any

import pytest

from haulier.db.store import servers as store
from haulier.model.ids import ServerId
from haulier.model.server import TaskState, VmState
from tests.functional.api.compute_api import ADMIN, IMAGE, MEMBER, OTHER, SERVER, ComputeApi, add_image

SECOND = "66666666-6666-4666-8666-666666666666"
STOCK_DEVICE = {
    "boot_index": 0,
    "delete_on_termination": True,
    "destination_type": "local",
    "source_type": "image",
    "uuid": IMAGE,
}


def new(**more: Any) -> dict[str, Any]:
    return {"server": {"name": "new", "imageRef": IMAGE, "flavorRef": "small", "networks": "none", **more}}


def message_of(answer: Any) -> str:
    [fault] = answer.json().values()
    return str(fault["message"])


async def test_a_new_server(api: ComputeApi) -> None:
    body = new(block_device_mapping_v2=[STOCK_DEVICE], min_count=1, max_count=1, metadata={"a": "b"}, description="x")
    answer = await api.call("POST", "/servers", body, who=MEMBER)
    assert answer.status_code == 202
    made = answer.json()["server"]
    assert set(made) == {"id", "links", "OS-DCF:diskConfig", "security_groups", "adminPass"}
    assert answer.headers["location"] == made["links"][0]["href"] == f"http://cloud:8774/v2.1/servers/{made['id']}"
    assert (await api.messages())[-1] == (
        "build_server",
        {"type": "BuildServer", "server_id": made["id"], "request_id": answer.headers["x-openstack-request-id"]},
    )
    shown = (await api.get(f"/servers/{made['id']}", who=MEMBER))["server"]
    assert (shown["status"], shown["OS-EXT-STS:task_state"], shown["description"]) == ("BUILD", "scheduling", "x")
    assert (shown["metadata"], shown["tenant_id"], shown["hostId"]) == ({"a": "b"}, "p-red", "")
    kept = await api.db.read(store.request_spec, ServerId(made["id"]))
    assert (dict(kept.resources), kept.requested_destination) == ({"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 1}, None)
    row = await api.db.read(store.get, made["id"])
    assert row.mac.startswith("52:54:00:")
    assert (row.host, row.owner_epoch) == (None, 0)


async def test_an_administrator_may_say_where(api: ComputeApi) -> None:
    answer = await api.call("POST", "/servers", new(availability_zone="nova:dst"))
    kept = await api.db.read(store.request_spec, ServerId(answer.json()["server"]["id"]))
    assert (kept.zone, kept.requested_destination) == ("nova", "dst")
    refused = await api.call("POST", "/servers", new(availability_zone="nova:dst"), who=MEMBER)
    assert refused.status_code == 403
    assert "os_compute_api:servers:create:forced_host" in message_of(refused)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"networks": [{"uuid": IMAGE}]}, "Connecting a server to a list of networks is not available here yet."),
    ({"networks": []}, "Connecting a server to a list of networks is not available here yet."),
    ({"networks": "some"}, "'some' is not one of ['none', 'auto']"),
    ({"user_data": "c2VjcmV0"}, "User data is not available here yet."),
    ({"key_name": "mine"}, "A key pair (key_name) is not available here yet."),
    ({"personality": [{"path": "/x", "contents": "eA=="}]}, "Injecting files (personality) is not available"),
    ({"block_device_mapping": [{"volume_id": IMAGE}]}, "Booting with volumes"),
    ({"block_device_mapping_v2": [{**STOCK_DEVICE, "destination_type": "volume"}]}, "A block device other than"),
    ({"block_device_mapping_v2": [{**STOCK_DEVICE, "uuid": SERVER}]}, "the block device is not the image of imageRef"),
    ({"block_device_mapping_v2": [STOCK_DEVICE, STOCK_DEVICE]}, "More than one block device"),
    ({"config_drive": True}, "A config drive is not available here yet."),
    ({"config_drive": "maybe"}, "is not one of True, False"),
    ({"security_groups": [{"name": "web"}]}, "A security group other than 'default'"),
    ({"min_count": 2}, "Making several servers with one request"),
    ({"max_count": "3"}, "Making several servers with one request"),
    ({"accessIPv4": "192.0.2.1"}, "An access address"),
    ({"tags": ["x"]}, "Tagging a server is not available here yet."),
    ({"return_reservation_id": True}, "A reservation id"),
    ({"imageRef": None}, "A server without an image"),
    ({"imageRef": "cirros"}, "'cirros' is not a 'uuid'"),
    ({"imageRef": SERVER}, f"Can not find requested image {SERVER}"),
    ({"flavorRef": "nosuch"}, "Flavor nosuch could not be found."),
    ({"flavorRef": "private"}, "Flavor private could not be found."),
    ({"flavorRef": []}, "[] is not of type 'integer', 'string'"),
    ({"availability_zone": "mars"}, "The requested availability zone mars is not available"),
    ({"name": ""}, "'' should be non-empty"),
    ({"name": " x"}, "Can not start or end with whitespace."),
    ({"name": "x" * 256}, "is too long"),
    ({"name": "a\nb"}, "must be: printable characters"),
    ({"metadata": {"a": 1}}, "Expected `str`, got `int`"),
    ({"metadata": {"ä": "1"}}, "matching regex"),
    ({"OS-DCF:diskConfig": "SOME"}, "'SOME' is not one of ['AUTO', 'MANUAL']"),
    ({"unknown": 1}, "Additional properties are not allowed ('unknown' was unexpected)"),
]


@pytest.mark.parametrize(("more", "why"), REFUSED, ids=[str(more)[:60] for more, _ in REFUSED])
async def test_what_is_not_offered_is_refused(api: ComputeApi, more: dict[str, Any], why: str) -> None:
    before = await api.everything()
    answer = await api.call("POST", "/servers", new(**more), who=MEMBER)
    assert answer.status_code == 400, answer.text
    assert why in message_of(answer)
    assert await api.everything() == before


async def test_no_secret_is_repeated(api: ComputeApi) -> None:
    answer = await api.call("POST", "/servers", {"server": {"name": "x", "adminPass": "hush", "user_data": "c2VjcmV0"}})
    assert answer.status_code == 400
    assert "hush" not in answer.text
    assert "c2VjcmV0" not in answer.text


@pytest.mark.parametrize(
    ("version", "body", "status"),
    [
        ("2.18", {"description": "x"}, 400),
        ("2.19", {"description": "x"}, 202),
        ("2.36", {"networks": None}, 202),
        ("2.37", {"networks": None}, 400),
        ("2.36", {"networks": "auto"}, 400),
        ("2.37", {"networks": "auto"}, 202),
        ("2.51", {"tags": [], "networks": "none"}, 400),
        ("2.52", {"tags": [], "networks": "none"}, 202),
    ],
)
async def test_create_by_version(api: ComputeApi, version: str, body: dict[str, Any], status: int) -> None:
    server = {"name": "new", "imageRef": IMAGE, "flavorRef": "small", **body}
    if body.get("networks") is None:
        server.pop("networks", None)
    if version >= "2.37" and "networks" not in body:
        server["networks"] = "none"
    assert (await api.call("POST", "/servers", {"server": server}, version=version)).status_code == status


GIB = 1 << 30


@pytest.mark.parametrize(
    ("image", "flavor", "why"),
    [
        ({"virtual_size": GIB}, "small", None),
        (
            {"virtual_size": GIB + 1},
            "small",
            "Flavor m1.small has a root disk of 1 GiB, which is smaller than the 1.01 GiB of image " + SECOND + ".",
        ),
        ({"virtual_size": GIB + 1}, "tiny", None),
        ({"min_disk_gb": 2}, "small", "smaller than the 2 GiB of image"),
        ({"min_memory_mb": 513}, "small", "has 512 MiB of memory, which is less than the 513 MiB that image"),
        ({"status": "queued"}, "small", f"Image {SECOND} is not active (it is queued): upload its data first."),
        ({"visibility": "private"}, "small", f"Can not find requested image {SECOND}"),
        ({"visibility": "private", "project_id": "p-red"}, "small", None),
        ({"status": "deleted"}, "small", f"Can not find requested image {SECOND}"),
    ],
)
async def test_the_image_must_fit(api: ComputeApi, image: dict[str, Any], flavor: str, why: str | None) -> None:
    await api.db.write(lambda tx: add_image(tx, SECOND, **image))
    answer = await api.call("POST", "/servers", new(imageRef=SECOND, flavorRef=flavor), who=MEMBER)
    assert answer.status_code == (202 if why is None else 400), answer.text
    assert why is None or why in message_of(answer)


FIRST_WITH = [
    ("2.3", "OS-EXT-SRV-ATTR:reservation_id"),
    ("2.9", "locked"),
    ("2.16", "host_status"),
    ("2.19", "description"),
    ("2.26", "tags"),
]


@pytest.mark.parametrize(("version", "key"), FIRST_WITH)
async def test_a_key_begins_at_its_version(api: ComputeApi, version: str, key: str) -> None:
    before = f"2.{int(version.split('.')[1]) - 1}"
    for path in (f"/servers/{SERVER}", "/servers/detail?all_tenants=1"):
        for asked, there in ((before, False), (version, True)):
            body = await api.get(path, version=asked)
            server = body["server"] if "server" in body else body["servers"][0]
            assert (key in server) is there, (path, asked)


async def test_the_flavor_inside_a_server(api: ComputeApi) -> None:
    old = (await api.get(f"/servers/{SERVER}", version="2.46"))["server"]["flavor"]
    assert old == {"id": "small", "links": [{"rel": "bookmark", "href": "http://cloud:8774/flavors/small"}]}
    now = (await api.get(f"/servers/{SERVER}", version="2.47"))["server"]["flavor"]
    assert now == {
        "original_name": "m1.small",
        "vcpus": 1,
        "ram": 512,
        "disk": 1,
        "ephemeral": 0,
        "swap": 0,
        "extra_specs": {},
    }


async def test_what_a_member_sees(api: ComputeApi) -> None:
    shown = (await api.get(f"/servers/{SERVER}", who=MEMBER))["server"]
    assert not [key for key in shown if key.startswith("OS-EXT-SRV-ATTR:")]
    assert "host_status" not in shown
    assert len(shown["hostId"]) == 56
    assert (await api.call("GET", f"/servers/{SERVER}", who=OTHER)).status_code == 404


@pytest.mark.parametrize(
    ("columns", "status"),
    [({}, "UP"), ({"enabled": False}, "MAINTENANCE"), ({"forced_down": True}, "DOWN")],
)
async def test_host_status(api: ComputeApi, columns: dict[str, Any], status: str) -> None:
    await api.set_host("src", **columns)
    assert (await api.get(f"/servers/{SERVER}"))["server"]["host_status"] == status


async def test_host_status_of_a_silent_host(api: ComputeApi) -> None:
    await api.silence("src")
    assert (await api.get(f"/servers/{SERVER}"))["server"]["host_status"] == "UNKNOWN"


async def test_a_fault_is_only_shown_in_error(api: ComputeApi) -> None:
    await api.db.write(lambda tx: store.add_fault(tx, ServerId(SERVER), 500, "No valid host was found.", "details"))
    assert "fault" not in (await api.get(f"/servers/{SERVER}"))["server"]
    await api.set_server(vm_state=VmState.ERROR)
    shown = (await api.get(f"/servers/{SERVER}"))["server"]["fault"]
    assert (shown["code"], shown["message"], shown["details"]) == (500, "No valid host was found.", "details")
    assert "details" not in (await api.get(f"/servers/{SERVER}", who=MEMBER))["server"]["fault"]


# -- lists -------------------------------------------------------------------------------------------------


async def ids(api: ComputeApi, query: str, **more: Any) -> list[str]:
    return [server["name"] for server in (await api.get(f"/servers/detail?{query}", **more))["servers"]]


@pytest.fixture
async def several(api: ComputeApi) -> ComputeApi:
    """Of red: vm (active, src), web-1 (stopped, dst), web-2 (error, no host); of blue: other; of admin: own."""
    for number, (name, columns) in enumerate(
        {
            "web-1": {"vm_state": VmState.STOPPED, "host": "dst"},
            "web-2": {"vm_state": VmState.ERROR, "host": None},
            "other": {"project_id": "p-blue"},
            "own": {"project_id": "p-admin"},
            "gone": {"vm_state": VmState.DELETED, "host": None},
            "moving": {"task_state": TaskState.RESIZE_MIGRATING},
        }.items()
    ):
        await api.add_server(f"77777777-7777-4777-8777-77777777777{number}", name=name, **columns)
    return api


LISTS = [
    ("", MEMBER, ["moving", "web-2", "web-1", "vm"]),
    ("", OTHER, ["other"]),
    ("", ADMIN, ["own"]),
    ("deleted=False", ADMIN, ["own"]),
    ("all_tenants=True&deleted=False", ADMIN, ["moving", "own", "other", "web-2", "web-1", "vm"]),
    ("all_tenants=1&project_id=p-blue", ADMIN, ["other"]),
    ("all_tenants=1&tenant_id=p-blue", ADMIN, ["other"]),
    ("all_tenants=&deleted=True", ADMIN, ["gone"]),
    ("all_tenants=1&status=deleted", ADMIN, ["gone"]),
    ("all_tenants=1&host=dst", ADMIN, ["web-1"]),
    ("host=dst", MEMBER, ["moving", "web-2", "web-1", "vm"]),
    ("deleted=true", MEMBER, ["moving", "web-2", "web-1", "vm"]),
    ("name=web-1", MEMBER, ["web-1"]),
    ("name=web", MEMBER, ["web-2", "web-1"]),
    ("name=%5Ew.*1$", MEMBER, ["web-1"]),
    ("name=WEB", MEMBER, []),
    ("status=ACTIVE", MEMBER, ["vm"]),
    ("status=active&status=shutoff", MEMBER, ["web-1", "vm"]),
    ("status=RESIZE", MEMBER, ["moving"]),
    ("status=ERROR", MEMBER, ["web-2"]),
    ("flavor=small", MEMBER, ["moving", "web-2", "web-1", "vm"]),
    ("flavor=large", MEMBER, []),
    (f"image={IMAGE}", MEMBER, ["moving", "web-2", "web-1", "vm"]),
    (f"image={SERVER}", MEMBER, []),
    ("ip=10.0.0.1", MEMBER, []),
    ("tags=x", MEMBER, []),
    ("changes-since=2020-01-01T00:00:00Z", MEMBER, ["moving", "gone", "web-2", "web-1", "vm"]),
    ("changes-since=2999-01-01T00:00:00%2B00:00", MEMBER, []),
    ("sort_key=display_name&sort_dir=asc", MEMBER, ["moving", "vm", "web-1", "web-2"]),
    ("sort_key=display_name", MEMBER, ["web-2", "web-1", "vm", "moving"]),
    ("sort_key=host&sort_dir=asc&sort_key=display_name&sort_dir=desc", MEMBER, ["web-2", "web-1", "vm", "moving"]),
    ("limit=2", MEMBER, ["moving", "web-2"]),
    ("limit=0", MEMBER, []),
    (f"marker={SERVER}", MEMBER, []),
    ("limit=1&marker=77777777-7777-4777-8777-777777777771", MEMBER, ["web-1"]),
]


@pytest.mark.parametrize(("query", "who", "names"), LISTS, ids=[f"{who.user_name}-{query}" for query, who, _ in LISTS])
async def test_lists(several: ComputeApi, query: str, who: Any, names: list[str]) -> None:
    assert await ids(several, query, who=who) == names
    plain = await several.get(f"/servers?{query}", who=who)
    assert [server["name"] for server in plain["servers"]] == names


BAD_LISTS = [
    ("all_tenants=1", MEMBER, 403),
    ("all_tenants=perhaps", ADMIN, 400),
    ("status=deleted", MEMBER, 403),
    ("status=nosuch", MEMBER, 400),
    ("name=(", MEMBER, 400),
    ("name=(a*)*b", MEMBER, 400),
    ("name=a*b*c*d*e*", MEMBER, 400),
    ("name=a{99999999999}", MEMBER, 400),
    ("limit=-1", MEMBER, 400),
    ("limit=x", MEMBER, 400),
    ("limit=%C2%B2", MEMBER, 400),
    ("marker=nosuch", MEMBER, 400),
    ("sort_key=secret", MEMBER, 400),
    ("sort_dir=up", MEMBER, 400),
    ("changes-since=yesterday", MEMBER, 400),
    ("power_state=%C2%B2", ADMIN, 400),
]


@pytest.mark.parametrize(("query", "who", "status"), BAD_LISTS, ids=[query for query, _, _ in BAD_LISTS])
async def test_bad_queries(several: ComputeApi, query: str, who: Any, status: int) -> None:
    assert (await several.call("GET", f"/servers/detail?{query}", who=who)).status_code == status


async def test_an_unknown_status_was_an_empty_list_up_to_2_37(several: ComputeApi) -> None:
    assert await ids(several, "status=nosuch", version="2.37", who=MEMBER) == []


async def test_pages(several: ComputeApi) -> None:
    path, names = "/servers?limit=2&sort_key=display_name&sort_dir=asc", []
    while path:
        body = await several.get(path, who=MEMBER)
        names += [server["name"] for server in body["servers"]]
        [following] = body.get("servers_links", [{"href": ""}])
        path = following["href"].removeprefix("http://cloud:8774")
    assert names == ["moving", "vm", "web-1", "web-2"]


# -- changes -----------------------------------------------------------------------------------------------


async def test_update(api: ComputeApi) -> None:
    answer = await api.call("PUT", f"/servers/{SERVER}", {"server": {"name": "two", "description": "d"}}, who=MEMBER)
    assert answer.status_code == 200
    assert (answer.json()["server"]["name"], answer.json()["server"]["description"]) == ("two", "d")
    assert "OS-EXT-STS:vm_state" not in answer.json()["server"]
    old = await api.call("PUT", f"/servers/{SERVER}", {"server": {"description": "d"}}, version="2.18")
    assert old.status_code == 400


async def test_delete_is_accepted_once_and_answered_twice(api: ComputeApi) -> None:
    for _ in range(2):
        assert (await api.call("DELETE", f"/servers/{SERVER}", who=MEMBER)).status_code == 204
    assert [step for step, _ in await api.messages()] == ["delete_server"]
    server = await api.db.read(store.get, SERVER)
    assert (server.owner_epoch, server.task_state) == (1, TaskState.DELETING)


async def test_delete_supersedes_a_move(api: ComputeApi) -> None:
    await api.action({"migrate": None})
    assert (await api.call("DELETE", f"/servers/{SERVER}", who=MEMBER)).status_code == 204
    [move] = (await api.get("/os-migrations"))["migrations"]
    assert move["status"] == "cancelled"


async def test_delete_of_a_locked_server(api: ComputeApi) -> None:
    assert (await api.action({"lock": None}, who=MEMBER)).status_code == 202
    assert (await api.call("DELETE", f"/servers/{SERVER}", who=MEMBER)).status_code == 409
    assert (await api.call("DELETE", f"/servers/{SERVER}")).status_code == 204


async def test_a_deleted_server_is_gone_but_its_log_stays(api: ComputeApi) -> None:
    await api.call("DELETE", f"/servers/{SERVER}")
    await api.set_server(vm_state=VmState.DELETED)
    for method, path in (("GET", ""), ("DELETE", ""), ("PUT", ""), ("GET", "/metadata")):
        assert (await api.call(method, f"/servers/{SERVER}{path}", {"server": {}})).status_code == 404
    assert (await api.call("GET", f"/servers/{SERVER}/os-instance-actions", version="2.20")).status_code == 404
    listed = await api.get(f"/servers/{SERVER}/os-instance-actions", version="2.21")
    assert [action["action"] for action in listed["instanceActions"]] == ["delete"]


async def test_metadata(api: ComputeApi) -> None:
    path = f"/servers/{SERVER}/metadata"
    assert (await api.call("POST", path, {"metadata": {"a": "1", "b": "2"}})).json() == {
        "metadata": {"a": "1", "b": "2"}
    }
    assert (await api.call("PUT", f"{path}/a", {"meta": {"a": "3"}})).json() == {"meta": {"a": "3"}}
    assert (await api.call("PUT", f"{path}/a", {"meta": {"b": "3"}})).status_code == 400
    assert await api.get(f"{path}/a") == {"meta": {"a": "3"}}
    assert (await api.call("DELETE", f"{path}/b")).status_code == 204
    assert (await api.call("DELETE", f"{path}/b")).status_code == 404
    assert await api.get(path) == {"metadata": {"a": "3"}}
    assert (await api.call("PUT", path, {"metadata": {"c": "4"}})).json() == {"metadata": {"c": "4"}}
    many = {"metadata": {f"key{number}": "v" for number in range(128)}}
    assert (await api.call("POST", path, many)).status_code == 403


# -- power, console, resize --------------------------------------------------------------------------------

POWER = [
    ({"os-stop": None}, VmState.ACTIVE, "stop", "powering-off"),
    ({"os-start": None}, VmState.STOPPED, "start", "powering-on"),
    ({"reboot": {"type": "SOFT"}}, VmState.ACTIVE, "reboot_soft", "rebooting"),
    ({"reboot": {"type": "hard"}}, VmState.STOPPED, "reboot_hard", "rebooting_hard"),
    ({"pause": None}, VmState.ACTIVE, "pause", "pausing"),
    ({"unpause": None}, VmState.PAUSED, "unpause", "unpausing"),
]


@pytest.mark.parametrize(("body", "state", "verb", "task"), POWER)
async def test_power(api: ComputeApi, body: dict[str, Any], state: VmState, verb: str, task: str) -> None:
    await api.set_server(vm_state=VmState.RESIZED)
    assert (await api.action(body, who=MEMBER)).status_code == 409
    await api.set_server(vm_state=state, task_state=TaskState.RESIZE_PREP)
    assert (await api.action(body, who=MEMBER)).status_code == 409
    await api.set_server(task_state=None)
    answer = await api.action(body, who=MEMBER)
    assert (answer.status_code, answer.content) == (202, b"")
    [(step, message)] = await api.messages()
    assert (step, message["verb"]) == ("power_server", verb)
    shown = await api.get(f"/servers/{SERVER}")
    assert shown["server"]["OS-EXT-STS:task_state"] == task


async def test_power_needs_the_agent(api: ComputeApi) -> None:
    await api.silence("src")
    assert (await api.action({"os-stop": None})).status_code == 409


async def test_a_server_that_was_never_built_has_no_power(api: ComputeApi) -> None:
    await api.set_server(vm_state=VmState.ERROR, host=None)
    assert (await api.action({"os-stop": None})).status_code == 409


@pytest.mark.parametrize(
    ("flavor", "who", "why"),
    [
        ("large", MEMBER, None),
        ("private", ADMIN, None),
        ("private", MEMBER, "Flavor private could not be found."),
        ("nosuch", MEMBER, "Flavor nosuch could not be found."),
        ("small", MEMBER, "When resizing, instances must change flavor!"),
        (
            "tiny",
            MEMBER,
            "Flavor m1.tiny has a root disk of 0 GiB, which is smaller than the 1 GiB of its present flavor m1.small.",
        ),
    ],
)
async def test_resize(api: ComputeApi, flavor: str, who: Any, why: str | None) -> None:
    answer = await api.action({"resize": {"flavorRef": flavor}}, who=who)
    if why is not None:
        assert (answer.status_code, message_of(answer)) == (400, why)
        return
    assert answer.status_code == 202
    [(step, message)] = await api.messages()
    assert step == "migrate_server"
    assert not {"host", "force"} & set(message)
    [move] = (await api.get("/os-migrations"))["migrations"]
    assert (move["migration_type"], move["status"]) == ("resize", "pre-migrating")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"resize": {}}, 400),
        ({"resize": {"flavorRef": "large", "x": 1}}, 400),
        ({"reboot": {}}, 400),
        ({"reboot": {"type": "WARM"}}, 400),
        ({"pause": {"x": 1}}, 400),
        ({"createImage": {"name": "x"}}, 400),
        ({"os-migrateLive": {}}, 400),
        ({"os-getConsoleOutput": {"length": "x"}}, 400),
        ({"os-getConsoleOutput": {"length": -2}}, 400),
    ],
)
async def test_bad_actions(api: ComputeApi, body: dict[str, Any], status: int) -> None:
    assert (await api.action(body)).status_code == status


async def test_console(api: ComputeApi) -> None:
    from haulier.bus.interface import NoAnswer
    from haulier.wire.to_conductor import ConsoleAnswer

    api.bus.answer = ConsoleAnswer(text="booting\n")
    answer = await api.action({"os-getConsoleOutput": {"length": "5"}}, who=MEMBER)
    assert answer.json() == {"output": "booting\n"}
    assert api.bus.said[-1][1].lines == 5
    api.bus.answer = ConsoleAnswer(problem="the host does not answer.")
    assert (await api.action({"os-getConsoleOutput": {}})).status_code == 409
    api.bus.answer = NoAnswer("nobody")
    assert (await api.action({"os-getConsoleOutput": None})).status_code == 503


async def test_lock_and_unlock(api: ComputeApi) -> None:
    for action, locked in (("lock", True), ("unlock", False)):
        assert (await api.action({action: None}, who=MEMBER)).status_code == 202
        assert (await api.get(f"/servers/{SERVER}"))["server"]["locked"] is locked
