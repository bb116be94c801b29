"""A broker's address to a virtual host of our own, with a full quorum queue in it."""

import base64
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from bench.payload import Published
from worker.topology import DEAD_QUEUE, REQUESTS_QUEUE, declare

MANAGEMENT_OFFSET = 10_000
QUORUM = {"x-queue-type": "quorum"}


class BrokerError(Exception):
    """The broker can't be used for a measurement; the text says why."""


@contextmanager
def own_vhost(url: str) -> Iterator[str]:
    """The address of a new virtual host, gone afterwards; the given one where there is no management API.

    Raises:
        BrokerError: there is no management API and the given virtual host has events in its queue.
    """
    name = f"bench-{uuid.uuid4().hex[:8]}"
    user = unquote(urlsplit(url).username or "guest")
    try:
        _manage(url, "PUT", f"vhosts/{name}", {"default_queue_type": "quorum"})
        _manage(url, "PUT", f"permissions/{name}/{quote(user)}", {"configure": ".*", "write": ".*", "read": ".*"})
    except urllib.error.URLError:
        yield _unused(url)
        return
    try:
        yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
    finally:
        _manage(url, "DELETE", f"vhosts/{name}")


def _manage(url: str, method: str, path: str, body: object = None) -> None:
    at = urlsplit(url)
    where = f"http://{at.hostname}:{(at.port or 5672) + MANAGEMENT_OFFSET}/api/{path}"
    login = base64.b64encode(f"{unquote(at.username or 'guest')}:{unquote(at.password or 'guest')}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
    request = urllib.request.Request(where, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=20):
        pass


def _unused(url: str) -> str:
    for queue in (REQUESTS_QUEUE, DEAD_QUEUE):
        if waiting(url, queue):
            raise BrokerError(f"{queue} is not empty, and without a management API there is no virtual host of our own")
    return url


@contextmanager
def _channel(url: str) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        yield connection.channel()
    finally:
        connection.close()


def declare_ours(url: str) -> None:
    """Everything that our worker expects, declared as ``countersign topology`` does."""
    with _channel(url) as channel:
        declare(channel.connection)


def declare_queue(url: str, queue: str) -> None:
    """A plain quorum queue, as a peer would declare it."""
    with _channel(url) as channel:
        channel.queue_declare(queue, durable=True, arguments=QUORUM)


def fill(url: str, queue: str, published: Iterable[Published]) -> None:
    """Publish into ``queue`` and wait until all of it is there."""
    with _channel(url) as channel:
        count = sum(_publish(channel, queue, *one) for one in published)
    while waiting(url, queue) < count:
        time.sleep(0.05)


def _publish(channel: BlockingChannel, queue: str, body: bytes, properties: dict[str, Any]) -> int:
    channel.basic_publish("", queue, body, pika.BasicProperties(**properties))
    return 1


def waiting(url: str, queue: str) -> int:
    """How many deliveries are ready in ``queue``; 0 where there is no such queue."""
    with _channel(url) as channel:
        try:
            return int(channel.queue_declare(queue, passive=True).method.message_count)
        except ChannelClosedByBroker:
            return 0
