"""What the journal knows of a token: who was asked what, and when."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from worker.events import Approver
from worker.reply_token import Question


@dataclass(frozen=True, slots=True)
class Known:
    """The question behind one token. Whether it is still open is asked when a decision is written, not before.

    ``token_id`` follows from the token, and is the id of the decision that it may become: the token itself stands
    nowhere.
    """

    question: Question
    approver: Approver
    request_id: str
    title: str
    requested_at: datetime
    token_id: UUID
