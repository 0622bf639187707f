"""Keys in NATS' own text form; that a real server takes them is shown in tests/contract."""

from pathlib import Path

import pytest

from haulier.bus.nkeys import UserKey
from haulier.errors import InvalidField

SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
PUBLIC = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
"""A pair from the documentation of NATS."""


def key(tmp_path: Path, text: str) -> UserKey:
    file = tmp_path / "user.nk"
    file.write_text(text)
    return UserKey.read(file)


def test_a_known_pair(tmp_path: Path) -> None:
    found = key(tmp_path, f"{SEED}\n")
    assert (found.seed, found.public) == (SEED, PUBLIC)


def test_what_is_made_can_be_read_back(tmp_path: Path) -> None:
    made = UserKey.make()
    assert made.seed.startswith("SU")
    assert made.public.startswith("U")
    again = key(tmp_path, made.seed)
    assert (again.public, again.sign("nonce")) == (made.public, made.sign("nonce"))
    assert UserKey.make().public != made.public


@pytest.mark.parametrize(
    "text",
    ["", "\n", "S", PUBLIC, SEED[:-1], SEED[:-1] + "A", "SA" + SEED[2:], SEED + SEED, "\xff" * 58, "not a seed at all"],
)
def test_what_is_no_seed_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidField, match="holds no nkey seed of a user") as refused:
        key(tmp_path, text)
    assert len(text) < 10 or text not in str(refused.value)


def test_a_key_does_not_show_its_secret(tmp_path: Path) -> None:
    assert "SU" not in repr(key(tmp_path, SEED))
