"""Who may say and hear what, in one table. The in-process bus enforces it as a networked one does.

The rules are requirements 2 and 3 of design.md at run time: the scheduler may say nothing at all (it only answers
what it is asked), commands come from the conductor alone, and a host speaks in its own name only.
"""

from collections.abc import Iterable, Mapping

import msgspec

from haulier.model.ids import HostName
from haulier.wire import subjects


class Permissions(msgspec.Struct, frozen=True):
    """Subject patterns: `*` stands for one word, a final `>` for the rest. Answering a question is always allowed."""

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()

    def may_publish(self, subject: str) -> bool:
        return any(matches(pattern, subject) for pattern in self.publish)

    def may_subscribe(self, subject: str) -> bool:
        return any(_covers(pattern, subject) for pattern in self.subscribe)


CONDUCTOR = Permissions(
    publish=("haulier.compute.>", "haulier.scheduler.>", subjects.NOTIFICATIONS),
    subscribe=("haulier.conductor.>", "haulier.event.>"),
)
API = Permissions(
    publish=(
        "haulier.conductor.nudge",  # the outbox row is the truth
        "haulier.conductor.console",  # a question: nothing changes by it
        "haulier.conductor.audit",  # another one
        "haulier.conductor.repair",  # an order, safe to repeat; docs/decisions/0009-audit.md says why it is no row
    ),
    subscribe=(subjects.NOTIFICATIONS,),
)
WATCHER = Permissions(subscribe=(subjects.NOTIFICATIONS,))
"""Whatever an operator runs to listen to what becomes of moves; it can say nothing."""
SCHEDULER = Permissions(subscribe=("haulier.scheduler.>",))


def compute(host: HostName) -> Permissions:
    """What the agent of one host may do: report and call back in its own name, hear its own commands."""
    return Permissions(
        publish=(subjects.event(host, ">"), subjects.migrate_server(host)),
        subscribe=(subjects.commands(host), f"{subjects.commands(host)}.>"),
    )


class User(msgspec.Struct, frozen=True):
    """Who a process is on a networked bus. `asks` users have an inbox for answers; `answers` users may answer once."""

    name: str
    permissions: Permissions
    asks: bool = False
    answers: bool = False

    @property
    def inbox(self) -> str:
        """Where the answers to its questions arrive. Its own, so that nobody else hears or forges them."""
        return f"_INBOX.{self.name}"


CONDUCTOR_USER = User("conductor", CONDUCTOR, asks=True, answers=True)
API_USER = User("api", API, asks=True)
SCHEDULER_USER = User("scheduler", SCHEDULER, answers=True)
WATCHER_USER = User("watcher", WATCHER)


def compute_user(host: HostName) -> User:
    """The agent of one host."""
    return User(f"compute.{host}", compute(host), answers=True)


def users(hosts: Iterable[str]) -> tuple[User, ...]:
    """Everybody there is on a bus with these hosts."""
    agents = (compute_user(HostName(host)) for host in hosts)
    return (CONDUCTOR_USER, API_USER, SCHEDULER_USER, WATCHER_USER, *agents)


_SERVER = """\
# The NATS server of haulier: who may say and hear what. Made by `haulier bus permissions`.
listen: {listen}
max_payload: 8MB  # a whole console log is an answer
ping_interval: "20s"

authorization {{
  timeout: 5
  users = [
{users}
  ]
}}
"""

_USER = """\
    {{  # {name}
      nkey: {nkey}
      permissions: {{
        publish: {publish}
        subscribe: {subscribe}{answers}
      }}
    }}"""


def server_config(users: Iterable[User], keys: Mapping[str, str], listen: str = "127.0.0.1:4222") -> str:
    """The configuration of a nats-server that knows these users and nobody else.

    `keys` has each user's public nkey under the user's name; `listen` is HOST:PORT.
    """
    return _SERVER.format(listen=f'"{listen}"', users="\n".join(_entry(user, keys[user.name]) for user in users))


def _entry(user: User, nkey: str) -> str:
    heard = (*user.permissions.subscribe, *((f"{user.inbox}.>",) if user.asks else ()))
    answers = '\n        allow_responses: { max: 1, expires: "1m" }' if user.answers else ""
    return _USER.format(
        name=user.name, nkey=nkey, publish=_allow(user.permissions.publish), subscribe=_allow(heard), answers=answers
    )


def _allow(subjects: tuple[str, ...]) -> str:
    if not subjects:
        return '{ deny: [">"] }'
    return "{ allow: [" + ", ".join(f'"{subject}"' for subject in subjects) + "] }"


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject falls under a pattern."""
    wanted, words = pattern.split("."), subject.split(".")
    for position, word in enumerate(wanted):
        if word == ">":
            return position < len(words)
        if position >= len(words) or word not in ("*", words[position]):
            return False
    return len(wanted) == len(words)


def _covers(allowed: str, asked: str) -> bool:
    """Whether all that a pattern matches is allowed: `a.>` covers `a.*` and `a.b.>`, `a.*` covers `a.b`."""
    have, want = allowed.split("."), asked.split(".")
    for position, word in enumerate(have):
        if word == ">":
            return position < len(want)
        if position >= len(want) or want[position] == ">" or word not in ("*", want[position]):
            return False
    return len(have) == len(want)
