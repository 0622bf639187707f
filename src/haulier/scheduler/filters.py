"""One function per rule: a host and a request in, a clause that says why not out, or None when it may."""

from collections.abc import Callable

from haulier.model.host import Candidate
from haulier.model.request import RequestSpec, Rule
from haulier.model.resources import describe, in_one_place, less, shortages

Filter = Callable[[Candidate, RequestSpec], str | None]


def destination(candidate: Candidate, spec: RequestSpec) -> str | None:
    """Only the host that was named is considered, however good another is (Nova bug 1702454, scenario A4)."""
    wanted = spec.requested_destination
    return None if wanted in (None, candidate.host.name) else f"not the requested host {wanted}"


def ignored(candidate: Candidate, spec: RequestSpec) -> str | None:
    return "the server is on it now" if candidate.host.name in spec.ignore_hosts else None


def up(candidate: Candidate, _spec: RequestSpec) -> str | None:
    return candidate.why_down


def enabled(candidate: Candidate, _spec: RequestSpec) -> str | None:
    if candidate.host.enabled:
        return None
    reason = candidate.host.disabled_reason
    return f"it is disabled ({reason})" if reason else "it is disabled"


def draining(candidate: Candidate, _spec: RequestSpec) -> str | None:
    return "it is being drained" if candidate.host.draining else None


def zone(candidate: Candidate, spec: RequestSpec) -> str | None:
    if spec.zone in (None, candidate.host.zone):
        return None
    return f"it is in zone {candidate.host.zone}, the server asked for {spec.zone}"


def room(candidate: Candidate, spec: RequestSpec) -> str | None:
    """Where the server is already, what it holds is let go for the new claim, not counted twice (scenario A24)."""
    used, wanted, resident = candidate.used, spec.resources, spec.resident
    if resident is not None and resident.host == candidate.host.name:
        used, wanted = less(used, resident.holds), in_one_place(resident.holds, wanted)
    return describe(shortages(candidate.host.stock, used, wanted)) or None


FILTERS: dict[Rule, Filter] = {
    Rule.DESTINATION: destination,
    Rule.IGNORED: ignored,
    Rule.UP: up,
    Rule.ENABLED: enabled,
    Rule.DRAINING: draining,
    Rule.ZONE: zone,
    Rule.ROOM: room,
}
"""In the order in which they are asked; the first that says no is the reason that is kept."""
