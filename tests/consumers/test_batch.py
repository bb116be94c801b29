"""A batch in the hands of servers that misbehave and parts that fail: what becomes of each delivery."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from builders import a_request_event, as_bytes

from worker.consumers.batch import SUSPICIONS, Batch, _clipped
from worker.consumers.delivery import Back, Dead, Delivery, Done, Kept, Later
from worker.consumers.draft import Draft
from worker.errors import OutageError
from worker.events import STRUCTURED, Event, Person, mail_key
from worker.journal import Journal
from worker.mail.email import Email, Words
from worker.mail.relay import Envelope, Receipt, Sent

DANA = Person(email="dana@corp.example")


class Composer:
    """One mail an event; fails where it is told to."""

    family = "request"

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.wanted: Callable[[], bool] | None = None
        self.closed = 0

    def refresh(self) -> None:
        """Nothing changes."""

    def compose(self, event: Event) -> Sequence[Draft]:
        """A mail to Dana."""
        if self.error is not None:
            raise self.error
        email = Email("<m@x>", datetime(2026, 11, 23, tzinfo=UTC), DANA, (DANA,), Words("s", "t", "h"))
        return [
            Draft(
                mail_key(event.source, event.id),
                email,
                "d@x.example",
                (DANA.email,),
                is_wanted=self.wanted,
                close=self._close,
            )
        ]

    def _close(self) -> None:
        self.closed += 1


class Relay:
    """Takes every mail, or does what it is told."""

    def __init__(self) -> None:
        self.outage: OutageError | None = None
        self.error: Exception | None = None
        self.taken: list[Envelope] = []
        self.room = 1_000

    def send_many(
        self,
        envelopes: Sequence[Envelope],
        may_start: Callable[[], bool],
        settled: Callable[[Sequence[tuple[int, Receipt]]], None],
    ) -> Sent:
        """Take as many as there is room for."""
        if self.error is not None:
            raise self.error
        if self.outage is not None:
            return Sent([None] * len(envelopes), self.outage)
        assert may_start()
        receipts: list[Receipt | None] = [None] * len(envelopes)
        for index, envelope in enumerate(envelopes[: self.room]):
            receipt = receipts[index] = Receipt(envelope.recipients)
            self.taken.append(envelope)
            settled([(index, receipt)])
        return Sent(receipts)


class Parts:
    """A batch with all that it is made of."""

    def __init__(self, journal: Journal) -> None:
        self.composer = Composer()
        self.relay = Relay()
        self.lines: list[object] = []
        self.batch = Batch(
            queue="q",
            composer=self.composer,
            journal=journal,
            relay=self.relay,  # type: ignore[arg-type]  # the two functions of it that a batch calls
            max_event_bytes=100_000,
            is_stopping=lambda: False,
            report=lambda event, rows: self.lines.extend((event, row) for row in rows),
        )


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    """A batch at an open journal."""
    journal = Journal(f"sqlite:///{tmp_path}/journal.db", retention=86_400.0)
    journal.open()
    yield Parts(journal)
    journal.close()


def deliveries(count: int = 1) -> list[Delivery]:
    """So many different events."""
    bodies = [as_bytes(a_request_event(event_id=f"e-{number}")) for number in range(count)]
    return [
        Delivery(tag, body, {"content_type": STRUCTURED}, "request.completed") for tag, body in enumerate(bodies, 1)
    ]


def test_a_batch_is_done(parts: Parts) -> None:
    """Each mail taken once, a line an event, attachments given back."""
    outcome = parts.batch.send(deliveries(3))
    assert outcome.verdicts == (Done(), Done(), Done())
    assert len(parts.relay.taken) == len(parts.lines) == parts.composer.closed == 3
    assert parts.batch.send(deliveries(3)).verdicts == (Done(), Done(), Done())
    assert len(parts.relay.taken) == 3


def test_what_was_not_begun_is_kept(parts: Parts) -> None:
    """And goes with the next batch."""
    parts.relay.room = 1
    assert parts.batch.send(deliveries(3)).verdicts == (Done(), Kept(), Kept())
    parts.relay.room = 9
    assert parts.batch.send(deliveries(3)[1:]).verdicts == (Done(), Done())


def test_an_outage_hands_back(parts: Parts) -> None:
    """Nothing is counted, and the mails are free for the next try."""
    parts.relay.outage = OutageError("away")
    outcome = parts.batch.send(deliveries(2))
    assert outcome.verdicts == (Back(), Back())
    assert outcome.outage == "away"
    parts.relay.outage = None
    assert parts.batch.send(deliveries(2)).verdicts == (Done(), Done())


def test_a_delivery_that_ends_every_session_is_set_aside(parts: Parts) -> None:
    """Alone, several times in a row: it waits elsewhere, uncounted, and the others pass."""
    parts.relay.outage = OutageError("421 too many errors")
    verdicts = [parts.batch.send(deliveries()).verdicts[0] for _ in range(SUSPICIONS)]
    assert verdicts[:-1] == [Back()] * (SUSPICIONS - 1)
    assert isinstance(verdicts[-1], Later)
    assert not verdicts[-1].counted


def test_different_deliveries_are_no_suspects(parts: Parts) -> None:
    """An outage that meets one after the other is an outage."""
    parts.relay.outage = OutageError("away")
    for _ in range(SUSPICIONS):
        for delivery in deliveries(2):
            assert parts.batch.send([delivery]).verdicts == (Back(),)


def test_a_bug_in_composing_parks_its_delivery(parts: Parts) -> None:
    """With its kind, and nothing of the event."""
    parts.composer.error = ZeroDivisionError("dana@corp.example")
    (verdict,) = parts.batch.send(deliveries()).verdicts
    assert isinstance(verdict, Dead)
    assert verdict.error == "ZeroDivisionError"
    assert "dana" not in verdict.reason


def test_a_bug_in_sending_parks_one_alone(parts: Parts) -> None:
    """Among many it can't be told which: they go back; a single one is parked."""
    parts.relay.error = ZeroDivisionError()
    assert parts.batch.send(deliveries(2)).verdicts == (Back(), Back())
    (verdict,) = parts.batch.send(deliveries()).verdicts
    assert isinstance(verdict, Dead)


def test_what_is_not_wanted_any_more_is_not_sent(parts: Parts) -> None:
    """Asked just before; the delivery is done."""
    parts.composer.wanted = lambda: False
    assert parts.batch.send(deliveries()).verdicts == (Done(),)
    assert not parts.relay.taken


def test_unreadable_properties_are_parked(parts: Parts) -> None:
    """The reason says so."""
    (verdict,) = parts.batch.send([Delivery(1, b"{}", {}, "x", is_readable=False)]).verdicts
    assert isinstance(verdict, Dead)
    assert "not AMQP" in verdict.reason


def test_a_reason_holds_no_token_and_fits_a_header() -> None:
    """A server repeats the sender of a question, and says much about many."""
    token = "abcdefghijklmnopqrstuvwxyz234567"
    assert token not in _clipped(f"553 <approvals+{token}@corp.example>: not owned")
    assert token.upper() not in _clipped(f"553 <approvals+{token.upper()}@corp.example>: not owned")
    assert len(_clipped("x" * 100_000)) < 5_000
