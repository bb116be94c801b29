"""What publishes and reads the replies' events works on the broker for trying out as on RabbitMQ."""

from dataclasses import dataclass, field
from typing import Any

import pika
from demo.desk import PATIENCE, Desk

from worker import topology
from worker.broker import connect
from worker.demo.broker import Broker


@dataclass
class _Publisher:
    """Publishes all bodies at once on pika's ``SelectConnection``, and notes what the broker says."""

    url: str
    exchange: str
    bodies: dict[str, bytes]
    confirmed: set[int] = field(default_factory=set)
    returned: list[tuple[int, str, bytes]] = field(default_factory=list)

    def run(self) -> None:
        """Until each is confirmed, or patience ends."""
        connection = pika.SelectConnection(pika.URLParameters(self.url), on_open_callback=self._opened)
        connection.ioloop.call_later(PATIENCE, connection.ioloop.stop)
        connection.ioloop.start()
        connection.ioloop.close()

    def _opened(self, connection: pika.SelectConnection) -> None:
        connection.add_on_close_callback(lambda *_: connection.ioloop.stop())
        connection.channel(on_open_callback=self._publish)

    def _publish(self, channel: Any) -> None:
        channel.confirm_delivery(lambda frame: self._confirm(channel, frame))
        channel.add_on_return_callback(
            lambda _, method, __, body: self.returned.append((method.reply_code, method.routing_key, body))
        )
        for key, body in self.bodies.items():
            properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
            channel.basic_publish(self.exchange, key, body, properties, mandatory=True)

    def _confirm(self, channel: Any, frame: Any) -> None:
        assert isinstance(frame.method, pika.spec.Basic.Ack)
        last = frame.method.delivery_tag
        self.confirmed |= set(range(1, last + 1)) if frame.method.multiple else {last}
        if len(self.confirmed) == len(self.bodies):
            channel.connection.close()


def test_a_publisher_of_events_hears_of_each(desk: Desk) -> None:
    """Many in flight: each is confirmed, what no queue takes is returned before; queue and exchange share a name."""
    name, kinds = desk.exchange("topic"), ("approved", "rejected", "none")
    desk.channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
    for kind in kinds[:2]:
        desk.channel.queue_bind(name, name, f"approval.{kind}")
    publisher = _Publisher(desk.url, name, {f"approval.{kind}": kind.encode() for kind in kinds})
    publisher.run()

    assert publisher.confirmed == {1, 2, 3}
    assert publisher.returned == [(312, "approval.none", b"none")]
    assert set(desk.bodies(name, 2)) == {b"approved", b"rejected"}


def test_the_whole_topology_stands_on_it() -> None:
    """All that the product declares, and again; then nothing differs."""
    with Broker() as broker, connect([broker.url]) as connection:
        assert topology.declare(connection, topology.PLAN) == ()
        assert topology.declare(connection, topology.PLAN) == ()
        assert topology.compare(connection, topology.PLAN) == ()
