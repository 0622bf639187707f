"""The address by which the client reached us, which is the one that every link and the catalog give back."""

import re

from starlette.types import Scope

_HOST = re.compile(r"^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$")


def base_of(scope: Scope) -> str:
    """`scheme://host:port` without a slash at the end, of the Host header; of the socket where that is no host."""
    said = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    if not _HOST.match(said):
        host, port = scope.get("server") or ("127.0.0.1", 80)
        said = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"{scope.get('scheme', 'http')}://{said}"
