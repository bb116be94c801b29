"""The product's way of working runs on the broker for trying out, with kombu and pika, as on RabbitMQ."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import Thread
from typing import Any

import pika
import pytest
from amqp.exceptions import NotFound, PreconditionFailed
from demo.desk import PATIENCE, Desk

from worker.demo.broker import Broker
from worker.errors import SettingsError

kombu: Any = import_module("kombu")  # its functions have no types

QUORUM = {"x-queue-type": "quorum", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
CONFIRMING = {"confirm_publish": True}


@contextmanager
def _kombu(url: str) -> Iterator[Any]:
    with kombu.Connection(url, transport_options=CONFIRMING, heartbeat=10) as connection:
        yield connection


def _consume(connection: Any, queue: Any, settle: Callable[[Any], None], number: int) -> None:
    came = []

    def take(delivery: Any) -> None:
        came.append(delivery)
        settle(delivery)

    with connection.Consumer(queue, on_message=take, prefetch_count=10, auto_declare=False):
        end = time.monotonic() + PATIENCE
        while len(came) < number:
            assert time.monotonic() < end, f"{len(came)} deliveries, not {number}"
            try:
                connection.drain_events(timeout=0.1)
            except TimeoutError:
                connection.heartbeat_check()


def test_kombu_consumes_retries_and_buries(desk: Desk) -> None:
    """Topic exchange to quorum queue; one is acked, one waits in a TTL queue and comes back, one is dead-lettered."""
    events = kombu.Exchange(desk.name(), "topic", durable=True)
    dead = kombu.Exchange(desk.name(), "topic", durable=True)
    letters = kombu.Queue(desk.name(), dead, "#", queue_arguments=QUORUM)
    arguments = QUORUM | {"x-dead-letter-exchange": dead.name, "x-delivery-limit": 5}
    requests = kombu.Queue(desk.name(), events, "request.*", queue_arguments=arguments)
    retry = kombu.Exchange(desk.name(), "fanout", durable=True)
    waiting = kombu.Queue(
        desk.name(), retry, queue_arguments=QUORUM | {"x-message-ttl": 100, "x-dead-letter-exchange": ""}
    )
    acked: list[Any] = []

    def settle(delivery: Any) -> None:
        attempts = (delivery.headers or {}).get("x-attempts", 0)
        if delivery.body == b"bad":
            delivery.reject()
            return
        if delivery.body == b"later" and not attempts:
            headers = {"x-attempts": 1}
            producer.publish(b"later", exchange=retry, routing_key=requests.name, headers=headers, mandatory=True)
        acked.append((delivery.body, attempts))
        delivery.ack()

    with _kombu(desk.url) as connection:
        for entity in (letters, requests, waiting):
            entity(connection).declare()
        producer = connection.Producer(auto_declare=False)
        for body in (b"good", b"bad", b"later"):
            producer.publish(body, exchange=events, routing_key="request.failed", mandatory=True, delivery_mode=2)
        _consume(connection, requests, settle, 4)

    assert acked == [(b"good", 0), (b"later", 0), (b"later", 1)]
    letter = desk.get(letters.name)
    assert (letter.body, letter.exchange, letter.routing_key) == (b"bad", dead.name, "request.failed")


def test_kombu_hears_what_is_wrong(desk: Desk) -> None:
    """404, 406 and the return of what goes nowhere arrive as its errors."""
    with _kombu(desk.url) as connection:
        with pytest.raises(NotFound):
            kombu.Queue("desk.none")(connection.channel()).queue_declare(passive=True)
        other = kombu.Queue(desk.queue(), durable=True, queue_arguments={"x-max-length": 1})
        with pytest.raises(PreconditionFailed, match="inequivalent arg"):
            other(connection.channel()).queue_declare()
        returned: list[str] = []
        producer = connection.Producer(on_return=lambda error, *_: returned.append(str(error)))
        producer.publish(b"x", routing_key="desk.none", mandatory=True)
        assert "NO_ROUTE" in returned[0]


def test_an_idle_client_stays(desk: Desk) -> None:
    """Heartbeats in both directions keep a connection that says nothing."""
    parameters = pika.URLParameters(desk.url)
    parameters.heartbeat = 1
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        connection.sleep(3)
        assert channel.queue_declare("", exclusive=True).method.message_count == 0


def test_a_wrong_password_is_refused(desk: Desk) -> None:
    """With 403, also for clients that wait for it."""
    parameters = pika.URLParameters(desk.url)
    parameters.credentials = pika.PlainCredentials("guest", "wrong")
    with pytest.raises(pika.exceptions.ProbableAuthenticationError, match="Login was refused"):
        pika.BlockingConnection(parameters)


def test_it_says_what_it_is() -> None:
    """Nobody takes it for RabbitMQ: the connection's server properties say so."""
    with Broker() as broker, pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        assert "For trying out only" in connection._impl.server_properties["information"]


def test_it_listens_on_loopback_alone() -> None:
    """Another host is refused before anything is opened."""
    for host in ("0.0.0.0", "192.0.2.1", "example.org"):
        with pytest.raises(SettingsError, match="loopback only"):
            Broker(host=host)


def test_a_port_that_is_taken_is_named() -> None:
    """The error says where it could not listen."""
    with Broker() as broker, pytest.raises(SettingsError, match="cannot listen on amqp"):
        Broker(port=int(broker.url.rsplit(":", 1)[1].strip("/"))).__enter__()


def test_it_serves_ipv6_and_a_given_port() -> None:
    """The URL names both."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as probe:
        port = probe.getsockname()[1]
    with Broker(host="::1", port=port) as broker:
        assert broker.url == f"amqp://guest:guest@[::1]:{port}/"
        pika.BlockingConnection(pika.URLParameters(broker.url)).close()


def test_clients_are_told_when_it_stops() -> None:
    """320, as from a RabbitMQ that shuts down; and a new one starts with nothing."""
    with Broker() as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.url))
        connection.channel().queue_declare("kept-nowhere")
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        connection.process_data_events(1)
    assert closed.value.reply_code == 320

    with (
        Broker() as again,
        pika.BlockingConnection(pika.URLParameters(again.url)) as connection,
        pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"),
    ):
        connection.channel().queue_declare("kept-nowhere", passive=True)


def test_clients_on_several_threads_share_the_work(desk: Desk) -> None:
    """What four publish at once, two consume: each once, none lost."""
    queue = desk.queue("quorum")

    def publish(number: int) -> None:
        with pika.BlockingConnection(pika.URLParameters(desk.url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for count in range(100):
                channel.basic_publish("", queue, b"%d-%d" % (number, count))

    threads = [Thread(target=publish, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    bodies = {desk.get(queue, ack=True).body for _ in range(400)}
    for thread in threads:
        thread.join()

    assert bodies == {b"%d-%d" % (number, count) for number in range(4) for count in range(100)}
    assert desk.get_now(queue) is None
