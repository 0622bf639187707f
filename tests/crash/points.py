"""The points of the sweep: each a scenario, a moment on its way, and what goes wrong there.

Nothing is listed by hand. Each scenario is run once without a fault and tells the moments that it passes through, each
with the row of the saga table that it belongs to; the rules below say which faults make sense at which moment. A row
that no scenario passes through has no point, and `test_points.py` fails.
"""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from haulier.conductor.cold_migration.steps import CancelAsked
from haulier.model.migration import ON_CANCEL, State
from tests.crash.cloud import Template
from tests.crash.moments import HOSTS, TABLES, Moment, row_name
from tests.crash.scenarios import DELETE_AT_REST, MOVES, Scenario, cancellation, deletion

FILE = Path(__file__).with_name("points.json")
AGENTS = tuple(HOSTS)


class Point(msgspec.Struct, frozen=True):
    """`row` is the row of the saga table, `TABLE.STATE>Event`, that the moment belongs to; empty outside of a move."""

    scenario: str
    at: str
    fault: str
    row: str

    @property
    def id(self) -> str:
        return f"{self.scenario} {self.at} {self.fault}"


class Seen(NamedTuple):
    """What a scenario passes through: its moments in order, and the states of its move."""

    scenario: Scenario
    moments: tuple[Moment, ...]
    states: tuple[str, ...]


def faults(moment: Moment, roles: frozenset[str], scenario: Scenario) -> Iterator[str]:
    """What may go wrong at a moment of a scenario. `roles` are the conductor and the agents that take part.

    Left out, since it would be the same or nothing at all:
    - api and scheduler hold nothing between requests, so only their own moments are for killing them;
    - another process dies when something is committed or said, and in the middle of each step, not at each call in it;
    - a message is lost, late or doubled once, as it is said, and a doubled or late nudge is a nudge;
    - a process stays away, or a host is cut off, from the moment that something was said or done;
    - a deletion can't be accepted in the middle of another process's transaction, nor twice;
    - in a variant, which passes through the same rows as another scenario, nothing happens but to who is at work.
    """
    own, agent = moment.process, moment.process in AGENTS
    deletes = scenario.deletes_in is not None
    yield f"kill:{own}"
    if moment.when != "during" or agent:
        yield "error"
    if agent:
        yield f"reboot:{own}"
    turning = moment.doing in ("commit", "send") or (moment.doing, moment.when) == ("intend", "after")
    if turning or (moment.doing == "conclude" and moment.when == "before") or moment.when == "during":
        for role in sorted(roles - {own}):
            if role == "conductor":
                yield "kill:conductor"
            elif role in AGENTS:
                yield f"kill:{role}"
                yield f"reboot:{role}"
    if moment.doing == "send" and moment.when == "before":
        yield "lost"
        if moment.about != "nudge":
            yield from ("twice", "late", "latest")
    if moment.doing == "answer" and moment.when == "before":
        yield from ("lost", "late")
    if moment.doing == "answer" and moment.when == "after":
        yield "lost"
    if (moment.doing, moment.when) in (("commit", "after"), ("intend", "after")) and not (deletes or scenario.variant):
        for role in sorted(roles & set(AGENTS)):
            yield f"away:{role}"
            yield f"cutoff:{role}"
    if not deletes and moment.when in ("after", "during") and moment.process != "api":
        yield "delete"
        if not scenario.cuts_in and not scenario.variant and _before_the_switch(moment):
            yield "cancel"


def _before_the_switch(moment: Moment) -> bool:
    """Whether a move can be cancelled there."""
    return moment.row.partition(".")[2].partition(">")[0] in ON_CANCEL


def of_what_cuts_in(moment: Moment, scenario: Scenario) -> bool:
    """Whether a moment is the request's own, and not one of the move that it supersedes: those have scenarios."""
    words = ["delete"]
    if scenario.cancels_in is not None:
        words = ["cancel", "restore_source", "restored"]
        # Where the move is being undone the target was told before, and may hear it once more at any moment.
        words += [] if scenario.cancels_in is State.RESTORING else ["discard_target", "discarded"]
    return moment.process == "api" or any(word in moment.about.lower() for word in words)


def derive(seen: list[Seen]) -> list[Point]:
    """All points, by scenario. Until its step fails a scenario is the one that it follows: that has those moments."""
    points: dict[str, Point] = {}
    passed = {one.scenario.name: {moment.name for moment in one.moments} for one in seen}
    for scenario, moments, _ in seen:
        roles = frozenset(moment.process for moment in moments) - {"api", "scheduler"}
        for moment in moments:
            before = moment.name in passed.get(scenario.follows, ())
            if before or (scenario.cuts_in and not of_what_cuts_in(moment, scenario)):
                continue
            for fault in faults(moment, roles, scenario):
                point = Point(scenario.name, moment.name, fault, moment.row)
                points[point.id] = point
    order = {one.scenario.name: number for number, one in enumerate(seen)}
    return sorted(points.values(), key=lambda point: (order[point.scenario], point.at, point.fault))


def cuts(rows: dict[str, set[str]]) -> list[Scenario]:
    """A deletion, and where it is taken a cancel, in each state that a move can rest in, on the first that comes by.

    `rows` are those that each scenario passes through, by its name.
    """
    found: dict[tuple[str, State], Scenario] = {}
    for name, table in TABLES.items():
        for row in table:
            base = next((one for one in MOVES if row_name(name, row) in rows.get(one.name, ())), None)
            if base is not None:
                found.setdefault((name, row.state), deletion(base, row.state, in_place=name == "IN_PLACE"))
    return [*found.values(), DELETE_AT_REST, *cancellations(rows)]


def cancellations(rows: dict[str, set[str]]) -> Iterator[Scenario]:
    """A cancel in each state in which a table takes one, on the first scenario that passes through that state."""
    for name, table in TABLES.items():
        for state in [row.state for row in table if row.on is CancelAsked]:
            through = {row_name(name, row) for row in table if row.state is state and row.on is not CancelAsked}
            base = next((one for one in MOVES if through & rows.get(one.name, set())), None)
            if base is not None:
                yield cancellation(base, state, in_place=name == "IN_PLACE")


def scenarios(points: list[Point]) -> dict[str, Scenario]:
    """Every scenario of these points, by name."""
    rows: dict[str, set[str]] = {}
    for point in points:
        rows.setdefault(point.scenario, set()).add(point.row)
    return {scenario.name: scenario for scenario in (*MOVES, *cuts(rows))}


async def trace_all(templates: dict[bool, Template], folder: Path) -> list[Seen]:
    """Run every scenario without a fault."""
    from tests.crash.run import trace

    seen = [await trace(templates, folder, scenario) for scenario in MOVES]
    rows = {one.scenario.name: {moment.row for moment in one.moments} for one in seen}
    return seen + [await trace(templates, folder, scenario) for scenario in cuts(rows)]


def make() -> list[Point]:
    """Derive the points by running haulier."""
    from tests.crash.run import make_templates

    async def all_of_it() -> list[Seen]:
        with tempfile.TemporaryDirectory(prefix="haulier-points-") as name:
            return await trace_all(await make_templates(Path(name)), Path(name))

    return derive(asyncio.run(all_of_it()))


def encode(points: list[Point]) -> str:
    """As JSON: {scenario: {moment: [row, faults]}}, a line per moment."""
    nested: dict[str, dict[str, tuple[str, list[str]]]] = {}
    for point in points:
        nested.setdefault(point.scenario, {}).setdefault(point.at, (point.row, []))[1].append(point.fault)
    parts = []
    for scenario, moments in nested.items():
        lines = ",\n".join(f"    {json.dumps(at)}: {json.dumps(found)}" for at, found in moments.items())
        parts.append(f"  {json.dumps(scenario)}: {{\n{lines}\n  }}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def read() -> list[Point]:
    """The points of the file."""
    nested = json.loads(FILE.read_text())
    return [
        Point(scenario, at, fault, row)
        for scenario, moments in nested.items()
        for at, (row, found) in moments.items()
        for fault in found
    ]
