"""A move told to a person: what happened since the last look, and what is being waited for. Pure.

Works on the documents of `/haulier/v1/migrations/{id}`; the states are those of `haulier.model.migration`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from haulier.cli.quantities import Pace, duration, progress, size

Document = Mapping[str, Any]

TOLD = {
    "PREPARING": "{target} is chosen; it checks what only it knows, and makes room",
    "COPYING": "{source} powers the guest off and sends its disk to {target}",
    "RECEIVING": "{target} has the whole disk{sent}; it makes it durable and compares it",
    "SWITCHED": "{target} owns the server from here on; it starts the guest if it ran",
    "AWAITS_CONFIRM": "{target} is done",
    "RESTORING": "{source} brings the server back to how it was",
    "CANCELLING": "the move is cancelled; {source} brings the server back to how it was",
    "FAILED": "the server stays on {source}, as it was",
    "CANCELLED": "the move is cancelled; the server stays on {source}, as it was",
    "ATTESTING": "{target} is asked whether it holds the disk, now",
    "CONFIRMING": "{target} holds it; {source} deletes its copy",
    "CONFIRMED": "the server is on {target} for good",
    "REVERT_CHECKING": "{source} checks that its kept disk is sound",
    "REVERTING": "{source} can take it back; {target} stops the guest and deletes its copy",
    "RETURNING": "{source} owns the server again; it starts the guest if it ran",
    "REVERTED": "the server is back on {source}",
}
"""What a transition into each state means."""

TOLD_IN_PLACE = {
    **TOLD,
    "PREPARING": "{source} is to keep it; it checks what only it knows, and whether a copy finds room",
    "COPYING": "{source} powers the guest off and copies its disk",
    "SWITCHED": "the copy is the disk from here on; {source} starts the guest if it ran",
    "AWAITS_CONFIRM": "{source} is done",
    "RESTORING": "{source} brings the server back to how it was, on its old disk",
    "CONFIRMING": "{source} holds it, and deletes the old one",
    "CONFIRMED": "the server has its new size for good",
    "REVERTING": "{source} can take the old disk back; it stops the guest",
    "RETURNING": "the old disk is the server's again; {source} starts the guest if it ran",
    "REVERTED": "the server has its old size back",
}
"""The same for a resize that stays on its host."""

WORTH_SAYING = 3.0
"""Seconds that somebody may take for a step before it is said who is waited for."""
NOT_STARTED = "the server stays on {source}, but off: it could not be started there again"
"""The one way in which a failed or cancelled move leaves something behind."""

ENDS = frozenset({"CONFIRMED", "REVERTED", "FAILED", "CANCELLED"})
SETTLED = ENDS | {"AWAITS_CONFIRM"}
"""Where nothing happens any more unless somebody asks for it."""

BY_ITSELF = "automatic confirm"
"""The actor of a confirm that nobody has asked for."""


class Story:
    """Gives each event of one move once, in order, as `seconds since the request, sentence`."""

    def __init__(self, *, told: int = 0) -> None:
        """`told` transitions are known already and are left out."""
        self._told = told
        self._begun: datetime | None = None
        self._failed: set[int] = set()
        self._waits = ""
        self._pace = Pace()

    def news(self, document: Document) -> list[tuple[float, str]]:
        """What happened since the last document."""
        if self._begun is None:
            self._begun = self._begin(document)
        said: list[tuple[float, str]] = []
        for position, transition in enumerate(document["transitions"]):
            if position < self._told:
                continue
            after = (_time(transition["at"]) - self._begun).total_seconds()
            said += [(after, sentence) for sentence in self._sentences(document, position)]
        self._told = max(self._told, len(document["transitions"]))
        return said

    def _begin(self, document: Document) -> datetime:
        """The moment of the request: for a later one, such as a confirm, that of the transition it made."""
        later = document["transitions"][self._told :] if self._told else []
        if self._told:
            self._failed = {one["number"] for one in document["attempts"] if one["failed"]}
        return _time(later[0]["at"] if later else document["updated_at" if self._told else "created_at"])

    def _sentences(self, document: Document, position: int) -> Iterable[str]:
        transition = document["transitions"][position]
        attempt = _attempt_at(document, position)
        target = attempt["host"] if attempt else document.get("target")
        for failed in document["attempts"]:
            over = failed["number"] < (attempt["number"] if attempt else 0) or transition["to"] in ENDS
            if failed.get("failed") and over and failed["number"] not in self._failed:
                self._failed.add(failed["number"])
                yield failure(failed)
        sentences = TOLD_IN_PLACE if target == document["source"] else TOLD
        told = sentences.get(transition["to"], transition["to"])
        if transition["event"] == "Deleted":
            told = "the server is deleted, and the move with it"
        if _could_not_start(transition):
            told = NOT_STARTED
        if transition["actor"] == BY_ITSELF:
            told = f"nobody has decided in time: {told}"
        sent = document["progress"]["bytes_total"]
        bytes_sent = f", {size(sent)}" if sent else ""
        sentence = told.format(source=document["source"], target=target, sent=bytes_sent)
        why = transition.get("detail")
        yield f"{sentence} ({why})" if why and not _told_already(document, why) else sentence

    def present(self, document: Document, now: float) -> str:
        """What is going on at this moment: the copy's progress, and who is waited for. `now` as for Pace."""
        parts = ["choosing a host"] if document["state"] == "REQUESTED" else []
        if document["state"] == "COPYING":
            sent = document["progress"]
            self._pace.note(now, sent["bytes_done"])
            parts.append(progress(sent["bytes_done"], sent["bytes_total"], self._pace))
        return ", ".join(part for part in (*parts, *waited_for(document, longer_than=WORTH_SAYING)) if part)


def left_off(document: Document) -> bool:
    """Whether a move that failed or was cancelled left the server off because it could not be started again."""
    return bool(document["transitions"]) and _could_not_start(document["transitions"][-1])


def _could_not_start(transition: Document) -> bool:
    return transition["from"] in ("RESTORING", "CANCELLING") and transition["event"] == "Failed"


def waited_for(document: Document, *, longer_than: float = 0.0) -> list[str]:
    """Who has been asked and has not answered yet, and for how many seconds."""
    return [
        f"waiting for {one['host'] or 'the conductor'} ({one['step']}) for {duration(one['seconds'])}"
        for one in document["waiting_for"]
        if one["seconds"] >= longer_than
    ]


def _attempt_at(document: Document, position: int) -> Document | None:
    """The attempt that was under way after that transition: each begins with a transition to PREPARING."""
    until = document["transitions"][: position + 1]
    begun = sum(transition["to"] == "PREPARING" for transition in until)
    attempts: list[Document] = document["attempts"]
    return attempts[begun - 1] if 0 < begun <= len(attempts) else None


def guest_away(document: Document) -> float | None:
    """Seconds from the order to power the guest off to the word that it runs on the target; None if unknown."""
    times = {transition["to"]: _time(transition["at"]) for transition in document["transitions"]}
    if document.get("was_running") is False or not {"COPYING", "AWAITS_CONFIRM"} <= times.keys():
        return None
    return (times["AWAITS_CONFIRM"] - times["COPYING"]).total_seconds()


def outcome(document: Document, server: str) -> str:
    """One sentence on where the move ended, if it ended well."""
    state, source, target = document["state"], document["source"], document.get("target")
    if state == "AWAITS_CONFIRM":
        away = guest_away(document)
        off = f"; the guest was off for at most {duration(away)}" if away is not None else ""
        if target == source:
            return f"server {server} stays on {source} in its new size, its old disk is kept{off}"
        return f"server {server} is on {target} now, its old copy is kept on {source}{off}"
    if target == source:
        return f"server {server} on {source} has its {'new' if state == 'CONFIRMED' else 'old'} size"
    return {
        "CONFIRMED": f"server {server} stays on {target}; {source} has deleted its copy",
        "REVERTED": f"server {server} is back on {source}; {target} has deleted its copy",
    }[state]


def reasons(document: Document) -> list[str]:
    """Why it did not go as asked, each reason once, those of failed targets included."""
    said: list[str] = list(document["reasons"])
    return said + [failure(one) for one in document["attempts"] if one["failed"] and one["failed"] not in said]


def failure(attempt: Document) -> str:
    """Why one target could not take the server; names the host, as most reasons do by themselves."""
    host, why = attempt["host"], attempt["failed"]
    return str(why) if host in why else f"{host}: {why}"


def _told_already(document: Document, why: str) -> bool:
    return any(one["failed"] and why in one["failed"] for one in document["attempts"])


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
