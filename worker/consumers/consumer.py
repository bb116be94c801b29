"""One queue's deliveries to settled deliveries: receive a batch, have it sent, ack it. kombu's edge.

One thread talks AMQP. A batch is sent by another, so that heartbeats go on however slow the mail server is; in the
meantime this thread only keeps the connection alive, because the two would fight for the interpreter.
"""

import random
import re
import ssl
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_never

import structlog
from amqp import Message, spec
from amqp.exceptions import AMQPError, MessageNacked
from kombu.connection import Connection
from kombu.exceptions import KombuError, OperationalError

from worker import topology
from worker.broker import Address
from worker.consumers.delivery import (
    ATTEMPTS,
    FIRST_FAILED_AT,
    Back,
    Dead,
    Delivery,
    Done,
    Kept,
    Later,
    Outcome,
    Sender,
)
from worker.consumers.wire import RawDelivery, Transport, deliveries_first
from worker.errors import OutageError

HEARTBEAT = 30
"""Seconds; twice that without a sign of the broker and the connection counts as lost."""
JUST_NOW = 0.001
"""Seconds without another frame after which the broker had no more ready."""
CONFIRM_SECONDS = 30.0
MEMORY_BYTES = 8 * 1024 * 1024
"""Bodies held in memory between two batches; further ones wait in files."""
LONGEST_PAUSE = 60.0

# What the broker adds on its way through retry queues, and what would send a copy elsewhere.
_NOT_OURS = frozenset({"x-death", "x-delivery-count", "x-acquired-count", "CC", "BCC"})
_NOT_OURS_EITHER = ("x-first-death-", "x-last-death-")
_LONGEST_HEADERS = 64_000
"""Characters of a publisher's headers that a copy carries: all of them share a frame with ours."""
_BROKEN = (OSError, AMQPError, MessageNacked, KombuError, OperationalError)
_ADDRESS = re.compile(r"[^\s<>]+@[^\s<>]+")

log = structlog.get_logger()


class Consumer:
    """Consumes one queue until told to stop, whatever happens to the servers meanwhile."""

    def __init__(  # noqa: PLR0913 - where to consume, what to do with it, and what to tell whom
        self,
        *,
        queue: str,
        addresses: Sequence[Address],
        ca_file: Path | None,
        prefetch: int,
        batch_size: int,
        build_sender: Callable[[Callable[[], bool]], Sender],
        probe: Callable[[], None],
        rest: Callable[[], None],
        beat: Callable[[str], None],
    ) -> None:
        """``build_sender`` is given a function that says whether to stop.

        ``probe`` raises ``OutageError`` while a server is away; ``rest`` is called when there is nothing to do, and
        ``beat``, with words, whenever the loop turns.
        """
        self._queue = queue
        self._addresses = deque(addresses)
        self._ca_file = ca_file
        self._prefetch = prefetch
        self._full_size = batch_size
        self._size = batch_size
        self._stop = threading.Event()
        self._sender = build_sender(self._stop.is_set)
        self._probe = probe
        self._rest = rest
        self._beat = beat
        self._failures = 0
        self._ready: deque[Delivery] = deque()
        self._held = 0

    def stop(self) -> None:
        """Finish what is in flight, hand the rest back, and return from ``run``."""
        self._stop.set()

    def run(self) -> None:
        """Consume until ``stop``; an outage pauses, with growing patience, and ends nothing."""
        while not self._stop.is_set():
            try:
                self._beat("waiting for the servers")
                self._probe()
                self._consume()
            except OutageError as error:
                self._pause(error)
        self._sender.finish()

    def _pause(self, error: OutageError) -> None:
        seconds = min(LONGEST_PAUSE, 2.0 ** min(self._failures, 10)) * random.uniform(0.8, 1.0)  # noqa: S311 - spreads a herd
        self._failures += 1
        self._size = 1
        log.warning("outage", queue=self._queue, cause=_ADDRESS.sub("…", str(error)), pause_seconds=round(seconds, 1))
        while seconds > 0 and not self._stop.wait(min(seconds, 5.0)):
            self._beat("paused by an outage")
            seconds -= 5.0

    # -- one connection -----------------------------------------------------------------------------------------

    def _consume(self) -> None:
        with self._connected() as connection, ThreadPoolExecutor(1, f"{self._queue}-batch") as thread:
            channel, outgoing = connection.channel(), connection.channel()
            channel.auto_decode = False
            self._ready.clear()
            self._held = 0
            channel.basic_qos(0, self._prefetch, a_global=False)
            tag = channel.basic_consume(self._queue)
            log.info("consuming", queue=self._queue)
            while not self._stop.is_set():
                self._beat("consuming")
                self._gather(connection)
                if self._ready:
                    self._send(connection, channel, outgoing, thread)
                else:
                    self._rest()
            channel.basic_cancel(tag)
            _hand_back(channel)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        address = self._addresses[0]
        connection: Any = Connection(  # type: ignore[no-untyped-call]  # kombu has no types for it
            hostname=address.host,
            port=address.port,
            userid=address.user,
            password=address.password.get_secret_value(),
            virtual_host=address.vhost,
            transport=Transport,
            heartbeat=HEARTBEAT,
            connect_timeout=10,
            ssl=_tls(address, self._ca_file),
            transport_options={
                "confirm_publish": True,
                "frame_handler": deliveries_first(self._receive),
                "client_properties": {"connection_name": f"countersign consume {self._queue}"},
            },
        )
        try:
            amqp = connection.connection
            yield amqp
        except _BROKEN as error:
            self._addresses.rotate(-1)
            raise OutageError(f"broker {address}: {_sentence(error)}") from error
        finally:
            connection.release()

    def _receive(self, raw: RawDelivery) -> None:
        self._held += len(raw.body)
        content: Any = raw.body
        if self._held > MEMORY_BYTES:
            content = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the delivery that holds it
            content.write(raw.body)
        properties = raw.properties()
        self._ready.append(
            Delivery(raw.tag, content, properties or {}, raw.routing_key, is_readable=properties is not None)
        )

    def _gather(self, connection: Any) -> None:
        """Wait for a first delivery, then take what the broker had ready, up to the prefetch."""
        while len(self._ready) < self._prefetch:
            try:
                connection.drain_events(timeout=JUST_NOW if self._ready else 1.0)
            except TimeoutError:
                break
            connection.drain_held()
        connection.heartbeat_tick()

    def _send(self, connection: Any, channel: Any, outgoing: Any, thread: ThreadPoolExecutor) -> None:
        batch = [self._ready.popleft() for _ in range(min(self._size, len(self._ready)))]
        outcome = self._await(connection, thread.submit(self._sender.send, batch))
        kept = _settle(channel, outgoing, self._queue, batch, outcome)
        self._ready.extendleft(reversed(kept))
        self._held = sum(len(delivery.content) for delivery in self._ready if isinstance(delivery.content, bytes))
        if len(kept) < len(batch) and not any(isinstance(verdict, Back) for verdict in outcome.verdicts):
            self._failures, self._size = 0, self._full_size
        if outcome.outage is not None:
            _hand_back(channel)
            raise OutageError(outcome.outage)

    def _await(self, connection: Any, running: Future[Outcome]) -> Outcome:
        while True:
            try:
                return running.result(timeout=1.0)
            except StillRunning:
                self._beat("sending")
                self._listen(connection)

    def _listen(self, connection: Any) -> None:
        with suppress(TimeoutError):
            connection.drain_events(timeout=JUST_NOW)
        connection.drain_held()
        connection.heartbeat_tick()


def _settle(channel: Any, outgoing: Any, queue: str, batch: Sequence[Delivery], outcome: Outcome) -> list[Delivery]:
    """Tell the broker what became of each delivery; what is kept is returned."""
    if all(isinstance(verdict, Done) for verdict in outcome.verdicts):
        # The oldest deliveries in hand, all done: one ack covers them.
        channel.basic_ack(batch[-1].tag, multiple=True)
        return []
    kept = []
    for delivery, verdict in zip(batch, outcome.verdicts, strict=True):
        match verdict:
            case Done():
                channel.basic_ack(delivery.tag)
            case Dead():
                _publish(outgoing, _dead_letter(delivery, verdict, queue), topology.DEAD_EXCHANGE, delivery.routing_key)
                channel.basic_ack(delivery.tag)
            case Later():
                _publish(outgoing, _retry(delivery, verdict), topology.retry_route(verdict.seconds), queue)
                channel.basic_ack(delivery.tag)
            case Kept():
                kept.append(delivery)
            case Back():
                _nack(channel, delivery.tag)
            case _:
                assert_never(verdict)
    return kept


def _hand_back(channel: Any) -> None:
    """Return all that is unacked to the broker."""
    _nack(channel, 0, multiple=True)


def _nack(channel: Any, tag: int, *, multiple: bool = False) -> None:
    # nack, not reject: an outage or a shutdown is not this delivery's failure (RabbitMQ 4.3 counts only rejects).
    # py-amqp reads this method and has no function that sends it: delivery tag, multiple, requeue.
    channel.send_method(spec.Basic.Nack, "Lbb", (tag, multiple, True))


def _publish(outgoing: Any, message: Message, exchange: str, routing_key: str) -> None:
    outgoing.basic_publish(message, exchange, routing_key, mandatory=True, confirm_timeout=CONFIRM_SECONDS)


def _dead_letter(delivery: Delivery, verdict: Dead, queue: str) -> Message:
    return _copy(
        delivery,
        {
            "x-reason": verdict.reason,
            "x-error": verdict.error,
            "x-origin-queue": queue,
            "x-failed-at": _now().isoformat(),
            ATTEMPTS: delivery.attempts + 1,
        },
    )


def _retry(delivery: Delivery, verdict: Later) -> Message:
    if not verdict.counted:
        return _copy(delivery, {})
    now = _now()
    return _copy(
        delivery,
        {
            ATTEMPTS: delivery.attempts + 1,
            FIRST_FAILED_AT: delivery.first_failed_at(now).isoformat(),
            "x-last-error": verdict.reason,
        },
    )


def _copy(delivery: Delivery, headers: dict[str, Any]) -> Message:
    """The same body and properties with further headers.

    The broker checks ``user_id`` against the login and obeys ``expiration``: both are kept as headers.
    """
    properties = dict(delivery.properties)
    kept = {f"x-original-{name}": properties.pop(name) for name in ("user_id", "expiration") if name in properties}
    theirs = {name: value for name, value in delivery.headers.items() if _may_stay(name)}
    if len(repr(theirs)) > _LONGEST_HEADERS:
        theirs = {"x-headers-dropped": len(theirs)}
    properties["application_headers"] = theirs | kept | headers
    message = Message(delivery.body, **properties)
    try:
        message._serialize_properties()  # noqa: SLF001 - tried here, where something can still be done about it
    except Exception:  # noqa: BLE001 - a value that arrived and can't be sent: the delivery goes on without
        return Message(delivery.body, application_headers=headers)
    return message


def _may_stay(name: object) -> bool:
    return isinstance(name, str) and name not in _NOT_OURS and not name.startswith(_NOT_OURS_EITHER)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _tls(address: Address, ca_file: Path | None) -> dict[str, Any] | bool:
    if not address.tls:
        return False
    # Without ``server_hostname`` kombu accepts any certificate of a trusted authority.
    return {
        "server_hostname": address.host,
        "cert_reqs": ssl.CERT_REQUIRED,
        "ca_certs": None if ca_file is None else str(ca_file),
    }


def _sentence(error: BaseException) -> str:
    return str(error) or type(error).__name__
