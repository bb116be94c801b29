"""A channel of the broker for trying out behaves as RabbitMQ's: consumers, confirms, returns, refusals."""

from collections.abc import Callable
from typing import Any

import pika
import pytest
from demo.desk import Desk
from pika import spec
from pika.adapters.blocking_connection import BlockingChannel


def test_prefetch_is_a_consumers_own(desk: Desk) -> None:
    """Each consumer holds as many as were set when it came; an ack makes room for one more."""
    queue = desk.queue("quorum")
    desk.publish("", queue, *(b"%d" % number for number in range(8)))
    came: list[tuple[str, int, bytes]] = []
    for tag, prefetch in (("one", 1), ("three", 3)):
        desk.channel.basic_qos(prefetch_count=prefetch)
        desk.channel.basic_consume(
            queue, lambda _, m, __, body: came.append((m.consumer_tag, m.delivery_tag, body)), consumer_tag=tag
        )
    desk.await_deliveries(came, 4)
    assert sorted(tag for tag, _, _ in came) == ["one", "three", "three", "three"]

    one = next(delivery for tag, delivery, _ in came if tag == "one")
    desk.channel.basic_ack(one)
    desk.await_deliveries(came, 5)

    assert [tag for tag, _, _ in came[4:]] == ["one"]


def test_consumers_take_turns(desk: Desk) -> None:
    """Two consumers with room get every other delivery."""
    queue, came = desk.queue(), []
    for tag in ("a", "b"):
        desk.channel.basic_consume(
            queue, lambda _, m, *__: came.append(m.consumer_tag), auto_ack=True, consumer_tag=tag
        )

    desk.publish("", queue, b"0", b"1", b"2", b"3")
    desk.await_deliveries(came, 4)

    assert came == ["a", "b", "a", "b"]


def test_a_single_active_consumer_is_followed_by_the_next(desk: Desk) -> None:
    """One gets all; when it goes, the next one does."""
    queue, came = desk.queue("quorum", x_single_active_consumer=True), []
    for tag in ("a", "b"):
        desk.channel.basic_consume(
            queue, lambda _, m, *__: came.append(m.consumer_tag), auto_ack=True, consumer_tag=tag
        )
    desk.publish("", queue, b"0", b"1")
    desk.await_deliveries(came, 2)

    desk.channel.basic_cancel("a")
    desk.publish("", queue, b"2")
    desk.await_deliveries(came, 3)

    assert came == ["a", "a", "b"]


def test_the_consumers_of_a_deleted_queue_are_told(desk: Desk) -> None:
    """The server sends ``basic.cancel``; an ack of what was held is no error then."""
    queue, came = desk.queue(), list[int]()
    cancelled: list[Any] = []
    desk.publish("", queue, b"x")
    other = desk.connection.channel()
    other.add_on_cancel_callback(cancelled.append)
    other.basic_consume(queue, lambda _, m, *__: came.append(m.delivery_tag), consumer_tag="mine")
    desk.await_deliveries(came, 1)

    desk.channel.queue_delete(queue)
    desk.await_deliveries(cancelled, 1)

    assert [frame.method.consumer_tag for frame in cancelled] == ["mine"]
    other.basic_ack(came[0])
    desk.connection.process_data_events(0.1)
    assert other.is_open


def test_what_goes_nowhere_comes_back_if_mandatory(desk: Desk) -> None:
    """A mandatory content that no queue takes is returned with 312, and confirmed all the same."""
    other = desk.connection.channel()
    returned: list[tuple[int, str, str, bytes]] = []
    other.add_on_return_callback(lambda _, m, __, body: returned.append((m.reply_code, m.reply_text, m.exchange, body)))
    other.basic_publish("amq.topic", "nowhere", b"x", mandatory=True)
    desk.await_deliveries(returned, 1)
    assert returned == [(312, "NO_ROUTE", "amq.topic", b"x")]

    with pytest.raises(pika.exceptions.UnroutableError):
        desk.channel.basic_publish("", desk.name(), b"x", mandatory=True)


def test_confirms_may_cover_many(desk: Desk) -> None:
    """Every publish is confirmed, one by one or several at once, and none twice."""
    other, queue = desk.connection.channel(), desk.queue()
    confirmed: list[int] = []

    def note(frame: Any) -> None:
        last = frame.method.delivery_tag
        confirmed.extend(range(len(confirmed) + 1, last + 1) if frame.method.multiple else [last])

    other._impl.confirm_delivery(note, callback=lambda _: None)
    for _ in range(100):
        other._impl.basic_publish("", queue, b"x")

    desk.await_deliveries(confirmed, 100)
    assert sorted(confirmed) == list(range(1, 101))


@pytest.mark.parametrize("size", [0, 1, 131_064, 131_065, 1_000_000])
def test_a_body_may_take_several_frames(desk: Desk, size: int) -> None:
    """In and out, whatever its size is beside that of a frame."""
    queue, body = desk.queue(), bytes(range(256)) * (size // 256 + 1)
    desk.publish("", queue, body[:size])
    assert desk.get(queue).body == body[:size]


def test_properties_arrive_as_they_were_sent(desk: Desk) -> None:
    """All fourteen, and headers of every kind that a client can write."""
    queue = desk.queue()
    sent = {
        "content_type": "application/cloudevents+json", "content_encoding": "utf-8", "delivery_mode": 2, "priority": 0,
        "correlation_id": "ä", "reply_to": "r", "message_id": "m", "timestamp": 1_800_000_000, "type": "t",
        "user_id": "guest", "app_id": "a",
        "headers": {"text": "ä", "n": -1, "big": 2**40, "yes": True, "none": None, "deep": {"list": [1, "b", {}]}},
    }  # fmt: skip
    desk.publish("", queue, b"x", **sent)
    got = desk.get(queue).properties
    assert {name: getattr(got, name) for name in sent} == sent


def _consume_twice(channel: BlockingChannel, queue: str) -> None:
    for _ in range(2):
        channel._impl._send_method(spec.Basic.Consume(queue=queue, consumer_tag="same"))


def _exclusively(channel: BlockingChannel, queue: str) -> None:
    for _ in range(2):
        channel.basic_consume(queue, print, exclusive=True)


def _immediately(channel: BlockingChannel, queue: str) -> None:
    method = spec.Basic.Publish(exchange="", routing_key=queue, immediate=True)
    channel._impl._send_method(method, (pika.BasicProperties(), b"x"))


Act = Callable[[BlockingChannel, str], Any]
CHANNEL_FAULTS: list[tuple[Act, int, str]] = [
    (lambda c, _: c.basic_publish("desk.none", "k", b"x"), 404, "NOT_FOUND - no exchange 'desk.none' in vhost '/'"),
    (lambda c, _: c.basic_ack(5), 406, "PRECONDITION_FAILED - unknown delivery tag 5"),
    (lambda c, _: c.basic_ack(0), 406, "PRECONDITION_FAILED - unknown delivery tag 0"),
    (lambda c, _: c.basic_ack(7, multiple=True), 406, "PRECONDITION_FAILED - unknown delivery tag 7"),
    (lambda c, _: c.basic_nack(5), 406, "PRECONDITION_FAILED - unknown delivery tag 5"),
    (lambda c, _: c.basic_reject(5), 406, "PRECONDITION_FAILED - unknown delivery tag 5"),
    (lambda c, q: c.basic_publish("", q, b"", pika.BasicProperties(user_id="bob")), 406,
     "PRECONDITION_FAILED - user_id property set to 'bob' but authenticated user was 'guest'"),
    (lambda c, q: c.basic_publish("", q, b"", pika.BasicProperties(expiration="abc")), 406,
     "PRECONDITION_FAILED - invalid expiration 'abc': no_integer"),
    (lambda c, q: c.basic_publish("", q, b"", pika.BasicProperties(expiration="-1")), 406,
     "PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1}"),
    (lambda c, q: c.basic_publish("", q, b"", pika.BasicProperties(expiration="1.5")), 406,
     "PRECONDITION_FAILED - invalid expiration '1.5': {leftover_string,\".5\"}"),
    (lambda c, q: c.basic_publish("", q, bytes(16 * 1024 * 1024 + 1)), 406,
     "PRECONDITION_FAILED - message size 16777217 is larger than configured max size 16777216"),
    (_exclusively, 403, "ACCESS_REFUSED - queue '{q}' in vhost '/' in exclusive use"),
    (lambda c, _: c.basic_get("desk.none"), 404, "NOT_FOUND - no queue 'desk.none' in vhost '/'"),
    (lambda c, _: c.basic_consume("desk.none", print), 404, "NOT_FOUND - no queue 'desk.none' in vhost '/'"),
    (lambda c, _: c.queue_purge(""), 404, "NOT_FOUND - no previously declared queue"),
]  # fmt: skip
CONNECTION_FAULTS: list[tuple[Act, int, str]] = [
    (lambda c, _: c.basic_qos(prefetch_size=1), 540, "NOT_IMPLEMENTED - prefetch_size!=0 (1)"),
    (lambda c, _: c.basic_recover(requeue=False), 540, "NOT_IMPLEMENTED - requeue=false"),
    (lambda c, _: c.flow(False), 540, "NOT_IMPLEMENTED - active=false"),
    (_immediately, 540, "NOT_IMPLEMENTED - immediate=true"),
    (_consume_twice, 530, "NOT_ALLOWED - attempt to reuse consumer tag 'same'"),
    (lambda c, _: c._impl._send_method(spec.Channel.Open()), 504, "CHANNEL_ERROR - second 'channel.open' seen"),
    (lambda c, _: c._impl._send_method(spec.Queue.DeclareOk("a", 1, 1)), 503,
     "COMMAND_INVALID - unimplemented method"),
    (lambda c, _: c.connection._impl._send_method(77, spec.Basic.Qos(0, 1)), 504,
     "CHANNEL_ERROR - expected 'channel.open'"),
    (lambda c, _: c.connection._impl._send_method(0, spec.Basic.Qos(0, 1)), 504,
     "CHANNEL_ERROR - unexpected method in connection state running"),
]  # fmt: skip


@pytest.mark.parametrize(("act", "code", "text"), CHANNEL_FAULTS)
def test_a_fault_closes_the_channel_alone(desk: Desk, act: Act, code: int, text: str) -> None:
    """With RabbitMQ's code and words; the connection goes on, and what the channel held comes again."""
    queue, other = desk.queue(), desk.connection.channel()
    desk.publish("", queue, b"x")
    other.basic_get(queue)

    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as closed:
        _act(act, other, queue)

    assert (closed.value.reply_code, closed.value.reply_text) == (code, text.replace("{q}", queue))
    assert desk.get(queue).redelivered


@pytest.mark.parametrize(("act", "code", "text"), CONNECTION_FAULTS)
def test_a_grave_fault_closes_the_connection(desk: Desk, act: Act, code: int, text: str) -> None:
    """With RabbitMQ's code and words; the next client is served."""
    queue = desk.queue()

    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        _act(act, desk.channel, queue)

    assert (closed.value.reply_code, closed.value.reply_text) == (code, text)
    with pika.BlockingConnection(pika.URLParameters(desk.url)) as connection:
        assert connection.channel().queue_declare(queue, passive=True).method.queue == queue


def _act(act: Act, channel: BlockingChannel, queue: str) -> None:
    act(channel, queue)
    channel.queue_declare(queue, passive=True)  # an answer: what was only sent has arrived
    channel.connection.process_data_events(0.5)  # a fault elsewhere on the connection may come later


def test_flow_is_on(desk: Desk) -> None:
    """``channel.flow`` with true is answered with true."""
    assert desk.channel.flow(True) is True


def test_cancelling_an_unknown_consumer_is_no_fault(desk: Desk) -> None:
    """It is answered, as if there had been one."""
    desk.channel._impl.basic_cancel("nobody")
    assert desk.ready(desk.queue()) == 0
