"""Whatever JSON comes, it is taken or refused in words."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haulier.api.images import bodies
from haulier.errors import BadInput, InvalidField, NotAllowed, PropertyNotFound

KEYS = st.sampled_from([*bodies.ATTRIBUTES, *sorted(bodies.READ_ONLY), "os_distro"]) | st.text(max_size=8)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(["raw", "public"])
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)


@given(body=st.dictionaries(KEYS, VALUES, max_size=6) | VALUES)
def test_any_new_image(body: Any) -> None:
    try:
        columns = bodies.new_image(body)
    except (BadInput, NotAllowed):
        pass
    else:
        msgspec.json.encode(columns)
        assert "status" not in columns


OPERATIONS = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "replace", "remove", "move"]) | VALUES,
        "path": KEYS.map("/{}".format) | VALUES,
        "value": VALUES,
    },
)


@given(patch=st.lists(OPERATIONS | VALUES, max_size=4) | VALUES)
def test_any_patch(patch: Any) -> None:
    before = {"os_distro": "x"}
    try:
        columns = bodies.changed(before, patch)
    except (BadInput, NotAllowed, PropertyNotFound):
        pass
    else:
        msgspec.json.encode(columns)
        assert not columns.keys() & {"id", "status", "size", "md5"}
    assert before == {"os_distro": "x"}


def test_a_refused_value_is_shown_shortened() -> None:
    with pytest.raises(InvalidField) as refused:
        bodies.new_image({"name": "é" * 100_000})
    assert len(str(refused.value)) < 250


def test_no_more_properties_than_that() -> None:
    most = {f"p{number}": "" for number in range(bodies.MOST)}
    assert len(bodies.new_image(most)["properties"]) == bodies.MOST
    with pytest.raises(BadInput):
        bodies.new_image({**most, "one": ""})
    with pytest.raises(BadInput):
        bodies.changed(most, [{"op": "add", "path": "/one", "value": ""}])
