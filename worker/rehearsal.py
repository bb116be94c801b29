"""An event to the emails that it would become: nothing is sent, nothing is remembered, no token is a real one."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from pydantic import SecretBytes

from worker.consumers.approvals import ApprovalComposer
from worker.events import ApprovalData, ApprovalRequested, ApprovalWithdrawn, Event, Person, RequestEvent
from worker.examples import EXAMPLES
from worker.journal import Journal
from worker.mail.email import Email
from worker.mail.rendering import Templates
from worker.parts import build_composers
from worker.settings import ConsumeSettings, Settings

RETENTION = 3600.0
SENDER = Person(name="Deployments", email="deployments@example.com")


class Rehearsal:
    """Composes as ``consume`` would under these settings, at the time of the event."""

    def __init__(self, settings: Settings, templates: Templates, folder: Path) -> None:
        """``folder`` is a temporary one: each event gets a journal of its own there."""
        sender = settings.smtp_from_address or SENDER
        missing = {
            "smtp_host": settings.smtp_host or "localhost",
            "smtp_from_address": sender,
            "approval_reply_address": settings.approval_reply_address or sender.email,
            # A token of this key opens nothing.
            "approval_token_key": (SecretBytes(secrets.token_bytes(32)),),
        }
        self._settings = ConsumeSettings.model_construct(**(dict(settings) | missing))
        self._templates = templates
        self._folder = folder
        self._numbers = count()

    def compose(self, event: Event) -> Sequence[Email]:
        """The mails of that event.

        Raises:
            PermanentError: it can't become a mail.
        """
        journal = Journal(f"sqlite:///{self._folder}/{next(self._numbers)}.db", retention=RETENTION)
        journal.open()
        try:
            return self._compose(event, journal)
        finally:
            journal.close()

    def _compose(self, event: Event, journal: Journal) -> Sequence[Email]:
        moment = event.time or datetime.now(UTC)
        requests, approvals = build_composers(self._settings, journal, self._templates, lambda: moment)
        if isinstance(event, RequestEvent):
            return [draft.email for draft in requests.compose(event)]
        if isinstance(event, ApprovalWithdrawn):
            _ask_before(event, approvals, journal)
        return [draft.email for draft in approvals.compose(event)]


def _ask_before(event: ApprovalWithdrawn, approvals: ApprovalComposer, journal: Journal) -> None:
    """A withdrawal is told to who was asked: the example's people, an hour earlier."""
    data = ApprovalData.model_validate(EXAMPLES["approval.requested"]["data"], strict=False)
    approval = data.approval.model_copy(update={"id": event.data.approval.id, "expires_at": None})
    asked = ApprovalRequested(
        specversion="1.0",
        id="asked before",
        source=event.source,
        type="approval.requested",
        time=event.time - timedelta(hours=1),
        data=data.model_copy(update={"approval": approval}),
    )
    journal.claim([draft.key for draft in approvals.compose(asked)])
