"""Requests to the Compute API, the image API and haulier's own, with every error as one line for a person.

Knows nothing of commands and of printing.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from haulier.cli.credentials import BASIC, Access
from haulier.cli.problem import HttpProblem, Problem

if TYPE_CHECKING:
    import httpx2

MICROVERSION = "2.56"
"""The first in which a cold migration may name its target; all that is used here is in it."""

PATIENCE = 60.0
"""Seconds until a request without an answer is given up."""


class Client:
    """One caller's connection; a token is fetched at the first request that needs one."""

    def __init__(self, access: Access) -> None:
        import httpx2

        self.access = access
        basic = (access.username, access.password) if access.auth_type == BASIC else None
        beyond = not _is_here(access.compute_url or access.auth_url or "")  # a proxy can't reach our own loopback
        self._http = httpx2.Client(auth=basic, timeout=PATIENCE, verify=access.verify, trust_env=beyond)
        self._endpoints = {"compute": access.compute_url, "image": access.image_url}
        self._token: str | None = None

    def close(self) -> None:
        self._http.close()

    # -- the three services --------------------------------------------------------------------------------

    def compute(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """Ask the Compute API at MICROVERSION; `path` is below /v2.1. Returns the decoded body, None if it is empty.

        Raises:
            HttpProblem: an error was answered.
            Problem: nobody answered.
        """
        headers = {"OpenStack-API-Version": f"compute {MICROVERSION}"}
        return self._ask(method, self._endpoint("compute") + path, body, params, headers)

    def image(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """Ask the image API; `path` is below /v2. Raises as `compute` does."""
        return self._ask(method, f"{self._image_root()}/v2{path}", body, params, {})

    def upload(self, image_id: str, content: Iterator[bytes]) -> None:
        """Send the bytes of an image. Raises as `compute` does."""
        headers = {"Content-Type": "application/octet-stream"}
        self._authenticated("PUT", f"{self._image_root()}/v2/images/{image_id}/file", headers=headers, content=content)

    def own(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """Ask haulier's own API; `path` is below /haulier/v1. Raises as `compute` does."""
        root = self._endpoint("compute").partition("/v2")[0]
        return self._ask(method, f"{root}/haulier/v1{path}", body, params, {})

    def _image_root(self) -> str:
        root = self._endpoint("image")
        return root.removesuffix("/v2")

    # -- how a request goes out ----------------------------------------------------------------------------

    def _ask(self, method: str, url: str, body: Any, params: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        given = {name: value for name, value in params.items() if value is not None}
        content = None if body is None else json.dumps(body).encode()
        typed = {"Content-Type": "application/json", **headers} if content is not None else headers
        response = self._authenticated(method, url, params=given, headers=typed, content=content)
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError as error:
            raise Problem(f"{url} answered with something that is no JSON", response.text[:80]) from error

    def _authenticated(self, method: str, url: str, *, headers: Mapping[str, str], **options: Any) -> "httpx2.Response":
        if self.access.auth_type == BASIC:
            return self._send(method, url, headers=headers, **options)
        known = self._token
        try:
            return self._send(method, url, headers={**headers, "X-Auth-Token": known or self._log_in()}, **options)
        except HttpProblem as problem:
            # A token that served until now has run out, as it does while a long move is watched.
            if problem.status != 401 or known is None or isinstance(options.get("content"), Iterator):
                raise
        return self._send(method, url, headers={**headers, "X-Auth-Token": self._log_in()}, **options)

    def _send(self, method: str, url: str, **options: Any) -> "httpx2.Response":
        import httpx2

        try:
            response = self._http.request(method, url, **options)
        except httpx2.InvalidURL as error:
            raise Problem(f"{url} is no address", str(error)) from error
        except httpx2.TimeoutException as error:
            raise Problem(f"{_root(url)} has not answered for {PATIENCE:.0f} s", then="Try again later.") from error
        except httpx2.TransportError as error:
            raise self._unreachable(url, error) from error
        if response.status_code >= 400:
            raise self._refused(response)
        return response

    def _unreachable(self, url: str, error: Exception) -> Problem:
        why = str(error) or type(error).__name__
        then = f"Start haulier there with `haulier up`; the address is from {self.access.origin}."
        return Problem(f"nobody answers at {_root(url)}", why, then)

    def _refused(self, response: "httpx2.Response") -> HttpProblem:
        status = response.status_code
        why = reason(response.text) or response.reason_phrase
        if status == 401:
            what = f"{_root(str(response.url))} does not know user {self.access.username} with this password"
            return HttpProblem(status, what, then=f"The credentials are from {self.access.origin}.")
        if status >= 500:
            request_id = response.headers.get("x-openstack-request-id", "")
            return HttpProblem(status, "the API failed", f"{why} ({status})", f"Its log says more, at {request_id}.")
        return HttpProblem(status, "refused", why, "Try again later." if status in (429, 503) else "")

    # -- a token and its catalog ---------------------------------------------------------------------------

    def _endpoint(self, service: str) -> str:
        if self._endpoints[service] is None and self.access.auth_type != BASIC:
            self._log_in()
        url = self._endpoints[service]
        if url is None:
            where = "an endpoint override" if self.access.auth_type == BASIC else "one in its catalog"
            raise Problem(f"there is no address of a {service} service", f"{self.access.origin} has no {where}")
        return url.rstrip("/")

    def _log_in(self) -> str:
        access = self.access
        url = (access.auth_url or "").rstrip("/")
        url = url if url.endswith("/v3") else f"{url}/v3"
        user = {"name": access.username, "password": access.password, "domain": {"name": access.user_domain}}
        auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
        if access.project:
            auth["scope"] = {"project": {"name": access.project, "domain": {"name": access.project_domain}}}
        typed = {"Content-Type": "application/json"}
        response = self._send("POST", f"{url}/auth/tokens", headers=typed, content=json.dumps({"auth": auth}).encode())
        self._token = str(response.headers.get("X-Subject-Token", ""))
        for service in response.json()["token"].get("catalog", []):
            if self._endpoints.get(service["type"], "known") is None:
                self._endpoints[service["type"]] = self._choose(service["endpoints"])
        return self._token

    def _choose(self, endpoints: list[Mapping[str, Any]]) -> str | None:
        for endpoint in endpoints:
            here = self.access.region in (None, endpoint.get("region"), endpoint.get("region_id"))
            if here and endpoint.get("interface") == self.access.interface:
                return str(endpoint["url"])
        return None


def _is_here(url: str) -> bool:
    return re.match(r"https?://(127\.|localhost\b|\[::1\])", url) is not None


def _root(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])


def reason(body: str) -> str:
    """The sentence in an error's body: Nova's, Keystone's and haulier's have it in a `message`, Glance's in HTML."""
    try:
        document = json.loads(body)
    except ValueError:
        return _without_tags(body)
    if isinstance(document, dict):
        for value in (document, *document.values()):
            if isinstance(value, dict):
                for key in ("message", "detail", "why"):
                    if isinstance(value.get(key), str):
                        return str(value[key])
    return body[:200]


def _without_tags(body: str) -> str:
    inside = re.search(r"<body>(.*?)</body>", body, re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", inside.group(1) if inside else body).split())[:200]
