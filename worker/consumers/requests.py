"""A ``request.*`` event to one mail for all its recipients, with the logs that the policy selects."""

from collections.abc import Callable, Sequence
from datetime import datetime

from worker.consumers.draft import MACHINE_HEADERS, Addressing, Draft, Identity
from worker.events import Event, RequestEvent, mail_key
from worker.mail.email import Email, Words
from worker.mail.logs import AttachedLogs, Logs
from worker.mail.rendering import Templates


class RequestComposer:
    """Composes the mails of the request queue."""

    family = "request"

    def __init__(
        self,
        *,
        templates: Templates,
        logs: Logs,
        identity: Identity,
        addressing: Addressing,
        clock: Callable[[], datetime],
    ) -> None:
        self._templates = templates
        self._logs = logs
        self._identity = identity
        self._addressing = addressing
        self._clock = clock

    def refresh(self) -> None:
        """Take up changed templates."""
        self._templates.refresh()

    def compose(self, event: Event) -> Sequence[Draft]:
        """One mail to all who may get it; ``bcc`` stands in the envelope only."""
        if not isinstance(event, RequestEvent):
            return ()
        recipients = event.data.recipients
        to, cc, bcc = (self._addressing.allowed(people) for people in (recipients.to, recipients.cc, recipients.bcc))
        everybody = (*to, *cc, *bcc)
        self._addressing.require(everybody)
        attached = self._logs.attach(event)
        try:
            words = self._words(event, attached)
        except BaseException:
            attached.close()
            raise
        key = mail_key(event.source, event.id)
        email = Email(
            message_id=self._identity.message_id(key.hex()),
            references=self._identity.thread(event.source, event.data.request.id),
            date=self._clock(),
            sender=self._identity.sender,
            to=self._addressing.shown(to),
            cc=self._addressing.shown(cc),
            words=words,
            headers=MACHINE_HEADERS,
            attachments=attached.attachments,
        )
        envelope = self._addressing.envelope(everybody)
        size = sum(attachment.size for attachment in attached.attachments)
        return (Draft(key, email, self._identity.sender.email, envelope, size, close=attached.close),)

    def _words(self, event: RequestEvent, attached: AttachedLogs) -> Words:
        return self._templates.render(
            event.type,
            locale=event.data.locale,
            timezone=event.data.timezone,
            event=event,
            request=event.data.request,
            steps=event.data.steps,
            variables=event.data.variables,
            logs=attached,
        )
