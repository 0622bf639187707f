"""Authentication and the identity routes, asked over HTTP."""

import base64
from pathlib import Path
from typing import Any

import httpx2
import pytest

from haulier.api.identity import users
from tests.functional.images.small_api import ADMIN, MEMBER, SmallApi

TOKENS = "/identity/v3/auth/tokens"
DEFAULT = {"id": "default"}


def password(name: str, word: str, scope: Any = None, /, **user: Any) -> dict[str, Any]:
    who = {"name": name, "domain": {"name": "Default"}, "password": word, **user}
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": who}}}
    return {"auth": auth if scope is None else {**auth, "scope": scope}}


async def token(client: httpx2.AsyncClient, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    answer = await client.post(TOKENS, json=body)
    assert answer.status_code == 201, answer.text
    return answer.headers["x-subject-token"], answer.json()["token"]


async def test_a_token_and_what_it_says(nobody: httpx2.AsyncClient) -> None:
    scope = {"project": {"name": "admin", "domain": {"name": "Default"}}}
    value, said = await token(nobody, password(*ADMIN, scope))
    assert said["methods"] == ["password"]
    assert (said["user"]["name"], said["project"]["name"]) == ("admin", "admin")
    assert {role["name"] for role in said["roles"]} == {"admin", "member"}
    assert said["expires_at"] > said["issued_at"]
    urls = {
        (service["type"], endpoint["interface"]): endpoint["url"]
        for service in said["catalog"]
        for endpoint in service["endpoints"]
    }
    assert urls["compute", "public"] == "http://api.example:8774/v2.1"
    assert urls["image", "internal"] == "http://api.example:8774/image"
    assert urls["identity", "admin"] == "http://api.example:8774/identity/v3"
    assert len(urls) == 9

    headers = {"X-Auth-Token": value}
    assert (await nobody.get("/image/v2/images", headers=headers)).status_code == 200
    shown = await nobody.get(TOKENS, headers={**headers, "X-Subject-Token": value})
    assert shown.status_code == 200
    assert shown.json()["token"] == said
    catalog = (await nobody.get("/identity/v3/auth/catalog", headers=headers)).json()
    assert catalog["catalog"] == said["catalog"]


async def test_scopes(api: SmallApi, nobody: httpx2.AsyncClient) -> None:
    mia = api.app.state.gate.users.named("mia")
    for scope in (None, {"project": {"id": mia.project_id}}, {"project": {"name": "red", "domain": DEFAULT}}):
        _, said = await token(nobody, password(*MEMBER, scope))
        assert said["project"]["id"] == mia.project_id
    _, said = await token(nobody, password(*MEMBER, None, name=None, id=mia.id))
    assert said["user"]["id"] == mia.id


@pytest.mark.parametrize(
    "scope",
    [
        {"project": {"name": "blue", "domain": DEFAULT}},
        {"project": {"id": "0" * 32}},
        {"project": {"name": "red", "domain": {"id": "elsewhere"}}},
        {"project": {}},
        {"domain": DEFAULT},
        {"system": {"all": True}},
        {},
        "everything",
    ],
)
async def test_scopes_that_are_not_theirs(nobody: httpx2.AsyncClient, scope: Any) -> None:
    answer = await nobody.post(TOKENS, json=password(*MEMBER, scope))
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == 401


@pytest.mark.parametrize("scope", ["unscoped", {"unscoped": {}}])
async def test_an_unscoped_token_opens_only_identity(nobody: httpx2.AsyncClient, scope: Any) -> None:
    value, said = await token(nobody, password(*ADMIN, scope))
    assert not {"project", "roles", "catalog"} & set(said)
    headers = {"X-Auth-Token": value}
    assert (await nobody.get("/image/v2/images", headers=headers)).status_code == 401
    assert (await nobody.get("/identity/v3/users", headers=headers)).status_code == 403
    own = (await nobody.get("/identity/v3/auth/projects", headers=headers)).json()["projects"]
    assert [project["name"] for project in own] == ["admin"]

    by_token = {
        "auth": {"identity": {"methods": ["token"], "token": {"id": value}}, "scope": {"project": {"id": own[0]["id"]}}}
    }
    _, rescoped = await token(nobody, by_token)
    assert rescoped["project"]["name"] == "admin"
    assert rescoped["methods"] == ["token"]
    assert rescoped["expires_at"] == said["expires_at"]


@pytest.mark.parametrize(
    "body",
    [
        password("admin", "wrong"),
        password("nobody", "secret"),
        password(*ADMIN, None, domain={"id": "elsewhere"}),
        password(*ADMIN, None, password="x" * 5000),
        {"auth": {"identity": {"methods": ["token"], "token": {"id": "gAAAAA"}}}},
        {"auth": {"identity": {"methods": ["token"], "token": {"id": "é" * 3000}}}},
    ],
)
async def test_wrong_credentials(nobody: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    answer = await nobody.post(TOKENS, json=body)
    assert answer.status_code == 401
    assert "Keystone uri=" in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"auth": None},
        {"auth": {"identity": {}}},
        {"auth": {"identity": {"methods": []}}},
        {"auth": {"identity": {"methods": ["password"]}}},
        {"auth": {"identity": {"methods": ["totp"], "totp": {}}}},
        password("admin", 5),  # type: ignore[arg-type]
        password("admin", "secret", 5),
        password("admin", "secret", None, id="both"),
        password("admin", "secret", None, name=None),
    ],
)
async def test_bodies_that_are_refused(nobody: httpx2.AsyncClient, body: Any) -> None:
    answer = await nobody.post(TOKENS, json=body)
    assert answer.status_code == 400, answer.text
    assert "secret" not in answer.text
    assert answer.json()["error"]["message"]


async def test_a_password_is_in_no_refusal(nobody: httpx2.AsyncClient) -> None:
    for body in (b'{"auth": {"identity": {"methods": ["password"], "password": "hunter2"}}}', b'{"hunter2'):
        answer = await nobody.post(TOKENS, content=body)
        assert answer.status_code == 400
        assert "hunter2" not in answer.text


def basic(text: bytes) -> str:
    return f"Basic {base64.b64encode(text).decode()}"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !"},
        {"Authorization": basic(b"\xff\xfe:x")},
        {"Authorization": basic(b"admin")},
        {"Authorization": basic(b"admin:wrong")},
        {"Authorization": basic(b"nobody:secret")},
        {"Authorization": "Bearer x"},
        {"X-Auth-Token": "notused"},  # what auth_type none sends
        {"X-Auth-Token": ""},
    ],
)
async def test_no_credentials_no_access(nobody: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    for path, key in (
        ("/v2.1/servers", "unauthorized"),
        ("/image/v2/images", "error"),
        ("/identity/v3/users", "error"),
    ):
        answer = await nobody.get(path, headers=headers)
        assert answer.status_code == 401
        challenges = answer.headers.get_list("www-authenticate")
        assert challenges[0] == 'Keystone uri="http://api.example:8774/identity/v3"'
        assert challenges[1].startswith('Basic realm="haulier"')
        assert answer.json()[key]["code"] == 401


async def test_basic_with_colons_and_repeats(member: httpx2.AsyncClient) -> None:
    for _ in range(3):  # the second and third are remembered
        assert (await member.get("/image/v2/images")).status_code == 200


async def test_version_documents_need_no_credentials(nobody: httpx2.AsyncClient) -> None:
    for path in ("/identity/v3", "/identity/v3/"):
        version = (await nobody.get(path)).json()["version"]
        assert (version["id"], version["status"]) == ("v3.14", "stable")
        assert version["links"][0]["href"] == "http://api.example:8774/identity/v3/"
    for path in ("/identity", "/identity/"):
        answer = await nobody.get(path)
        assert answer.status_code == 300
        assert answer.json()["versions"]["values"] == [version]
    for path in ("/", "/v2.1", "/v2.1/", "/healthcheck"):
        assert (await nobody.get(path)).status_code != 401
        assert (await nobody.post(path)).status_code == 401


@pytest.mark.parametrize("host", ['evil"quote', "a b", "[::1", "x/../y", ""])
async def test_a_host_header_that_is_no_host(nobody: httpx2.AsyncClient, host: str) -> None:
    answer = await nobody.get("/identity/v3", headers={"Host": host})
    assert answer.status_code == 200
    assert answer.json()["version"]["links"][0]["href"].endswith("/identity/v3/")
    assert (await nobody.get("/identity/v3/users", headers={"Host": host})).status_code == 401


async def test_a_new_password_voids_tokens_and_what_was_remembered(
    api: SmallApi, nobody: httpx2.AsyncClient, member: httpx2.AsyncClient
) -> None:
    value, _ = await token(nobody, password(*MEMBER))
    path = Path(api.settings.users_file)
    others = tuple(user for user in users.read(path) if user.name != "mia")
    assert (await member.get("/image/v2/images")).status_code == 200
    users.write(path, (*others, users.make_user("mia", "another", "red")))
    assert (await member.get("/image/v2/images")).status_code == 401
    assert (await nobody.get("/image/v2/images", headers={"X-Auth-Token": value})).status_code == 401
    await token(nobody, password("mia", "another"))
    path.write_text("{")  # a slip of an editor locks nobody out
    await token(nobody, password("mia", "another"))


async def test_other_peoples_tokens(admin: httpx2.AsyncClient, member: httpx2.AsyncClient) -> None:
    value, _ = await token(admin, password(*ADMIN))
    theirs, _ = await token(admin, password(*MEMBER))
    assert (await member.get(TOKENS, headers={"X-Subject-Token": value})).status_code == 403
    assert (await member.get(TOKENS, headers={"X-Subject-Token": theirs})).status_code == 200
    found = await admin.get(f"{TOKENS}?nocatalog", headers={"X-Subject-Token": theirs})
    assert found.json()["token"]["user"]["name"] == "mia"
    assert "catalog" not in found.json()["token"]
    assert (await admin.get(TOKENS, headers={"X-Subject-Token": "gone"})).status_code == 404
    assert (await admin.get(TOKENS)).status_code == 404


async def test_projects_and_users(api: SmallApi, admin: httpx2.AsyncClient, member: httpx2.AsyncClient) -> None:
    mia = api.app.state.gate.users.named("mia")
    projects = (await admin.get("/identity/v3/projects")).json()["projects"]
    assert sorted(project["name"] for project in projects) == ["admin", "blue", "red"]
    assert [p["id"] for p in (await admin.get("/identity/v3/projects?name=red")).json()["projects"]] == [mia.project_id]
    people = (await admin.get("/identity/v3/users")).json()["users"]
    assert sorted(user["name"] for user in people) == ["admin", "mia", "otto"]
    assert "password_hash" not in str(people)

    assert (await member.get("/identity/v3/projects")).status_code == 403
    assert (await member.get("/identity/v3/users")).status_code == 403
    assert (await member.get(f"/identity/v3/projects/{mia.project_id}")).json()["project"]["name"] == "red"
    assert (await member.get(f"/identity/v3/users/{mia.id}")).json()["user"]["name"] == "mia"
    other = next(project["id"] for project in projects if project["name"] == "blue")
    assert (await member.get(f"/identity/v3/projects/{other}")).status_code == 403
    assert (await admin.get(f"/identity/v3/projects/{other}")).status_code == 200
    assert (await admin.get("/identity/v3/projects/nothing")).status_code == 404
    assert (await admin.get("/identity/v3/users/nobody")).status_code == 404
