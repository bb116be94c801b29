"""One connection to the broker: batches of outcomes to what it confirmed. pika's edge for what is published in bulk.

pika's blocking adapter waits after each publish; here a batch is written whole, and then its confirms are awaited.
A thread of its own serves the connection, heartbeats included.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pika
from pika.exceptions import AMQPConnectionError, AMQPError, ChannelClosedByBroker

from worker.broker import closed, cut, reason, refused, unroutable
from worker.errors import CountersignError, OutageError
from worker.events import STRUCTURED
from worker.reply_poller.outcome import Outcome
from worker.topology import REPLIES_EXCHANGE

OPEN_SECONDS = 40.0
CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """The digests of what queues hold now, and of what they may not, with the reason.

    ``OutageError``: the same may work later. ``PermanentError``: the broker refuses this one (its size).
    ``outage`` is there where the line was lost: what came behind was not tried.
    """

    confirmed: frozenset[bytes] = frozenset()
    failed: Mapping[bytes, CountersignError] = field(default_factory=dict)
    outage: OutageError | None = None

    def __add__(self, other: "Receipt") -> "Receipt":
        confirmed = self.confirmed | other.confirmed
        return Receipt(confirmed, {**self.failed, **other.failed}, self.outage or other.outage)


class Batch:
    """Outcomes on their way; touched by the connection's thread alone until ``done``."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes = outcomes
        self.done = threading.Event()
        self.error: CountersignError | None = None
        self._open = {outcome.digest for outcome in outcomes}
        self._tags: dict[int, Outcome] = {}
        self._returned: set[str] = set()
        self._failed: dict[bytes, CountersignError] = {}

    @property
    def left(self) -> Sequence[Outcome]:
        """What the broker said nothing about before the line ended."""
        return [outcome for outcome in self.outcomes if outcome.digest in self._open]

    @property
    def receipt(self) -> Receipt:
        """What became of those that the broker spoke about."""
        spoken = {outcome.digest for outcome in self.outcomes} - self._open
        return Receipt(frozenset(spoken - self._failed.keys()), self._failed)

    def expect(self, tag: int, outcome: Outcome) -> None:
        """It was written, and is confirmed by that tag."""
        self._tags[tag] = outcome

    def come_back(self, message_id: str) -> None:
        """No queue takes it; the broker says so before it confirms."""
        self._returned.add(message_id)

    def confirm(self, tag: int, *, multiple: bool, refusal: bool) -> None:
        """The broker took responsibility, or refused to; ``multiple``: for all up to that tag."""
        for one in [known for known in self._tags if known <= tag] if multiple else [tag]:
            outcome = self._tags.pop(one)
            self._open.discard(outcome.digest)
            if refusal:
                self._failed[outcome.digest] = refused(REPLIES_EXCHANGE, outcome.type)
            elif str(outcome.event_id) in self._returned:
                self._failed[outcome.digest] = unroutable(REPLIES_EXCHANGE, outcome.type)
        if not self._tags:
            self.done.set()

    def fail(self, error: CountersignError) -> None:
        """The line is gone, and with it all further confirms."""
        if not self.done.is_set():
            self.error = error
            self.done.set()


class BrokerLine:
    """A connection being opened, open, or ended: it is never opened again."""

    def __init__(self, parameters: pika.ConnectionParameters, seconds: float) -> None:
        """``seconds`` is the time that a batch may take."""
        self._seconds = seconds
        # Entered again by a signal that aborts.
        self._lock = threading.RLock()
        self._opened: Future[None] = Future()
        self._batch: Batch | None = None
        self._error: CountersignError | None = None
        self._ended = self._cutting = False
        self._tag = 0
        self._timer: object = None
        self._channel: Any = None
        self._connection = pika.SelectConnection(
            parameters,
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._confirming),
            on_open_error_callback=self._on_end,
            on_close_callback=self._on_end,
        )
        self._thread = threading.Thread(target=self._serve, name="broker-line", daemon=True)

    # -- by its owner -------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Wait until it can publish.

        Raises:
            AMQPConnectionError: the broker does not take us.
        """
        self._thread.start()
        try:
            self._opened.result(OPEN_SECONDS)
        except TimeoutError:
            self.abort()
            raise AMQPConnectionError(f"no answer within {OPEN_SECONDS:g} s") from None
        finally:
            if not self._opened.done() or self._opened.exception():
                self._thread.join(CLOSE_SECONDS)

    @property
    def ended(self) -> bool:
        """Whether nothing can be published on it any more."""
        return self._ended or self._error is not None

    def publish(self, outcomes: Sequence[Outcome]) -> Batch:
        """Write all of them, and wait until the broker has spoken about each, or can't any more."""
        batch = Batch(outcomes)
        with self._lock:
            if self.ended:
                batch.fail(self._error or OutageError("connection to the broker lost"))
            else:
                self._batch = batch
                self._connection.ioloop.add_callback_threadsafe(partial(self._send, batch))
        batch.done.wait()
        return batch

    def close(self) -> None:
        """Say goodbye; where the broker does not answer that, go without."""
        self._call(self._hang_up)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            self.abort()
            self._thread.join(CLOSE_SECONDS)

    def abort(self) -> None:
        """Cut it, from any thread: a ``publish`` that waits returns."""
        self._call(partial(self._cut, "given up"))

    def _call(self, action: Callable[[], None]) -> None:
        with self._lock:
            if not self._ended:
                self._connection.ioloop.add_callback_threadsafe(action)

    # -- by its thread ------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            self._connection.ioloop.start()
        finally:
            self._on_end(self._connection, AMQPConnectionError("the connection's thread ended"))
            self._connection.ioloop.close()

    def _confirming(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_return_callback(self._on_return)
        channel.add_on_close_callback(self._on_channel_end)
        channel.confirm_delivery(self._on_confirm, callback=lambda _: self._opened.set_result(None))

    def _send(self, batch: Batch) -> None:
        if batch.done.is_set():
            return
        silence = f"the broker did not confirm within {self._seconds:g} s"
        self._timer = self._connection.ioloop.call_later(self._seconds, partial(self._cut, silence))
        for outcome in batch.outcomes:
            properties = pika.BasicProperties(
                content_type=STRUCTURED,
                delivery_mode=pika.DeliveryMode.Persistent,
                message_id=str(outcome.event_id),
            )
            self._channel.basic_publish(REPLIES_EXCHANGE, outcome.type, outcome.body, properties, mandatory=True)
            self._tag += 1
            batch.expect(self._tag, outcome)

    def _on_return(self, _channel: Any, _method: Any, properties: pika.BasicProperties, _body: bytes) -> None:
        if self._batch is not None:
            self._batch.come_back(properties.message_id)

    def _on_confirm(self, frame: Any) -> None:
        if self._batch is None:
            return
        method = frame.method
        refusal = isinstance(method, pika.spec.Basic.Nack)
        self._batch.confirm(method.delivery_tag, multiple=method.multiple, refusal=refusal)
        if self._batch.done.is_set():
            self._connection.ioloop.remove_timeout(self._timer)

    def _on_channel_end(self, _channel: Any, error: Exception) -> None:
        if isinstance(error, ChannelClosedByBroker):
            self._end(closed(error))
            self._hang_up()

    def _on_end(self, _connection: Any, error: Exception) -> None:
        self._end(OutageError(f"connection to the broker lost: {reason(error)}"))
        with self._lock:
            self._ended = True
        if not self._opened.done():
            self._opened.set_exception(error)
        self._connection.ioloop.stop()

    def _end(self, error: CountersignError) -> None:
        with self._lock:
            self._error = self._error or error
            if self._batch is not None:
                self._batch.fail(self._error)

    def _hang_up(self) -> None:
        if self._connection.is_open:
            with suppress(AMQPError):
                self._connection.close()

    def _cut(self, why: str) -> None:
        if not self._ended and not self._cutting:
            self._cutting = True
            cut(self._connection, why)
