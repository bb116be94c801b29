"""Findings to outcomes: what is still open, what came too late, and who gets an answer. Opens nothing.

A docket holds what the journal knows about the approvals of one batch, and what the batch has added so far: the
second of two decisions is late, whether the first came years ago or one mail before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from worker.reply_events import Decided, utc
from worker.reply_poller.due import AnswerDetails, AnswerDue, AnswerReason
from worker.reply_poller.known import Known
from worker.reply_poller.outcome import Disposal, Outcome, Ruling, asked, decision_outcome, reply_outcome
from worker.reply_poller.verdict import (
    UNDECIDED,
    Approved,
    Automatic,
    Bounced,
    Finding,
    LateReason,
    Rejected,
    Undecided,
    UndecidedReason,
    Unreadable,
    Untrusted,
)

Approval = tuple[str, str]
"""Source and id."""
Person = tuple[str, str, str]
"""Source and id of an approval, and the address of an approver in lower case."""

UNKNOWN = "unknown"
"""The reason of ``reply.untrusted`` where the journal has forgotten the approval."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest event about an approval."""

    event_id: str
    type: str


@dataclass(slots=True)
class Docket:
    """What stands when a batch is settled, and what it adds: ``outcomes`` and ``answers`` are to be written."""

    now: datetime
    newest: Mapping[Approval, Newest] = field(default_factory=dict)
    stored: dict[bytes, Outcome] = field(default_factory=dict)
    decided: dict[Person, Decided] = field(default_factory=dict)
    answered: set[Person] = field(default_factory=set)
    outcomes: dict[bytes, Outcome] = field(default_factory=dict)
    answers: list[AnswerDue] = field(default_factory=list)

    def settle(self, finding: Finding) -> Outcome:
        """What comes of a finding.

        A mail that was settled before stays as it stands, except one that a person took out of quarantine: it is
        judged anew.
        """
        stored = self.stored.get(finding.digest)
        if stored is not None and not stored.is_quarantined:
            return stored
        outcome = self._settle(finding)
        if stored is not None and _says(stored) == _says(outcome):
            return stored
        self.stored[finding.digest] = self.outcomes[finding.digest] = outcome
        return outcome

    def _settle(self, finding: Finding) -> Outcome:
        match finding.verdict:
            case Approved() | Rejected() as verdict:
                return self._decide(finding, verdict)
            case Undecided(reason=reason):
                return reply_outcome(finding, self._doubt(finding, reason), self.now)
            case Unreadable(reason=reason):
                return reply_outcome(finding, Ruling("reply.unreadable", reason, "quarantine"), self.now)
            case Untrusted(reason=reason):
                return reply_outcome(finding, Ruling("reply.untrusted", reason, "quarantine"), self.now)
            case Automatic(reason=reason):
                return reply_outcome(finding, _machine("reply.automatic", reason, finding.known), self.now)
            case Bounced(reason=reason, address=address):
                ruling = _machine("reply.bounced", reason, finding.known, address)
                return reply_outcome(finding, ruling, self.now)

    def _decide(self, finding: Finding, verdict: Approved | Rejected) -> Outcome:
        known, newest = finding.known, self._newest(finding.known)
        if known is None or newest is None:
            return reply_outcome(finding, _unknown(known), self.now)
        late = self._lateness(known, newest)
        if late is not None:
            self._owe(finding, known, late)
            return reply_outcome(finding, self._late(known, late), self.now)
        outcome = decision_outcome(finding, known, verdict, self.now)
        self.decided[_person(known)] = Decided(
            decision="approved" if isinstance(verdict, Approved) else "rejected", approver=asked(known), time=self.now
        )
        return outcome

    def _doubt(self, finding: Finding, reason: UndecidedReason) -> Ruling:
        known, newest = finding.known, self._newest(finding.known)
        if known is None or newest is None:
            return _unknown(known)
        # Who can't decide any more hears that, and not how to.
        self._owe(finding, known, self._lateness(known, newest) or "undecided", undecided=reason)
        return Ruling("reply.undecided", reason, "remove", detail=UNDECIDED[reason])

    def _newest(self, known: Known | None) -> Newest | None:
        return self.newest.get((known.question.source, known.question.approval_id)) if known else None

    def _lateness(self, known: Known, newest: Newest) -> LateReason | None:
        if newest.type == "approval.withdrawn":
            return "withdrawn"
        if newest.type != "approval.requested" or newest.event_id != known.question.event_id:
            return "superseded"
        if known.question.expires_at is not None and known.question.expires_at <= self.now:
            return "expired"
        return "decided" if _person(known) in self.decided else None

    def _late(self, known: Known, reason: LateReason) -> Ruling:
        decided = self.decided[_person(known)] if reason == "decided" else None
        return Ruling("reply.late", reason, "remove", detail=_explain(known, reason, decided), decided=decided)

    def _owe(self, finding: Finding, known: Known, reason: AnswerReason, *, undecided: str | None = None) -> None:
        person = _person(known)
        if person in self.answered:
            return
        self.answered.add(person)
        details = AnswerDetails(
            approver=known.approver,
            title=known.title,
            request_id=known.request_id,
            requested_at=known.requested_at,
            received_at=finding.received_at,
            message_id=finding.message_id,
            expires_at=known.question.expires_at,
            undecided=undecided,
            decided=self.decided[person] if reason == "decided" else None,
        )
        source, approval_id, email = person
        event_id = known.question.event_id
        self.answers.append(AnswerDue(finding.digest, source, approval_id, event_id, email, reason, details))


def _person(known: Known) -> Person:
    return known.question.source, known.question.approval_id, known.question.approver.lower()


def _says(outcome: Outcome) -> tuple[str, str, str]:
    return outcome.type, outcome.reason, outcome.disposal


def _machine(
    kind: Literal["reply.automatic", "reply.bounced"], reason: str, known: Known | None, address: str | None = None
) -> Ruling:
    # Without a genuine token it may be anybody's machine: nobody needs to hear of it.
    disposal: Disposal = "quarantine" if known is None else "remove"
    return Ruling(kind, reason, disposal, address=address, silent=known is None)


def _unknown(known: Known | None) -> Ruling:
    detail = "the reply has no genuine token" if known is None else "the journal has forgotten this approval"
    return Ruling("reply.untrusted", UNKNOWN, "quarantine", detail=detail)


def _explain(known: Known, reason: LateReason, decided: Decided | None) -> str:
    match reason:
        case "withdrawn":
            return "the approval was withdrawn before this reply was read"
        case "superseded":
            return "the approval was asked for anew, and only an answer to the newer mail counts"
        case "expired":
            return f"the approval expired{_at(known.question.expires_at)}, before this reply was read"
        case "decided":
            what, when = (decided.decision, decided.time) if decided else ("decided", None)
            return f"this approver had {what} it already{_at(when)}, and the first decision counts"


def _at(moment: datetime | None) -> str:
    return f" at {utc(moment):%Y-%m-%dT%H:%M:%SZ}" if moment else ""
