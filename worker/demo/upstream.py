"""The broker's queues to what comes next in them, as the systems read it that Countersign works for."""

import time

import pika

from worker import topology
from worker.broker import open_channel
from worker.reply_events import DecisionEvent, ReplyEvent

_PAUSE = 0.02

Delivery = tuple[str, pika.BasicProperties, bytes]


def next_event(connection: pika.BlockingConnection, patience: float) -> DecisionEvent | ReplyEvent | None:
    """The next event about a reply, from whichever queue has one first within ``patience`` seconds."""
    found = _next(connection, (topology.DECISIONS_QUEUE, topology.UNDECIDED_QUEUE), patience)
    if found is None:
        return None
    queue, _, body = found
    model = DecisionEvent if queue == topology.DECISIONS_QUEUE else ReplyEvent
    return model.model_validate_json(body)


def next_dead_letter(connection: pika.BlockingConnection, patience: float) -> str | None:
    """The reason of the next dead letter that comes within ``patience`` seconds."""
    found = _next(connection, (topology.DEAD_QUEUE,), patience)
    return None if found is None else str(found[1].headers["x-reason"])


def _next(connection: pika.BlockingConnection, queues: tuple[str, ...], patience: float) -> Delivery | None:
    end = time.monotonic() + patience
    with open_channel(connection) as channel:
        while time.monotonic() < end:
            for queue in queues:
                method, properties, body = channel.basic_get(queue, auto_ack=True)
                if method is not None:
                    return queue, properties, body
            connection.sleep(_PAUSE)
    return None
