"""What an approver is to be told: an answer that is due, as the journal keeps it until it is sent."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from worker.events import Approver
from worker.reply_events import Decided, Moment, Words
from worker.reply_poller.verdict import LateReason

AnswerReason = Literal["undecided"] | LateReason


class AnswerDetails(BaseModel):
    """All that the answer's words need; JSON in the journal.

    ``message_id`` is the reply's, raw: whatever its sender wrote there. ``undecided`` says why the reply could not be
    read as a decision; ``decided`` who decided what, and when.
    """

    model_config = ConfigDict(frozen=True)

    approver: Approver
    title: str
    request_id: str
    requested_at: Moment
    received_at: Moment
    message_id: Words
    expires_at: Moment | None = None
    undecided: Words | None = None
    decided: Decided | None = None


@dataclass(frozen=True, slots=True)
class AnswerDue:
    """One answer: to the reply with that SHA-256, from the approver with that address (in lower case)."""

    digest: bytes
    source: str
    approval_id: str
    event_id: str
    email: str
    reason: AnswerReason
    details: AnswerDetails
