"""Bytes from a client to frames, and frames and contents back to bytes: AMQP 0-9-1, 2.3.5 and 4.2, on pamqp.

pamqp's own limits on names (letters, digits and a few signs) and on tables (single-precision floats, names cut
at 128 bytes, no bytes that are not UTF-8) are stricter than RabbitMQ's; the classes below lift them. Every content
is decoded and encoded anew, so that no malformed one reaches another client; the one visible effect is that
timestamps in milliseconds arrive as seconds.
"""

import struct
from collections.abc import Mapping
from typing import Any, Final

from pamqp import encode
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.commands import INDEX_MAPPING, Basic, Queue
from pamqp.constants import FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD
from pamqp.exceptions import AMQPCommandInvalid, AMQPFrameError, AMQPSyntaxError, PAMQPException
from pamqp.frame import marshal
from pamqp.header import ContentHeader, ProtocolHeader
from pamqp.heartbeat import Heartbeat

AnyFrame = Frame | ContentHeader | ContentBody | Heartbeat

GREETING: Final = ProtocolHeader(0, 9, 1).marshal()
FRAME_MAX: Final = 131072
FRAME_MIN: Final = 4096  # what both peers take before they have agreed on more

_HEAD: Final = struct.Struct(">BHI")
_OVERHEAD: Final = _HEAD.size + 1
_INDEX: Final = struct.Struct(">I")
# Far below what recursion bears: what could be written once can be written again from a deeper stack.
_DEPTH_MAX: Final = 64
_INT32: Final = range(-(2**31), 2**31)

# pamqp warns when it builds the deprecated one, so it counts as unknown here.
_METHODS: Final = {index: method for index, method in INDEX_MAPPING.items() if method is not Basic.RecoverAsync}

# What decoding or encoding hostile bytes can raise in pamqp.
MALFORMED: Final = (
    PAMQPException, ValueError, TypeError, LookupError, ArithmeticError, OSError, RecursionError, struct.error
)  # fmt: skip


class Properties(Basic.Properties):
    """The properties of a content, in any values that RabbitMQ takes."""

    def validate(self) -> None:
        """Take them all."""

    def encode_property(self, name: str, value: Any) -> bytes:
        """The bytes of one property."""
        return encode_table(value) if name == "headers" else super().encode_property(name, value)


class Deliver(Basic.Deliver):
    """``basic.deliver`` with any names."""

    def validate(self) -> None:
        """Take them all."""


class GetOk(Basic.GetOk):
    """``basic.get-ok`` with any names."""

    def validate(self) -> None:
        """Take them all."""


class Return(Basic.Return):
    """``basic.return`` with any names."""

    def validate(self) -> None:
        """Take them all."""


class DeclareOk(Queue.DeclareOk):
    """``queue.declare-ok`` with any names."""

    def validate(self) -> None:
        """Take them all."""


class FrameReader:
    """Takes chunks of a stream and gives its frames, one after another; never holds more than one frame too many."""

    def __init__(self) -> None:
        self.frame_max = FRAME_MAX
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Add what came in."""
        self._buffer += chunk

    def greeting(self) -> bytes | None:
        """The eight bytes that a client starts with, once they are there."""
        return self._cut(len(GREETING)) if len(self._buffer) >= len(GREETING) else None

    def frame(self) -> tuple[int, AnyFrame] | None:
        """The next channel number and frame, or ``None`` until more has come in.

        Raises:
            AMQPHardError: what came in is no frame; nothing behind it can be read.
        """
        if len(self._buffer) < _HEAD.size:
            return None
        kind, channel, size = _HEAD.unpack_from(self._buffer)
        if size + _OVERHEAD > self.frame_max:
            raise AMQPFrameError(f"type {kind}, frame of {size} bytes, more than the negotiated {self.frame_max}")
        if len(self._buffer) < size + _OVERHEAD:
            return None
        octets = self._cut(size + _OVERHEAD)
        if octets[-1] != FRAME_END:
            raise AMQPFrameError(f"type {kind}, frame of {size} bytes does not end in the frame-end octet")
        return channel, _decode(kind, octets[_HEAD.size : -1])

    def _cut(self, size: int) -> bytes:
        octets = bytes(self._buffer[:size])
        del self._buffer[:size]
        return octets


def _decode(kind: int, payload: bytes) -> AnyFrame:
    try:
        return _decoded(kind, payload)
    except AMQPCommandInvalid:
        raise
    except MALFORMED as error:
        raise AMQPSyntaxError(f"type {kind}, payload of {len(payload)} bytes: {type(error).__name__}") from None


def _decoded(kind: int, payload: bytes) -> AnyFrame:
    match kind:
        case int(k) if k == FRAME_METHOD:
            return _decoded_method(payload)
        case int(k) if k == FRAME_HEADER:
            header = ContentHeader(properties=Properties())
            header.unmarshal(payload)
            return header
        case int(k) if k == FRAME_BODY:
            return ContentBody(payload)
        case int(k) if k == FRAME_HEARTBEAT:
            return Heartbeat()
        case _:
            raise AMQPSyntaxError(f"unknown frame type {kind}")


def _decoded_method(payload: bytes) -> Frame:
    (index,) = _INDEX.unpack_from(payload)
    if index not in _METHODS:
        raise AMQPCommandInvalid(f"unknown method {index >> 16}.{index & 0xFFFF}")
    method: Frame = _METHODS[index]()
    method.unmarshal(payload[_INDEX.size :])
    return method


def encode_header(properties: Basic.Properties, size: int) -> bytes:
    """The payload of a content header.

    Raises:
        AMQPSyntaxError: the properties cannot be written.
    """
    try:
        return ContentHeader(body_size=size, properties=properties).marshal()
    except MALFORMED as error:
        raise AMQPSyntaxError(f"content properties cannot be written: {type(error).__name__}") from None


def encode_content(channel: int, method: Frame, header: bytes, body: bytes, frame_max: int) -> bytes:
    """A method with its content, in as many frames as it takes."""
    step = frame_max - _OVERHEAD
    frames = [marshal(method, channel), _framed(FRAME_HEADER, channel, header)]
    frames += (_framed(FRAME_BODY, channel, body[start : start + step]) for start in range(0, len(body), step))
    return b"".join(frames)


def encode_table(table: Mapping[str, Any], depth: int = 0) -> bytes:
    """A field table as both peers read it back: integers of 32 or 64 bits, floats of 64.

    Raises:
        TypeError: a value that no field can hold, or tables within tables deeper than anyone needs.
    """
    entries = (encode.short_string(name) + _encode_value(value, depth + 1) for name, value in table.items())
    return _sized(b"".join(entries))


def _encode_value(value: Any, depth: int) -> bytes:
    if depth > _DEPTH_MAX:
        raise TypeError(f"more than {_DEPTH_MAX} levels")
    match value:
        case int() if not isinstance(value, bool):
            return b"I" + struct.pack(">i", value) if value in _INT32 else b"l" + struct.pack(">q", value)
        case float():
            return b"d" + struct.pack(">d", value)
        case bytes():
            return b"S" + _sized(value)
        case dict():
            return b"F" + encode_table(value, depth)
        case list():
            return b"A" + _sized(b"".join(_encode_value(item, depth + 1) for item in value))
    return encode.encode_table_value(value)


def _sized(octets: bytes) -> bytes:
    return struct.pack(">I", len(octets)) + octets


def _framed(kind: int, channel: int, payload: bytes) -> bytes:
    return b"%b%b%c" % (_HEAD.pack(kind, channel, len(payload)), payload, FRAME_END)
