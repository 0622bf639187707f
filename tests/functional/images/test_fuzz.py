"""No body and no query is answered with a 500."""

import json
from typing import Any

import httpx2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.functional.images.small_api import SmallApi
from tests.functional.images.test_image_records import IMAGES, PATCH, made

fuzz = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

TEXT = st.text(st.characters(), max_size=12)
"""Lone surrogates included: JSON can spell them."""
KEYS = TEXT | st.sampled_from(["name", "id", "min_disk", "tags", "visibility", "disk_format", "owner", "protected"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.sampled_from(["raw", "bare", "private"])
ANY = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))
OPERATION = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "replace", "remove"]) | ANY, "path": KEYS.map("/{}".format) | ANY, "value": ANY}
)
FILTERS = ["id", "name", "status", "tag", "created_at", "protected", "size_min", "visibility", "os_hidden", "x"]
ODD = ["in:a,b", "gt:2020", "0", "name:asc", "all", "in:", 'in:"', "²", "9" * 30]
QUERY = st.dictionaries(
    st.sampled_from(["limit", "marker", "sort", "sort_key", "sort_dir", *FILTERS]),
    st.text(max_size=8) | st.sampled_from(ODD),
    max_size=4,
)


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


@fuzz
@given(body=st.dictionaries(KEYS, ANY, max_size=5) | ANY)
async def test_new_images(member: httpx2.AsyncClient, body: Any) -> None:
    answer = await member.post(IMAGES, content=encoded(body))
    assert answer.status_code in (201, 400, 403, 409)
    if answer.status_code == 201:
        url = f"{IMAGES}/{answer.json()['id']}"
        assert (await member.get(url)).json() == answer.json()


@fuzz
@given(body=st.lists(OPERATION, max_size=3) | ANY)
async def test_patches(api: SmallApi, member: httpx2.AsyncClient, body: Any) -> None:
    image = await made(member)
    answer = await member.patch(f"{IMAGES}/{image['id']}", content=encoded(body), headers=PATCH)
    assert answer.status_code in (200, 400, 403, 409)


@fuzz
@given(query=QUERY)
async def test_queries(member: httpx2.AsyncClient, query: dict[str, str]) -> None:
    await made(member)
    assert (await member.get(IMAGES, params=query)).status_code in (200, 400)


PART = st.sampled_from(["auth", "identity", "methods", "password", "user", "name", "domain", "token", "id", "scope"])
LIKE_A_TOKEN_REQUEST = st.recursive(
    LEAVES | st.just(["token"]), lambda inner: st.dictionaries(PART, inner, max_size=4), max_leaves=12
)


@fuzz
@given(identity=LIKE_A_TOKEN_REQUEST, scope=LIKE_A_TOKEN_REQUEST, body=LIKE_A_TOKEN_REQUEST, which=st.booleans())
async def test_token_requests(nobody: httpx2.AsyncClient, identity: Any, scope: Any, body: Any, which: bool) -> None:
    wanted = {"auth": {"identity": identity, "scope": scope}} if which else body
    answer = await nobody.post("/identity/v3/auth/tokens", content=encoded(wanted))
    assert answer.status_code in (400, 401)


@fuzz
@given(body=st.binary(max_size=64))
async def test_bytes(member: httpx2.AsyncClient, nobody: httpx2.AsyncClient, body: bytes) -> None:
    assert (await member.post(IMAGES, content=body)).status_code in (201, 400)
    assert (await nobody.post("/identity/v3/auth/tokens", content=body)).status_code in (400, 401)
