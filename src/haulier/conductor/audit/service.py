"""The audit: reads the books, asks every host what it has, and compares. Changes nothing.

What moves while one looks is no violation. So the books are read before the hosts are asked and again after: a server
that differs between the two is left out and named; and what looks wrong is looked at once more before it is said.
Dies in the middle: nothing was changed, whoever asked gets no answer and asks again.
"""

import asyncio
from collections.abc import Iterable

import msgspec

from haulier.bus.interface import Bus, BusError
from haulier.conductor.audit import books, compare
from haulier.conductor.audit.books import Books, Entry
from haulier.config.conductor import ConductorSettings
from haulier.db.engine import Database
from haulier.model.host import Host
from haulier.model.ids import HostName, ServerId
from haulier.wire import subjects
from haulier.wire.to_compute import AskCensus, Census
from haulier.wire.to_conductor import AuditReport, UnknownHost, Violation


class Audit:
    """The audits of one conductor."""

    def __init__(self, settings: ConductorSettings, db: Database, bus: Bus) -> None:
        self._settings = settings
        self._db = db
        self._bus = bus

    async def look(self) -> AuditReport:
        """Everything that is wrong, what could not be judged, and which hosts could not be looked at."""
        report = await self._look()
        if not report.violations:
            return report
        again = await self._look()
        seen = {_key(each) for each in report.violations}
        return msgspec.structs.replace(again, violations=tuple(each for each in again.violations if _key(each) in seen))

    async def _look(self) -> AuditReport:
        before = await self._db.read(books.read)
        answers = await self._ask(before.hosts)
        there = {server_id for _, answer in answers if isinstance(answer, Census) for server_id in _servers(answer)}
        after = await self._db.read(books.read, also=there | before.servers.keys())
        return _report(before, after, answers)

    async def _ask(self, hosts: Iterable[HostName]) -> list[tuple[HostName, Census | BusError]]:
        async with asyncio.TaskGroup() as group:
            asked = [(host, group.create_task(self._ask_one(host))) for host in hosts]
        return [(host, task.result()) for host, task in asked]

    async def _ask_one(self, host: HostName) -> Census | BusError:
        try:
            return await self._bus.call(subjects.census(host), AskCensus(), Census, self._settings.question_timeout)
        except BusError as problem:
            return problem


def _report(before: Books, after: Books, answers: list[tuple[HostName, Census | BusError]]) -> AuditReport:
    censuses = {host: answer for host, answer in answers if isinstance(answer, Census)}
    moving = _changed(before, after)
    names = {*(host for host, _ in answers), *(entry.host for entry in after.servers.values() if entry.host)}
    unknown = [UnknownHost(host, _why_unknown(after.hosts.get(host))) for host in sorted(names - censuses.keys())]
    return AuditReport(
        hosts=tuple(sorted(censuses)),
        servers=len(after.servers),
        claims=len(after.claims),
        violations=(*compare.claims(after), *compare.hosts(after, censuses, moving)),
        in_transition=tuple(compare.in_transition(after, censuses, moving)),
        unknown_hosts=tuple(unknown),
    )


def _changed(before: Books, after: Books) -> set[ServerId]:
    """The servers to which something was done while the hosts were asked.

    One that was deleted is only in the later books if a host turned out to have something of it: that it was deleted
    before is told by its last change.
    """
    return {entry.id for entry in after.servers.values() if not _is_same(before, before.servers.get(entry.id), entry)}


def _is_same(before: Books, was: Entry | None, entry: Entry) -> bool:
    return entry.updated_at < before.at if was is None else was.mark == entry.mark


def _why_unknown(host: Host | None) -> str:
    if host is None:
        return "no agent of that name has ever said hello"
    if host.fenced:
        return "it is fenced, and its agent does not answer"
    return f"its agent does not answer, and was last heard {host.silent_for:.0f} s ago"


def _servers(census: Census) -> Iterable[ServerId]:
    return (each.server_id for each in census.servers)


def _key(violation: Violation) -> tuple[object, ...]:
    """What makes two sightings one violation: an amount or a process that changes in between is another one."""
    return violation.kind, violation.host, violation.server_id, violation.what
