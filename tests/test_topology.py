"""The plan on a real broker: what is declared, what differs, and where messages go."""

import time
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import UnroutableError
from rich.console import Console

from worker.broker import connect, open_channel
from worker.events import TYPES
from worker.topology import (
    APPROVALS_QUEUE,
    DEAD_QUEUE,
    DECISIONS_QUEUE,
    EVENTS_EXCHANGE,
    PLAN,
    REPLIES_EXCHANGE,
    REQUESTS_QUEUE,
    RETRY_SECONDS,
    UNDECIDED_QUEUE,
    Difference,
    Exchange,
    Plan,
    Queue,
    compare,
    declare,
    definitions,
    retry_route,
    show,
)


@pytest.fixture
def connection(vhost_url: str) -> Iterator[pika.BlockingConnection]:
    """A connection to an empty virtual host."""
    connection = connect([vhost_url])
    yield connection
    connection.close()


@pytest.fixture
def channel(connection: pika.BlockingConnection) -> Iterator[BlockingChannel]:
    """A confirming channel on a virtual host with everything declared."""
    assert declare(connection) == ()
    with open_channel(connection) as channel:
        channel.confirm_delivery()
        yield channel


def send(channel: BlockingChannel, exchange: str, routing_key: str, **headers: Any) -> None:
    """Publish ``hello``, persistent and mandatory."""
    properties = pika.BasicProperties(delivery_mode=2, headers=headers)
    channel.basic_publish(exchange, routing_key, b"hello", properties, mandatory=True)


def take(channel: BlockingChannel, queue: str, *, seconds: float = 5) -> tuple[Any, Any]:
    """The next delivery of a queue and its properties, unacked."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        method, properties, _ = channel.basic_get(queue)
        if method is not None:
            return method, properties
        time.sleep(0.01)
    raise AssertionError(f"nothing came to {queue} within {seconds} s")


def waiting(channel: BlockingChannel) -> set[str]:
    """The queues that hold something, emptied."""
    found = set()
    for queue in PLAN.queues:
        if channel.basic_get(queue.name, auto_ack=True)[0] is not None:
            found.add(queue.name)
    return found


def test_declare_makes_the_plan(connection: pika.BlockingConnection) -> None:
    """After declaring, nothing differs, and declaring again changes nothing."""
    assert declare(connection) == ()
    assert compare(connection) == ()
    assert declare(connection) == ()


def test_compare_creates_nothing(connection: pika.BlockingConnection) -> None:
    """On an empty virtual host everything is missing, and still is after a second look."""
    for _ in range(2):
        differences = compare(connection)
        assert {difference.problem for difference in differences} == {"missing"}
        assert [difference.subject for difference in differences] == [
            str(item) for item in (*PLAN.exchanges, *PLAN.queues)
        ]


@pytest.mark.parametrize("queue", PLAN.queues, ids=lambda queue: queue.name)
def test_compare_sees_every_argument(connection: pika.BlockingConnection, queue: Queue) -> None:
    """A queue that lacks any one of its arguments differs, and the argument is named with both values."""
    only_it = Plan((), (queue,), ())
    for name in queue.arguments.keys() - {"x-queue-type"}:
        others = {key: value for key, value in queue.arguments.items() if key != name}
        with open_channel(connection) as channel:
            channel.queue_declare(queue.name, durable=True, arguments=others)
        detail = f"{name} is none on the broker and {queue.arguments[name]} here"
        assert compare(connection, only_it) == (Difference(f"queue {queue.name}", "differs", detail),)
        with open_channel(connection) as channel:
            channel.queue_delete(queue.name)


def test_compare_sees_another_value(connection: pika.BlockingConnection) -> None:
    """Another value, a further argument and another type are differences too."""
    plan = Plan((), (Queue("q", {"x-queue-type": "classic", "x-max-length": 5}),), ())
    for arguments, text in (
        ({"x-max-length": 7}, "x-max-length is 7 on the broker and 5 here"),
        ({"x-max-length": 5, "x-expires": 60000}, "x-expires is 60000 on the broker and none here"),
        ({"x-max-length": 5, "x-queue-type": "quorum"}, "x-queue-type is quorum on the broker and classic here"),
    ):
        with open_channel(connection) as channel:
            channel.queue_declare("q", durable=True, arguments=arguments)
        assert [difference.detail for difference in compare(connection, plan)] == [text]
        with open_channel(connection) as channel:
            channel.queue_delete("q")


def test_compare_sees_another_exchange(connection: pika.BlockingConnection) -> None:
    """An exchange of another kind, or that does not outlast a restart, differs."""
    plan = Plan((Exchange("kind", "topic"), Exchange("durability", "topic")), (), ())
    with open_channel(connection) as channel:
        channel.exchange_declare("kind", "fanout", durable=True)
        channel.exchange_declare("durability", "topic", durable=False)
    assert [str(difference) for difference in compare(connection, plan)] == [
        "exchange kind: type is fanout on the broker and topic here",
        "exchange durability: durable is false on the broker and true here",
    ]


def test_declare_leaves_what_differs(connection: pika.BlockingConnection) -> None:
    """What is there and differs is reported and kept with its content; the rest is created."""
    with open_channel(connection) as channel:
        channel.queue_declare(DEAD_QUEUE, durable=True)
        channel.confirm_delivery()
        send(channel, "", DEAD_QUEUE)
    differences = declare(connection)
    assert [(difference.subject, difference.problem) for difference in differences] == [
        (f"queue {DEAD_QUEUE}", "differs")
    ]
    assert differences[0].blocking
    assert compare(connection) == differences
    with open_channel(connection) as channel:
        take(channel, DEAD_QUEUE)


def test_declare_says_what_cannot_be_bound(connection: pika.BlockingConnection) -> None:
    """A binding of which one end is missing is reported, not raised."""
    plan = Plan((), (), PLAN.bindings[:1])
    assert [difference.problem for difference in declare(connection, plan)] == ["missing"]


def test_unchecked_does_not_block() -> None:
    """What can't be seen is no reason to stop; what is known to be wrong is."""
    blocking = {
        problem: Difference("q", problem, "").blocking for problem in ("missing", "differs", "refused", "unchecked")
    }
    assert blocking == {"missing": True, "differs": True, "refused": True, "unchecked": False}


@pytest.mark.parametrize("kind", TYPES)
def test_events_reach_their_queue(channel: BlockingChannel, kind: str) -> None:
    """An event goes to the queue of its family, and to no other."""
    send(channel, EVENTS_EXCHANGE, kind)
    assert waiting(channel) == {REQUESTS_QUEUE if kind.startswith("request.") else APPROVALS_QUEUE}


@pytest.mark.parametrize(
    ("kind", "queue"),
    [
        ("approval.approved", DECISIONS_QUEUE),
        ("approval.rejected", DECISIONS_QUEUE),
        ("reply.untrusted", UNDECIDED_QUEUE),
        ("reply.late", UNDECIDED_QUEUE),
    ],
)
def test_replies_reach_their_queue(channel: BlockingChannel, kind: str, queue: str) -> None:
    """Decisions go to ``approvals``, other replies to ``approvals.undecided``, each to one queue only."""
    send(channel, REPLIES_EXCHANGE, kind)
    assert waiting(channel) == {queue}


@pytest.mark.parametrize("keep_headers", [True, False], ids=["headers kept", "headers stripped"])
def test_retry_goes_round(channel: BlockingChannel, *, keep_headers: bool) -> None:
    """A delivery comes back to its own queue after the time, as often as it is sent, whatever headers it carries."""
    send(channel, retry_route(1), APPROVALS_QUEUE)
    for _ in range(3):
        started = time.monotonic()
        method, properties = take(channel, APPROVALS_QUEUE)
        assert (method.exchange, method.routing_key) == ("", APPROVALS_QUEUE)
        assert time.monotonic() - started > 0.7
        send(channel, retry_route(1), APPROVALS_QUEUE, **(properties.headers if keep_headers else {}))
        channel.basic_ack(method.delivery_tag)
    assert waiting(channel) == {"countersign.retry.1"}


@pytest.mark.parametrize("target", [DECISIONS_QUEUE, DEAD_QUEUE, "none-such", ""])
def test_retry_is_no_detour(channel: BlockingChannel, target: str) -> None:
    """A retry queue takes nothing that would come out elsewhere than in our two queues; ``approvals`` least of all."""
    with pytest.raises(UnroutableError):
        send(channel, retry_route(1), target)


def test_retry_route_of_another_time() -> None:
    """There is no retry queue of any other time."""
    assert [retry_route(seconds) for seconds in RETRY_SECONDS][:2] == ["countersign.retry.1", "countersign.retry.10"]
    with pytest.raises(ValueError, match="no retry queue of 5 s"):
        retry_route(5)


@pytest.mark.parametrize("queue", [REQUESTS_QUEUE, APPROVALS_QUEUE, DEAD_QUEUE, UNDECIDED_QUEUE])
def test_handed_back_without_end(channel: BlockingChannel, queue: str) -> None:
    """A delivery handed back far over the broker's limit of 20 stays where it is, so no outage dead-letters one."""
    send(channel, "", queue)
    for _ in range(50):
        method, _ = take(channel, queue)
        channel.basic_reject(method.delivery_tag, requeue=True)
    method, _ = take(channel, queue)
    channel.basic_ack(method.delivery_tag)
    assert waiting(channel) == set()


@pytest.mark.parametrize("queue", [REQUESTS_QUEUE, APPROVALS_QUEUE, DECISIONS_QUEUE])
def test_rejected_is_a_dead_letter(channel: BlockingChannel, queue: str) -> None:
    """What a consumer rejects is kept among the dead letters, with where it was."""
    send(channel, "", queue)
    method, _ = take(channel, queue)
    channel.basic_reject(method.delivery_tag, requeue=False)
    _, properties = take(channel, DEAD_QUEUE)
    assert properties.headers["x-death"][0]["queue"] == queue


def test_decision_rejected_again_and_again(channel: BlockingChannel) -> None:
    """A decision that its consumer always hands back ends among the dead letters, not nowhere."""
    send(channel, REPLIES_EXCHANGE, "approval.approved")
    for _ in range(21):
        method, _ = take(channel, DECISIONS_QUEUE)
        channel.basic_reject(method.delivery_tag, requeue=True)
    take(channel, DEAD_QUEUE)


def test_definitions_are_the_plan() -> None:
    """The definitions file holds every exchange, queue and binding, in the virtual host asked for."""
    written = definitions(vhost="prod")
    assert [item["name"] for item in written["exchanges"]] == [exchange.name for exchange in PLAN.exchanges]
    assert [item["arguments"] for item in written["queues"]] == [dict(queue.arguments) for queue in PLAN.queues]
    assert len(written["bindings"]) == len(PLAN.bindings)
    assert {item["vhost"] for part in written.values() for item in part} == {"prod"}


def test_show_names_everything() -> None:
    """The table has a line for every queue and exchange."""
    output = StringIO()
    show(Console(file=output, width=80))
    written = output.getvalue()
    for name in (*(exchange.name for exchange in PLAN.exchanges), *(queue.name for queue in PLAN.queues)):
        assert name in written
