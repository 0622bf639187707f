"""Who may say and hear what, in one table. The in-process bus enforces it as a networked one does.

The rules are requirements 2 and 3 of design.md at run time: the scheduler may say nothing at all (it only answers
what it is asked), commands come from the conductor alone, and a host speaks in its own name only.
"""

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
    publish=("haulier.compute.>", "haulier.scheduler.>"),
    subscribe=("haulier.conductor.>", "haulier.event.>"),
)
API = Permissions(
    publish=(
        "haulier.conductor.nudge",  # the outbox row is the truth
        "haulier.conductor.console",  # a question: nothing changes by it
    ),
)
SCHEDULER = Permissions(subscribe=("haulier.scheduler.>",))


def compute(host: HostName) -> Permissions:
    """What the agent of one host may do: report and call back in its own name, hear its own commands."""
    return Permissions(
        publish=(subjects.event(host, ">"), subjects.migrate_server(host)),
        subscribe=(subjects.commands(host), f"{subjects.commands(host)}.>"),
    )


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
