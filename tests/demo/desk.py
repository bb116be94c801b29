"""A broker's URL to a ``Desk``: pika with names of its own, and with patience."""

import time
from collections.abc import Callable, Sized
from itertools import count
from typing import Any, NamedTuple
from uuid import uuid4

import pika
from pika.adapters.blocking_connection import BlockingChannel

PATIENCE = 5.0
NOT_FOUND = 404


class Got(NamedTuple):
    """What ``basic.get`` gave."""

    body: bytes
    tag: int
    redelivered: bool
    exchange: str
    routing_key: str
    properties: pika.BasicProperties

    @property
    def headers(self) -> dict[str, Any]:
        """The headers, empty where there are none."""
        return dict(self.properties.headers or {})


class Desk:
    """A pika connection with names of its own, which it clears away."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.confirming()
        self._prefix = f"desk-{uuid4().hex[:8]}"
        self._number = count(1)
        self._made: list[Callable[[BlockingChannel], Any]] = []

    def confirming(self) -> BlockingChannel:
        """A further channel, with confirms."""
        channel = self.connection.channel()
        channel.confirm_delivery()
        return channel

    def name(self) -> str:
        """A name that nobody else uses; what is called so will be deleted."""
        name = f"{self._prefix}.{next(self._number)}"
        self._made.append(lambda channel: (channel.queue_delete(name), channel.exchange_delete(name)))
        return name

    def queue(self, kind: str = "classic", **arguments: Any) -> str:
        """A new durable queue; ``x_message_ttl=1`` is the argument ``x-message-ttl``."""
        name = self.name()
        given = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.channel.queue_declare(name, durable=True, arguments={"x-queue-type": kind} | given)
        return name

    def exchange(self, kind: str, **options: Any) -> str:
        """A new durable exchange."""
        name = self.name()
        self.channel.exchange_declare(name, kind, durable=True, **options)
        return name

    def publish(self, exchange: str, routing_key: str, *bodies: bytes, **properties: Any) -> None:
        """Publish with confirms."""
        for body in bodies:
            self.channel.basic_publish(exchange, routing_key, body, pika.BasicProperties(**properties))

    def get(self, queue: str, *, ack: bool = False) -> Got:
        """The next content, waited for."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if (got := self.get_now(queue, ack=ack)) is not None:
                return got
            self.connection.sleep(0.02)
        raise AssertionError(f"nothing came into {queue}")

    def get_now(self, queue: str, *, ack: bool = False) -> Got | None:
        """The next content, if there is one."""
        method, properties, body = self.channel.basic_get(queue, auto_ack=ack)
        if method is None:
            return None
        return Got(body, method.delivery_tag, method.redelivered, method.exchange, method.routing_key, properties)

    def ready(self, queue: str) -> int:
        """How many are ready."""
        ready: int = self.channel.queue_declare(queue, passive=True).method.message_count
        return ready

    def await_ready(self, queue: str, number: int) -> None:
        """Wait until so many are ready: a quorum queue takes things back a moment later."""
        end = time.monotonic() + PATIENCE
        while self.ready(queue) != number:
            assert time.monotonic() < end, f"{queue} never had {number} ready, but {self.ready(queue)}"
            self.connection.sleep(0.02)

    def await_gone(self, queue: str) -> None:
        """Wait until there is no such queue."""
        end = time.monotonic() + PATIENCE
        while self._refusal_code(queue) != NOT_FOUND:
            assert time.monotonic() < end, f"{queue} is still there"

    def bodies(self, queue: str, number: int) -> list[bytes]:
        """So many contents, acknowledged."""
        return [self.get(queue, ack=True).body for _ in range(number)]

    def await_deliveries(self, came: Sized, number: int) -> None:
        """Wait until a consumer has noted so many, and a moment longer for those that should not come."""
        end = time.monotonic() + PATIENCE
        while len(came) < number:
            assert time.monotonic() < end, f"{len(came)} deliveries, not {number}"
            self.connection.process_data_events(0.02)
        self.connection.process_data_events(0.05)
        assert len(came) == number

    def _refusal_code(self, queue: str) -> int:
        try:
            self.connection.channel().queue_declare(queue, passive=True)
        except pika.exceptions.ChannelClosedByBroker as closed:
            return int(closed.reply_code)
        return 0

    def close(self) -> None:
        """Delete what was made."""
        if self.connection.is_open:
            self.connection.close()
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            for clear in self._made:
                clear(connection.channel())
