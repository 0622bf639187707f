"""A fake API that the command line finds, and a way to run a command as a user would."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from haulier.cli.main import main
from tests.unit.cli.fake_api import PASSWORD, FakeApi, running

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def nothing_of_the_caller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No clouds.yaml, no variables and no state directory of whoever runs the tests is seen."""
    import os

    for name in [name for name in os.environ if name.startswith("OS_") or name.endswith(("_proxy", "_PROXY"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HAULIER_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    with running(FakeApi()) as fake:
        monkeypatch.setenv("OS_AUTH_TYPE", "http_basic")
        monkeypatch.setenv("OS_USERNAME", "admin")
        monkeypatch.setenv("OS_PASSWORD", PASSWORD)
        monkeypatch.setenv("OS_COMPUTE_ENDPOINT_OVERRIDE", f"{fake.url}/v2.1")
        monkeypatch.setenv("OS_IMAGE_ENDPOINT_OVERRIDE", f"{fake.url}/image")
        yield fake


@pytest.fixture
def run() -> Run:
    """`run("server", "list")` as the shell would; stdout and stderr are kept apart."""

    def run_it(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments), catch_exceptions=False)

    return run_it
