"""A queue of the broker for trying out behaves as RabbitMQ's: order, counts, limits, dead letters."""

import socket
import time
from typing import Any

import pika
import pytest
from demo.desk import Desk


def _summary(death: dict[str, Any]) -> tuple[str, str, int, str, list[str]]:
    return death["queue"], death["reason"], int(death["count"]), death["exchange"], death["routing-keys"]


def _counts(headers: dict[str, Any]) -> tuple[int, int]:
    return int(headers.get("x-acquired-count", 0)), int(headers.get("x-delivery-count", 0))


def test_a_classic_queue_puts_what_comes_back_in_its_old_place(desk: Desk) -> None:
    """In whatever order deliveries are given back, they come again in the order of publishing, marked."""
    queue = desk.queue("classic")
    desk.publish("", queue, b"0", b"1", b"2", b"3")
    taken = [desk.get(queue) for _ in range(3)]

    desk.channel.basic_nack(taken[2].tag)
    desk.channel.basic_nack(taken[0].tag)

    again = [desk.get(queue) for _ in range(3)]
    assert [(got.body, got.redelivered) for got in again] == [(b"0", True), (b"2", True), (b"3", False)]


def test_a_quorum_queue_puts_what_comes_back_first(desk: Desk) -> None:
    """They come in the order they were given back, before the rest."""
    queue = desk.queue("quorum")
    desk.publish("", queue, b"0", b"1", b"2", b"3")
    taken = [desk.get(queue) for _ in range(3)]

    desk.channel.basic_nack(taken[2].tag)
    desk.await_ready(queue, 2)
    desk.channel.basic_nack(taken[0].tag)
    desk.await_ready(queue, 3)

    assert [desk.get(queue).body for _ in range(3)] == [b"2", b"0", b"3"]


@pytest.mark.parametrize(("give_back", "counts"), [("basic_nack", (1, 0)), ("basic_reject", (1, 1))])
def test_a_quorum_queue_counts_rejects_as_failures(desk: Desk, give_back: str, counts: tuple[int, int]) -> None:
    """``x-delivery-count`` grows with reject, and not with nack, as from RabbitMQ 4.3 on."""
    queue = desk.queue("quorum")
    desk.publish("", queue, b"x", headers={"ours": 1})

    getattr(desk.channel, give_back)(desk.get(queue).tag)

    again = desk.get(queue)
    assert again.redelivered
    assert again.headers["ours"] == 1
    assert _counts(again.headers) == counts


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_what_a_closed_channel_held_comes_again(desk: Desk, kind: str) -> None:
    """In order, marked, and (quorum) counted as a failure."""
    queue = desk.queue(kind)
    desk.publish("", queue, b"0", b"1", b"2")
    other = desk.connection.channel()
    other.basic_get(queue)
    other.basic_get(queue)

    other.close()

    desk.await_ready(queue, 3)
    again = [desk.get(queue) for _ in range(3)]
    assert [(got.body, got.redelivered) for got in again] == [(b"0", True), (b"1", True), (b"2", False)]
    assert _counts(again[0].headers) == ((1, 1) if kind == "quorum" else (0, 0))


def test_what_a_lost_connection_held_comes_again(desk: Desk) -> None:
    """A client that vanishes loses nothing."""
    queue = desk.queue("quorum")
    desk.publish("", queue, b"0")
    other = pika.BlockingConnection(pika.URLParameters(desk.url))
    other.channel().basic_get(queue)

    other._impl._transport._sock.shutdown(socket.SHUT_RDWR)

    again = desk.get(queue)
    assert again.redelivered
    assert _counts(again.headers) == (1, 1)
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        other.process_data_events()


def test_multiple_settles_all_up_to_a_tag(desk: Desk) -> None:
    """``multiple`` takes the tag and all before it; tag 0 all there are."""
    queue = desk.queue()
    desk.publish("", queue, b"0", b"1", b"2", b"3", b"4")
    taken = [desk.get(queue) for _ in range(5)]

    desk.channel.basic_ack(taken[1].tag, multiple=True)
    desk.channel.basic_nack(taken[2].tag, multiple=True)
    desk.await_ready(queue, 1)
    desk.channel.basic_nack(0, multiple=True)

    assert desk.bodies(queue, 3) == [b"2", b"3", b"4"]


def test_recover_gives_back_everything(desk: Desk) -> None:
    """``basic.recover`` requeues what the channel holds."""
    queue = desk.queue("quorum")
    desk.publish("", queue, b"0", b"1")
    desk.get(queue)
    desk.get(queue)

    desk.channel.basic_recover(requeue=True)

    desk.await_ready(queue, 2)
    assert desk.bodies(queue, 2) == [b"0", b"1"]


def test_over_the_delivery_limit_is_a_dead_letter(desk: Desk) -> None:
    """One reject more than ``x-delivery-limit`` dead-letters, with the reason."""
    dead = desk.queue("quorum")
    queue = desk.queue("quorum", x_delivery_limit=1, x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    desk.publish("", queue, b"x", headers={"ours": 1})

    desk.channel.basic_reject(desk.get(queue).tag)
    desk.channel.basic_reject(desk.get(queue).tag)

    letter = desk.get(dead)
    assert _summary(letter.headers["x-death"][0]) == (queue, "delivery_limit", 1, "", [queue])
    assert letter.headers["ours"] == 1
    assert _counts(letter.headers) == (2, 2)


def test_the_delivery_limit_is_20_by_default(desk: Desk) -> None:
    """A quorum queue without dead-letter exchange drops after the 21st failure."""
    queue = desk.queue("quorum")
    desk.publish("", queue, b"x")

    for _ in range(21):
        desk.channel.basic_reject(desk.get(queue).tag)

    desk.connection.sleep(0.1)
    assert desk.get_now(queue) is None


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_reject_without_requeue_is_a_dead_letter(desk: Desk, kind: str) -> None:
    """It goes to the dead-letter exchange under its own routing key, and says where it died."""
    graves, dead = desk.exchange("topic"), desk.queue()
    desk.channel.queue_bind(dead, graves, "request.#")
    events = desk.exchange("topic")
    queue = desk.queue(kind, x_dead_letter_exchange=graves)
    desk.channel.queue_bind(queue, events, "request.*")
    desk.publish(events, "request.failed", b"x", content_type="text/plain", headers={"ours": "ä"})

    desk.channel.basic_reject(desk.get(queue).tag, requeue=False)

    letter = desk.get(dead)
    assert (letter.exchange, letter.routing_key, letter.body) == (graves, "request.failed", b"x")
    assert letter.properties.content_type == "text/plain"
    assert letter.headers["ours"] == "ä"
    assert _summary(letter.headers["x-death"][0]) == (queue, "rejected", 1, events, ["request.failed"])
    for which in ("first", "last"):
        named = [letter.headers[f"x-{which}-death-{part}"] for part in ("exchange", "queue", "reason")]
        assert named == [events, queue, "rejected"]


def test_without_a_dead_letter_exchange_a_reject_drops(desk: Desk) -> None:
    """Nothing is left, whether none was named or the named one is missing."""
    for arguments in ({}, {"x_dead_letter_exchange": desk.name()}):
        queue = desk.queue(**arguments)
        desk.publish("", queue, b"x")
        desk.channel.basic_nack(desk.get(queue).tag, requeue=False)
        assert desk.get_now(queue) is None


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_ttl_queue_hands_back_to_where_the_routing_key_says(desk: Desk, kind: str) -> None:
    """Retrying as the product does: fanout exchange, TTL queue, default exchange, origin queue."""
    origin = desk.queue("quorum")
    extra = {"x_dead_letter_strategy": "at-least-once", "x_overflow": "reject-publish"} if kind == "quorum" else {}
    fanout, waiting = desk.exchange("fanout"), desk.queue(kind, x_message_ttl=200, x_dead_letter_exchange="", **extra)
    desk.channel.queue_bind(waiting, fanout)

    desk.publish(fanout, origin, b"again", headers={"x-attempts": 1})

    assert desk.get_now(origin) is None
    back = desk.get(origin)
    assert (back.body, back.exchange, back.routing_key) == (b"again", "", origin)
    assert back.headers["x-attempts"] == 1
    assert _summary(back.headers["x-death"][0]) == (waiting, "expired", 1, fanout, [origin])


def test_the_expiration_of_a_content_counts_once(desk: Desk) -> None:
    """It expires, keeps the original value in ``x-death``, and stays where it then goes."""
    dead = desk.queue()
    queue = desk.queue(x_dead_letter_exchange="", x_dead_letter_routing_key=dead)

    desk.publish("", queue, b"x", expiration="50")

    letter = desk.get(dead)
    assert letter.headers["x-death"][0]["original-expiration"] == "50"
    assert letter.properties.expiration is None


def test_only_what_is_next_expires(desk: Desk) -> None:
    """A short one behind a long one waits for it."""
    queue = desk.queue()
    desk.publish("", queue, b"long", expiration="400")
    desk.publish("", queue, b"short", expiration="1")

    desk.connection.sleep(0.1)

    assert desk.ready(queue) == 2
    desk.await_ready(queue, 0)


def test_a_second_death_of_a_kind_is_counted(desk: Desk) -> None:
    """``x-death`` has one entry for queue and reason, the latest first; the first death stays named."""
    work, wait = desk.name(), desk.name()
    declare = desk.channel.queue_declare
    declare(work, durable=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": wait})
    ttl = {"x-message-ttl": 1, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": work}
    declare(wait, durable=True, arguments=ttl)
    desk.publish("", work, b"x")

    for _ in range(2):
        desk.channel.basic_reject(desk.get(work).tag, requeue=False)

    last = desk.get(work)
    expected = [(wait, "expired", 2, "", [wait]), (work, "rejected", 2, "", [work])]
    assert [_summary(death) for death in last.headers["x-death"]] == expected
    assert last.headers["x-first-death-reason"] == "rejected"
    assert last.headers["x-last-death-reason"] == "expired"


def test_a_circle_of_dead_letters_ends(desk: Desk) -> None:
    """What would come back without anybody's reject is dropped."""
    queue = desk.queue(x_message_ttl=1, x_dead_letter_exchange="")
    desk.publish("", queue, b"x")
    desk.await_ready(queue, 0)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_full_queue_drops_its_head(desk: Desk, kind: str) -> None:
    """Over ``x-max-length`` the oldest go, as dead letters."""
    dead = desk.queue()
    queue = desk.queue(kind, x_max_length=2, x_dead_letter_exchange="", x_dead_letter_routing_key=dead)

    desk.publish("", queue, b"0", b"1", b"2", b"3")

    letters = [desk.get(dead, ack=True) for _ in range(2)]
    assert [letter.body for letter in letters] == [b"0", b"1"]
    assert letters[0].headers["x-death"][0]["reason"] == "maxlen"
    assert desk.bodies(queue, 2) == [b"2", b"3"]


def test_a_queue_full_of_bytes_drops_its_head(desk: Desk) -> None:
    """Over ``x-max-length-bytes`` the oldest go, and one that is larger than all goes at once."""
    queue = desk.queue(x_max_length_bytes=10)
    desk.publish("", queue, b"aaaa", b"bbbb", b"cccc")
    assert desk.bodies(queue, 2) == [b"bbbb", b"cccc"]
    desk.publish("", queue, b"x" * 11)
    desk.await_ready(queue, 0)


def test_what_comes_back_counts_towards_the_limit(desk: Desk) -> None:
    """Given back into a full queue, the oldest go."""
    queue = desk.queue(x_max_length=1)
    desk.publish("", queue, b"old")
    taken = desk.get(queue)
    desk.publish("", queue, b"new")

    desk.channel.basic_nack(taken.tag)

    desk.await_ready(queue, 1)
    assert desk.bodies(queue, 1) == [b"new"]


def test_a_full_queue_may_refuse(desk: Desk) -> None:
    """With ``reject-publish`` the publisher hears a nack, also where another queue took the content."""
    queue, other, fanout = (
        desk.queue(x_max_length=1, x_overflow="reject-publish"),
        desk.queue(),
        desk.exchange("fanout"),
    )
    for name in (queue, other):
        desk.channel.queue_bind(name, fanout)
    desk.publish(fanout, "", b"0")

    with pytest.raises(pika.exceptions.NackError):
        desk.publish(fanout, "", b"1")

    assert desk.bodies(queue, 1) == [b"0"]
    assert desk.bodies(other, 2) == [b"0", b"1"]


def test_a_full_quorum_queue_refuses_too(desk: Desk) -> None:
    """Sooner or later: RabbitMQ's limit is a soft one."""
    queue = desk.queue("quorum", x_max_length=1, x_overflow="reject-publish")

    def fill() -> None:
        for _ in range(20):
            desk.publish("", queue, b"x")
            time.sleep(0.01)

    with pytest.raises(pika.exceptions.NackError):
        fill()
    assert desk.ready(queue) >= 1


def test_a_queue_may_refuse_into_its_grave(desk: Desk) -> None:
    """``reject-publish-dlx`` dead-letters what it refuses."""
    dead = desk.queue()
    terms = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": dead, "x_overflow": "reject-publish-dlx"}
    queue = desk.queue("classic", x_max_length=1, **terms)
    desk.publish("", queue, b"0")

    with pytest.raises(pika.exceptions.NackError):
        desk.publish("", queue, b"1")

    assert desk.get(dead).body == b"1"


def test_purging_and_deleting_say_how_many_there_were(desk: Desk) -> None:
    """What a consumer holds is not among them."""
    queue = desk.queue()
    desk.publish("", queue, b"0", b"1", b"2")
    desk.get(queue)

    assert desk.channel.queue_purge(queue).method.message_count == 2
    desk.publish("", queue, b"3")
    assert desk.channel.queue_delete(queue).method.message_count == 1


def test_an_unused_queue_expires(desk: Desk) -> None:
    """After ``x-expires`` without consumer, get or declaration it is gone."""
    queue = desk.queue(x_expires=100)
    desk.connection.sleep(0.5)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
        desk.channel.queue_declare(queue, passive=True)
