"""An ``approval.*`` event to one mail an approver, with a token of its own where replies decide."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import assert_never
from urllib.parse import quote

from worker.consumers.draft import MACHINE_HEADERS, Addressing, Draft, Identity
from worker.errors import InvalidEventError
from worker.events import ApprovalEvent, ApprovalRequested, ApprovalWithdrawn, Approver, Event, RequestEvent, mail_key
from worker.mail.email import Email, Words
from worker.mail.rendering import Templates
from worker.register import Asked, Register, Standing
from worker.reply_token import Question, TokenKeys, reply_address, token_hash

LONGEST_TITLE = 150
"""Characters of an approval's title in a link: mail clients fail on long ones."""

REPLY_LINE = "Reply above this line"


@dataclass(frozen=True, slots=True)
class Links:
    """How an approver answers: two ``mailto:`` URLs (RFC 6068), the words that decide, and the line to reply above."""

    approve: str
    reject: str
    approve_word: str
    reject_word: str
    reply_line: str = REPLY_LINE


@dataclass(frozen=True, slots=True)
class ReplyRoute:
    """Where the replies go: our address, what separates the token from it, the keys and the first words."""

    address: str
    separator: str
    keys: TokenKeys
    approve_word: str
    reject_word: str

    def links(self, token: str, subject: str) -> Links:
        """The two links of one approver. Without sub-addressing the subject carries the token."""
        address = quote(reply_address(self.address, self.separator, token), safe="@+")
        short = subject if len(subject) <= LONGEST_TITLE else f"{subject[:LONGEST_TITLE]}…"
        title = f"Re: {short}" if self.separator else f"Re: {short} [{token}]"

        def link(word: str) -> str:
            return f"mailto:{address}?subject={quote(title, safe='')}&body={quote(word.capitalize(), safe='')}%0D%0A"

        return Links(link(self.approve_word), link(self.reject_word), self.approve_word, self.reject_word)


class ApprovalComposer:
    """Composes the mails of the approval queue, and notes in the register who is asked."""

    family = "approval"

    def __init__(
        self,
        *,
        templates: Templates,
        register: Register,
        identity: Identity,
        addressing: Addressing,
        own_addresses: frozenset[str],
        replies: ReplyRoute | None,
        clock: Callable[[], datetime],
    ) -> None:
        """``own_addresses`` in lower case; ``replies`` is None where email approval is off."""
        self._templates = templates
        self._register = register
        self._identity = identity
        self._addressing = addressing
        self._own_addresses = own_addresses
        self._replies = replies
        self._clock = clock

    def refresh(self) -> None:
        """Take up changed templates."""
        self._templates.refresh()

    def compose(self, event: Event) -> Sequence[Draft]:
        """A mail an approver; none for what is superseded, withdrawn or expired."""
        match event:
            case ApprovalRequested():
                return self._requested(event)
            case ApprovalWithdrawn():
                return self._withdrawn(event)
            case RequestEvent():
                return ()
            case _:
                assert_never(event)

    def _requested(self, event: ApprovalRequested) -> Sequence[Draft]:
        approvers = self._approvers(event)
        if self._register.admit(event) is Standing.STALE or self._is_expired(event):
            return ()
        drafts, people = [], []
        for approver in approvers:
            token = self._token(event, approver)
            drafts.append(self._question(event, approver, token))
            people.append(Asked(approver, drafts[-1].key, token_hash(token) if token else b""))
        self._register.ask(event, people)
        return drafts

    def _withdrawn(self, event: ApprovalWithdrawn) -> Sequence[Draft]:
        if self._register.admit(event) is Standing.STALE:
            return ()
        request = self._register.request(event)
        if request is None:
            return ()
        people = self._addressing.allowed(self._register.told(event))
        return [self._notice(event, request, approver) for approver in people]

    def _approvers(self, event: ApprovalRequested) -> Sequence[Approver]:
        for number, approver in enumerate(event.data.approvers):
            if any(self._is_ours(address) for address in (approver.email, *approver.aliases)):
                raise InvalidEventError(
                    f"data.approvers.{number}.email: this is Countersign's own address; nobody may approve as it"
                )
        approvers = self._addressing.allowed(event.data.approvers)
        self._addressing.require(approvers)
        return tuple({approver.email.lower(): approver for approver in reversed(approvers)}.values())[::-1]

    def _is_ours(self, address: str) -> bool:
        local, _, domain = address.lower().rpartition("@")
        separator = self._replies.separator if self._replies else ""
        # Whatever follows a separator reaches the same mailbox (RFC 5233), and our own address may hold one.
        bases = [local[:place] for place in range(len(local)) if separator and local.startswith(separator, place)]
        return any(f"{base}@{domain}" in self._own_addresses for base in (local, *bases))

    def _is_expired(self, event: ApprovalRequested) -> bool:
        expires_at = event.data.approval.expires_at
        return expires_at is not None and expires_at <= self._clock()

    def _is_wanted(self, event: ApprovalEvent) -> bool:
        expired = isinstance(event, ApprovalRequested) and self._is_expired(event)
        return not expired and self._register.is_current(event)

    def _token(self, event: ApprovalRequested, approver: Approver) -> str | None:
        if self._replies is None:
            return None
        approval = event.data.approval
        return self._replies.keys.mint(
            Question(event.source, approval.id, event.id, approver.email, approval.expires_at)
        )

    def _question(self, event: ApprovalRequested, approver: Approver, token: str | None) -> Draft:
        if self._replies is None or token is None:
            return self._draft(event, event, approver, self._words(event.type, event, approver, links=None))
        words = self._words(event.type, event, approver, links=self._replies.links(token, event.data.approval.title))
        address = reply_address(self._replies.address, self._replies.separator, token)
        return self._draft(event, event, approver, words, unique=f"approval.{token}", reply_to=address)

    def _notice(self, event: ApprovalWithdrawn, request: ApprovalRequested, approver: Approver) -> Draft:
        words = self._words(event.type, request, approver, reason=event.data.reason)
        return self._draft(event, request, approver, words)

    def _words(self, kind: str, event: ApprovalRequested, approver: Approver, **more: object) -> Words:
        return self._templates.render(
            kind,
            locale=approver.locale,
            timezone=event.data.timezone,
            event=event,
            approval=event.data.approval,
            request=event.data.request,
            approver=approver,
            variables=event.data.variables,
            **more,
        )

    def _draft(
        self,
        event: ApprovalEvent,
        about: ApprovalRequested,
        approver: Approver,
        words: Words,
        *,
        unique: str | None = None,
        reply_to: str | None = None,
    ) -> Draft:
        key = mail_key(event.source, event.id, approver.email)
        return Draft(
            key=key,
            email=Email(
                message_id=self._identity.message_id(unique or key.hex()),
                references=self._identity.thread(about.source, about.data.request.id),
                date=self._clock(),
                sender=self._identity.sender,
                to=self._addressing.shown((approver,)),
                reply_to=reply_to,
                words=words,
                headers=MACHINE_HEADERS,
            ),
            # Bounces of a question come back with its token.
            envelope_from=reply_to or self._identity.sender.email,
            recipients=self._addressing.envelope((approver,)),
            is_wanted=partial(self._is_wanted, event),
        )
