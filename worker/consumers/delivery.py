"""A ``Delivery`` from the broker, and the ``Verdict`` on it: what a batch is given, and what it gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, BinaryIO, Protocol

ATTEMPTS = "x-attempts"
FIRST_FAILED_AT = "x-first-failed-at"
MOST_ATTEMPTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery: its tag on the channel, its body (in memory, or in a file where many are large), its properties.

    ``properties`` are AMQP's, named as the client names them; ``headers`` among them. Where they are no AMQP
    (``is_readable`` says so) there are none.
    """

    tag: int
    content: bytes | BinaryIO
    properties: Mapping[str, Any]
    routing_key: str
    is_readable: bool = True

    @property
    def body(self) -> bytes:
        """The body, read back where it is in a file."""
        if isinstance(self.content, bytes):
            return self.content
        self.content.seek(0)
        return self.content.read()

    @property
    def content_type(self) -> str | None:
        """The media type that the publisher gave it."""
        content_type = self.properties.get("content_type")
        return None if content_type is None else str(content_type)

    @property
    def headers(self) -> Mapping[str, Any]:
        """The application headers."""
        return self.properties.get("application_headers") or {}

    @property
    def attempts(self) -> int:
        """How often it was tried and failed before."""
        attempts = self.headers.get(ATTEMPTS, 0)
        return min(attempts, MOST_ATTEMPTS) if isinstance(attempts, int) and attempts > 0 else 0

    def first_failed_at(self, now: datetime) -> datetime:
        """When it failed first; now where it did not yet."""
        try:
            return datetime.fromisoformat(str(self.headers.get(FIRST_FAILED_AT))).astimezone(UTC)
        except (ValueError, OverflowError):
            return now


@dataclass(frozen=True, slots=True)
class Done:
    """All its mails are taken, or there is none to send: ack."""


@dataclass(frozen=True, slots=True)
class Dead:
    """It can't be processed: to the dead letters, with a reason that a person understands."""

    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class Later:
    """Again after so many seconds, through a retry queue. Only a failure counts as an attempt."""

    seconds: int
    reason: str
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Kept:
    """Not begun, nothing is wrong: it stays in hand for the next batch."""


@dataclass(frozen=True, slots=True)
class Back:
    """An outage: back to the broker, nothing is counted."""


Verdict = Done | Dead | Later | Kept | Back


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch: a verdict for each delivery, and the outage that ended it."""

    verdicts: tuple[Verdict, ...] = field(default=())
    outage: str | None = None


class Sender(Protocol):
    """What a consumer hands its batches to."""

    def send(self, deliveries: Sequence[Delivery]) -> Outcome:
        """A verdict on each, in their order. Raises nothing."""

    def finish(self) -> None:
        """Write down what could not be written before; nothing more is sent."""
