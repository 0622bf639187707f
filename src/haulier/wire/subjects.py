"""The names under which messages travel. Who may use which is in `bus/permissions.py`."""

from haulier.model.ids import HostName, MigrationId

NUDGE = "haulier.conductor.nudge"
"""API to conductor: there are new rows in the outbox. Carries nothing, since the row is the truth."""
CONDUCTOR_OUTBOX = "haulier.conductor.request"
"""Outbox rows that are for the conductor itself carry this subject; they never travel over the bus."""
CONSOLE = "haulier.conductor.console"
"""API to conductor, a question: the end of a server's console log."""
AUDIT = "haulier.conductor.audit"
"""API to conductor, a question: does what there is agree with what there should be?"""
REPAIR = "haulier.conductor.repair"
"""API to conductor: the same, and put right what is safe to put right."""
SELECT_DESTINATIONS = "haulier.scheduler.select_destinations"
"""Conductor to scheduler, a question."""
SCHEDULER_METHODS = "haulier.scheduler.>"
CALL_BACKS = "haulier.conductor.migrate_server.*"
EVENTS = "haulier.event.>"
NOTIFICATIONS = "haulier.notification.>"
"""The conductor to everybody who may listen: what became of each move (`wire/notifications.py`)."""


def word(host: HostName) -> str:
    """A host's name as one word of a subject: dots part words, and names like `a.example.org` have dots."""
    return host.replace(".", "%2E")


def commands(host: HostName) -> str:
    """Conductor to one agent: a command."""
    return f"haulier.compute.{word(host)}"


def questions(host: HostName) -> str:
    """Conductor to one agent: a question that changes nothing."""
    return f"haulier.compute.{word(host)}.ask"


def census(host: HostName) -> str:
    """Conductor to one agent: the question what is there. Its own subject: a question has one type."""
    return f"haulier.compute.{word(host)}.census"


def migrate_server(host: HostName) -> str:
    """An agent to the conductor, in its own name: its prep_resize failed, try another host."""
    return f"haulier.conductor.migrate_server.{word(host)}"


def event(host: HostName, kind: str) -> str:
    """An agent to the conductor: `answer`, `hello`, `heartbeat`, `power` or `progress`."""
    return f"haulier.event.{word(host)}.{kind}"


def notifications(migration_id: MigrationId) -> str:
    """The conductor to everybody who may listen: what becomes of one move."""
    return f"haulier.notification.migration.{migration_id}"
