"""Event files to the ``events`` exchange: all of them checked first, then each confirmed by the broker."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pika
from pydantic_core import from_json

from worker.broker import open_channel, publish
from worker.errors import CountersignError, InvalidEventError
from worker.events import STRUCTURED, Event, parse_event
from worker.topology import EVENTS_EXCHANGE


@dataclass(frozen=True, slots=True)
class Published:
    """An event that a queue holds now, and the file it came from."""

    name: str
    type: str
    id: str


def publish_events(
    connection: pika.BlockingConnection, files: Iterable[tuple[str, bytes]], *, max_bytes: int
) -> Iterator[Published]:
    """Publish one structured CloudEvent a file; ``files`` are names and contents.

    Nothing is sent before every file is an event; what is sent is yielded when the broker confirmed it.

    Raises:
        InvalidEventError: files that are no events; the text has a line for each, with the field.
        OutageError: the broker went away, or no queue takes the event; the text names the file. Files yielded
            before are published, those behind it are not.
        PermanentError: the broker refuses this event, for its size.
    """
    events = _check(list(files), max_bytes)
    return _publish_each(connection, events)


def _check(files: list[tuple[str, bytes]], max_bytes: int) -> list[tuple[str, bytes, Event]]:
    events, faults = [], []
    for name, body in files:
        try:
            events.append((name, body, parse_event(body, STRUCTURED, None, family=_family(body), max_bytes=max_bytes)))
        except InvalidEventError as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise InvalidEventError("\n".join(faults))
    return events


def _family(body: bytes) -> str:
    # Both queues' events are welcome here; what is no event at all is parse_event's to say.
    try:
        event: Any = from_json(body)
    except ValueError:
        return "request"
    return str(event.get("type")).partition(".")[0] if isinstance(event, dict) else "request"


def _publish_each(connection: pika.BlockingConnection, events: list[tuple[str, bytes, Event]]) -> Iterator[Published]:
    for name, body, event in events:
        try:
            _publish_one(connection, body, event)
        except CountersignError as error:
            raise type(error)(f"{name}: {error}") from error
        yield Published(name, event.type, event.id)


def _publish_one(connection: pika.BlockingConnection, body: bytes, event: Event) -> None:
    properties = pika.BasicProperties(
        content_type=STRUCTURED, delivery_mode=pika.DeliveryMode.Persistent, message_id=_short(event.id)
    )
    with open_channel(connection) as channel:
        channel.confirm_delivery()
        publish(channel, EVENTS_EXCHANGE, event.type, body, properties)


def _short(event_id: str) -> str | None:
    # An AMQP short string holds 255 bytes; the event's own id stands in its body in any case.
    return event_id if len(event_id.encode()) < 256 else None  # noqa: PLR2004 - the number is explained above
