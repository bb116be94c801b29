"""Both sides of the worker's broker: events published into it, and what lies in its queues."""

import time
from typing import Any, Self

import pika
from builders import as_bytes

from worker import topology
from worker.broker import connect
from worker.events import STRUCTURED


class Upstream:
    """A deployment system at that broker; declares the topology first."""

    def __init__(self, url: str) -> None:
        self._connection = connect([url], name="test")
        topology.declare(self._connection)
        self.channel = self._connection.channel()
        self.channel.confirm_delivery()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection.is_open:
            self._connection.close()

    def publish(self, *events: dict[str, Any]) -> None:
        """Publish events to the exchange, each by its type."""
        for event in events:
            self.publish_raw(as_bytes(event), event["type"])

    def publish_raw(self, body: bytes, routing_key: str, content_type: str | None = STRUCTURED, **more: Any) -> None:
        """Publish any bytes."""
        properties = pika.BasicProperties(content_type=content_type, delivery_mode=2, **more)
        self.channel.basic_publish(topology.EVENTS_EXCHANGE, routing_key, body, properties, mandatory=True)

    def take(self, queue: str, *, count: int = 1, seconds: float = 10.0) -> list[tuple[pika.BasicProperties, bytes]]:
        """So many deliveries from a queue, acked."""
        taken: list[tuple[pika.BasicProperties, bytes]] = []
        deadline = time.monotonic() + seconds
        while len(taken) < count:
            method, properties, body = self.channel.basic_get(queue, auto_ack=True)
            if method is not None:
                taken.append((properties, body))
                continue
            assert time.monotonic() < deadline, f"only {len(taken)} of {count} in {queue}"
            self._connection.sleep(0.05)
        return taken

    def dead_letters(self, count: int = 1) -> list[tuple[pika.BasicProperties, bytes]]:
        """So many dead letters, waited for."""
        return self.take(topology.DEAD_QUEUE, count=count)

    def waiting(self, queue: str) -> int:
        """How many deliveries lie ready in a queue."""
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    def wait_empty(self, queue: str = topology.REQUESTS_QUEUE, seconds: float = 20.0) -> None:
        """Wait until a queue has nothing ready."""
        deadline = time.monotonic() + seconds
        while self.waiting(queue):
            assert time.monotonic() < deadline, f"{self.waiting(queue)} left in {queue}"
            self._connection.sleep(0.05)
