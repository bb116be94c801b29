"""An answer that is due to a ``Draft``: what an approver hears whose reply decided nothing.

It goes to the address that was asked, never to one that stands in the reply. RFC 3834 says how a machine answers: with
an empty envelope sender and a mark that it is one, so that no other machine answers it.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from worker.consumers.approvals import ReplyRoute
from worker.consumers.draft import Addressing, Draft, Identity
from worker.events import ApprovalRequested, Approver
from worker.mail.email import Email, Words
from worker.mail.rendering import Templates
from worker.mail.samples import WHYS
from worker.reply_poller.due import AnswerDetails, AnswerDue
from worker.reply_token import Question, reply_address, token_hash

NULL_SENDER = ""
HEADERS = (("Auto-Submitted", "auto-replied"), ("X-Auto-Response-Suppress", "All"))
LONGEST_ID = 200
_ID = re.compile(r"<[A-Za-z0-9!#$%&'*+/=^_`{|}~.-]+@[A-Za-z0-9._-]+>")
_LONGEST_WORD = 77
"""Characters that a field holds without encoding them; a longer id stands in References alone."""


@dataclass(frozen=True, slots=True)
class Background:
    """What the register knows about an answer that is due.

    ``question`` is the newest one of the approval, perhaps a later one than was answered. ``closed_at`` is when it was
    asked, or withdrawn. ``token_hashes`` are those of the approver's tokens for the question that was answered.
    """

    question: ApprovalRequested
    closed_at: datetime
    token_hashes: Collection[bytes] = ()


@dataclass(frozen=True, slots=True)
class AnswerComposer:
    """Composes answers; ``replies`` is where an approver's next reply goes."""

    templates: Templates
    identity: Identity
    addressing: Addressing
    replies: ReplyRoute

    def refresh(self) -> None:
        """Take up changed templates."""
        self.templates.refresh()

    def compose(self, due: AnswerDue, background: Background, now: datetime) -> Draft:
        """The mail.

        Raises:
            TemplateError: a template failed on it.
            InvalidEventError: the approver may get no mail any more.
        """
        details, question = due.details, background.question
        people = self.addressing.allowed((details.approver,))
        self.addressing.require(people)
        token = self._token(due, background)
        thread = self.identity.thread(question.source, question.data.request.id)
        email = Email(
            message_id=self.identity.message_id(f"answer.{due.digest.hex()[:32]}"),
            references=f"{thread} {details.message_id}" if _is_id(details.message_id) else thread,
            date=now,
            sender=self.identity.sender,
            to=self.addressing.shown(people),
            reply_to=reply_address(self.replies.address, self.replies.separator, token) if token else None,
            words=self._words(due, background, token),
            headers=(*HEADERS, *_in_reply_to(details.message_id)),
        )
        return Draft(
            key=due.digest[:16],
            email=email,
            envelope_from=NULL_SENDER,
            recipients=self.addressing.envelope(people),
        )

    def _token(self, due: AnswerDue, background: Background) -> str | None:
        """The token that the approver has already; None where nothing is to be decided, or the keys have changed."""
        question, approver = background.question, due.details.approver
        if due.reason != "undecided" or question.id != due.event_id:
            return None
        approval = question.data.approval
        token = self.replies.keys.mint(
            Question(question.source, approval.id, question.id, approver.email, approval.expires_at)
        )
        return token if token_hash(token) in background.token_hashes else None

    def _words(self, due: AnswerDue, background: Background, token: str | None) -> Words:
        question, approver = background.question, due.details.approver
        render = partial(self._render, question, approver)
        if due.reason == "undecided":
            links = self.replies.links(token, question.data.approval.title) if token else None
            return render("reply.undecided", links=links, why=_why(due.details))
        return render(
            "reply.late",
            reason=due.reason,
            newer=due.reason == "superseded" and _asks(question, approver),
            decided=due.details.decided,
            since=_since(due, background),
        )

    def _render(self, question: ApprovalRequested, approver: Approver, kind: str, **more: Any) -> Words:
        data = question.data
        return self.templates.render(
            kind,
            locale=approver.locale,
            timezone=data.timezone,
            event=question,
            approval=data.approval,
            request=data.request,
            approver=approver,
            variables=data.variables,
            **more,
        )


def _why(details: AnswerDetails) -> str:
    return details.undecided if details.undecided in WHYS else WHYS[-1]


def _asks(question: ApprovalRequested, approver: Approver) -> bool:
    return approver.email.lower() in {person.email.lower() for person in question.data.approvers}


def _since(due: AnswerDue, background: Background) -> datetime:
    details = due.details
    if details.decided is not None:
        return details.decided.time
    return details.expires_at if due.reason == "expired" and details.expires_at else background.closed_at


def _is_id(claimed: str) -> bool:
    return len(claimed) <= LONGEST_ID and _ID.fullmatch(claimed) is not None


def _in_reply_to(claimed: str) -> tuple[tuple[str, str], ...]:
    short = len(claimed) <= _LONGEST_WORD and _is_id(claimed)
    return (("In-Reply-To", claimed),) if short else ()
