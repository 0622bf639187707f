"""The stock `openstack` command against an address, with a clouds.yaml of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

CLOUDS = """\
clouds:
  basic:
    auth_type: http_basic
    auth: {{username: admin, password: secret}}
    compute_endpoint_override: {url}/v2.1
    image_endpoint_override: {url}/image
    identity_endpoint_override: {url}/identity/v3
  builtin:
    auth:
      auth_url: {url}/identity/v3
      username: admin
      password: secret
      project_name: admin
      user_domain_name: Default
      project_domain_name: Default
    region_name: RegionOne
"""


class Said(NamedTuple):
    code: int
    out: str
    err: str


class StockClient:
    """`folder` takes clouds.yaml and whatever the client keeps; `cloud` is basic or builtin."""

    def __init__(self, folder: Path, url: str, cloud: str) -> None:
        self._folder = folder
        config = folder / "clouds.yaml"
        config.write_text(CLOUDS.format(url=url))
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        self._env |= {"OS_CLIENT_CONFIG_FILE": str(config), "OS_CLOUD": cloud, "HOME": str(folder)}

    def run(self, *words: str) -> Said:
        command = Path(sys.executable).with_name("openstack")
        done = subprocess.run(
            [command, *words], env=self._env, cwd=self._folder, capture_output=True, text=True, timeout=120
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def ask(self, *words: str) -> Any:
        """What the command shows, as JSON."""
        said = self.run(*words, "-f", "json")
        assert said.code == 0, said.err
        return json.loads(said.out)

    def tell(self, *words: str) -> None:
        said = self.run(*words)
        assert said.code == 0, said.err
