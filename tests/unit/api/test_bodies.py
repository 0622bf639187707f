import re

import msgspec
import pytest

from haulier.api.accept.sizes import GIB, gib
from haulier.api.bodies import migrate
from haulier.api.bodies.fields import boolean
from haulier.api.bodies.queries import moment, pattern
from haulier.api.bodies.reader import read
from haulier.errors import ForceNeedsHost, InvalidBody, InvalidField
from haulier.wire import codec


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    ram: int
    names: list[str] = []


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    flavor: Inner


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "'flavor' is a required property"),
        ([], "[] is not of type 'object'"),
        ({"x": 1, "flavor": {"ram": 1}}, "Additional properties are not allowed ('x' was unexpected)"),
        ({"flavor": {}}, "Invalid input for field/attribute flavor. Value: {}. 'ram' is a required property"),
        ({"flavor": {"ram": "1"}}, "Invalid input for field/attribute ram. Value: 1. '1' is not of type 'integer'"),
        ({"flavor": None}, "Invalid input for field/attribute flavor. Value: None. None is not of type 'object'"),
    ],
)
def test_what_is_wrong_is_said_as_nova_says_it(value: object, text: str) -> None:
    with pytest.raises((InvalidField, InvalidBody)) as refused:
        read(Outer)(value)
    assert str(refused.value) == text


def test_secrets_are_not_repeated() -> None:
    with pytest.raises(InvalidField) as refused:
        read(Inner, root="server")({"adminPass": "hush", "ram": 1})
    assert "hush" not in str(refused.value)
    assert "***" in str(refused.value)


def test_up_to_2_55_nothing_inside_migrate_is_looked_at() -> None:
    for value in (None, {"host": "dst", "force": True}, "text", [], 5):
        assert codec.encode(migrate.unlooked(value)) == codec.encode({})


def test_from_2_56_on_both_keys_are_there() -> None:
    assert migrate.looked_at(None) == migrate.looked_at({}) == migrate.Migrate(host=None, force=False)
    assert migrate.looked_at({"host": "a", "force": "YES"}).force is True
    with pytest.raises(ForceNeedsHost):
        migrate.looked_at({"force": "true"})


@pytest.mark.parametrize("value", [1, 0, 1.0, [], {}, None, "", "2", "tru", "ｙｅｓ"])
def test_what_is_no_boolean(value: object) -> None:
    with pytest.raises(InvalidField):
        boolean("force", value)


@pytest.mark.parametrize(
    "given", ["(a+)+$", "(a|b)*", "(", "*", "[", "a*a*a*a*", "x" * 300, "(?P<a", "a{1,99999999999}"]
)
def test_regular_expressions_that_are_not_run(given: str) -> None:
    with pytest.raises(InvalidField):
        pattern("name", given)


@pytest.mark.parametrize("given", ["^web-[0-9]+$", "(web|db)-.*", "a.c", r"1\.2\.3\*\*\*\*", "vm one"])
def test_regular_expressions_that_are(given: str) -> None:
    assert isinstance(pattern("name", given), re.Pattern)


def test_times() -> None:
    assert moment("t", "1970-01-01T00:00:10Z") == moment("t", "1970-01-01T00:00:10") == 10
    assert moment("t", "1970-01-01T01:00:10 01:00") == 10  # a plus that was not escaped in the URL
    with pytest.raises(InvalidField):
        moment("t", "then")


def test_sizes_never_look_smaller_than_they_are() -> None:
    assert (gib(0), gib(2 * GIB), gib(GIB + 1), gib(GIB // 2)) == ("0", "2", "1.01", "0.50")
