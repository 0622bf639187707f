"""What holds for every request: versions, request ids, errors, and bodies that mean nothing."""

import itertools
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from haulier.api.app import COMPUTE
from tests.functional.api.compute_api import ADMIN, IMAGE, MEMBER, SERVER, ComputeApi, running


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({}, "2.1"),
        ({"OpenStack-API-Version": "compute 2.30"}, "2.30"),
        ({"X-OpenStack-Nova-API-Version": "2.30"}, "2.30"),
        ({"OpenStack-API-Version": "compute latest"}, "2.56"),
        ({"OpenStack-API-Version": "volume 3.99"}, "2.1"),
        ({"OpenStack-API-Version": "volume 3.99, compute 2.5"}, "2.5"),
        ({"OpenStack-API-Version": "compute 2.40", "X-OpenStack-Nova-API-Version": "2.30"}, "2.40"),
    ],
)
async def test_the_version_is_said_in_the_answer(api: ComputeApi, headers: dict[str, str], version: str) -> None:
    answer = await api.call("GET", "/flavors", version=None, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["openstack-api-version"] == f"compute {version}"
    assert answer.headers["x-openstack-nova-api-version"] == version
    assert "OpenStack-API-Version" in answer.headers["vary"]
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    assert answer.headers["x-compute-request-id"] == answer.headers["x-openstack-request-id"]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("2.0", 406),
        ("2.57", 406),
        ("3.1", 406),
        ("1.1", 406),
        ("2", 400),
        ("2.01", 400),
        ("x", 400),
        ("2.1.1", 400),
        ("-2.1", 400),
    ],
)
async def test_versions_that_are_none(api: ComputeApi, said: str, status: int) -> None:
    answer = await api.call("GET", "/flavors", version=said)
    assert answer.status_code == status
    assert list(answer.json()) == [{400: "badRequest", 406: "computeFault"}[status]]
    assert answer.headers["x-openstack-request-id"].startswith("req-")


@pytest.mark.parametrize("path", ["/v2.1", "/v2.1/"])
async def test_the_version_document(api: ComputeApi, path: str) -> None:
    answer = await api.client.get(path, headers={"Host": "other.example:80"})
    version = answer.json()["version"]
    assert (version["id"], version["status"], version["min_version"], version["version"]) == (
        "v2.1", "CURRENT", "2.1", "2.56",
    )  # fmt: skip
    assert version["links"][0] == {"rel": "self", "href": "http://other.example:80/v2.1/"}
    root = (await api.client.get("/")).json()["versions"]
    assert [each["id"] for each in root] == ["v2.1"]


@pytest.mark.parametrize(
    ("method", "path", "status", "key"),
    [
        ("GET", "/nosuch", 404, "itemNotFound"),
        ("GET", "/servers/", 404, "itemNotFound"),
        ("GET", "/servers/a/b/c", 404, "itemNotFound"),
        ("DELETE", "/servers", 405, "badMethod"),
        ("POST", "/os-migrations", 405, "badMethod"),
    ],
)
async def test_paths_that_are_none(api: ComputeApi, method: str, path: str, status: int, key: str) -> None:
    answer = await api.call(method, path)
    assert answer.status_code == status
    assert list(answer.json()) == [key]


async def test_a_body_that_is_too_large(tmp_path: Path) -> None:
    async with running(tmp_path, max_body=1000) as api:
        answer = await api.call("POST", "/servers", b" " * 2000)
        assert (answer.status_code, list(answer.json())) == (413, ["overLimit"])


async def test_what_goes_wrong_inside_stays_inside(api: ComputeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a secret of the database")

    monkeypatch.setattr(api.db, "read", broken)
    answer = await api.call("GET", "/flavors")
    assert (answer.status_code, list(answer.json())) == (500, ["computeFault"])
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


async def test_a_nudge_that_is_lost_does_not_matter(api: ComputeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    from haulier.bus.interface import NoAnswer

    async def lost(*_: Any) -> None:
        raise NoAnswer("gone")

    monkeypatch.setattr(api.bus, "tell", lost)
    assert (await api.action({"migrate": None})).status_code == 202


WRITES = [(method, path) for method, path, _ in COMPUTE if method in ("POST", "PUT")]
ACTIONS = [
    "migrate", "resize", "confirmResize", "revertResize", "os-start", "os-stop", "reboot", "pause", "unpause", "lock",
    "unlock", "os-getConsoleOutput", "createImage",
]  # fmt: skip
KEYS = [
    "server", "flavor", "extra_specs", "metadata", "meta", "name", "imageRef", "flavorRef", "networks", "ram", "vcpus",
    "disk", "id", "host", "binary", "status", "force", "forced_down", "disabled_reason", "type", "length",
    "description", "block_device_mapping_v2", "min_count", "config_drive", "availability_zone", "adminPass",
    "security_groups", "OS-DCF:diskConfig", "os:scheduler_hints", "key", *ACTIONS,
]  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["small", "large", IMAGE, "src", "dst", "nova:dst", "nova-compute", "auto", "none", "HARD", "", " "]
    )
)
WORDS = st.sampled_from(KEYS) | st.text(max_size=5)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=12,
)
SERVERS = st.fixed_dictionaries(
    {"name": SCALARS, "flavorRef": SCALARS, "imageRef": SCALARS, "networks": SCALARS},
    optional={key: JSON for key in KEYS if key not in ("name", "flavorRef", "imageRef", "networks")},
)
BODIES = (
    JSON
    | st.builds(lambda server: {"server": server}, SERVERS)
    | st.builds(lambda key, inside: {key: inside}, st.sampled_from(KEYS), JSON)
)


def fuzz(examples: int) -> Any:
    return hypothesis.settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
    )


@pytest.mark.parametrize(("method", "path"), WRITES, ids=[f"{method} {path}" for method, path in WRITES])
async def test_no_body_breaks_anything(api: ComputeApi, method: str, path: str) -> None:
    url = path.format(server_id=SERVER, flavor_id="small", key="key", service_id="disable")
    await examples(api, method, url, 20)


@pytest.mark.parametrize("action", ACTIONS)
async def test_no_action_breaks_anything(api: ComputeApi, action: str) -> None:
    await examples(api, "POST", f"/servers/{SERVER}/action", 20, action)


async def examples(api: ComputeApi, method: str, url: str, count: int, action: str | None = None) -> None:
    """Send many bodies at two versions: never a 500, and whoever is refused has an error in the known shape."""
    drawn: list[Any] = []

    @fuzz(count)
    @hypothesis.given(BODIES)
    def draw(body: Any) -> None:
        drawn.append(body)

    draw()
    for body in drawn:
        sent = body if action is None else {action: body}
        for version, who in itertools.product(("2.1", "2.56"), (MEMBER, ADMIN)):
            answer = await api.call(method, url, sent, version=version, who=who)
            if answer.status_code >= 400:
                assert answer.status_code < 500, (sent, answer.text)
                [fault] = answer.json().values()
                assert fault["code"] == answer.status_code


@pytest.mark.parametrize("body", [b"{", b"\xff", b'"\\ud800"', b"[" * 100000, b"nul", b"1e999", b"{}{}", b"\x00"])
async def test_bodies_that_are_no_json(api: ComputeApi, body: bytes) -> None:
    for method, path in WRITES:
        url = path.format(server_id=SERVER, flavor_id="small", key="key", service_id="disable")
        answer = await api.call(method, url, body)
        assert answer.status_code in (400, 404), answer.text


READS = [(method, path) for method, path, _ in COMPUTE if method in ("GET", "DELETE")]


@pytest.mark.parametrize("version", ["2.1", "2.56"])
async def test_every_route_answers(api: ComputeApi, version: str) -> None:
    """With something that is there and with something that is not, asked by an administrator and by a member."""
    for (method, path), found, who in itertools.product(READS, (True, False), (MEMBER, ADMIN)):
        url = path.format(
            server_id=SERVER if found else "nosuch",
            flavor_id="small" if found else "nosuch",
            hypervisor_id="1" if found else "nosuch",
            service_id="1",
            project_id=who.project_id if found else "nosuch",
            migration_id="1",
            request_id="req-1",
            key="key",
        )
        answer = await api.call(method, url, version=version, who=who)
        assert answer.status_code < 500 or url.endswith("/uptime"), (method, url, answer.text)
