"""Tokens to who was asked what, and mails to what came of them: the inbound half of the journal."""

from dataclasses import dataclass
from datetime import datetime

from worker.events import Approver
from worker.reply_token import Question


@dataclass(frozen=True, slots=True)
class Known:
    """What the journal knows of one token: the question that it stands for, and who was asked."""

    question: Question
    approver: Approver
    request_id: str
    title: str
    requested_at: datetime
