"""Event files to the broker: all checked first, each confirmed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from worker.broker import connect, open_channel
from worker.errors import InvalidEventError, OutageError, PermanentError
from worker.events import STRUCTURED, TYPES, parse_event
from worker.examples import EXAMPLES
from worker.publisher import Published, publish_events
from worker.topology import APPROVALS_QUEUE, REQUESTS_QUEUE, declare

LIMIT = 1024 * 1024


@pytest.fixture
def connection(vhost_url: str) -> Iterator[pika.BlockingConnection]:
    """A connection to a virtual host with everything declared."""
    connection = connect([vhost_url])
    assert declare(connection) == ()
    yield connection
    connection.close()


def a_file(kind: str = "request.failed", **replaced: Any) -> tuple[str, bytes]:
    """An event file of the type, with attributes replaced."""
    return f"{kind}.json", json.dumps(EXAMPLES[kind] | replaced).encode()


def taken(connection: pika.BlockingConnection, queue: str) -> list[tuple[Any, bytes]]:
    """Everything in a queue: properties and body."""
    found = []
    with open_channel(connection) as channel:
        while (delivery := channel.basic_get(queue, auto_ack=True))[0] is not None:
            found.append(delivery[1:])
    return found


def test_every_type(connection: pika.BlockingConnection) -> None:
    """A file of each type goes out in the order given, and lands in its family's queue byte for byte."""
    files = [a_file(kind) for kind in TYPES]
    assert list(publish_events(connection, files, max_bytes=LIMIT)) == [
        Published(f"{kind}.json", kind, EXAMPLES[kind]["id"]) for kind in TYPES
    ]
    bodies = [body for queue in (REQUESTS_QUEUE, APPROVALS_QUEUE) for _, body in taken(connection, queue)]
    assert bodies == [body for _, body in files]


def test_properties(connection: pika.BlockingConnection) -> None:
    """An event is a persistent structured CloudEvent with its id as message id."""
    list(publish_events(connection, [a_file(id="e-7")], max_bytes=LIMIT))
    [(properties, _)] = taken(connection, REQUESTS_QUEUE)
    assert (properties.content_type, properties.delivery_mode, properties.message_id) == (STRUCTURED, 2, "e-7")


def test_long_id(connection: pika.BlockingConnection) -> None:
    """An id that is too long for AMQP's property is published all the same: it stands in the body."""
    list(publish_events(connection, [a_file(id="ä" * 128)], max_bytes=LIMIT))
    [(properties, body)] = taken(connection, REQUESTS_QUEUE)
    assert properties.message_id is None
    assert json.loads(body)["id"] == "ä" * 128


def test_nothing_sent_when_a_file_is_bad(connection: pika.BlockingConnection) -> None:
    """One bad file keeps the good ones from being sent; every bad file is named with its field."""
    files = [a_file(), ("no.json", b"{"), a_file("approval.requested", data={}), a_file(type="request.exploded")]
    with pytest.raises(InvalidEventError) as refusal:
        publish_events(connection, files, max_bytes=LIMIT)
    lines = str(refusal.value).splitlines()
    assert lines[0].startswith("no.json: body: not JSON")
    assert lines[1] == "approval.requested.json: data.approval: Field required"
    assert lines[2].startswith("request.failed.json: type: one of request.scheduled, ")
    assert taken(connection, REQUESTS_QUEUE) == []


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"1", b'"x"', b"null", b"\xff", b'{"type": 7}', b'{"type": ["approval"]}']
)
def test_no_event(connection: pika.BlockingConnection, body: bytes) -> None:
    """Whatever the file holds, what is no event is refused with the file's name."""
    with pytest.raises(InvalidEventError, match=r"^x: "):
        publish_events(connection, [("x", body)], max_bytes=LIMIT)


def test_too_large(connection: pika.BlockingConnection) -> None:
    """A file over MAX_EVENT_BYTES is refused: the consumer would not take it."""
    with pytest.raises(InvalidEventError, match=r"request\.failed\.json: body: .*MAX_EVENT_BYTES"):
        publish_events(connection, [a_file()], max_bytes=100)


def test_topology_missing(vhost_url: str) -> None:
    """Without the topology the error names the file and what to do."""
    connection = connect([vhost_url])
    with pytest.raises(OutageError, match=r"^request\.failed\.json: .*no exchange 'events'.*countersign topology"):
        list(publish_events(connection, [a_file()], max_bytes=LIMIT))
    connection.close()


def test_binding_missing(connection: pika.BlockingConnection) -> None:
    """An event that no queue takes is an error, and what came before it is known to be published."""
    with open_channel(connection) as channel:
        channel.queue_unbind(APPROVALS_QUEUE, "events", "approval.*")
    published = publish_events(connection, [a_file(), a_file("approval.requested")], max_bytes=LIMIT)
    assert next(published).type == "request.failed"
    with pytest.raises(OutageError, match=r"^approval\.requested\.json: .*countersign topology --declare"):
        next(published)


def test_over_the_brokers_limit(connection: pika.BlockingConnection) -> None:
    """An event that the broker refuses for its size is refused for good."""
    published = publish_events(connection, [a_file(pad="x" * 17_000_000)], max_bytes=20_000_000)
    with pytest.raises(PermanentError, match=r"^request\.failed\.json: the broker refuses it"):
        next(published)


PAGE = (Path(__file__).parent.parent / "docs" / "publishing.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The page's examples in that language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("number", range(3), ids=["pika", "kombu", "binary mode"])
def test_page_for_upstream(
    connection: pika.BlockingConnection,
    vhost_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    """Each Python example on the page publishes the page's event so that the consumer takes it."""
    monkeypatch.chdir(tmp_path)
    [event] = blocks("json")
    Path("event.json").write_text(event, encoding="utf-8")
    with open_channel(connection) as channel:
        channel.confirm_delivery()
        names = {"event": json.loads(event), "channel": channel, "json": json, "pika": pika}
        exec(blocks("python")[number].replace("amqp://guest:guest@localhost:5672/", vhost_url), names)
    [(properties, body)] = taken(connection, REQUESTS_QUEUE)
    read = parse_event(body, properties.content_type, properties.headers, family="request", max_bytes=LIMIT)
    assert (read.id, read.type, properties.delivery_mode) == ("billing-4.2-prod-7", "request.failed", 2)
