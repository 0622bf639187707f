"""The one object that commands get: the client, made when it is first needed, and things found by id or name."""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from haulier.cli.output import one_of
from haulier.cli.problem import HttpProblem, Problem

if TYPE_CHECKING:
    from haulier.cli.client import Client

Found = Mapping[str, Any]

WAYS_OUT = {
    "in vm_state resized": "Its last move waits for `haulier server confirm {name}` or `haulier server revert {name}`.",
    "in task_state": "Something is being done to it: `haulier server events {name}` shows what.",
}
"""What to do about a refusal, by words of the API's reason."""


class Cloud:
    """The cloud that --os-cloud or the environment names; nothing is read or asked before it is used."""

    def __init__(self, name: str | None = None, clouds_yaml: Path | None = None) -> None:
        """`clouds_yaml` is the one file to look into, instead of all the usual places."""
        self._name = name
        self._clouds_yaml = clouds_yaml

    @classmethod
    def at(cls, clouds_yaml: Path) -> "Cloud":
        """The cloud that a `haulier up` wrote into its clouds.yaml."""
        return cls(clouds_yaml=clouds_yaml)

    @cached_property
    def client(self) -> "Client":
        from haulier.cli import credentials
        from haulier.cli.client import Client

        if self._clouds_yaml is not None:
            return Client(credentials.local(self._clouds_yaml))
        return Client(credentials.find(self._name))

    def server(self, name: str) -> Found:
        """The server of that id or name. Raises Problem if there is none, or several of that name."""
        if is_uuid(name) and (found := self._get("/servers/", name, "server")):
            return found
        servers = self.client.compute("GET", "/servers/detail", name=f"^{re.escape(name)}$")["servers"]
        return one_of([one for one in servers if one["name"] == name], "server", name)

    def flavor(self, name: str) -> Found:
        """The flavor of that id or name. Raises Problem as `server` does."""
        if re.fullmatch(r"[\w.-]+", name) and (found := self._get("/flavors/", name, "flavor")):
            return found
        flavors = self.client.compute("GET", "/flavors/detail", is_public="None")["flavors"]
        return one_of([one for one in flavors if one["name"] == name], "flavor", name)

    def image(self, name: str) -> Found:
        """The image of that id or name. Raises Problem as `server` does."""
        if is_uuid(name):
            try:
                found: Found = self.client.image("GET", f"/images/{name}")
                return found
            except HttpProblem as problem:
                if problem.status != 404:
                    raise
        return one_of(self.client.image("GET", "/images", name=name)["images"], "image", name)

    def newest_migration(self, server: Found) -> int:
        """The id of the newest move of a server. Raises Problem if it was never moved.

        A server has one move at a time, and an accepted request has its row when it is answered: right after a
        202 the newest is the one that was asked for.
        """
        moves = self.client.own("GET", "/migrations", server=server["id"])["migrations"]
        if not moves:
            raise Problem(f"server {server['name']} has never been moved")
        return max(int(move["id"]) for move in moves)

    def act(self, server: Found, action: str, argument: Any = None) -> Any:
        """Ask for an action of a server. Raises HttpProblem when it is refused."""
        with _way_out(server):
            return self.client.compute("POST", f"/servers/{server['id']}/action", {action: argument})

    def act_own(self, server: Found, action: str, argument: Any) -> Any:
        """The same below /haulier/v1, which takes what Nova has no place for."""
        with _way_out(server):
            return self.client.own("POST", f"/servers/{server['id']}/{action}", argument)

    def _get(self, path: str, name: str, key: str) -> Found | None:
        try:
            found: Found = self.client.compute("GET", path + name)[key]
        except HttpProblem as problem:
            if problem.status == 404:
                return None
            raise
        return found


@contextmanager
def _way_out(server: Found) -> Iterator[None]:
    """A refusal with what to do about it, where that is known."""
    try:
        yield
    except HttpProblem as problem:
        for clue, then in WAYS_OUT.items():
            if problem.status == 409 and clue in problem.message:
                raise Problem(problem.message, then=then.format(name=shlex.quote(server["name"]))) from problem
        raise


def is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


pass_cloud: Callable[[Callable[..., Any]], Callable[..., Any]] = click.make_pass_decorator(Cloud)
