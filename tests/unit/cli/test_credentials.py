from pathlib import Path

import pytest

from haulier.cli.credentials import find
from haulier.cli.problem import Problem

CLOUDS = """
clouds:
  basic:
    auth_type: http_basic
    auth: {username: ann, password: s3cret}
    compute_endpoint_override: http://cloud:8774/v2.1
    image_endpoint_override: http://cloud:8774/image
  catalog:
    auth:
      auth_url: http://cloud:5000/v3
      username: bob
      password: s3cret
      project_name: lab
      user_domain_name: Default
      project_domain_name: Default
    region_name: RegionOne
  none:
    auth_type: none
    compute_endpoint_override: http://cloud:8774/v2.1
"""
ONE = """
clouds:
  haulier:
    auth_type: http_basic
    auth: {username: admin, password: local}
    compute_endpoint_override: http://127.0.0.1:8774/v2.1
"""


@pytest.fixture
def clouds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere.yaml"
    path.write_text(CLOUDS)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    return path


def test_a_named_cloud_with_http_basic(clouds: Path) -> None:
    access = find("basic")
    assert (access.auth_type, access.username, access.password) == ("http_basic", "ann", "s3cret")
    assert access.compute_url == "http://cloud:8774/v2.1"
    assert access.image_url == "http://cloud:8774/image"
    assert access.origin == f"cloud basic of {clouds}"


def test_a_named_cloud_with_a_catalog(clouds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_CLOUD", "catalog")
    access = find(None)
    assert (access.auth_type, access.auth_url, access.project) == ("password", "http://cloud:5000/v3", "lab")
    assert access.region == "RegionOne"


def test_the_option_wins_over_the_variable(clouds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_CLOUD", "catalog")
    assert find("basic").username == "ann"


def test_the_password_is_never_shown(clouds: Path) -> None:
    assert "s3cret" not in repr(find("basic"))


def test_usual_places(tmp_path: Path) -> None:
    config = tmp_path / "home/.config/openstack"
    config.mkdir(parents=True)
    (config / "clouds.yaml").write_text(CLOUDS)
    assert find("basic").origin == f"cloud basic of {config / 'clouds.yaml'}"
    (tmp_path / "clouds.yaml").write_text(CLOUDS.replace("ann", "here"))
    assert find("basic").username == "here"


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_AUTH_URL", "http://cloud:5000/v3")
    monkeypatch.setenv("OS_USERNAME", "eve")
    monkeypatch.setenv("OS_PASSWORD", "s3cret")
    monkeypatch.setenv("OS_PROJECT_NAME", "lab")
    access = find(None)
    assert (access.username, access.project, access.origin) == ("eve", "lab", "the OS_* variables")


def test_the_local_cloud_is_found_when_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/clouds.yaml").write_text(ONE)
    assert find(None).origin == str(tmp_path / "state/clouds.yaml")
    assert find("haulier").password == "local"


def test_the_only_cloud_of_the_file_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.yaml").write_text(ONE)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "one.yaml"))
    assert find(None).username == "admin"


def test_nothing_at_all_says_how_to_begin() -> None:
    with pytest.raises(Problem, match="haulier up"):
        find(None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clouds: [", "is not YAML"),
        ("[]", "is no clouds.yaml"),
        ("clouds: {a: 1}", "is no clouds.yaml"),
        ("clouds: {a: {}}", "there is no cloud b"),
        ("clouds: {b: {}}", "it has no username and password"),
        ("clouds: {b: {auth_type: none}}", "auth_type none is not known here"),
        ("clouds: {b: {auth_type: http_basic, auth: {username: a, password: b}}}", "compute_endpoint_override"),
        ("clouds: {b: {auth: {username: a, password: b}}}", "it has no auth_url"),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "bad.yaml"))
    with pytest.raises(Problem, match=said):
        find("b")
