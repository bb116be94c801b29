"""An ``Event`` to ``Draft`` mails: what the two composers share.

A draft is a mail that is composed but not yet claimed: its key in the journal, its words, and its envelope.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol, TypeVar

from worker.errors import InvalidEventError
from worker.events import Event, Person
from worker.mail.email import Email

SomePerson = TypeVar("SomePerson", bound=Person)

LONGEST_NAME = 200

MACHINE_HEADERS = (("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "All"))
"""RFC 3834, and what Exchange reads: nobody's absence assistant answers our mails."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One mail of an event.

    ``size`` is what its attachments hold, in bytes; ``close`` gives them back. ``is_wanted`` says, asked after the
    mail was claimed and just before it is sent, whether it may still leave; None: always.
    """

    key: bytes
    email: Email
    envelope_from: str
    recipients: tuple[str, ...]
    size: int = 0
    is_wanted: Callable[[], bool] | None = None
    close: Callable[[], None] = field(default=lambda: None)


class Composer(Protocol):
    """What one consumer makes of its events."""

    family: str
    """The first word of the event types that it takes: ``request`` or ``approval``."""

    def refresh(self) -> None:
        """Take up what changed on disk; called once a batch."""

    def compose(self, event: Event) -> Sequence[Draft]:
        """The mails of an event; none where nothing is to be said.

        Raises:
            PermanentError: the event can't become a mail.
            OutageError: the journal is away.
        """


@dataclass(frozen=True, slots=True)
class Addressing:
    """Who may get mail: the allow-list of domains, and the one address of a staging system."""

    domains: frozenset[str] | None = None
    reroute_to: str | None = None

    def allowed(self, people: Sequence[SomePerson]) -> tuple[SomePerson, ...]:
        """Those whose domain is on the list; everybody where there is none."""
        if self.domains is None:
            return tuple(people)
        return tuple(person for person in people if person.email.rpartition("@")[2].lower() in self.domains)

    def require(self, people: Sequence[Person]) -> None:
        """Refuse an event that is left without a recipient.

        Raises:
            InvalidEventError: nobody is left.
        """
        if not people:
            raise InvalidEventError("data: no recipient is left, because RECIPIENT_DOMAINS allows none of them")

    def shown(self, people: Sequence[Person]) -> tuple[Person, ...]:
        """Those people as the header names them: rerouted, the one address with the real ones as its name."""
        if self.reroute_to is None or not people:
            return tuple(people)
        names = ", ".join(person.email for person in people)
        return (Person(name=f"for {names}"[:LONGEST_NAME], email=self.reroute_to),)

    def envelope(self, people: Sequence[Person]) -> tuple[str, ...]:
        """Their addresses for the envelope, each once."""
        if self.reroute_to is not None:
            return (self.reroute_to,)
        return tuple(dict.fromkeys(person.email for person in people))


@dataclass(frozen=True, slots=True)
class Identity:
    """Who our mails come from, and the ids that follow from that."""

    sender: Person

    @property
    def domain(self) -> str:
        """The right-hand side of our Message-IDs."""
        return self.sender.email.rpartition("@")[2]

    def message_id(self, unique: str) -> str:
        """A Message-ID (RFC 5322 3.6.4) of ours."""
        return f"<{unique}@{self.domain}>"

    def thread(self, source: str, request_id: str) -> str:
        """The id that all mails of one request refer to, so that clients show them as one thread."""
        digest = sha256(f"{source}\0{request_id}".encode()).hexdigest()[:32]
        return f"<request.{digest}@{self.domain}>"
