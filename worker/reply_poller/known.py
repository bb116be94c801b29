"""What the journal knows of a token: who was asked what, and when."""

from dataclasses import dataclass
from datetime import datetime

from worker.events import Approver
from worker.reply_token import Question


@dataclass(frozen=True, slots=True)
class Known:
    """The question behind one token. Whether it is still open is asked when a decision is written, not before."""

    question: Question
    approver: Approver
    request_id: str
    title: str
    requested_at: datetime
