"""The action log, the list of moves, and who is in them: what was asked, by whom, what was done for it, how it ended.

That no event outlives its action is asked of every functional test, at the end of `running` in cloud.py.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from haulier.bus.local import Said
from haulier.db.store import actions
from haulier.model.ids import ServerId
from haulier.model.migration import State
from tests.functional.cloud import Cloud, running, settings
from tests.functional.conftest import HOSTS
from tests.functional.test_delete import delete, gone
from tests.functional.test_fence import fall_silent, lose, reached
from tests.functional.test_force import silence

SEARCH = [("conductor_migrate_server", None), ("cold_migrate", None)]
"""The conductor's own part of each attempt, as Nova names it."""
SMALL = {"VCPU": 1, "MEMORY_MB": 64, "DISK_GB": 1}


async def log(cloud: Cloud, server: str, action: str) -> dict[str, Any]:
    """The newest action of that name, in full."""
    listed = (await cloud.call("GET", f"/haulier/v1/servers/{server}/actions")).json()["actions"]
    found: dict[str, Any] = next(one for one in listed if one["action"] == action)
    return found


async def steps(cloud: Cloud, server: str, action: str) -> list[tuple[str, str | None, str | None]]:
    """(event, host, result) of the newest action of that name."""
    return [(each["event"], each["host"], each["result"]) for each in (await log(cloud, server, action))["events"]]


def succeeded(*events: tuple[str, str | None]) -> list[tuple[str, str | None, str | None]]:
    return [(event, host, "Success") for event, host in events]


# -- the action log ------------------------------------------------------------------------------------------


async def test_each_step_of_a_move_is_an_event_as_nova_names_it(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    assert await steps(cloud, server, "migrate") == succeeded(
        *SEARCH,
        ("compute_prep_resize", "node2"),
        ("compute_resize_instance", "node1"),
        ("compute_receive_disk", "node2"),
        ("compute_finish_resize", "node2"),
    )
    await cloud.revert(server)
    assert await steps(cloud, server, "revertResize") == succeeded(
        ("compute_check_disk", "node1"),
        ("compute_revert_resize", "node2"),
        ("compute_finish_revert_resize", "node1"),
    )
    await cloud.move(server, "node2")
    await cloud.confirm(server)
    assert await steps(cloud, server, "confirmResize") == succeeded(
        ("compute_attest_disk", "node2"), ("compute_confirm_resize", "node1")
    )
    for action in ("migrate", "revertResize", "confirmResize"):
        whole = await log(cloud, server, action)
        times = [each["started_at"] for each in whole["events"]] + [each["finished_at"] for each in whole["events"]]
        assert all(whole["finished_at"] >= time for time in times), whole
        assert whole["message"] is None


async def test_the_other_actions_have_the_events_of_nova_too(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    for action in ({"os-stop": None}, {"os-start": None}, {"reboot": {"type": "HARD"}}, {"lock": None}):
        assert (await cloud.action(server, action)).status_code == 202
        await cloud.free(server)
    await delete(cloud, server)
    await cloud.until(lambda: gone(cloud, server))
    assert await steps(cloud, server, "create") == succeeded(
        ("conductor_build_server", None), ("compute__do_build_and_run_instance", "node1")
    )
    for action, event in (
        ("stop", "compute_stop_instance"),
        ("start", "compute_start_instance"),
        ("reboot", "compute_reboot_instance"),
        ("delete", "compute_terminate_instance"),
    ):
        assert await steps(cloud, server, action) == succeeded((event, "node1"))
    assert (await log(cloud, server, "lock"))["finished_at"], "an action that is done at once has ended"


async def test_an_attempt_that_failed_shows_its_host_and_reason_and_the_next_one_its_own_events(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    cloud.drivers["node2"].fails["create_disk"] = "full of dust"
    await cloud.move(server)
    assert (await steps(cloud, server, "migrate"))[:6] == [
        *succeeded(*SEARCH),
        ("compute_prep_resize", "node2", "Error"),
        *succeeded(*SEARCH, ("compute_prep_resize", "node3")),
    ]
    assert "full of dust" in (await log(cloud, server, "migrate"))["events"][2]["reason"]


async def test_a_copy_that_failed_shows_how_the_source_came_back(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    cloud.drivers["node1"].fails["send_disk"] = "cable cut"
    await cloud.move(server, "node2")
    assert await steps(cloud, server, "migrate") == [
        *succeeded(*SEARCH, ("compute_prep_resize", "node2")),
        ("compute_resize_instance", "node1", "Error"),
        ("compute_restore_source", "node1", "Success"),
        *[(event, host, "Error") for event, host in SEARCH],
    ]
    whole = await log(cloud, server, "migrate")
    assert whole["message"] == "Error"
    assert all("cable cut" in each["reason"] for each in whole["events"] if each["result"] == "Error")


async def test_a_silent_target_that_was_given_up_is_an_error_and_its_clearing_up_no_event(tmp_path: Path) -> None:
    async with running(settings(tmp_path, HOSTS, prepare_timeout=0.2)) as cloud:
        server = await cloud.create(host="node1")

        def lost(said: Said) -> bool:
            return said.subject == "haulier.compute.node2" and b"prep_resize" in said.body

        cloud.allinone.broker.losses.append(lost)
        move = await cloud.move(server)
        assert (move.state, move.target) == (State.AWAITS_CONFIRM, "node3")
        recorded = await steps(cloud, server, "migrate")
        assert recorded[2] == ("compute_prep_resize", "node2", "Error")
        assert "no answer" in (await log(cloud, server, "migrate"))["events"][2]["reason"]
        assert [each for each in recorded if "discard" in each[0]] == []


async def test_a_resize_in_place_has_the_same_events_on_one_host(tmp_path: Path) -> None:
    async with running(settings(tmp_path, ("node1",), allow_resize_to_same_host=True)) as cloud:
        server = await cloud.create(host="node1")
        assert (await cloud.action(server, {"resize": {"flavorRef": "large"}})).status_code == 202
        await cloud.free(server)
        assert await steps(cloud, server, "resize") == succeeded(
            *SEARCH,
            ("compute_prep_resize", "node1"),
            ("compute_resize_instance", "node1"),
            ("compute_finish_resize", "node1"),
        )


async def test_a_deletion_ends_the_events_of_the_move_it_supersedes_and_says_so(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    lose(cloud, b"resize_instance")
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202
    await reached(cloud, server, State.COPYING)
    await delete(cloud, server)
    await cloud.until(lambda: gone(cloud, server))
    whole = await log(cloud, server, "migrate")
    assert (whole["events"][-1]["event"], whole["events"][-1]["result"]) == ("compute_resize_instance", "Error")
    assert whole["events"][-1]["reason"] == "the server was deleted"
    assert whole["message"] == "Error"


async def test_each_host_of_a_deletion_has_an_event_of_its_own(cloud: Cloud) -> None:
    """Events were once found by name alone: the first host's answer ended the second one's too."""
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    lose(cloud, b"delete_server")
    losses = cloud.allinone.broker.losses
    losses[-1], both = lambda said: said.subject == "haulier.compute.node2" and both(said), losses[-1]
    await delete(cloud, server)

    async def node1_is_done() -> bool:
        return ("compute_terminate_instance", "node1", "Success") in await steps(cloud, server, "delete")

    await cloud.until(node1_is_done)
    assert await steps(cloud, server, "delete") == [
        ("compute_terminate_instance", "node1", "Success"),
        ("compute_terminate_instance", "node2", None),
    ]
    losses.clear()
    await cloud.until(lambda: gone(cloud, server))


async def test_what_a_host_that_is_down_is_still_to_delete_is_no_open_event(cloud: Cloud) -> None:
    """The deletion has ended; the step on that host ends with it, and a late answer changes nothing."""
    server = await cloud.create(host="node1")
    await silence(cloud, "node1")
    await delete(cloud, server)

    async def gone_without_node1() -> bool:
        await fall_silent(cloud, "node1")  # a heartbeat may have been on its way
        return await gone(cloud, server)

    await cloud.until(gone_without_node1)
    assert await steps(cloud, server, "delete") == [("compute_terminate_instance", "node1", "Error")]
    whole = await log(cloud, server, "delete")
    assert whole["events"][0]["reason"] == actions.UNANSWERED
    assert whole["message"] is None, "the server is gone, as was asked"
    await cloud.allinone.restart_agent("node1")

    async def released() -> bool:
        return await cloud.claims(server) == {}

    await cloud.until(released)
    assert await log(cloud, server, "delete") == whole


async def test_M11_a_source_that_cannot_delete_its_copy_is_asked_until_it_can_and_each_try_is_on_record(
    cloud: Cloud,
) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    driver = cloud.drivers["node1"]
    driver.fails["delete"] = "the storage is busy"
    assert (await cloud.action(server, {"confirmResize": None})).status_code == 204

    async def failed_twice() -> bool:
        recorded = await steps(cloud, server, "confirmResize")
        return [each[2] for each in recorded if each[0] == "compute_confirm_resize"].count("Error") >= 2

    await cloud.until(failed_twice)
    assert await cloud.claims(server) == {"node1 (migration)": {"DISK_GB": 1}, "node2": SMALL}, (
        "counted until it is gone"
    )
    driver.fails.clear()
    move = await cloud.ended((await cloud.newest(server)).id)
    assert move.state == State.CONFIRMED
    assert "the storage is busy" in move.reasons[-1]
    assert (await steps(cloud, server, "confirmResize"))[-1] == ("compute_confirm_resize", "node1", "Success")


async def test_L4_a_request_that_died_before_any_host_has_an_action_record(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    for host in ("node2", "node3"):
        await cloud.disable(host)
    move = await cloud.move(server)
    whole = await log(cloud, server, "migrate")
    assert (whole["message"], whole["request_id"]) == ("Error", move.request_id)
    assert await steps(cloud, server, "migrate") == [(event, host, "Error") for event, host in SEARCH]
    assert "node2: it is disabled" in whole["events"][0]["reason"]


async def test_L4_a_request_that_nobody_has_taken_up_has_an_action_record(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    release, handle = asyncio.Event(), cloud.allinone.conductor.outbox.handle

    async def wait_first(request: Any, row_id: str) -> None:
        await release.wait()
        await handle(request, row_id)

    cloud.allinone.conductor.outbox.handle = wait_first
    assert (await cloud.action(server, {"migrate": None})).status_code == 202
    whole = await log(cloud, server, "migrate")
    assert (whole["finished_at"], whole["events"]) == (None, [])
    release.set()
    await cloud.free(server)


async def test_a_member_sees_the_steps_but_neither_hosts_nor_reasons(cloud: Cloud) -> None:
    server = await created_by_member(cloud)
    await cloud.move(server, "node2")
    path = f"/haulier/v1/servers/{server}/actions"
    seen = (await cloud.call("GET", path, who=cloud.member)).json()["actions"][0]["events"][0]
    assert set(seen) == {"event", "result", "started_at", "finished_at"}
    other = await cloud.create(host="node1")
    assert (await cloud.call("GET", f"/haulier/v1/servers/{other}/actions", who=cloud.member)).status_code == 404
    assert (await cloud.call("GET", "/haulier/v1/servers/nonsense/actions")).status_code == 404


# -- the list of moves ---------------------------------------------------------------------------------------


async def created_by_member(cloud: Cloud) -> str:
    body = {"name": "theirs", "imageRef": cloud.image, "flavorRef": "small", "networks": "none"}
    answer = await cloud.call("POST", "/v2.1/servers", {"server": body}, who=cloud.member)
    assert answer.status_code == 202, answer.text
    made = await cloud.free(answer.json()["server"]["id"])
    if made.host != "node1":
        await cloud.move(made.id, "node1")
        await cloud.confirm(made.id)
    return made.id


async def listed(cloud: Cloud, query: str = "", **more: Any) -> list[dict[str, Any]]:
    answer = await cloud.call("GET", f"/haulier/v1/migrations{query}", **more)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["migrations"]
    return found


async def test_L1_a_move_says_whose_server_it_is_who_asked_and_who_acts_now(cloud: Cloud) -> None:
    server = await created_by_member(cloud)
    answer = await cloud.action(server, {"migrate": {"host": "node2"}})
    await cloud.free(server)
    found = (await listed(cloud, f"?server={server}"))[0]
    owner = await cloud.server(server)
    assert found["owner"] == {"project_id": owner.project_id, "user_id": owner.user_id}
    asked_by = found["asked_by"]
    assert asked_by["user_id"] != owner.user_id, "an administrator moved it"
    assert asked_by["request_id"] == answer.headers["x-openstack-request-id"]
    assert (found["attempt"], found["acts_now"]) == (1, "user")
    assert found["age_seconds"] >= 0
    await cloud.confirm(server)
    assert (await listed(cloud, f"?server={server}"))[0]["acts_now"] is None


async def test_L1_who_acts_now_is_the_host_that_is_waited_for(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    lose(cloud, b"resize_instance")
    assert (await cloud.action(server, {"migrate": {"host": "node2"}})).status_code == 202
    await reached(cloud, server, State.COPYING)
    assert (await listed(cloud))[0]["acts_now"] == "node1"
    cloud.allinone.broker.losses.clear()
    await cloud.free(server)


async def test_L1_moves_are_listed_by_owner_and_each_sees_what_policy_lets_them_see(cloud: Cloud) -> None:
    theirs, ours = await created_by_member(cloud), await cloud.create(host="node1")
    for server in (theirs, ours):
        await cloud.move(server, "node2")
    owner = await cloud.server(theirs)
    for who in (owner.project_id, owner.user_id):
        found = await listed(cloud, f"?owner={who}")
        assert {move["server_id"] for move in found} == {theirs}
    assert {move["server_id"] for move in await listed(cloud)} == {theirs, ours}
    assert (await listed(cloud, f"?server={theirs}", who=cloud.member))[0]["server_id"] == theirs
    assert (await cloud.call("GET", "/haulier/v1/migrations", who=cloud.member)).status_code == 403
    assert (await cloud.call("GET", f"/haulier/v1/migrations?server={ours}", who=cloud.member)).status_code == 404


async def test_L1_the_compute_apis_list_is_not_widened(cloud: Cloud) -> None:
    """Nova's has `user_id` and `project_id` from 2.80 on, which is not offered."""
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    for version in ("2.1", "2.56"):
        [move] = (await cloud.call("GET", "/v2.1/os-migrations", version=version)).json()["migrations"]
        assert not {"user_id", "project_id", "owner", "asked_by"} & move.keys()


async def test_L2_pages_are_stable_and_complete_though_moves_begin_meanwhile(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    for host in ("node2", "node3", "node2", "node1"):
        await cloud.move(server, host)
        await cloud.confirm(server)
    whole = [move["id"] for move in await listed(cloud)]
    assert whole == sorted(whole, reverse=True)
    path, seen = "/haulier/v1/migrations?limit=2", []
    while path:
        page = (await cloud.call("GET", path)).json()
        seen += [move["id"] for move in page["migrations"]]
        if len(seen) == 2:
            await cloud.move(server, "node3")  # newer than the page that was read: it shifts nothing
        path = page["migrations_links"][0]["href"] if "migrations_links" in page else ""
    assert seen == whole


async def test_L2_filters_narrow_the_list_down(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    await cloud.move(server, "node2")
    await cloud.confirm(server)
    await cloud.move(server, "node3")
    targets = {query: [move["target"] for move in await listed(cloud, query)] for query in (
        "?host=node1", "?host=node2", "?status=confirmed", "?status=finished", "?host=nowhere", "?owner=nobody",
    )}  # fmt: skip
    assert targets == {
        "?host=node1": ["node2"],
        "?host=node2": ["node3", "node2"],
        "?status=confirmed": ["node2"],
        "?status=finished": ["node3"],
        "?host=nowhere": [],
        "?owner=nobody": [],
    }


@pytest.mark.parametrize("query", ["?status=moving", "?limit=x", "?limit=-1", "?marker=999", "?marker=%00", "?marker="])
async def test_a_query_that_means_nothing_is_refused(cloud: Cloud, query: str) -> None:
    answer = await cloud.call("GET", f"/haulier/v1/migrations{query}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["badRequest"]["message"]


async def test_the_log_of_a_move_says_which_target_each_line_is_about(cloud: Cloud) -> None:
    server = await cloud.create(host="node1")
    cloud.drivers["node2"].fails["create_disk"] = "full of dust"
    move = await cloud.move(server)
    shown = (await cloud.call("GET", f"/haulier/v1/migrations/{move.id}")).json()["migration"]
    assert [(each["to"], each["attempt"], each["target"]) for each in shown["transitions"]][:3] == [
        ("PREPARING", 1, "node2"),
        ("PREPARING", 2, "node3"),
        ("COPYING", 2, "node3"),
    ]
    assert await cloud.allinone.db.read(actions.of_server, ServerId(server))
