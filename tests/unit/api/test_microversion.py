from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.responses import Response

from haulier.api.context import Version
from haulier.api.history import VERSIONS
from haulier.api.microversion import MAXIMUM, MINIMUM, Handler, Registry, negotiate
from haulier.errors import VersionMalformed, VersionNotOffered


async def first(*_: Any) -> Response:
    return Response()


async def second(*_: Any) -> Response:
    return Response()


def handler(since: str, until: str, function: Any = first) -> Handler:
    return Handler(Version.of(since), Version.of(until), function, None)


def test_every_version_up_to_the_newest_is_in_the_history_and_says_something() -> None:
    assert list(VERSIONS) == [f"2.{minor}" for minor in range(1, 57)]
    assert (str(MINIMUM), str(MAXIMUM)) == ("2.1", "2.56")
    assert all(line.endswith(".") for line in VERSIONS.values())


def test_versions_compare_as_numbers() -> None:
    assert Version.of("2.9") < Version.of("2.10")


def test_the_handler_of_a_range_is_found() -> None:
    registry = Registry()
    registry.add("x", handler("2.20", "2.56", second))
    registry.add("x", handler("2.3", "2.10"))
    found = {
        version: registry.pick("x", Version.of(version)) for version in ("2.2", "2.3", "2.10", "2.11", "2.20", "2.56")
    }
    functions = {version: each.function if each else None for version, each in found.items()}
    assert functions == {"2.2": None, "2.3": first, "2.10": first, "2.11": None, "2.20": second, "2.56": second}
    assert registry.pick("y", MINIMUM) is None


@pytest.mark.parametrize(("since", "until"), [("2.1", "2.56"), ("2.5", "2.5"), ("2.10", "2.11"), ("2.1", "2.3")])
def test_ranges_that_overlap_are_refused(since: str, until: str) -> None:
    registry = Registry()
    registry.add("x", handler("2.3", "2.10"))
    with pytest.raises(ValueError, match="x: two handlers"):
        registry.add("x", handler(since, until))


@pytest.mark.parametrize(
    ("said", "version"),
    [
        (None, "2.1"),
        ("compute 2.56", "2.56"),
        ("compute latest", "2.56"),
        ("compute  2.7", "2.7"),
        ("image 2.9", "2.1"),
    ],
)
def test_negotiation(said: str | None, version: str) -> None:
    assert str(negotiate(Headers({"OpenStack-API-Version": said} if said else {}))) == version


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("compute 2.57", VersionNotOffered),
        ("compute 2.0", VersionNotOffered),
        ("compute 2." + "9" * 6, VersionNotOffered),
        ("compute 2." + "9" * 5000, VersionMalformed),
        ("compute ２.５", VersionMalformed),
        ("compute newest", VersionMalformed),
    ],
)
def test_what_is_not_negotiable(said: str, problem: type[Exception]) -> None:
    with pytest.raises(problem):
        negotiate(Headers(raw=[(b"openstack-api-version", said.encode())]))
