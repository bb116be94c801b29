"""Whatever bytes a client sends, its own connection ends at worst, and the next one is served."""

import contextlib
import logging
import socket
import struct
from collections.abc import Iterator
from typing import Self
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel, Confirm, Connection, Exchange, Queue
from pamqp.frame import marshal
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from worker.demo.broker import Broker
from worker.demo.wire import GREETING, AnyFrame, FrameReader

HEARTBEAT = marshal(Heartbeat(), 0)


class RawClient:
    """A socket that speaks AMQP, as well or badly as it is told to."""

    def __init__(self, url: str) -> None:
        port = urlsplit(url).port
        assert port is not None
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self._reader = FrameReader()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *octets: bytes) -> None:
        """Write, as long as the other side listens."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(b"".join(octets))

    def frame(self) -> AnyFrame | None:
        """The next frame, or ``None`` when the broker has hung up."""
        while (found := self._reader.frame()) is None:
            try:
                chunk = self.socket.recv(65536)
            except ConnectionError:
                return None
            if not chunk:
                return None
            self._reader.feed(chunk)
        return found[1]

    def await_frame(self, kind: type[Frame]) -> Frame:
        """The next frame of that kind; others are passed over."""
        while (frame := self.frame()) is not None:
            if isinstance(frame, kind):
                return frame
        raise AssertionError(f"hung up before {kind.name}")

    def drain(self) -> None:
        """Read until the broker has hung up."""
        with contextlib.suppress(ConnectionError):
            self.socket.shutdown(socket.SHUT_WR)
            while self.socket.recv(65536):
                pass


def _opening(heartbeat: int = 0, user: str = "guest", frame_max: int = 131072, vhost: str = "/") -> bytes:
    start_ok = Connection.StartOk({}, "PLAIN", f"\0{user}\0guest", "en_US")
    methods = (start_ok, Connection.TuneOk(2047, frame_max, heartbeat), Connection.Open(vhost))
    return GREETING + b"".join(marshal(method, 0) for method in methods)


METHODS: tuple[Frame, ...] = (
    Basic.Ack(1), Basic.Consume(queue="q"), Basic.Get(queue="q"), Basic.Nack(0, multiple=True), Basic.Publish(),
    Basic.Qos(prefetch_count=1), Basic.Reject(1), Channel.Close(200, "", 0, 0), Channel.Open(), Confirm.Select(),
    Connection.CloseOk(), Exchange.Bind(destination="e", source="e"), Exchange.Declare(exchange="e"),
    Exchange.Delete(exchange="e"), Queue.Bind(queue="q", exchange="e"), Queue.Declare(queue="q"),
    Queue.Delete(queue="q"), Queue.Purge(queue="q"), Queue.DeclareOk("q", 1, 1), Connection.StartOk({}),
)  # fmt: skip
CONTENTS: tuple[AnyFrame, ...] = (ContentHeader(body_size=2), ContentBody(b"x"), ContentBody(b"xyz"))
FRAMES = st.sampled_from([marshal(frame, number) for frame in (*METHODS, *CONTENTS) for number in (0, 1)] + [HEARTBEAT])


@st.composite
def _spoilt(draw: st.DrawFn) -> bytes:
    """Good frames in any order, some of them with another byte somewhere."""
    octets = bytearray(b"".join(draw(st.lists(FRAMES, max_size=8))))
    for place, value in draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3)):
        if place < len(octets):
            octets[place] = value
    return bytes(octets)


@st.composite
def _framed_noise(draw: st.DrawFn) -> bytes:
    payload = draw(st.binary(max_size=60))
    method = draw(st.sampled_from(METHODS)).index
    kind = draw(st.sampled_from([1, 2, 3, 8, 9]))
    body = struct.pack(">I", method) + payload if kind == 1 else payload
    return struct.pack(">BHI", kind, draw(st.sampled_from([0, 1])), len(body)) + body + b"\xce"


NOISE = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=200).map(lambda octets: GREETING + octets),
    st.lists(st.one_of(_spoilt(), _framed_noise(), st.binary(max_size=30)), max_size=6).map(
        lambda parts: _opening() + marshal(Channel.Open(), 1) + b"".join(parts)
    ),
)


class Complaints(logging.Handler):
    """What asyncio logs: exceptions that nobody caught."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Note one."""
        self.heard.append(self.format(record))


@pytest.fixture(scope="module")
def complaints() -> Iterator[Complaints]:
    """Listens to asyncio."""
    complaints = Complaints()
    logging.getLogger("asyncio").addHandler(complaints)
    yield complaints
    logging.getLogger("asyncio").removeHandler(complaints)


@pytest.fixture(scope="module")
def url(complaints: Complaints) -> Iterator[str]:
    """The embedded broker; what only raw bytes can show needs no comparison. No exception may escape in it."""
    with Broker() as broker:
        yield broker.url
    assert complaints.heard == []


@settings(max_examples=300, deadline=None)
@given(noise=NOISE)
def test_no_bytes_stop_the_broker(url: str, complaints: Complaints, noise: bytes) -> None:
    """Whatever comes in, before, in or behind a handshake: no exception escapes, and the next client is served."""
    with RawClient(url) as client:
        client.send(noise)
        client.drain()

    with RawClient(url) as client:
        client.send(_opening(), marshal(Channel.Open(), 1), marshal(Queue.Declare(queue="", exclusive=True), 1))
        client.await_frame(Queue.DeclareOk)
    assert complaints.heard == []


def test_another_protocol_is_told_ours(url: str) -> None:
    """A greeting that is not ours is answered with ours, and the connection ends."""
    with RawClient(url) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert client.socket.recv(100) == GREETING
        assert client.socket.recv(100) == b""


@pytest.mark.parametrize(
    ("opening", "code", "text"),
    [
        (_opening(user="mallory"), 403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."),
        (_opening(vhost="other"), 530, "NOT_ALLOWED - vhost other not found"),
        (_opening(frame_max=200_000), 530, "NOT_ALLOWED - negotiated frame_max = 200000 is higher than the maximum"),
        (_opening(frame_max=100), 530, "NOT_ALLOWED - negotiated frame_max = 100 is lower than the minimum"),
    ],
)
def test_a_handshake_may_be_refused(url: str, opening: bytes, code: int, text: str) -> None:
    """With the code for it."""
    with RawClient(url) as client:
        client.send(opening)
        close = client.await_frame(Connection.Close)
        assert isinstance(close, Connection.Close)
        assert close.reply_code == code
        assert str(close.reply_text).startswith(text)


def test_both_mechanisms_log_in(url: str) -> None:
    """PLAIN, and AMQPLAIN with its table."""
    table = b"\x05LOGINS\x00\x00\x00\x05guest\x08PASSWORDS\x00\x00\x00\x05guest"
    with RawClient(url) as client:
        client.send(GREETING, marshal(Connection.StartOk({}, "AMQPLAIN", table.decode(), "en_US"), 0))
        client.await_frame(Connection.Tune)


def test_a_fault_names_the_method_that_made_it(url: str) -> None:
    """``class-id`` and ``method-id`` of ``channel.close`` are those of what was refused."""
    with RawClient(url) as client:
        client.send(_opening(), marshal(Channel.Open(), 1), marshal(Queue.Purge(queue="none"), 1))
        close = client.await_frame(Channel.Close)
        assert isinstance(close, Channel.Close)
        assert (close.class_id, close.method_id, close.reply_code) == (50, 30, 404)


def test_a_frame_that_is_too_large_ends_the_connection(url: str) -> None:
    """At its head already: nothing of it is kept."""
    with RawClient(url) as client:
        client.send(_opening(), struct.pack(">BHI", 3, 1, 2**31))
        close = client.await_frame(Connection.Close)
        assert isinstance(close, Connection.Close)
        assert close.reply_code == 501


@pytest.mark.parametrize("levels", [100, 15_000])
def test_headers_nested_without_end_end_the_connection(url: str, complaints: Complaints, levels: int) -> None:
    """Whether decoding gives up on them or encoding."""
    table = struct.pack(">I", 0)
    for _ in range(levels):
        table = struct.pack(">I", len(table) + 3) + b"\x01aF" + table
    header = struct.pack(">HHQH", 60, 0, 0, 1 << 13) + table
    with RawClient(url) as client:
        client.send(_opening(), marshal(Channel.Open(), 1), marshal(Basic.Publish(), 1))
        client.send(struct.pack(">BHI", 2, 1, len(header)), header, b"\xce")
        close = client.await_frame(Connection.Close)
        assert isinstance(close, Connection.Close)
        assert close.reply_code == 502
    assert complaints.heard == []


@pytest.mark.parametrize("size", [4088, 4089, 10_000])
def test_no_frame_is_larger_than_agreed(url: str, size: int) -> None:
    """A body comes in frames of the size that the client negotiated."""
    publish: tuple[AnyFrame, ...] = (
        Basic.Publish(routing_key="small"),
        ContentHeader(body_size=size),
        ContentBody(bytes(4000)),
    )
    rest = [ContentBody(bytes(min(4000, size - start))) for start in range(4000, size, 4000)]
    with RawClient(url) as client:
        client.send(_opening(frame_max=4096), marshal(Channel.Open(), 1))
        client.send(marshal(Queue.Declare(queue="small", exclusive=True), 1))
        client.send(*(marshal(frame, 1) for frame in (*publish, *rest, Basic.Get(queue="small", no_ack=True))))
        client.await_frame(Basic.GetOk)
        assert isinstance(client.frame(), ContentHeader)
        lengths: list[int] = []
        while sum(lengths) < size:
            frame = client.frame()
            assert isinstance(frame, ContentBody)
            lengths.append(len(frame.value))
        assert max(lengths) == min(size, 4088)


def test_a_method_within_a_content_ends_the_connection(url: str) -> None:
    """Between header and body only body may come on a channel."""
    with RawClient(url) as client:
        client.send(_opening(), marshal(Channel.Open(), 1), marshal(Basic.Publish(), 1))
        client.send(marshal(ContentHeader(body_size=5), 1), marshal(Basic.Qos(), 1))
        close = client.await_frame(Connection.Close)
        assert isinstance(close, Connection.Close)
        assert (close.reply_code, close.class_id, close.method_id) == (505, 60, 10)


def test_a_silent_client_is_dropped(url: str) -> None:
    """After two intervals without a byte; until then it gets heartbeats."""
    with RawClient(url) as client:
        client.send(_opening(heartbeat=1))
        client.await_frame(Connection.OpenOk)
        heartbeats = 0
        while (frame := client.frame()) is not None:
            heartbeats += isinstance(frame, Heartbeat)
        assert heartbeats >= 2


def test_a_client_that_does_not_read_costs_only_what_the_socket_holds(url: str) -> None:
    """Deliveries wait in the queue, and go on when the client reads again."""
    large = 200
    with RawClient(url) as client:
        client.send(_opening(), marshal(Channel.Open(), 1), marshal(Queue.Declare(queue="slow", exclusive=True), 1))
        client.await_frame(Queue.DeclareOk)
        for _ in range(large):
            content = (Basic.Publish(routing_key="slow"), ContentHeader(body_size=100_000), ContentBody(bytes(100_000)))
            client.send(*(marshal(frame, 1) for frame in content))
        client.send(
            marshal(Basic.Consume(queue="slow", no_ack=True), 1), marshal(Queue.Declare(queue="slow", passive=True), 1)
        )
        came = 0
        while not isinstance(frame := client.frame(), Queue.DeclareOk):
            came += isinstance(frame, Basic.Deliver)
        assert frame.message_count is not None
        assert came + frame.message_count == large
        assert frame.message_count > 0
        for _ in range(frame.message_count):
            client.await_frame(Basic.Deliver)
