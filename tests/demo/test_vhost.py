"""Declarations are taken and refused as by RabbitMQ, and contents find their queues."""

from collections.abc import Callable
from typing import Any

import pika
import pytest
from demo.desk import Desk
from pika.adapters.blocking_connection import BlockingChannel

QUORUM = {"x-queue-type": "quorum"}
LOCKED = (
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{q}' in vhost '/'. It could be originally "
    "declared on another connection or the exclusive property value does not match that of the original declaration."
)
DEFAULT = "ACCESS_REFUSED - operation not permitted on the default exchange"


def _refusal(act: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises((pika.exceptions.ChannelClosedByBroker, pika.exceptions.ConnectionClosedByBroker)) as closed:
        act()
    return closed.value.reply_code, closed.value.reply_text


@pytest.mark.parametrize(
    ("changed", "code", "text"),
    [
        ({"durable": False}, 406,
         ("PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{q}' in vhost '/': "
         "received 'false' but current is 'true'")),
        ({"auto_delete": True}, 406,
         ("PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue '{q}' in vhost '/': "
         "received 'true' but current is 'false'")),
        ({"exclusive": True}, 405, LOCKED),
        ({"arguments": {"x-message-ttl": 2}}, 406,
         ("PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue '{q}' in vhost '/': "
         "received '2' but current is '60000'")),
        ({"arguments": {}}, 406,
         ("PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue '{q}' in vhost '/': "
         "received none but current is the value '60000' of type 'signedint'")),
        ({"arguments": {"x-message-ttl": 60000, "x-max-length": 1}}, 406,
         ("PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '{q}' in vhost '/': "
         "received the value '1' of type 'signedint' but current is none")),
        ({"arguments": {"x-message-ttl": 60000} | QUORUM}, 406,
         ("PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue '{q}' in vhost '/': "
         "received 'quorum' but current is 'classic'")),
    ],
)  # fmt: skip
def test_a_queue_declared_differently_is_refused(desk: Desk, changed: dict[str, Any], code: int, text: str) -> None:
    """What it was declared with first stays; the words are RabbitMQ's."""
    first = {"durable": True, "arguments": {"x-message-ttl": 60000}}
    name = desk.name()
    desk.channel.queue_declare(name, **first)

    assert _refusal(lambda: desk.channel.queue_declare(name, **(first | changed))) == (code, text.replace("{q}", name))


def test_a_queue_declared_equally_is_taken(desk: Desk) -> None:
    """Again with the same, with arguments that mean nothing, or passively; the answer counts what is there."""
    name = desk.queue("classic", x_message_ttl=60000)
    desk.publish("", name, b"x")
    arguments = {"x-message-ttl": 60000, "x-ours": 1}
    for options in ({"durable": True, "arguments": arguments}, {"passive": True}):
        answer = desk.connection.channel().queue_declare(name, **options).method
        assert (answer.queue, answer.message_count, answer.consumer_count) == (name, 1, 0)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"x-message-ttl": -1}, "'x-message-ttl' for {q}: {value_negative,-1}"),
        ({"x-message-ttl": "1"}, "'x-message-ttl' for {q}: \"expected integer, got longstr\""),
        ({"x-message-ttl": 2**40}, "'x-message-ttl' for {q}: {value_too_large,1099511627776}"),
        ({"x-expires": 0}, "'x-expires' for {q}: {value_zero,0}"),
        ({"x-max-length": None}, "'x-max-length' for {q}: \"expected integer, got void\""),
        ({"x-max-priority": 300}, "'x-max-priority' for {q}: {max_value_exceeded,300}"),
        ({"x-queue-type": "foo"}, "'x-queue-type' for {q}: \"unsupported queue type 'foo'\""),
        ({"x-queue-type": 1}, "'x-queue-type' for {q}: {unacceptable_type,signedint}"),
        ({"x-overflow": "foo"}, "'x-overflow' for {q}: invalid_overflow"),
        ({"x-dead-letter-routing-key": "k"}, "'x-dead-letter-routing-key' for {q}: routing_key_but_no_dlx_defined"),
        ({"x-delivery-limit": 3}, "'x-delivery-limit' for {q} of queue type rabbit_classic_queue"),
        ({"x-max-priority": 3} | QUORUM, "'x-max-priority' for {q} of queue type rabbit_quorum_queue"),
        ({"x-single-active-consumer": 1}, "'x-single-active-consumer' for {q}: {unacceptable_type,signedint}"),
    ],
)
def test_arguments_that_mean_nothing_good_are_refused(desk: Desk, arguments: dict[str, Any], why: str) -> None:
    """Wrong values, and those that the type of queue does not know."""
    name = desk.name()
    text = "PRECONDITION_FAILED - invalid arg " + why.replace("{q}", f"queue '{name}' in vhost '/'")
    assert _refusal(lambda: desk.channel.queue_declare(name, durable=True, arguments=arguments)) == (406, text)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"durable": False}, "non-durable"),
        ({"durable": True, "exclusive": True}, "exclusive-owner"),
        ({"durable": True, "auto_delete": True}, "auto-delete"),
    ],
)
def test_a_quorum_queue_is_there_to_stay(desk: Desk, options: dict[str, Any], fault: str) -> None:
    """Durable, and nobody's own."""
    name = desk.name()
    text = f"PRECONDITION_FAILED - invalid property '{fault}' for queue '{name}' in vhost '/'"
    assert _refusal(lambda: desk.channel.queue_declare(name, arguments=QUORUM, **options)) == (406, text)


REFUSED: list[tuple[Callable[[BlockingChannel, str, str], Any], int, str]] = [
    (lambda c, _, __: c.queue_declare("desk.none", passive=True), 404, "NOT_FOUND - no queue 'desk.none' in vhost '/'"),
    (lambda c, _, __: c.queue_declare("amq.x"), 403,
     "ACCESS_REFUSED - queue name 'amq.x' contains reserved prefix 'amq.*'"),
    (lambda c, _, __: c.queue_declare("", durable=True, arguments=QUORUM), 406,
     "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue"),
    (lambda c, _, __: c.queue_purge("desk.none"), 404, "NOT_FOUND - no queue 'desk.none' in vhost '/'"),
    (lambda c, _, x: c.queue_bind("desk.none", x, "k"), 404, "NOT_FOUND - no queue 'desk.none' in vhost '/'"),
    (lambda c, q, _: c.queue_bind(q, "desk.none", "k"), 404, "NOT_FOUND - no exchange 'desk.none' in vhost '/'"),
    (lambda c, q, _: c.queue_bind(q, "", "k"), 403, DEFAULT),
    (lambda c, q, _: c.queue_unbind(q, "", "k"), 403, DEFAULT),
    (lambda c, q, _: c.queue_bind(q, "amq.headers", "", {"x-match": "some"}), 406,
     'PRECONDITION_FAILED - Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x'),
    (lambda c, _, x: c.exchange_bind("", x), 403, DEFAULT),
    (lambda c, _, x: c.exchange_bind("desk.none", x), 404, "NOT_FOUND - no exchange 'desk.none' in vhost '/'"),
    (lambda c, _, __: c.exchange_declare("desk.none", passive=True), 404,
     "NOT_FOUND - no exchange 'desk.none' in vhost '/'"),
    (lambda c, _, __: c.exchange_declare("amq.x"), 403,
     "ACCESS_REFUSED - exchange name 'amq.x' contains reserved prefix 'amq.*'"),
    (lambda c, _, __: c.exchange_declare("", durable=True), 403, DEFAULT),
    (lambda c, _, __: c.exchange_declare("desk.none", "foo"), 406, "PRECONDITION_FAILED - invalid exchange type 'foo'"),
    (lambda c, _, __: c.exchange_delete("amq.topic"), 403,
     "ACCESS_REFUSED - deletion of system exchange 'amq.topic' in vhost '/' not allowed"),
    (lambda c, _, x: c.exchange_declare(x, "fanout", durable=True), 406,
     ("PRECONDITION_FAILED - inequivalent arg 'type' for exchange '{x}' in vhost '/': "
     "received 'fanout' but current is 'topic'")),
    (lambda c, _, x: c.exchange_declare(x, "topic"), 406,
     ("PRECONDITION_FAILED - inequivalent arg 'durable' for exchange '{x}' in vhost '/': "
     "received 'false' but current is 'true'")),
    (lambda c, _, x: c.exchange_declare(x, "topic", durable=True, arguments={"alternate-exchange": "a"}), 406,
     ("PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange '{x}' in vhost '/': "
     "received the value 'a' of type 'longstr' but current is none")),
    (lambda c, q, x: (c.queue_bind(q, x, "k"), c.exchange_delete(x, if_unused=True)), 406,
     "PRECONDITION_FAILED - exchange '{x}' in vhost '/' in use"),
    (lambda c, q, _: c.queue_delete(q, if_empty=True), 406, "PRECONDITION_FAILED - queue '{q}' in vhost '/' not empty"),
    (lambda c, q, _: (c.basic_consume(q, print), c.queue_delete(q, if_unused=True)), 406,
     "PRECONDITION_FAILED - queue '{q}' in vhost '/' in use"),
]  # fmt: skip


@pytest.mark.parametrize(("act", "code", "text"), REFUSED)
def test_what_cannot_be_is_refused(
    desk: Desk, act: Callable[[BlockingChannel, str, str], Any], code: int, text: str
) -> None:
    """With RabbitMQ's code and words."""
    queue, exchange = desk.queue(), desk.exchange("topic")
    desk.publish("", queue, b"x")
    channel = desk.connection.channel()

    expected = text.replace("{q}", queue).replace("{x}", exchange)
    assert _refusal(lambda: act(channel, queue, exchange)) == (code, expected)


@pytest.mark.parametrize("flag", ["if_unused", "if_empty"])
def test_a_quorum_queue_is_deleted_without_a_look(desk: Desk, flag: str) -> None:
    """Conditions are not implemented, as in RabbitMQ."""
    queue, named = desk.queue("quorum"), flag.replace("_", "-")
    code, text = _refusal(lambda: desk.channel.queue_delete(queue, **{flag: True}))
    assert code == 540
    assert text.endswith(f"operations with {named} flag set are not supported by quorum queues")


def test_an_exclusive_queue_is_its_connections_own(desk: Desk) -> None:
    """Others are refused, and with the connection it goes."""
    name = desk.name()
    with pika.BlockingConnection(pika.URLParameters(desk.url)) as owner:
        owner.channel().queue_declare(name, exclusive=True)
        for act in (
            lambda channel: channel.queue_declare(name, exclusive=True),
            lambda channel: channel.basic_get(name),
            lambda channel: channel.queue_bind(name, "amq.topic", "k"),
            lambda channel: channel.queue_delete(name),
        ):
            refused = _refusal(lambda act=act: act(desk.connection.channel()))  # type: ignore[misc]
            assert refused == (405, LOCKED.replace("{q}", name))
    desk.await_gone(name)


def test_what_deletes_itself_goes_with_its_last_user(desk: Desk) -> None:
    """An auto-delete queue with its last consumer, an auto-delete exchange with its last binding."""
    queue, exchange = desk.name(), desk.name()
    desk.channel.queue_declare(queue, auto_delete=True, durable=True)
    desk.channel.exchange_declare(exchange, "direct", auto_delete=True)
    desk.channel.queue_bind(queue, exchange, "k")

    desk.channel.basic_cancel(desk.channel.basic_consume(queue, print))

    assert _refusal(lambda: desk.connection.channel().queue_declare(queue, passive=True))[0] == 404
    assert _refusal(lambda: desk.connection.channel().exchange_declare(exchange, passive=True))[0] == 404


def test_what_is_not_there_is_deleted_and_unbound_in_peace(desk: Desk) -> None:
    """No error: it is as asked for."""
    queue, exchange = desk.queue(), desk.exchange("topic")
    assert desk.channel.queue_delete("desk.none").method.message_count == 0
    desk.channel.exchange_delete("desk.none")
    desk.channel.queue_unbind(queue, "desk.none", "k")
    desk.channel.queue_unbind("desk.none", exchange, "k")
    desk.channel.queue_unbind(queue, exchange, "k")


def test_the_server_names_a_queue_and_remembers_it(desk: Desk) -> None:
    """An empty name means the queue declared last, also as routing key."""
    name = desk.channel.queue_declare("", exclusive=True).method.queue
    assert name.startswith("amq.gen-")
    desk.channel.queue_bind("", "amq.direct")
    desk.publish("amq.direct", name, b"x")
    assert desk.channel.basic_get("")[2] == b"x"


def test_each_exchange_routes_in_its_way(desk: Desk) -> None:
    """Direct by key, fanout to all, topic by pattern; a queue that is bound twice gets one."""
    for kind, pattern, hit, miss in (
        ("direct", "a.b", "a.b", "a.c"),
        ("topic", "a.*", "a.b", "b.a"),
        ("fanout", "", "k", None),
    ):
        queue, exchange = desk.queue(), desk.exchange(kind)
        desk.channel.queue_bind(queue, exchange, pattern)
        desk.channel.queue_bind(queue, exchange, pattern + "x")
        desk.channel.queue_bind(queue, exchange, "#")
        desk.channel.queue_unbind(queue, exchange, "#")
        desk.publish(exchange, hit, b"hit")
        if miss is not None:
            desk.publish(exchange, miss, b"miss")
        assert (desk.get(queue).body, desk.get_now(queue)) == (b"hit", None)


@pytest.mark.parametrize(
    ("wanted", "headers", "matches"),
    [
        ({"a": 1, "b": "x"}, {"a": 1, "b": "x", "c": 2}, True),
        ({"a": 1, "b": "x"}, {"a": 1}, False),
        ({"x-match": "any", "a": 1, "b": "x"}, {"a": 1}, True),
        ({"x-match": "any"}, {"a": 1}, False),
        ({"a": 1, "x-b": 2}, {"a": 1}, True),
        ({"x-match": "all-with-x", "a": 1, "x-b": 2}, {"a": 1}, False),
        ({"x-match": "any-with-x", "x-b": 2}, {"x-b": 2}, True),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": None}, {"a": "anything"}, True),
    ],
)
def test_a_headers_exchange_compares(
    desk: Desk,
    wanted: dict[str, Any],
    headers: dict[str, Any],
    matches: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """All or any, types included; names in ``x-`` only where asked for; void for presence."""
    queue, exchange = desk.queue(), desk.exchange("headers")
    desk.channel.queue_bind(queue, exchange, arguments=wanted)
    desk.publish(exchange, "", b"x", headers=headers)
    assert desk.ready(queue) == matches


def test_exchanges_lead_to_exchanges_and_circles_end(desk: Desk) -> None:
    """Two that are bound to each other deliver once."""
    queue, first, second = desk.queue(), desk.exchange("fanout"), desk.exchange("topic")
    desk.channel.exchange_bind(second, first)
    desk.channel.exchange_bind(first, second, "#")
    desk.channel.queue_bind(queue, second, "k")
    desk.channel.queue_bind(queue, first)

    desk.publish(first, "k", b"x")
    assert desk.bodies(queue, 1) == [b"x"]
    assert desk.get_now(queue) is None

    desk.channel.exchange_unbind(second, first)
    desk.channel.queue_unbind(queue, first)
    desk.publish(first, "k", b"x")
    assert desk.get_now(queue) is None


def test_what_finds_no_way_takes_the_alternate(desk: Desk) -> None:
    """And then it was routed, also for ``mandatory``."""
    queue, alternate = desk.queue(), desk.exchange("fanout")
    exchange = desk.exchange("direct", arguments={"alternate-exchange": alternate})
    desk.channel.queue_bind(queue, alternate)

    desk.channel.basic_publish(exchange, "nowhere", b"x", mandatory=True)

    got = desk.get(queue)
    assert (got.exchange, got.routing_key) == (exchange, "nowhere")
    desk.channel.queue_bind(desk.queue(), exchange, "somewhere")
    desk.publish(exchange, "somewhere", b"x")
    assert desk.get_now(queue) is None


def test_nobody_publishes_to_an_internal_exchange(desk: Desk) -> None:
    """It is fed by other exchanges alone."""
    exchange = desk.exchange("fanout", internal=True)
    text = f"ACCESS_REFUSED - cannot publish to internal exchange '{exchange}' in vhost '/'"
    assert _refusal(lambda: desk.publish(exchange, "", b"x")) == (403, text)


def test_names_may_hold_anything(desk: Desk) -> None:
    """Not only what the specification lists."""
    name = desk.name() + "/ä=%"
    desk.channel.exchange_declare(name, "fanout", auto_delete=True)
    assert desk.channel.queue_declare(name, exclusive=True).method.queue == name
    desk.channel.queue_bind(name, name)
    desk.publish(name, "ö", b"x")
    got = desk.get(name)
    assert (got.exchange, got.routing_key) == (name, "ö")
