"""Many events at once to a real broker, and what it confirmed."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pika
import pytest
from findings import an_outcome
from servers.proxy import TcpProxy
from upstream import Upstream

from worker.broker import parse_url
from worker.errors import OutageError, PermanentError
from worker.events import STRUCTURED
from worker.reply_poller.broker_line import Receipt
from worker.reply_poller.outcome import Outcome
from worker.reply_poller.publisher import ReplyPublisher
from worker.topology import DECISIONS_QUEUE, REPLIES_EXCHANGE, UNDECIDED_QUEUE

StartProxy = Callable[[tuple[str, int]], TcpProxy]


@pytest.fixture
def upstream(vhost_url: str) -> Iterator[Upstream]:
    """A broker with everything declared."""
    with Upstream(vhost_url) as connected:
        yield connected


@pytest.fixture
def publisher(vhost_url: str) -> Iterator[ReplyPublisher]:
    """A publisher at that broker."""
    publisher = ReplyPublisher([vhost_url])
    yield publisher
    publisher.close()


@pytest.fixture
def proxy(vhost_url: str, tcp_proxy: StartProxy) -> TcpProxy:
    """Something between the publisher and that broker."""
    address = parse_url(vhost_url)
    return tcp_proxy((address.host, address.port))


@contextmanager
def publishing_through(proxy: TcpProxy, url: str, seconds: float = 10.0) -> Iterator[ReplyPublisher]:
    """A publisher behind the proxy."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    publisher = ReplyPublisher([parts._replace(netloc=f"{login}@127.0.0.1:{proxy.port}").geturl()], seconds=seconds)
    try:
        yield publisher
    finally:
        proxy.restore()
        publisher.close()


def digests(*outcomes: Outcome) -> frozenset[bytes]:
    """What names them."""
    return frozenset(outcome.digest for outcome in outcomes)


def ids(taken: list[tuple[pika.BasicProperties, bytes]]) -> list[str]:
    """The ids of what was taken from a queue."""
    return [properties.message_id for properties, _ in taken]


def test_what_is_confirmed_is_on_the_queue(upstream: Upstream, publisher: ReplyPublisher) -> None:
    """In its order, persistent, with its id and the content type of a CloudEvent; each type on its queue."""
    decisions = [an_outcome("approval.approved", b"1"), an_outcome("approval.rejected", b"2")]
    late = an_outcome("reply.late", b"3")
    assert publisher.publish([*decisions, late]) == Receipt(digests(*decisions, late))
    taken = upstream.take(DECISIONS_QUEUE, count=2)
    assert [body for _, body in taken] == [b"1", b"2"]
    assert ids(taken) == [str(outcome.event_id) for outcome in decisions]
    assert {(properties.content_type, properties.delivery_mode) for properties, _ in taken} == {(STRUCTURED, 2)}
    assert ids(upstream.take(UNDECIDED_QUEUE)) == [str(late.event_id)]


def test_what_has_no_event_is_left_out(upstream: Upstream, publisher: ReplyPublisher) -> None:
    """It is neither confirmed nor failed, and without any event nothing is sent."""
    assert publisher.publish([an_outcome("reply.automatic", None)]) == Receipt()
    assert publisher.publish([]) == Receipt()
    assert upstream.waiting(UNDECIDED_QUEUE) == 0


def test_what_no_queue_takes_is_not_confirmed(upstream: Upstream, publisher: ReplyPublisher) -> None:
    """The broker acks what it returns: that is no confirm. The others are there, and the line stays."""
    upstream.channel.queue_unbind(DECISIONS_QUEUE, REPLIES_EXCHANGE, "approval.rejected")
    outcomes = [an_outcome(kind) for kind in ("approval.approved", "approval.rejected", "approval.approved")]
    receipt = publisher.publish(outcomes)
    assert receipt.confirmed == digests(outcomes[0], outcomes[2])
    assert receipt.failed.keys() == digests(outcomes[1])
    assert "no queue for approval.rejected" in str(receipt.failed[outcomes[1].digest])
    assert receipt.outage is None
    assert ids(upstream.take(DECISIONS_QUEUE, count=2)) == [str(outcomes[0].event_id), str(outcomes[2].event_id)]


def test_what_a_queue_refuses_is_not_confirmed(upstream: Upstream, publisher: ReplyPublisher) -> None:
    """A full queue answers with a nack; the line stays."""
    upstream.channel.queue_unbind(DECISIONS_QUEUE, REPLIES_EXCHANGE, "approval.approved")
    upstream.channel.queue_declare("full", arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
    upstream.channel.queue_bind("full", REPLIES_EXCHANGE, "approval.approved")
    outcomes = [an_outcome() for _ in range(5)]
    receipt = publisher.publish(outcomes)
    assert receipt.confirmed == digests(*outcomes[:2])
    assert receipt.failed.keys() == digests(*outcomes[2:])
    assert all("a queue is full" in str(error) for error in receipt.failed.values())
    assert publisher.publish([rejection := an_outcome("approval.rejected")]).confirmed == digests(rejection)


def test_one_that_is_too_large_blocks_no_other(upstream: Upstream, publisher: ReplyPublisher) -> None:
    """It is named as refused for good; whatever stood before and behind it is on the queue."""
    outcomes = [an_outcome() for _ in range(5)]
    outcomes[3] = an_outcome(body=bytes(17 * 1024 * 1024))
    receipt = publisher.publish(outcomes)
    assert receipt.confirmed == digests(*outcomes[:3], outcomes[4])
    assert isinstance(receipt.failed[outcomes[3].digest], PermanentError)
    assert receipt.outage is None
    taken = set(ids(upstream.take(DECISIONS_QUEUE, count=4)))
    assert taken == {str(outcome.event_id) for outcome in outcomes if outcome.digest in receipt.confirmed}


def test_without_the_topology_nothing_is_confirmed(vhost_url: str) -> None:
    """The broker's words say what is missing; once it is there, the same publisher publishes."""
    publisher, outcomes = ReplyPublisher([vhost_url]), [an_outcome() for _ in range(150)]
    receipt = publisher.publish(outcomes)
    assert not receipt.confirmed
    assert receipt.failed.keys() == digests(*outcomes)
    assert "no exchange 'approvals'" in str(receipt.outage)
    with Upstream(vhost_url):
        assert publisher.publish(outcomes).confirmed == digests(*outcomes)
    publisher.close()


def test_a_broker_that_is_away_is_an_outage(vhost_url: str) -> None:
    """It names each broker that was tried, and no password."""
    publisher = ReplyPublisher(["amqp://dana:s3cret@127.0.0.1:1/", "amqp://dana:s3cret@127.0.0.1:2/"])
    with pytest.raises(OutageError, match=r"127\.0\.0\.1:1: Connection refused; 127\.0\.0\.1:2: ") as refusal:
        publisher.publish([an_outcome()])
    assert "s3cret" not in str(refusal.value)
    other = ReplyPublisher(["amqp://127.0.0.1:1/", vhost_url])
    with Upstream(vhost_url):
        assert other.publish([an_outcome()]).confirmed
    other.close()


def test_a_line_that_is_cut_confirms_nothing_more(upstream: Upstream, proxy: TcpProxy, vhost_url: str) -> None:
    """Of a thousand, what was confirmed is on the queue; the rest is not, and goes out again on a new line."""
    outcomes = [an_outcome() for _ in range(1000)]
    proxy.delay(0.02)
    with publishing_through(proxy, vhost_url) as publisher:
        threading.Timer(0.5, proxy.cut).start()
        receipt = publisher.publish(outcomes)
        assert 0 < len(receipt.confirmed) < 1000
        assert receipt.confirmed | receipt.failed.keys() == digests(*outcomes)
        assert receipt.confirmed.isdisjoint(receipt.failed)
        assert "connection to the broker lost" in str(receipt.outage)
        proxy.restore()
        left = [outcome for outcome in outcomes if outcome.digest in receipt.failed]
        assert publisher.publish(left).confirmed == digests(*left)
    assert set(ids(upstream.take(DECISIONS_QUEUE, count=1000))) <= {str(outcome.event_id) for outcome in outcomes}


def test_a_broker_that_says_nothing_is_not_waited_for(upstream: Upstream, proxy: TcpProxy, vhost_url: str) -> None:
    """After the time given it is an outage, and the line is given up; a restored one is opened anew."""
    with publishing_through(proxy, vhost_url, seconds=0.5) as publisher:
        assert publisher.publish([an_outcome()]).confirmed
        proxy.stall()
        started = time.monotonic()
        receipt = publisher.publish(outcomes := [an_outcome() for _ in range(250)])
        assert time.monotonic() - started < 3
        assert not receipt.confirmed
        assert "did not confirm within 0.5 s" in str(receipt.outage)
        proxy.restore()
        assert publisher.publish(outcomes).confirmed == digests(*outcomes)
    assert upstream.waiting(DECISIONS_QUEUE) >= 251


def test_the_time_of_one_batch_does_not_hit_the_next(upstream: Upstream, proxy: TcpProxy, vhost_url: str) -> None:
    """A line stays open however long nothing is published."""
    with publishing_through(proxy, vhost_url, seconds=0.3) as publisher:
        publisher.publish([an_outcome()])
        time.sleep(0.5)
        assert publisher.publish([an_outcome()]).confirmed
    assert proxy.accepted == 1
    assert upstream.waiting(DECISIONS_QUEUE) == 2


def test_a_broker_restarted_between_two_batches(upstream: Upstream, proxy: TcpProxy, vhost_url: str) -> None:
    """A line lost while nothing was published is opened anew, without a failure."""
    with publishing_through(proxy, vhost_url) as publisher:
        publisher.publish([an_outcome()])
        proxy.cut()
        time.sleep(0.3)
        assert publisher.publish([an_outcome()]).confirmed
    assert upstream.waiting(DECISIONS_QUEUE) == 2
    assert proxy.accepted == 2


def test_abort_ends_a_wait(upstream: Upstream, proxy: TcpProxy, vhost_url: str) -> None:
    """A publish that waits returns at once, nothing confirmed, and none is tried again."""
    with publishing_through(proxy, vhost_url, seconds=30) as publisher:
        publisher.publish([an_outcome()])
        proxy.stall()
        threading.Timer(0.3, publisher.abort).start()
        started = time.monotonic()
        receipt = publisher.publish([an_outcome()])
        assert time.monotonic() - started < 3
        assert not receipt.confirmed
        with pytest.raises(OutageError, match="given up"):
            publisher.publish([an_outcome()])
    assert upstream.waiting(DECISIONS_QUEUE) == 1


def test_abort_ends_connecting(upstream: Upstream, proxy: TcpProxy, vhost_url: str) -> None:
    """A broker that does not even greet holds nobody up."""
    proxy.stall()
    with publishing_through(proxy, vhost_url, seconds=30) as publisher:
        threading.Timer(0.3, publisher.abort).start()
        started = time.monotonic()
        with pytest.raises(OutageError, match="given up"):
            publisher.publish([an_outcome()])
        assert time.monotonic() - started < 3
    assert upstream.waiting(DECISIONS_QUEUE) == 0


def test_a_closed_publisher_leaves_no_thread(upstream: Upstream, publisher: ReplyPublisher) -> None:
    """Nor a connection at the broker."""
    publisher.publish([an_outcome()])
    publisher.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "broker-line"]
    publisher.close()
    assert upstream.waiting(DECISIONS_QUEUE) == 1


def test_a_thousand_decisions(upstream: Upstream, publisher: ReplyPublisher) -> None:
    """All are confirmed; how fast is printed."""
    outcomes = [an_outcome(body=bytes(700)) for _ in range(1000)]
    started = time.monotonic()
    assert publisher.publish(outcomes).confirmed == digests(*outcomes)
    print(f"{1000 / (time.monotonic() - started):.0f} decisions a second")  # noqa: T201 - the claim has no figure
    assert upstream.waiting(DECISIONS_QUEUE) == 1000
