"""The broker's socket to frames and raw deliveries, 64 kB at a time: py-amqp's connection over a buffered transport.

py-amqp asks the socket three times a frame and sets a time-out each time: nine system calls a delivery. Here a read
takes what has arrived, and frames are cut from it. Deliveries are assembled without looking into their properties:
what a publisher wrote there must not end the connection. Everything else stays py-amqp's.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

from amqp.exceptions import AMQPError, UnexpectedFrame
from amqp.method_framing import frame_handler
from amqp.serialization import decode_properties_basic
from amqp.transport import SSLTransport, TCPTransport
from kombu.transport import pyamqp

_READ_BYTES = 65_536
_OVERHEAD = 8
_FRAME_END = 0xCE
_FRAME_HEADER = Struct(">BHI").unpack_from
_LONGLONG = Struct(">Q").unpack_from
_METHOD, _HEADER, _BODY = 1, 2, 3
_DELIVER = b"\x00\x3c\x00\x3c"
_CLASS_AND_SIZE = 12


class _Buffered:
    """``read_frame`` from a buffer; to be mixed into a transport of py-amqp. Source: AMQP 0-9-1, 4.2.3."""

    _held = b""
    _at = 0

    def read_frame(self) -> tuple[int, int, bytes]:
        """The next frame: kind, channel, payload.

        Raises:
            TimeoutError: nothing whole arrived in time; what did is kept.
            OSError: the broker closed the connection.
            UnexpectedFrame: this is not AMQP.
        """
        while not (end := self._end_of_frame()):
            self._receive()
        held, at, self._at = self._held, self._at, end
        if held[end - 1] != _FRAME_END:
            raise UnexpectedFrame(f"a frame ends with {held[end - 1]:#04x}, not 0xce")
        kind, channel, _ = _FRAME_HEADER(held, at)
        return kind, channel, held[at + 7 : end - 1]

    def holds_frame(self) -> bool:
        """Whether ``read_frame`` would answer without waiting."""
        return bool(self._end_of_frame())

    def _end_of_frame(self) -> int:
        held, at = self._held, self._at
        if len(held) - at < _OVERHEAD:
            return 0
        end = at + _OVERHEAD + int(_FRAME_HEADER(held, at)[2])
        return end if end <= len(held) else 0

    def _receive(self) -> None:
        try:
            got: bytes = self._quick_recv(_READ_BYTES)  # type: ignore[attr-defined]  # the transport's own
        except (TimeoutError, BlockingIOError):
            raise
        except OSError:
            self.connected = False
            raise
        if not got:
            self.connected = False
            raise ConnectionResetError("the broker closed the connection")
        self._held, self._at = self._held[self._at :] + got, 0


class _PlainTransport(_Buffered, TCPTransport):  # type: ignore[misc]  # py-amqp has no types
    pass


class _TlsTransport(_Buffered, SSLTransport):  # type: ignore[misc]  # py-amqp has no types
    pass


class _Connection(pyamqp.Connection):
    def Transport(self, host: str, *timeouts: Any, **options: Any) -> TCPTransport:  # noqa: N802 - py-amqp's name
        """The transport: py-amqp's hook for one of our own."""
        connect, tls, read, write = timeouts
        transport = _TlsTransport if tls else _PlainTransport
        return transport(host, connect, ssl=tls, read_timeout=read, write_timeout=write, **options)

    def blocking_read(self, timeout: float | None = None) -> Any:
        """Read and handle one frame; the socket's time-out is touched only where the socket is."""
        if self.transport.holds_frame():
            return self.on_inbound_frame(self.transport.read_frame())
        return super().blocking_read(timeout)

    def drain_held(self) -> None:
        """Handle the frames that have arrived already; never waits."""
        while self.connected and self._transport.holds_frame():
            self._on_inbound_frame(self._transport.read_frame())


class Transport(pyamqp.Transport):
    """kombu's AMQP transport, buffered: ``kombu.Connection(..., transport=Transport)``."""

    Connection = _Connection


@dataclass(slots=True)
class RawDelivery:
    """A basic.deliver with its content, its properties still packed. Source: AMQP 0-9-1, 1.8.3.13 and 4.2.6."""

    tag: int
    routing_key: str
    header: bytes = b""
    body: bytes = b""
    missing: int = 0
    parts: list[bytes] = field(default_factory=list)

    def properties(self) -> dict[str, Any] | None:
        """Content type, ``application_headers`` and the rest, as py-amqp names them; None where they can't be read."""
        try:
            return dict(decode_properties_basic(self.header, _CLASS_AND_SIZE)[0])
        except (AMQPError, struct.error, ValueError, OverflowError, OSError, LookupError, TypeError):
            return None

    def begin(self, header: bytes) -> bool:
        """Take the content header; whether that was all."""
        self.header = header
        self.missing = int(_LONGLONG(header, 4)[0])
        return not self.missing

    def add(self, part: bytes) -> bool:
        """Take a piece of the body; whether that was all."""
        self.parts.append(part)
        self.missing -= len(part)
        if self.missing > 0:
            return False
        self.body = part if len(self.parts) == 1 else b"".join(self.parts)
        self.parts.clear()
        return True


def _opened(frame: bytes) -> RawDelivery:
    # class, method, consumer tag (short string), delivery tag, redelivered, exchange, routing key
    at = 5 + frame[4]
    exchange = at + 9
    key = exchange + 1 + frame[exchange]
    routing_key = frame[key + 1 : key + 1 + frame[key]].decode("utf-8", "replace")
    return RawDelivery(int(_LONGLONG(frame, at)[0]), routing_key)


def deliveries_first(taken: Callable[[RawDelivery], None]) -> Callable[..., Any]:
    """A ``frame_handler`` for py-amqp's ``Connection``: deliveries go to ``taken``, the rest where it always went."""

    def handler(connection: Any, on_method: Callable[..., Any]) -> Callable[..., bool]:
        others = frame_handler(connection, on_method)
        opened: dict[int, RawDelivery] = {}

        def on_frame(frame: tuple[int, int, bytes]) -> bool:
            kind, channel, payload = frame
            if kind == _METHOD and payload[:4] == _DELIVER:
                connection.bytes_recv += 1
                opened[channel] = _opened(payload)
                return False
            delivery = opened.get(channel) if kind in (_HEADER, _BODY) else None
            if delivery is None:
                return bool(others(frame))
            connection.bytes_recv += 1
            if not (delivery.begin(payload) if kind == _HEADER else delivery.add(payload)):
                return False
            del opened[channel]
            taken(delivery)
            return True

        return on_frame

    return handler
