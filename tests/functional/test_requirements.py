"""The nine requirements of the design, one by one; the bus recorder says who said what to whom.

Each test is named after the number of its requirement. The hypervisors are simulated: that a move really carries a
guest is shown in tests/guest.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from haulier.bus import permissions
from haulier.bus.permissions import Permissions
from haulier.model.ids import HostName
from haulier.model.migration import State
from haulier.wire import codec, subjects
from haulier.wire.to_conductor import FailedAttempt, MigrateServer
from haulier.wire.to_scheduler import Destinations
from tests.functional.cloud import Cloud, running, settings

ONE_SMALL = {"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1}


async def test_1_the_conductor_owns_the_move(cloud: Cloud) -> None:
    """It asks the scheduler, claims, and casts prep_resize to the target; nobody else tells a host anything."""
    server = await cloud.create(host="node1")
    cloud.recorder.said.clear()
    move = await cloud.move(server)
    assert move.state == State.AWAITS_CONFIRM
    target = str(move.target)
    assert cloud.recorder.steps() == [
        (target, "prep_resize"),
        ("node1", "resize_instance"),
        (target, "receive_disk"),
        (target, "finish_resize"),
    ]
    assert {said.sender for said in cloud.recorder.on("haulier.compute.")} == {"conductor"}
    asked = [said.sender for said in cloud.recorder.on("haulier.scheduler.")]
    assert asked == ["conductor"]


async def test_1_the_claim_is_made_before_the_target_is_told(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    held: list[dict[str, Any]] = []
    prepare = cloud.drivers["node2"].create_disk

    async def look(*args: Any, **more: Any) -> Any:
        held.append(await cloud.claims(server))
        return await prepare(*args, **more)

    cloud.drivers["node2"].create_disk = look  # type: ignore[method-assign]
    await cloud.move(server, "node2")
    assert held == [{"node1 (migration)": ONE_SMALL, "node2": ONE_SMALL}]


async def test_2_a_target_that_refuses_calls_the_conductor_back_and_never_the_scheduler(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    cloud.drivers["node2"].fails["create_disk"] = "no room for the image"
    cloud.recorder.said.clear()
    move = await cloud.move(server)
    assert (move.state, move.target, move.attempt) == (State.AWAITS_CONFIRM, "node3", 2)
    backs = cloud.recorder.on("haulier.conductor.migrate_server")
    assert [(said.sender, said.subject) for said in backs] == [
        ("compute.node2", "haulier.conductor.migrate_server.node2")
    ]
    message = codec.decode(backs[0].body, MigrateServer)
    assert message.failed == FailedAttempt(1, 1, HostName("node2"), "no room for the image", True)
    assert message.migration_id == move.id
    assert len(cloud.recorder.on("haulier.scheduler.")) == 1, "the alternates are used without asking again (A8)"
    assert not [
        said for said in cloud.recorder.said if said.sender.startswith("compute") and "scheduler" in said.subject
    ]


async def test_2_said_twice_it_uses_up_one_alternate(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    cloud.drivers["node2"].fails["create_disk"] = "no"
    node2 = cloud.allinone.broker.connect("compute.node2", permissions.compute(HostName("node2")))
    seen: list[bytes] = []

    def double(said: Any) -> None:
        if said.subject == subjects.migrate_server(HostName("node2")) and not seen:
            seen.append(said.body)
            again = codec.decode(said.body, MigrateServer)
            asyncio.get_running_loop().call_soon(
                lambda: twice.append(asyncio.ensure_future(node2.tell(said.subject, again)))
            )

    twice: list[asyncio.Future[None]] = []
    cloud.allinone.broker.taps.append(double)
    move = await cloud.move(server)
    await asyncio.gather(*twice)
    assert (move.state, move.target, move.attempt) == (State.AWAITS_CONFIRM, "node3", 2)
    assert len(move.attempts) == 2


async def test_2_A9_three_targets_fail_and_the_server_is_as_before(tmp_path: Path) -> None:
    hosts = ("node1", "node2", "node3", "node4", "node5")
    async with running(settings(tmp_path, hosts)) as cloud:
        server = await cloud.create(host="node1")
        for host in hosts[1:]:
            cloud.drivers[host].fails["create_disk"] = f"{host} is tired"
        before = await cloud.server(server)
        move = await cloud.move(server)
        after = await cloud.server(server)
        assert (move.state, move.status, move.attempt) == (State.FAILED, "error", 3), "max_attempts is 3"
        assert [attempt.failed for attempt in move.attempts] == [
            f"prep_resize failed on {attempt.host}: {attempt.host} is tired" for attempt in move.attempts
        ]
        assert await cloud.claims(server) == {"node1": ONE_SMALL}
        assert (after.host, after.vm_state, after.power_state) == (before.host, before.vm_state, before.power_state)
        assert "node2 is tired" in "".join(await cloud.reasons(server))


async def test_3_the_scheduler_says_nothing_and_has_no_prep_resize(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    await cloud.confirm(server)
    spoken = [said for said in cloud.recorder.said if said.sender == "scheduler" and said.verb != "reply"]
    assert spoken == []
    conductor = cloud.allinone.broker.connect("conductor", permissions.CONDUCTOR)
    answer = await conductor.call("haulier.scheduler.prep_resize", {}, Destinations, 5.0)
    assert answer.no_such_method is not None
    assert "no such method: prep_resize" in answer.no_such_method
    assert "conductor.migrate_server" in answer.no_such_method
    other = await conductor.call("haulier.scheduler.run_instance", {}, Destinations, 5.0)
    assert "no such method" in (other.no_such_method or "")


@pytest.mark.parametrize("subject", ["haulier.compute.node1", "haulier.conductor.migrate_server.node1"])
def test_3_the_scheduler_may_not_reach_anybody(subject: str) -> None:
    assert permissions.SCHEDULER == Permissions(subscribe=("haulier.scheduler.>",))
    assert not permissions.SCHEDULER.may_publish(subject)


def asked_of_scheduler(cloud: Cloud) -> list[dict[str, Any]]:
    return [msgspec.msgpack.decode(said.body)["request_spec"] for said in cloud.recorder.on("haulier.scheduler.")]


@pytest.mark.parametrize(
    "body", [{"host": "node3"}, {"host": "node3", "force": False}, {"host": "node3", "force": None}]
)
async def test_4_a_named_host_is_checked_unless_force_is_true(cloud: Cloud, body: dict[str, Any]) -> None:
    server = await cloud.create(host="node1")
    cloud.recorder.said.clear()
    assert (await cloud.action(server, {"migrate": body})).status_code == 202
    assert (await cloud.free(server)).host == "node3"
    (spec,) = asked_of_scheduler(cloud)
    assert spec["requested_destination"] == "node3"


async def test_4_A5_J4_without_a_host_the_requested_destination_is_cleared(cloud: Cloud) -> None:
    """Scenarios A5 and J4: what was asked for one move never changes the next."""
    server = await cloud.create(host="node1")
    await cloud.move(server, "node3")
    await cloud.confirm(server)
    cloud.recorder.said.clear()
    move = await cloud.move(server)
    (spec,) = asked_of_scheduler(cloud)
    assert spec["requested_destination"] is None
    assert (move.state, move.target) == (State.AWAITS_CONFIRM, "node1"), "node3 was wanted once, not for ever"


async def test_4_with_force_the_scheduler_is_not_asked_at_all(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    cloud.recorder.said.clear()
    move = await cloud.move(server, "node3", force=True)
    assert (move.state, move.target) == (State.AWAITS_CONFIRM, "node3")
    assert cloud.recorder.on("haulier.scheduler.") == []
    assert move.skipped == ("enabled", "draining", "zone"), "which rules were not asked is recorded"


@pytest.mark.parametrize("body", [{"force": True}, {"force": True, "host": None}, {"force": False}, {"force": None}])
async def test_5_K7_force_needs_a_host(cloud: Cloud, body: dict[str, Any]) -> None:
    server = await cloud.create(host="node1")
    answer = await cloud.action(server, {"migrate": body})
    assert answer.status_code == 400
    assert "host" in answer.json()["badRequest"]["message"]
    assert (await cloud.server(server)).task_state is None


@pytest.mark.parametrize("body", [None, {}])
async def test_5_what_stock_clients_send_is_accepted(cloud: Cloud, body: Any) -> None:
    server = await cloud.create(host="node1")
    assert (await cloud.action(server, {"migrate": body})).status_code == 202
    assert (await cloud.newest(server)).named is False
    await cloud.free(server)


BELOW = [None, {}, {"host": "node3"}, {"host": "nosuch", "force": True}, {"force": True}]


@pytest.mark.parametrize("version", ["2.1", "2.55"])
@pytest.mark.parametrize("body", BELOW, ids=str)
async def test_6_below_2_56_neither_key_travels(cloud: Cloud, version: str, body: Any) -> None:
    server = await cloud.create(host="node1")
    cloud.recorder.said.clear()
    assert (await cloud.action(server, {"migrate": body}, version=version)).status_code == 202
    await cloud.free(server)
    (request,) = [one for one in cloud.recorder.requests() if one["type"] == "MigrateServer"]
    assert "host" not in request
    assert "force" not in request
    assert len(cloud.recorder.on("haulier.scheduler.")) == 1, "with no host there is nothing to bypass to"


async def test_6_from_2_56_both_keys_travel(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node3", force=True)
    (request,) = [one for one in cloud.recorder.requests() if one["type"] == "MigrateServer"]
    assert (request["host"], request["force"]) == ("node3", True)


@pytest.mark.parametrize("force", [None, True])
@pytest.mark.parametrize("host", [None, "node2"])
async def test_7_claims_are_exact_whoever_chose_the_target(cloud: Cloud, host: str | None, force: bool | None) -> None:
    """Invariant I2; scenarios B1 and B2."""
    server = await cloud.create(host="node1")
    move = await cloud.move(server, host, force=force)
    assert await cloud.claims(server) == {"node1 (migration)": ONE_SMALL, str(move.target): ONE_SMALL}
    await cloud.confirm(server)
    assert await cloud.claims(server) == {str(move.target): ONE_SMALL}


async def test_7_a_resize_claims_old_and_new(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    assert (await cloud.action(server, {"resize": {"flavorRef": "large"}})).status_code == 202
    await cloud.free(server)
    move = await cloud.newest(server)
    large = {"VCPU": 2, "MEMORY_MB": 128, "DISK_GB": 2}
    assert await cloud.claims(server) == {"node1 (migration)": ONE_SMALL, str(move.target): large}
    assert (await cloud.server(server)).flavor.name == "large"
    await cloud.revert(server)
    assert await cloud.claims(server) == {"node1": ONE_SMALL}
    assert (await cloud.server(server)).flavor.name == "small"


def clouds_yaml(cloud: Cloud, path: Path) -> Path:
    one = {
        "auth_type": "http_basic",
        "auth": {"username": "admin", "password": cloud.password},
        "compute_endpoint_override": f"{cloud.allinone.url}/v2.1",
        "image_endpoint_override": f"{cloud.allinone.url}/image",
        "identity_endpoint_override": f"{cloud.allinone.url}/identity/v3",
    }
    path.write_text(yaml.safe_dump({"clouds": {"test": one}}))
    return path


async def haulier(cloud: Cloud, tmp_path: Path, *words: str) -> tuple[int, str]:
    """Run the command line as a user would; its exit status and what it printed."""
    environment = {"OS_CLIENT_CONFIG_FILE": str(clouds_yaml(cloud, tmp_path / "clouds.yaml")), "OS_CLOUD": "test"}
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("haulier")),
        *words,
        env={**environment, "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode()


async def test_8_the_command_line_names_and_forces(cloud: Cloud, tmp_path: Path) -> None:
    server = await cloud.create("web", host="node1")
    status, printed = await haulier(cloud, tmp_path, "migrate", "--force", "True", "--wait", "web", "node3")
    assert status == 0, printed
    (request,) = [one for one in cloud.recorder.requests() if one["type"] == "MigrateServer"]
    assert (request["host"], request["force"]) == ("node3", True)
    assert (await cloud.server(server)).host == "node3"


async def test_8_the_command_line_leaves_the_choice_to_the_scheduler(cloud: Cloud, tmp_path: Path) -> None:
    await cloud.create("web", host="node1")
    status, printed = await haulier(cloud, tmp_path, "migrate", "--wait", "web")
    assert status == 0, printed
    (request,) = [one for one in cloud.recorder.requests() if one["type"] == "MigrateServer"]
    assert (request["host"], request["force"]) == (None, False)


async def test_8_the_command_line_tells_the_reason(cloud: Cloud, tmp_path: Path) -> None:
    await cloud.create("web", host="node1")
    await cloud.disable("node2", "new disks")
    status, printed = await haulier(cloud, tmp_path, "migrate", "--wait", "web", "node2")
    assert status == 1
    assert "it is disabled (new disks)" in printed


ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("docs/api-reference.md", '"force"'),
        ("docs/cli.md", "haulier migrate"),
        ("docs/operate/cold-migration.md", "force"),
    ],
)
def test_9_the_references_and_the_guide_tell_of_host_and_force(page: str, says: str) -> None:
    assert says in (ROOT / page).read_text()
