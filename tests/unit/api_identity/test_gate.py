"""Users, passwords, tokens and the files they are kept in."""

import asyncio
import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet

from haulier.api.identity import passwords, private_file, users
from haulier.api.identity.gate import Gate, scoped
from haulier.api.identity.passwords import PasswordChecks, hash_password, matches
from haulier.api.identity.tokens import Tokens, open_keys
from haulier.api.identity.users import Role, User, Users, make_user
from haulier.errors import Unauthenticated


def user(name: str = "mia", word: str = "secret", project: str = "red", **values: Any) -> User:
    return msgspec.structs.replace(make_user(name, word, project), **values)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_hashes_are_salted() -> None:
    one, two = hash_password("secret", log2_cost=10), hash_password("secret", log2_cost=10)
    assert one != two
    assert matches("secret", one)
    assert matches("secret", two)
    assert not matches("Secret", one)
    assert "secret" not in one
    assert not matches("secret", one.replace("scrypt", "plain"))


def test_a_new_user() -> None:
    one, two = make_user("a", "x", "red", (Role.ADMIN,)), make_user("b", "x", "red")
    assert one.project_id == two.project_id
    assert one.id != two.id
    assert (one.roles, two.roles) == ((Role.ADMIN,), (Role.MEMBER,))


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", "x" * 256])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match="can't be a name"):
        make_user(name, "x", "red")
    with pytest.raises(ValueError, match="can't be a name"):
        make_user("a", "x", name)


def test_the_users_file(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    before = os.umask(0)
    try:
        users.write(path, (user(),))
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert [one.name for one in users.read(path)] == ["mia"]
    users.write(path, (user("otto"), user("mia")))
    assert [one.name for one in users.read(path)] == ["otto", "mia"]
    assert os.listdir(tmp_path) == ["users.json"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"users": [{"name": "x"}]}', '{"users": [{"id": "1", "name": "x", "password_hash": "plain", '
     '"project_id": "p", "project_name": "p", "roles": []}]}'],
)  # fmt: skip
def test_a_broken_users_file_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    path = tmp_path / "users.json"
    path.write_text(text)
    with pytest.raises(msgspec.DecodeError):
        Users(path)


def test_names_are_unique(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    users.write(path, (user(), user()))
    with pytest.raises(ValueError, match="the same name"):
        users.read(path)


def test_the_users_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    users.write(path, (user(),))
    known = Users(path)
    assert known.named("otto") is None
    users.write(path, (user(), user("otto")))
    assert known.named("otto") is not None
    path.unlink()
    assert known.named("otto") is not None
    users.write(path, (user(),))
    assert known.named("otto") is None


def test_keys_are_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    sealed = open_keys(folder).encrypt(b"x")
    assert mode(folder) == 0o700
    (key,) = folder.iterdir()
    assert mode(key) == 0o600
    assert open_keys(folder).decrypt(sealed) == b"x"
    private_file.write_once(key, Fernet.generate_key())
    assert open_keys(folder).decrypt(sealed) == b"x"
    private_file.write(folder / "0002.key", Fernet.generate_key())  # a new key seals, the old one still opens
    assert open_keys(folder).decrypt(sealed) == b"x"
    assert list(folder.glob(".*")) == []


def test_tokens(tmp_path: Path) -> None:
    now = [1000.0]
    tokens = Tokens(open_keys(tmp_path), 60.0, clock=lambda: now[0])
    mia = user()
    known = {mia.id: mia}
    token, _ = tokens.issue(mia, scoped=True, methods=("password",))
    found, ticket = tokens.open(token, known.get)
    assert (found, ticket.project_id, ticket.expires_at) == (mia, mia.project_id, 1060.0)

    refused = [
        token[:-1],
        token[:-4] + "AAA=",
        "",
        "x",
        "é",
        "x" * 5000,
        Fernet(Fernet.generate_key()).encrypt(b"x").decode(),
    ]
    for wrong in refused:
        with pytest.raises(Unauthenticated):
            tokens.open(wrong, known.get)
    for other in (None, user(id=mia.id), msgspec.structs.replace(mia, project_id="elsewhere")):
        with pytest.raises(Unauthenticated):
            tokens.open(token, {mia.id: other}.get)
    now[0] = 1060.0
    with pytest.raises(Unauthenticated):
        tokens.open(token, known.get)


class Counted:
    """Stands in for `matches`, counting."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, word: str, stored: str) -> bool:
        self.calls += 1
        return stored == f"hash of {word}"


async def test_a_password_that_matched_is_remembered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, now = Counted(), [0.0]
    monkeypatch.setattr(passwords, "matches", counted)
    checks = PasswordChecks(seconds=10.0, entries=2, clock=lambda: now[0])
    for _ in range(3):
        assert await checks.check("a", "hash of a")
    assert counted.calls == 1
    for _ in range(2):
        assert not await checks.check("b", "hash of a")  # a wrong one is never remembered
        assert not await checks.check("a", "hash of b")  # nor does one hash answer for another
        assert not await checks.check("a", None)
    assert counted.calls == 7
    now[0] = 10.0
    assert await checks.check("a", "hash of a")
    assert counted.calls == 8
    for word in ("b", "c"):
        assert await checks.check(word, f"hash of {word}")
    assert await checks.check("a", "hash of a")  # pushed out by the other two
    assert counted.calls == 11
    assert "hash of" not in str(vars(checks)["_known"])
    assert not await checks.check("x" * 5000, "hash of x")
    assert counted.calls == 11


async def test_a_user_who_does_not_exist_costs_a_check_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    counted = Counted()
    users.write(tmp_path / "users.json", (user(),))
    gate = Gate.open(tmp_path / "users.json", tmp_path / "keys", 60.0)
    monkeypatch.setattr(passwords, "matches", counted)
    with pytest.raises(Unauthenticated):
        await gate.by_password("secret", name="nobody")
    assert counted.calls == 1


async def test_the_gate(tmp_path: Path) -> None:
    mia = user()
    users.write(tmp_path / "users.json", (mia,))
    gate = Gate.open(tmp_path / "users.json", tmp_path / "keys", 60.0)
    answers = await asyncio.gather(*(gate.by_password("secret", name="mia") for _ in range(5)))
    assert answers == [mia] * 5
    assert await gate.by_password("secret", user_id=mia.id) == mia
    caller = scoped(mia)
    assert (caller.project_name, caller.roles) == ("red", frozenset({"member"}))
    for name, user_id in (("mia", None), (None, mia.id), (None, None), ("otto", None)):
        with pytest.raises(Unauthenticated):
            await gate.by_password("wrong", name=name, user_id=user_id)
