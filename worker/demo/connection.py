"""A client's bytes to its channels, and theirs back: negotiation, heartbeats, and errors with the right code."""

import asyncio
from typing import Any, Final, Protocol, cast

import structlog
from pamqp import decode
from pamqp.base import Frame
from pamqp.commands import Basic, Connection
from pamqp.commands import Channel as ChannelMethod
from pamqp.exceptions import (
    AMQPAccessRefused,
    AMQPChannelError,
    AMQPCommandInvalid,
    AMQPError,
    AMQPFrameError,
    AMQPHardError,
    AMQPNotAllowed,
    AMQPUnexpectedFrame,
)
from pamqp.frame import marshal
from pamqp.heartbeat import Heartbeat

from worker import __version__
from worker.demo.channel import Channel
from worker.demo.vhost import VirtualHost
from worker.demo.wire import FRAME_MAX, FRAME_MIN, GREETING, MALFORMED, AnyFrame, FrameReader

CHANNEL_MAX: Final = 2047
HEARTBEAT: Final = 60
NOTICE: Final = "For trying out only: all is kept in memory, and anyone on this machine may log in."
_USER: Final = "guest"
_PASSWORD: Final = "guest"  # noqa: S105 - RabbitMQ's own default, and no secret: nothing but loopback is served
_HANDSHAKE_SECONDS: Final = 10
_CLOSE_SECONDS: Final = 5
_PROPERTIES: Final[dict[str, Any]] = {
    "product": "Countersign's broker for trying out",
    "version": __version__,
    "platform": "Python",
    "information": NOTICE,
    "capabilities": {
        "publisher_confirms": True,
        "exchange_exchange_bindings": True,
        "basic.nack": True,
        "consumer_cancel_notify": True,
        "authentication_failure_close": True,
        "per_consumer_qos": True,
    },
}

_log = structlog.get_logger(__name__)


class Household(Protocol):
    """Who is told of connections that come and go."""

    def opened(self, connection: "ClientConnection") -> None:
        """One came."""

    def lost(self, connection: "ClientConnection") -> None:
        """One went."""


class ClientConnection(asyncio.Protocol):
    """One client, from its first byte to its last. A fault of the client ends its channel or itself, never more."""

    def __init__(self, vhost: VirtualHost, household: Household) -> None:
        self.user = _USER
        self.frame_max = FRAME_MAX
        self.writable = True
        self.hears_cancels = False
        self._vhost = vhost
        self._household = household
        self._reader = FrameReader()
        self._channels: dict[int, Channel] = {}
        self._closing_channels: set[int] = set()
        self._channel_max = CHANNEL_MAX
        self._awaited: type[Frame] | None = None  # the one method that may come now, until the connection is open
        self._greeted = False
        self._closing = False
        self._transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()
        self._deadline: asyncio.TimerHandle | None = None
        self._heartbeat: asyncio.TimerHandle | None = None
        self._heard = self._said = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there; it has to speak first, and soon."""
        self._transport = cast("asyncio.Transport", transport)
        self._deadline = self._loop.call_later(_HANDSHAKE_SECONDS, self._transport.abort)
        self._household.opened(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        self._heard = self._loop.time()
        self._reader.feed(data)
        try:
            self._read()
        except AMQPError as error:
            self._refuse(error, 0)
        for channel in self._channels.values():
            channel.flush()

    def pause_writing(self) -> None:
        """The client reads slower than we write: no more deliveries."""
        self.writable = False

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.writable = not self._closing
        for channel in list(self._channels.values()):
            channel.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went: all that it held goes back."""
        del exc  # how it went makes no difference
        self._release()
        for timer in (self._deadline, self._heartbeat):
            if timer is not None:
                timer.cancel()
        self._household.lost(self)

    def send(self, octets: bytes) -> None:
        """Write to the client."""
        self._said = self._loop.time()
        self._transport.write(octets)

    def shut(self) -> None:
        """Say goodbye: the broker stops."""
        if self._greeted and not self._closing:
            text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
            self._send(Connection.Close(320, text, 0, 0))
        self._release()
        self._transport.close()

    def abort(self) -> None:
        """End it at once."""
        self._transport.abort()

    def _read(self) -> None:
        if not self._greeted and not self._greet():
            return
        while not self._transport.is_closing() and (found := self._reader.frame()) is not None:
            number, frame = found
            try:
                self._receive(number, frame)
            except AMQPHardError:
                raise
            except AMQPError as error:
                self._close_channel(number, error, frame)

    def _greet(self) -> bool:
        greeting = self._reader.greeting()
        if greeting is None:
            return False
        if greeting != GREETING:
            self.send(GREETING)
            self._transport.close()
            return False
        self._greeted = True
        self._awaited = Connection.StartOk
        self._send(Connection.Start(0, 9, _PROPERTIES, "PLAIN AMQPLAIN", "en_US"))
        return True

    def _receive(self, number: int, frame: AnyFrame) -> None:
        if isinstance(frame, Heartbeat) or (self._closing and not _ends(number, frame)):
            return
        try:
            self._route(number, frame)
        except AMQPHardError as error:
            self._refuse(error, _index(frame))

    def _route(self, number: int, frame: AnyFrame) -> None:
        if number == 0:
            self._control(frame)
        elif self._awaited is not None:
            raise AMQPCommandInvalid(f"expected {self._awaited.name.lower()} on channel 0 first")
        elif number in self._closing_channels:
            self._await_channel_end(number, frame)
        elif isinstance(frame, ChannelMethod.Open):
            self._open_channel(number)
        elif number not in self._channels:
            raise AMQPChannelError("expected 'channel.open'")
        elif isinstance(frame, ChannelMethod.Close):
            self._drop_channel(number)
            self._send(ChannelMethod.CloseOk(), number)
        else:
            self._channels[number].receive(frame)

    def _control(self, frame: AnyFrame) -> None:
        match frame:
            case Connection.Close():
                self._send(Connection.CloseOk())
                self._end()
            case Connection.CloseOk():
                self._end()
            case Frame() if self._awaited is not None and not isinstance(frame, self._awaited):
                raise AMQPCommandInvalid(f"expected {self._awaited.name.lower()}, got {frame.name.lower()}")
            case Connection.StartOk() if self._awaited is not None:
                self._log_in(frame)
            case Connection.TuneOk() if self._awaited is not None:
                self._tune(frame)
            case Connection.Open() if self._awaited is not None:
                self._open(frame)
            case Connection.UpdateSecret():
                self._send(Connection.UpdateSecretOk())
            case Frame():
                raise AMQPChannelError("unexpected method in connection state running")
            case _:
                raise AMQPUnexpectedFrame("no contents on channel 0")

    def _log_in(self, method: Connection.StartOk) -> None:
        if _credentials(method) != (_USER, _PASSWORD):
            raise AMQPAccessRefused(
                f"Login was refused using authentication mechanism {method.mechanism}. "
                "For details see the broker logfile."
            )
        capabilities = (method.client_properties or {}).get("capabilities")
        self.hears_cancels = isinstance(capabilities, dict) and bool(capabilities.get("consumer_cancel_notify"))
        self._awaited = Connection.TuneOk
        self._send(Connection.Tune(CHANNEL_MAX, FRAME_MAX, HEARTBEAT))

    def _tune(self, method: Connection.TuneOk) -> None:
        frame_max, channel_max = method.frame_max or FRAME_MAX, method.channel_max or CHANNEL_MAX
        _check_limit("frame_max", frame_max, FRAME_MIN, FRAME_MAX)
        _check_limit("channel_max", channel_max, 1, CHANNEL_MAX)
        self.frame_max = self._reader.frame_max = frame_max
        self._channel_max = channel_max
        self._awaited = Connection.Open
        if method.heartbeat:
            self._beat(method.heartbeat)

    def _beat(self, interval: float) -> None:
        now = self._loop.time()
        if now - self._heard > 2 * interval:
            _log.warning("demo broker lost a client", reason="no heartbeat")
            self._transport.abort()
            return
        if now - self._said >= interval / 2:
            self.send(Heartbeat.marshal())
        self._heartbeat = self._loop.call_later(interval / 2, self._beat, interval)

    def _open(self, method: Connection.Open) -> None:
        if method.virtual_host != "/":
            raise AMQPNotAllowed(f"vhost {method.virtual_host} not found")
        if self._deadline is not None:
            self._deadline.cancel()
        self._awaited = None
        self._send(Connection.OpenOk())

    def _open_channel(self, number: int) -> None:
        if number in self._channels:
            raise AMQPChannelError("second 'channel.open' seen")
        if len(self._channels) >= self._channel_max:
            raise AMQPNotAllowed(
                f"number of channels opened ({len(self._channels)}) has reached the negotiated channel_max "
                f"({self._channel_max})"
            )
        self._channels[number] = Channel(number, self, self._vhost)
        self._send(ChannelMethod.OpenOk(), number)

    def _await_channel_end(self, number: int, frame: AnyFrame) -> None:
        match frame:
            case ChannelMethod.CloseOk():
                self._closing_channels.discard(number)
            case ChannelMethod.Close():
                self._send(ChannelMethod.CloseOk(), number)

    def _close_channel(self, number: int, error: AMQPError, frame: AnyFrame) -> None:
        if number not in self._channels:
            self._refuse(error, _index(frame))
            return
        _log.info("demo broker closes a channel", **_fields(error))
        self._drop_channel(number)
        self._closing_channels.add(number)
        self._send(ChannelMethod.Close(*_reply(error), *_ids(_index(frame))), number)

    def _drop_channel(self, number: int) -> None:
        channel = self._channels.pop(number)
        channel.flush()
        channel.close()

    def _refuse(self, error: AMQPError, index: int) -> None:
        if self._closing or (isinstance(error, AMQPFrameError) and self._awaited is not None):
            self._transport.close()
            return
        _log.warning("demo broker closes a connection", **_fields(error))
        for channel in self._channels.values():
            channel.flush()
        self._closing = True
        self._send(Connection.Close(*_reply(error), *_ids(index)))
        self._release()
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(_CLOSE_SECONDS, self._transport.abort)

    def _end(self) -> None:
        self._release()
        self._transport.close()

    def _release(self) -> None:
        self._closing = True
        self.writable = False  # or a channel would be given what another one gives back
        channels = list(self._channels.values())
        self._channels.clear()
        for channel in channels:
            channel.close()
        self._vhost.connection_lost(self)

    def _send(self, method: Frame, number: int = 0) -> None:
        self.send(marshal(method, number))


def _credentials(method: Connection.StartOk) -> tuple[str, str]:
    response = method.response.encode() if isinstance(method.response, str) else bytes(method.response or b"")
    try:
        return _amqplain(response) if method.mechanism == "AMQPLAIN" else _plain(response)
    except MALFORMED:
        return "", ""


def _plain(response: bytes) -> tuple[str, str]:
    _, user, password = response.decode().split("\0")
    return user, password


def _amqplain(response: bytes) -> tuple[str, str]:
    _, table = decode.field_table(len(response).to_bytes(4, "big") + response)
    return str(table["LOGIN"]), str(table["PASSWORD"])


def _check_limit(name: str, value: int, least: int, most: int) -> None:
    if value > most:
        raise AMQPNotAllowed(f"negotiated {name} = {value} is higher than the maximum allowed value ({most})")
    if value < least:
        raise AMQPNotAllowed(f"negotiated {name} = {value} is lower than the minimum allowed value ({least})")


def _ends(number: int, frame: AnyFrame) -> bool:
    return number == 0 and isinstance(frame, Connection.Close | Connection.CloseOk)


def _index(frame: AnyFrame) -> int:
    return frame.index if isinstance(frame, Frame) else Basic.Publish.index


def _ids(index: int) -> tuple[int, int]:
    return index >> 16, index & 0xFFFF


def _fields(error: AMQPError) -> dict[str, Any]:
    code, text = _reply(error)
    return {"code": code, "text": text}


def _reply(error: AMQPError) -> tuple[int, str]:
    name: str = error.name.replace("-", "_")  # type: ignore[attr-defined]  # every class in use has one
    code: int = error.value  # type: ignore[attr-defined]
    text = f"{name} - {error}".encode()
    return code, text[:255].decode(errors="ignore")
