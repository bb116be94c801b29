"""The broker's socket to frames, 64 kB at a time: py-amqp's connection over a buffered transport.

py-amqp asks the socket three times a frame and sets a time-out each time: nine system calls a delivery. Here a read
takes what has arrived, and frames are cut from it. Everything else stays py-amqp's.
"""

from struct import Struct
from typing import Any

from amqp.exceptions import UnexpectedFrame
from amqp.transport import SSLTransport, TCPTransport
from kombu.transport import pyamqp

_READ_BYTES = 65_536
_OVERHEAD = 8
_FRAME_END = 0xCE
_FRAME_HEADER = Struct(">BHI").unpack_from


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
        except TimeoutError:
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
