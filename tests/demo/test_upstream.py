"""The demo reads its queues as an upstream system does."""

from collections.abc import Iterator
from uuid import uuid4

import pika
import pytest
from demo.told import a_decision, a_reply_event

from worker import topology
from worker.broker import connect, publish
from worker.demo.broker import Broker
from worker.demo.upstream import next_dead_letter, next_event
from worker.reply_events import DecisionEvent, ReplyEvent, event_bytes

PATIENCE = 5.0


@pytest.fixture
def connection() -> Iterator[pika.BlockingConnection]:
    """A connection to a broker with the whole topology."""
    with Broker() as broker, connect([broker.url]) as connection:
        topology.declare(connection, topology.PLAN)
        yield connection


def _publish(connection: pika.BlockingConnection, exchange: str, routing_key: str, body: bytes) -> None:
    channel = connection.channel()
    channel.confirm_delivery()
    properties = pika.BasicProperties(message_id=str(uuid4()), headers={"x-reason": "time: missing"})
    publish(channel, exchange, routing_key, body, properties)
    channel.close()


def test_each_event_comes_once(connection: pika.BlockingConnection) -> None:
    """A decision from its queue, what decided nothing from the other; then nothing is left."""
    told: list[DecisionEvent | ReplyEvent] = [
        a_decision("approval.rejected", comment="no"),
        a_reply_event("reply.untrusted"),
    ]
    for event in told:
        _publish(connection, topology.REPLIES_EXCHANGE, event.type, event_bytes(event))

    assert [next_event(connection, PATIENCE) for _ in told] == told
    assert next_event(connection, 0.1) is None


def test_a_dead_letter_says_why(connection: pika.BlockingConnection) -> None:
    """Its reason is what is shown of it; where none comes there is none."""
    assert next_dead_letter(connection, 0.1) is None
    _publish(connection, topology.DEAD_EXCHANGE, "request.failed", b"?")

    assert next_dead_letter(connection, PATIENCE) == "time: missing"
