"""Everything beside servers: flavors, hosts under their two names, moves, logs, and what else clients look at."""

import functools
from typing import Any

import pytest

from haulier.db.store import actions
from haulier.model.ids import HostName, ServerId
from tests.functional.api.compute_api import ADMIN, MEMBER, OTHER, SERVER, ComputeApi

NEW = {"name": "f1", "ram": 256, "vcpus": 1, "disk": 1}


async def test_flavor_life(api: ComputeApi) -> None:
    body = {
        "flavor": {**NEW, "id": None, "swap": 0, "OS-FLV-EXT-DATA:ephemeral": 0, "os-flavor-access:is_public": True}
    }
    made = (await api.call("POST", "/flavors", body)).json()["flavor"]
    assert (made["name"], made["swap"], made["rxtx_factor"], made["description"]) == ("f1", "", 1.0, None)
    path = f"/flavors/{made['id']}"
    assert (await api.get(path))["flavor"] == made
    changed = await api.call("PUT", path, {"flavor": {"description": "small"}})
    assert changed.json()["flavor"]["description"] == "small"
    assert (await api.call("PUT", path, {"flavor": {"description": "x"}}, version="2.54")).status_code == 404
    assert (await api.call("POST", "/flavors", body)).json()["conflictingRequest"]["message"] == (
        "Flavor with name f1 already exists."
    )
    assert (await api.call("DELETE", path)).status_code == 202
    assert (await api.call("DELETE", path)).status_code == 404
    assert (await api.call("GET", path)).json()["itemNotFound"]["message"] == f"Flavor {made['id']} could not be found."


@pytest.mark.parametrize("path", ["/flavors/small", "/flavors", "/flavors/detail"])
async def test_flavors_have_a_description_from_2_55(api: ComputeApi, path: str) -> None:
    for version, there in (("2.54", False), ("2.55", True)):
        body = await api.get(path, version=version)
        flavor = body["flavor"] if "flavor" in body else body["flavors"][0]
        assert ("description" in flavor) is there


@pytest.mark.parametrize(
    ("flavor", "status"),
    [
        ({**NEW, "ram": "256", "id": "auto"}, 200),
        ({**NEW, "id": 7}, 200),
        ({**NEW, "ram": 0}, 400),
        ({**NEW, "ram": -1}, 400),
        ({**NEW, "ram": 1 << 31}, 400),
        ({**NEW, "ram": 10**30}, 400),
        ({**NEW, "ram": 1.5}, 400),
        ({**NEW, "vcpus": None}, 400),
        ({**NEW, "id": "small"}, 409),
        ({**NEW, "id": " x"}, 400),
        ({**NEW, "id": "a/b"}, 400),
        ({**NEW, "name": " "}, 400),
        ({**NEW, "os-flavor-access:is_public": "x"}, 400),
        ({**NEW, "x": 1}, 400),
        ({}, 400),
        (None, 400),
    ],
)
async def test_new_flavors(api: ComputeApi, flavor: Any, status: int) -> None:
    answer = await api.call("POST", "/flavors", {"flavor": flavor})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("query", "who", "names"),
    [
        ("", MEMBER, ["large", "small", "tiny"]),
        ("is_public=None", MEMBER, ["large", "small", "tiny"]),
        ("is_public=None", ADMIN, ["large", "private", "small", "tiny"]),
        ("is_public=False", ADMIN, ["private"]),
        ("", ADMIN, ["large", "small", "tiny"]),
        ("minRam=512", MEMBER, ["large", "small"]),
        ("minDisk=2", MEMBER, ["large"]),
        ("limit=1", MEMBER, ["large"]),
        ("marker=large", MEMBER, ["small", "tiny"]),
        ("sort_key=memory_mb&sort_dir=desc", MEMBER, ["large", "small", "tiny"]),
        ("sort_key=memory_mb", MEMBER, ["tiny", "small", "large"]),
    ],
)
async def test_lists_of_flavors(api: ComputeApi, query: str, who: Any, names: list[str]) -> None:
    body = await api.get(f"/flavors?{query}", who=who)
    assert [flavor["id"] for flavor in body["flavors"]] == names
    assert ("flavors_links" in body) is ("limit" in query)


async def test_a_private_flavor_is_not_there_for_members(api: ComputeApi) -> None:
    assert (await api.call("GET", "/flavors/private", who=MEMBER)).status_code == 404
    assert (await api.call("GET", "/flavors/private")).status_code == 200


async def test_extra_specs(api: ComputeApi) -> None:
    path = "/flavors/small/os-extra_specs"
    assert (await api.call("POST", path, {"extra_specs": {"a": "1", "b": 2}})).json() == {
        "extra_specs": {"a": "1", "b": "2"}
    }
    assert await api.get(path, who=MEMBER) == {"extra_specs": {"a": "1", "b": "2"}}
    assert (await api.call("PUT", f"{path}/a", {"a": "3"})).json() == {"a": "3"}
    assert (await api.call("PUT", f"{path}/a", {"b": "3"})).status_code == 400
    assert await api.get(f"{path}/a") == {"a": "3"}
    assert (await api.call("DELETE", f"{path}/a")).status_code == 200
    assert (await api.call("GET", f"{path}/a")).status_code == 404
    assert (await api.call("POST", path, {"extra_specs": {"x": "y"}}, who=MEMBER)).status_code == 403


# -- services ----------------------------------------------------------------------------------------------


async def test_services_by_version(api: ComputeApi) -> None:
    for version, forced, kind in (("2.10", False, int), ("2.11", True, int), ("2.52", True, int), ("2.53", True, str)):
        first = (await api.get("/os-services", version=version))["services"][0]
        assert ("forced_down" in first) is forced
        assert type(first["id"]) is kind
    assert (first["binary"], first["host"], first["state"], first["status"]) == ("nova-compute", "src", "up", "enabled")
    assert (await api.call("GET", "/os-services", who=MEMBER)).status_code == 403


@pytest.mark.parametrize(
    ("query", "hosts"),
    [
        ("host=dst", ["dst"]),
        ("binary=nova-compute&host=dst", ["dst"]),
        ("binary=nova-scheduler", []),
        ("binary=nova-compute", ["src", "dst", "off", "down"]),
    ],
)
async def test_lists_of_services(api: ComputeApi, query: str, hosts: list[str]) -> None:
    assert [each["host"] for each in (await api.get(f"/os-services?{query}"))["services"]] == hosts


async def test_a_silent_agent_is_down(api: ComputeApi) -> None:
    await api.silence("dst")
    states = {each["host"]: each["state"] for each in (await api.get("/os-services"))["services"]}
    assert states == {"src": "up", "dst": "down", "off": "up", "down": "down"}


@pytest.mark.parametrize(
    ("version", "action", "more", "status", "said"),
    [
        ("2.1", "disable", {}, 200, {"status": "disabled"}),
        ("2.1", "enable", {}, 200, {"status": "enabled"}),
        ("2.1", "disable-log-reason", {"disabled_reason": "x"}, 200, {"status": "disabled", "disabled_reason": "x"}),
        ("2.1", "disable-log-reason", {}, 400, None),
        ("2.10", "force-down", {"forced_down": True}, 404, None),
        ("2.11", "force-down", {"forced_down": "true"}, 200, {"forced_down": True}),
        ("2.11", "force-down", {}, 400, None),
        ("2.52", "explode", {}, 404, None),
    ],
)
async def test_services_up_to_2_52(
    api: ComputeApi, version: str, action: str, more: dict[str, Any], status: int, said: Any
) -> None:
    body = {"host": "dst", "binary": "nova-compute", **more}
    answer = await api.call("PUT", f"/os-services/{action}", body, version=version)
    assert answer.status_code == status, answer.text
    if said is not None:
        assert answer.json() == {"service": {"host": "dst", "binary": "nova-compute", **said}}


async def test_services_that_are_not_there(api: ComputeApi) -> None:
    body = {"host": "nosuch", "binary": "nova-compute"}
    assert (await api.call("PUT", "/os-services/disable", body, version="2.1")).status_code == 404
    body = {"host": "dst", "binary": "nova-scheduler"}
    assert (await api.call("PUT", "/os-services/disable", body, version="2.1")).status_code == 400
    assert (await api.call("PUT", f"/os-services/{SERVER}", {"status": "enabled"})).status_code == 404
    assert (await api.call("PUT", "/os-services/dst", {"status": "enabled"})).status_code == 400


@pytest.mark.parametrize(
    ("body", "status", "shown"),
    [
        ({"status": "disabled"}, 200, {"status": "disabled", "disabled_reason": None}),
        ({"status": "disabled", "disabled_reason": "m"}, 200, {"status": "disabled", "disabled_reason": "m"}),
        ({"status": "enabled"}, 200, {"status": "enabled"}),
        ({"status": "enabled", "disabled_reason": "m"}, 400, {}),
        ({"forced_down": True}, 200, {"forced_down": True, "state": "down"}),
        ({"forced_down": "no"}, 200, {"forced_down": False}),
        ({}, 400, {}),
        ({"disabled_reason": "m"}, 400, {}),
        ({"status": "sleepy"}, 400, {}),
        ({"status": ["enabled"]}, 400, {}),
        ({"x": 1}, 400, {}),
    ],
)
async def test_services_from_2_53(api: ComputeApi, body: Any, status: int, shown: dict[str, Any]) -> None:
    [service] = (await api.get("/os-services?host=dst"))["services"]
    answer = await api.call("PUT", f"/os-services/{service['id']}", body)
    assert answer.status_code == status, answer.text
    assert status != 200 or answer.json()["service"].items() >= shown.items()


# -- hypervisors -------------------------------------------------------------------------------------------


async def test_hypervisors_by_version(api: ComputeApi) -> None:
    for version, kind, cpu in (("2.27", int, str), ("2.28", int, dict), ("2.52", int, dict), ("2.53", str, dict)):
        first = (await api.get("/os-hypervisors/detail", version=version))["hypervisors"][0]
        assert (type(first["id"]), type(first["cpu_info"])) == (kind, cpu)
        assert (await api.get(f"/os-hypervisors/{first['id']}", version=version))["hypervisor"] == first
    assert (first["vcpus"], first["vcpus_used"], first["memory_mb"], first["free_ram_mb"]) == (8, 1, 16384, 15872)
    assert (first["local_gb"], first["free_disk_gb"], first["disk_available_least"]) == (100, 99, 50)
    assert (first["running_vms"], first["service"]["host"], first["hypervisor_version"]) == (1, "src", 7002022)


async def test_pages_of_hypervisors_begin_at_2_33(api: ComputeApi) -> None:
    old = await api.get("/os-hypervisors?limit=1", version="2.32")
    assert (len(old["hypervisors"]), "hypervisors_links" in old) == (4, False)
    now = await api.get("/os-hypervisors?limit=1", version="2.33")
    assert (len(now["hypervisors"]), "hypervisors_links" in now) == (1, True)


async def test_looking_for_hypervisors(api: ComputeApi) -> None:
    old = await api.get("/os-hypervisors/s/search", version="2.52")
    assert [each["hypervisor_hostname"] for each in old["hypervisors"]] == ["src", "dst"]
    owned = await api.get("/os-hypervisors/src/servers", version="2.52")
    assert owned["hypervisors"][0]["servers"] == [{"name": "vm", "uuid": SERVER}]
    assert (await api.call("GET", "/os-hypervisors/s/search", version="2.53")).status_code == 404
    now = await api.get("/os-hypervisors?hypervisor_hostname_pattern=src&with_servers=True")
    assert now["hypervisors"][0]["servers"] == [{"name": "vm", "uuid": SERVER}]
    assert "servers" not in (await api.get("/os-hypervisors/detail"))["hypervisors"][0]
    nothing = await api.call("GET", "/os-hypervisors?hypervisor_hostname_pattern=mars")
    assert nothing.json()["itemNotFound"]["message"] == "No hypervisor matching 'mars' could be found."
    both = await api.call("GET", "/os-hypervisors?hypervisor_hostname_pattern=src&limit=1")
    assert both.status_code == 400


@pytest.mark.parametrize(
    ("version", "which", "status"),
    [("2.52", "src", 404), ("2.53", "src", 400), ("2.52", "99", 404), ("2.53", SERVER, 404)],
)
async def test_hypervisors_that_are_not_there(api: ComputeApi, version: str, which: str, status: int) -> None:
    assert (await api.call("GET", f"/os-hypervisors/{which}", version=version)).status_code == status


async def test_statistics(api: ComputeApi) -> None:
    total = (await api.get("/os-hypervisors/statistics", version="2.1"))["hypervisor_statistics"]
    assert (total["count"], total["vcpus"], total["vcpus_used"], total["running_vms"]) == (3, 24, 1, 1)


async def test_the_uptime_is_not_known(api: ComputeApi) -> None:
    """`openstack hypervisor show` asks for it, and goes on without it after a 501 only."""
    answer = await api.call("GET", "/os-hypervisors/1/uptime", version="2.52")
    assert (answer.status_code, list(answer.json())) == (501, ["notImplemented"])


# -- moves and logs ----------------------------------------------------------------------------------------


async def test_migrations_by_version(api: ComputeApi) -> None:
    await api.open_window()
    for version, there in (("2.22", False), ("2.23", True)):
        [move] = (await api.get("/os-migrations", version=version))["migrations"]
        assert ("migration_type" in move) is there
    assert (move["source_compute"], move["dest_compute"], move["status"]) == ("src", "dst", "finished")
    assert not {"uuid", "links", "user_id"} & set(move)
    assert (await api.call("GET", "/os-migrations", who=MEMBER)).status_code == 403


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("status=finished", 1),
        ("status=error", 0),
        ("host=src", 1),
        ("host=dst", 1),
        ("host=off", 0),
        ("source_compute=src", 1),
        ("source_compute=dst", 0),
        (f"instance_uuid={SERVER}", 1),
        ("instance_uuid=nv1", 0),
        ("migration_type=migration", 1),
        ("migration_type=resize", 0),
    ],
)
async def test_lists_of_migrations(api: ComputeApi, query: str, count: int) -> None:
    await api.open_window()
    assert len((await api.get(f"/os-migrations?{query}"))["migrations"]) == count


async def test_a_servers_live_migrations(api: ComputeApi) -> None:
    path = f"/servers/{SERVER}/migrations"
    assert (await api.call("GET", path, version="2.22")).status_code == 404
    assert await api.get(path, version="2.23") == {"migrations": []}
    assert (await api.call("GET", f"{path}/1")).status_code == 404
    assert (await api.call("GET", f"/servers/1/migrations/{SERVER}")).status_code == 404
    assert (await api.call("DELETE", f"{path}/1")).status_code == 404
    await api.open_window()
    assert (await api.call("DELETE", f"{path}/1")).status_code == 409


async def test_the_reason_is_in_the_event(api: ComputeApi) -> None:
    answer = await api.action({"migrate": None})
    request_id, server = answer.headers["x-openstack-request-id"], ServerId(SERVER)
    await api.db.write(lambda tx: actions.begin_event(tx, server, request_id, "compute_prep_resize", HostName("dst")))
    ended = functools.partial(actions.end_event, problem="no room", host=HostName("dst"))
    await api.db.write(ended, server, request_id, "compute_prep_resize")
    path = f"/servers/{SERVER}/os-instance-actions/{request_id}"
    event = (await api.get(path))["instanceAction"]["events"][0]
    assert (event["event"], event["result"], event["traceback"]) == ("compute_prep_resize", "Error", "no room")
    assert "events" not in (await api.get(path, version="2.50", who=MEMBER))["instanceAction"]
    [seen] = (await api.get(path, version="2.51", who=MEMBER))["instanceAction"]["events"]
    assert "traceback" not in seen
    listed = (await api.get(f"/servers/{SERVER}/os-instance-actions"))["instanceActions"]
    assert [(each["action"], each["request_id"]) for each in listed] == [("migrate", request_id)]
    missing = await api.call("GET", f"/servers/{SERVER}/os-instance-actions/REQ")
    assert missing.json()["itemNotFound"]["message"] == "Action REQ not found"


# -- around servers ----------------------------------------------------------------------------------------


async def test_zones(api: ComputeApi) -> None:
    assert await api.get("/os-availability-zone", who=MEMBER) == {
        "availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": True}, "hosts": None}]
    }
    [zone] = (await api.get("/os-availability-zone/detail"))["availabilityZoneInfo"]
    assert zone["hosts"]["src"]["nova-compute"]["available"] is True
    assert (await api.call("GET", "/os-availability-zone/detail", who=MEMBER)).status_code == 403


async def test_limits_and_quotas(api: ComputeApi) -> None:
    for version, more in (("2.35", {"maxSecurityGroups", "maxImageMeta"}), ("2.36", {"maxImageMeta"}), ("2.39", set())):
        absolute = (await api.get("/limits", version=version, who=MEMBER))["limits"]["absolute"]
        assert {"maxSecurityGroups", "maxImageMeta"} & set(absolute) == more
    assert (absolute["totalInstancesUsed"], absolute["totalRAMUsed"], absolute["maxTotalCores"]) == (1, 512, -1)
    assert (await api.get("/os-quota-sets/p-red", who=MEMBER))["quota_set"]["cores"] == -1
    assert (await api.call("GET", "/os-quota-sets/p-red", who=OTHER)).status_code == 403


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/os-aggregates", "aggregates"),
        ("/os-server-groups", "server_groups"),
        ("/os-keypairs", "keypairs"),
        (f"/servers/{SERVER}/os-volume_attachments", "volumeAttachments"),
        (f"/servers/{SERVER}/os-interface", "interfaceAttachments"),
        (f"/servers/{SERVER}/ips", "addresses"),
    ],
)
async def test_what_there_is_none_of(api: ComputeApi, path: str, key: str) -> None:
    assert not (await api.get(path))[key]


async def test_extensions(api: ComputeApi) -> None:
    assert (await api.get("/extensions", version=None))["extensions"]


# -- /haulier/v1 -------------------------------------------------------------------------------------------


async def test_a_move_in_full(api: ComputeApi) -> None:
    await api.open_window()
    [listed] = (await api.get("/haulier/v1/migrations"))["migrations"]
    assert (listed["state"], listed["status"], listed["source"], listed["target"]) == (
        "AWAITS_CONFIRM", "finished", "src", "dst",
    )  # fmt: skip
    assert listed["transitions"][0].items() >= {"from": "REQUESTED", "to": "AWAITS_CONFIRM", "event": "Started"}.items()
    for which in (listed["id"], listed["uuid"]):
        assert (await api.get(f"/haulier/v1/migrations/{which}", who=MEMBER))["migration"]["uuid"] == listed["uuid"]
        assert (await api.call("GET", f"/haulier/v1/migrations/{which}", who=OTHER)).status_code == 404
    assert len((await api.get(f"/haulier/v1/migrations?server={SERVER}", who=MEMBER))["migrations"]) == 1
    assert (await api.call("GET", f"/haulier/v1/migrations?server={SERVER}", who=OTHER)).status_code == 404
    assert (await api.call("GET", "/haulier/v1/migrations", who=MEMBER)).status_code == 403
    for missing in ("99", "abc", "9" * 30, "%C2%B2"):
        assert (await api.call("GET", f"/haulier/v1/migrations/{missing}")).status_code == 404


async def test_draining(api: ComputeApi) -> None:
    for verb, draining in (("drain", True), ("undrain", False)):
        answer = await api.call("POST", f"/haulier/v1/hosts/dst/{verb}")
        assert answer.json()["host"]["draining"] is draining
    hosts = {host["name"]: host for host in (await api.get("/haulier/v1/hosts"))["hosts"]}
    assert hosts["src"]["resources"]["VCPU"] == {"capacity": 32, "used": 1}
    assert (hosts["off"]["enabled"], hosts["off"]["reason"], hosts["down"]["up"]) == (False, "broken fan", False)
    assert (await api.call("POST", "/haulier/v1/hosts/mars/drain")).status_code == 404
    assert (await api.call("POST", "/haulier/v1/hosts/dst/drain", who=MEMBER)).status_code == 403
