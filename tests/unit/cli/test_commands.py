"""Commands as a user types them, against an API that answers what the test says."""

import json
import subprocess
import sys
from typing import Any

import pytest

from haulier.cli import follow
from haulier.cli.client import MICROVERSION
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import Asked, FakeApi
from tests.unit.cli.moves import FORWARD, move

ID = "11111111-1111-4111-8111-111111111111"
SERVER = {
    "id": ID,
    "name": "srv",
    "status": "ACTIVE",
    "OS-EXT-STS:task_state": None,
    "OS-EXT-STS:power_state": 1,
    "OS-EXT-SRV-ATTR:host": "node1",
    "flavor": {"original_name": "m1.nano", "vcpus": 1, "ram": 64, "disk": 1},
    "image": {"id": "i"},
}
ACTION = f"/v2.1/servers/{ID}/action"
RUNNING = ("PREPARING", "COPYING")


def has_server(api: FakeApi, *documents: dict[str, Any]) -> None:
    """One server called srv, whose newest move is 7 and shows `documents`, one after the other."""
    api.answers["GET /v2.1/servers/detail"] = (200, {"servers": [SERVER, {**SERVER, "id": "x", "name": "srv2"}]})
    api.answers[f"GET /v2.1/servers/{ID}"] = (200, {"server": SERVER})
    api.answers["GET /haulier/v1/migrations"] = (200, {"migrations": [{"id": 7}, {"id": 3}]})
    api.answers[f"POST {ACTION}"] = (202, None)
    api.answers["GET /haulier/v1/migrations/7"] = [(200, {"migration": one}) for one in documents]


# -- migrate: what it sends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "argument"),
    [
        (("srv",), None),
        (("srv", "node2"), {"host": "node2"}),
        (("--force", "True", "srv", "node2"), {"host": "node2", "force": True}),
        (("srv", "node2", "--force", "true"), {"host": "node2", "force": True}),
        (("--force", "False", "srv", "node2"), {"host": "node2", "force": False}),
        (("--force", "False", "srv"), None),
    ],
)
def test_migrate_sends(api: FakeApi, run: Run, words: tuple[str, ...], argument: object) -> None:
    has_server(api, move("PREPARING"))
    result = run("migrate", "--no-wait", *words)
    assert result.exit_code == 0, result.output
    assert api.bodies(ACTION) == [{"migrate": argument}]
    assert result.stdout == "accepted as migration 7; `haulier migration show 7` tells how far it is\n"


@pytest.mark.parametrize(
    ("words", "argument"),
    [
        (("--confirm-after", "3600", "srv"), {"confirm_after": 3600}),
        (("--confirm-after", "0", "srv", "node2"), {"host": "node2", "confirm_after": 0}),
        (
            ("--force", "True", "--confirm-after", "5", "srv", "node2"),
            {"host": "node2", "force": True, "confirm_after": 5},
        ),
    ],
)
def test_migrate_with_a_wish_of_our_own_asks_our_own_api(
    api: FakeApi, run: Run, words: tuple[str, ...], argument: object
) -> None:
    has_server(api, move("PREPARING"))
    own = f"/haulier/v1/servers/{ID}/migrate"
    api.answers[f"POST {own}"] = (202, {"migration": move("PREPARING")})
    result = run("migrate", "--no-wait", *words)
    assert result.exit_code == 0, result.output
    assert (api.bodies(own), api.bodies(ACTION)) == ([argument], [])


def test_migrate_tells_when_it_is_confirmed_by_itself(api: FakeApi, run: Run) -> None:
    has_server(api, move(*FORWARD, confirms_at="2026-11-24T07:00:00Z"))
    result = run("migrate", "srv", "node2")
    assert result.exit_code == 0, result.output
    assert "Otherwise it is confirmed by itself at 2026-11-24" in result.stdout
    shown = run("migration", "show", "7")
    assert "confirms by itself" in shown.stdout


def test_migrate_asks_for_the_microversion_of_named_hosts(api: FakeApi, run: Run) -> None:
    has_server(api, move("PREPARING"))
    run("migrate", "--no-wait", "srv", "node2")
    assert {asked.microversion for asked in api.asked if asked.path.startswith("/v2.1")} == {f"compute {MICROVERSION}"}


def test_force_without_a_host_is_refused_before_anything_is_sent(api: FakeApi, run: Run) -> None:
    result = run("migrate", "--force", "True", "srv")
    assert result.exit_code == 1
    assert result.stderr.startswith("haulier: --force True needs a host")
    assert api.asked == []


def test_a_server_is_found_by_id_without_looking_at_names(api: FakeApi, run: Run) -> None:
    has_server(api, move("PREPARING"))
    assert run("migrate", "--no-wait", ID).exit_code == 0
    assert "/v2.1/servers/detail" not in [asked.path for asked in api.asked]


# -- migrate: what it tells ----------------------------------------------------------------------------------


def test_migrate_tells_each_step_and_what_can_be_done_next(api: FakeApi, run: Run) -> None:
    has_server(api, move("PREPARING"), move(*RUNNING), move(*FORWARD))
    result = run("migrate", "srv", "node2")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "   0.5 s  node2 is chosen; it checks what only it knows, and makes room"
    assert lines[-2].startswith("server srv is on node2 now, its old copy is kept on node1; the guest was off for")
    assert "haulier server confirm srv" in lines[-1]
    assert "haulier server revert srv" in lines[-1]


def test_a_refused_move_says_every_reason_and_fails(api: FakeApi, run: Run) -> None:
    has_server(api, move("FAILED", target=None, attempts=[], reasons=["node2: the host is disabled (power supply)"]))
    result = run("migrate", "srv", "node2")
    assert result.exit_code == 1
    assert result.stderr == (
        "haulier: server srv was not moved: node2: the host is disabled (power supply). "
        "`haulier migration show 7` has the whole story.\n"
    )


def test_migrate_as_json_prints_the_document_alone(api: FakeApi, run: Run) -> None:
    has_server(api, move(*RUNNING), move(*FORWARD))
    result = run("migrate", "srv", "--format", "json")
    assert json.loads(result.stdout)["state"] == "AWAITS_CONFIRM"


def test_ctrl_c_ends_the_watching_and_says_that_the_move_goes_on(
    api: FakeApi, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    has_server(api, move("PREPARING"))
    monkeypatch.setattr(follow, "read", interrupt)
    result = run("migrate", "srv")
    assert result.exit_code == 130
    assert "the move goes on; `haulier migration show 7`" in result.stderr


@pytest.mark.parametrize(
    ("verb", "action", "end", "said"),
    [
        ("confirm", "confirmResize", "CONFIRMED", "server srv stays on node2; node1 has deleted its copy"),
        ("revert", "revertResize", "REVERTED", "server srv is back on node1; node2 has deleted its copy"),
    ],
)
def test_confirm_and_revert(api: FakeApi, run: Run, verb: str, action: str, end: str, said: str) -> None:
    has_server(api, move(*FORWARD), move(*FORWARD, end))
    result = run("server", verb, "srv")
    assert result.exit_code == 0, result.output
    assert api.bodies(ACTION) == [{action: None}]
    assert result.stdout.splitlines()[-1] == said
    assert len(result.stdout.splitlines()) == 2, "what happened before the request is not told again"


def test_a_confirm_that_was_put_back_is_a_failure(api: FakeApi, run: Run) -> None:
    has_server(api, move(*FORWARD), move(*FORWARD, "ATTESTING", "AWAITS_CONFIRM", reasons=["node2 lost the disk"]))
    result = run("server", "confirm", "srv")
    assert result.exit_code == 1
    assert "the move of server srv was not confirmed: node2 lost the disk" in result.stderr


def test_resize_sends_the_flavors_id(api: FakeApi, run: Run) -> None:
    has_server(api, move("PREPARING"))
    flavors = [{"id": "42", "name": "m1.small"}]
    api.answers["GET /v2.1/flavors/detail"] = (200, {"flavors": flavors})
    assert run("server", "resize", "--no-wait", "srv", "m1.small").exit_code == 0
    assert api.bodies(ACTION) == [{"resize": {"flavorRef": "42"}}]


# -- errors ----------------------------------------------------------------------------------------------------


def test_what_the_api_refuses_is_one_line(api: FakeApi, run: Run) -> None:
    has_server(api)
    refusal = {"conflictingRequest": {"code": 409, "message": "Cannot 'migrate' instance while it is\nlocked"}}
    api.answers[f"POST {ACTION}"] = (409, refusal)
    result = run("migrate", "srv")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "haulier: refused: Cannot 'migrate' instance while it is locked\n"


def test_a_refusal_with_a_way_out_names_it(api: FakeApi, run: Run) -> None:
    has_server(api)
    message = "Cannot 'migrate' instance x while it is in vm_state resized"
    api.answers[f"POST {ACTION}"] = (409, {"conflictingRequest": {"code": 409, "message": message}})
    assert run("migrate", "srv").stderr == (
        f"haulier: refused: {message}. "
        "Its last move waits for `haulier server confirm srv` or `haulier server revert srv`.\n"
    )


def test_a_wrong_password_says_where_it_came_from(api: FakeApi, run: Run) -> None:
    api.password = "another"
    result = run("server", "list")
    assert result.exit_code == 1
    assert "does not know user admin" in result.stderr
    assert "from the OS_* variables" in result.stderr
    assert "secret" not in result.output


def test_nobody_there_says_how_to_start(api: FakeApi, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_COMPUTE_ENDPOINT_OVERRIDE", "http://127.0.0.1:1/v2.1")
    result = run("server", "list")
    assert result.exit_code == 1
    assert "nobody answers at http://127.0.0.1:1" in result.stderr
    assert "haulier up" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_answer_that_is_no_json(api: FakeApi, run: Run) -> None:
    api.answers["GET /v2.1/servers/detail"] = (200, "<html>a proxy</html>")
    result = run("server", "list")
    assert result.exit_code == 1
    assert "no JSON" in result.stderr


def test_a_failure_of_the_api_is_no_traceback(api: FakeApi, run: Run) -> None:
    api.answers["GET /v2.1/servers/detail"] = (500, {"computeFault": {"code": 500, "message": "Unexpected API Error."}})
    result = run("server", "list")
    assert result.stderr.startswith("haulier: the API failed: Unexpected API Error. (500)")


def test_an_unknown_server_is_named(api: FakeApi, run: Run) -> None:
    has_server(api)
    result = run("server", "show", "nosuch")
    assert result.exit_code == 1
    assert result.stderr == "haulier: there is no server nosuch. `haulier server list` shows those there are.\n"


# -- the other nouns -------------------------------------------------------------------------------------------


def test_server_list(api: FakeApi, run: Run) -> None:
    has_server(api)
    lines = run("server", "list").stdout.splitlines()
    assert lines[0].split() == ["ID", "NAME", "STATUS", "TASK", "HOST", "FLAVOR"]
    assert lines[1].split() == [ID, "srv", "ACTIVE", "-", "node1", "m1.nano"]
    assert json.loads(run("server", "list", "--format", "json").stdout)[0] == SERVER


def test_server_create_waits_until_it_is_built(api: FakeApi, run: Run) -> None:
    api.answers["GET /v2/images"] = (200, {"images": []})
    api.answers["GET /image/v2/images"] = (200, {"images": [{"id": "i", "name": "tiny"}]})
    api.answers["GET /v2.1/flavors/f"] = (200, {"flavor": {"id": "f", "name": "f"}})
    api.answers["POST /v2.1/servers"] = (202, {"server": {"id": ID}})
    building = {**SERVER, "status": "BUILD", "OS-EXT-STS:task_state": "spawning"}
    api.answers[f"GET /v2.1/servers/{ID}"] = [(200, {"server": building}), (200, {"server": SERVER})]
    result = run("server", "create", "--image", "tiny", "--flavor", "f", "srv")
    assert result.exit_code == 0, result.output
    body = {"name": "srv", "imageRef": "i", "flavorRef": "f", "networks": "none"}
    assert api.bodies("/v2.1/servers") == [{"server": body}]
    assert "m1.nano (1 vCPU, 64 MiB, 1 GiB)" in result.stdout


def test_a_build_that_fails_says_why(api: FakeApi, run: Run) -> None:
    has_server(api)
    failed = {**SERVER, "status": "ERROR", "fault": {"message": "No valid host was found."}}
    api.answers[f"GET /v2.1/servers/{ID}"] = (200, {"server": failed})
    result = run("server", "start", "srv")
    assert result.exit_code == 1
    assert "server srv is in ERROR: No valid host was found." in result.stderr


def test_server_delete_waits_until_it_is_gone(api: FakeApi, run: Run) -> None:
    has_server(api)
    api.answers[f"DELETE /v2.1/servers/{ID}"] = (204, None)
    api.answers[f"GET /v2.1/servers/{ID}"] = [(200, {"server": SERVER}), (404, {"itemNotFound": {"message": "gone"}})]
    assert run("server", "delete", "srv").stdout == "server srv is deleted\n"


def test_server_console(api: FakeApi, run: Run) -> None:
    has_server(api)
    api.answers[f"POST {ACTION}"] = (200, {"output": "BOOT 00000001\n"})
    assert run("server", "console", "srv", "--lines", "3").stdout == "BOOT 00000001\n"
    assert api.bodies(ACTION) == [{"os-getConsoleOutput": {"length": 3}}]


def test_server_events_show_the_steps_and_the_reason(api: FakeApi, run: Run) -> None:
    has_server(api)
    root = f"/v2.1/servers/{ID}/os-instance-actions"
    action = {"request_id": "r", "action": "migrate", "start_time": "2026-11-24T06:00:00.0", "message": "Error"}
    failed = {"event": "compute_prep_resize", "host": "node3", "result": "Error", "details": "rehearsed"}
    event = {"start_time": "2026-11-24T06:00:01.0", **failed}
    api.answers[f"GET {root}"] = (200, {"instanceActions": [action]})
    api.answers[f"GET {root}/r"] = (200, {"instanceAction": {**action, "events": [event]}})
    lines = run("server", "events", "srv").stdout.splitlines()
    assert lines[1].split()[2:] == ["migrate", "Error", "-"]
    assert lines[2].split()[2:] == ["compute_prep_resize", "Error", "rehearsed"]


def test_migration_show_takes_a_number_or_a_server(api: FakeApi, run: Run) -> None:
    has_server(api, move(*FORWARD, progress={"bytes_done": 1 << 20, "bytes_total": 1 << 20}))
    by_number = run("migration", "show", "7").stdout
    assert by_number == run("migration", "show", "srv").stdout
    assert "disk sent      1.0 MiB of 1.0 MiB" in by_number
    assert "node2 is done" in by_number


def test_migration_list_says_whose_it_is_who_asked_and_who_acts(api: FakeApi, run: Run) -> None:
    """Page by page, and the newest last."""
    has_server(api)
    pages = {None: [7, 6], "6": [5]}

    def page(asked: Asked) -> tuple[int, Any]:
        marker = asked.query.get("marker", [None])[0]
        found = [{**move(*FORWARD), "id": number} for number in pages[marker]]
        return 200, {"migrations": found} | ({"migrations_links": [{"rel": "next"}]} if marker is None else {})

    api.answers["GET /haulier/v1/migrations"] = page
    printed = run("migration", "list", "--server", "srv", "--owner", "demo", "--status", "finished").stdout.splitlines()
    assert [line.split()[0] for line in printed] == ["ID", "5", "6", "7"]
    assert printed[1].split()[2:] == [
        "migration", "awaits_confirm", "node1", "node2", "1", "demo", "admin-user", "user", "2.5", "s",
    ]  # fmt: skip
    assert api.asked[-2].query == {"server": [ID], "owner": ["demo"], "status": ["finished"]}
    api.asked.clear()
    newest = json.loads(run("migration", "list", "--last", "2", "--format", "json").stdout)
    assert [one["id"] for one in newest] == [6, 7]
    assert len(api.asked) == 1, "no more pages than are shown"


def test_migration_watch_tells_a_move_that_somebody_else_asked_for(api: FakeApi, run: Run) -> None:
    has_server(api, move(*RUNNING), move(*FORWARD))
    result = run("migration", "watch", "7")
    assert (result.exit_code, result.stdout.count("node2 is chosen")) == (0, 1), result.output
    assert "node2 is done" in result.stdout


def test_migration_watch_ends_with_the_reasons_of_a_move_that_failed(api: FakeApi, run: Run) -> None:
    has_server(api, move("FAILED", reasons=["node2: it is disabled"]))
    result = run("migration", "watch", "srv")
    assert result.exit_code == 1
    assert "node2: it is disabled" in result.stderr


def test_image_create_uploads_the_file_and_knows_its_format(api: FakeApi, run: Run, tmp_path: Any) -> None:
    (tmp_path / "disk").write_bytes(b"QFI\xfb rest")
    api.answers["POST /image/v2/images"] = (201, {"id": "i"})
    api.answers["PUT /image/v2/images/i/file"] = (204, None)
    made = {"id": "i", "name": "a", "status": "active", "disk_format": "qcow2", "size": 9, "visibility": "private"}
    api.answers["GET /image/v2/images/i"] = (200, made)
    result = run("image", "create", "a", "--file", str(tmp_path / "disk"))
    assert result.exit_code == 0, result.output
    assert api.bodies("/image/v2/images")[0]["disk_format"] == "qcow2"
    assert api.bodies("/image/v2/images/i/file") == [b"QFI\xfb rest"]


def test_an_image_whose_bytes_are_refused_does_not_stay(api: FakeApi, run: Run, tmp_path: Any) -> None:
    (tmp_path / "disk").write_bytes(b"x")
    api.answers["POST /image/v2/images"] = (201, {"id": "i"})
    api.answers["PUT /image/v2/images/i/file"] = (400, "<html><body><h1>400</h1> not an image</body></html>")
    api.answers["DELETE /image/v2/images/i"] = (204, None)
    result = run("image", "create", "a", "--file", str(tmp_path / "disk"))
    assert result.stderr == "haulier: refused: 400 not an image\n"
    assert api.asked[-1].method == "DELETE"


HOST = {
    "name": "node1",
    "uuid": "u",
    "zone": "nova",
    "enabled": False,
    "reason": "new fan",
    "draining": False,
    "forced_down": False,
    "up": True,
    "silent_for": 1.5,
    "free_disk_bytes": 1 << 30,
    "resources": {"VCPU": {"capacity": 8, "used": 1}, "MEMORY_MB": {"capacity": 512, "used": 64}},
}


def test_hosts(api: FakeApi, run: Run) -> None:
    api.answers["GET /haulier/v1/hosts"] = (200, {"hosts": [HOST]})
    api.answers["GET /v2.1/servers/detail"] = (200, {"servers": [SERVER]})
    assert "node1  up     no: disabled (new fan)" in run("host", "list").stdout
    api.answers["GET /haulier/v1/hosts"] = (200, {"hosts": [{**HOST, "up": False, "stopping": True}]})
    assert "node1  stopping  no: disabled" in run("host", "list").stdout
    shown = run("host", "show", "node1").stdout
    assert "RAM (MiB) claimed   64 of 512" in shown
    assert f"srv  ACTIVE  {ID}" in shown
    assert run("host", "show", "node9").stderr.startswith("haulier: there is no host node9")


@pytest.mark.parametrize(
    ("words", "request_", "body"),
    [
        (("disable", "node1"), "PUT /v2.1/os-services/u", {"status": "disabled"}),
        (
            ("disable", "node1", "--reason", "fan"),
            "PUT /v2.1/os-services/u",
            {"status": "disabled", "disabled_reason": "fan"},
        ),
        (("enable", "node1"), "PUT /v2.1/os-services/u", {"status": "enabled"}),
        (("drain", "node1"), "POST /haulier/v1/hosts/node1/drain", None),
        (("undrain", "node1"), "POST /haulier/v1/hosts/node1/undrain", None),
    ],
)
def test_what_an_operator_sets(api: FakeApi, run: Run, words: tuple[str, ...], request_: str, body: object) -> None:
    api.answers["GET /haulier/v1/hosts"] = (200, {"hosts": [HOST]})
    api.answers[request_] = (200, {})
    assert run("host", *words).exit_code == 0
    asked = api.asked[-1]
    assert (f"{asked.method} {asked.path}", asked.body) == (request_, body)


# -- what is imported ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("--help",), ("migrate", "--help"), ("up", "--help")])
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    heavy = ("sqlalchemy", "numpy", "rich", "starlette", "httpx2", "yaml", "oslo_policy", "msgspec", "asyncio")
    script = f"""
import sys
sys.argv = ["haulier", *{words!r}]
from haulier.cli.main import main
try:
    main()
except SystemExit as end:
    assert end.code in (0, None)
found = sorted(name for name in {heavy!r} if name in sys.modules)
assert not found, found
"""
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL, timeout=60)
