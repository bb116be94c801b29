"""Broker URLs to a pika connection, and one publish to proof that a queue holds it.

For short errands: declare, publish, list. ::

    connect(urls)            each URL in turn, TLS verified, or OutageError that says what each answered
    open_channel(connection) one channel with a time limit, closed at the end
    publish(channel, ...)    persistent, mandatory, confirmed, or it raises
"""

import re
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.utils.connection_workflow import AMQPConnectionWorkflowFailed, AMQPConnectorException
from pika.exceptions import (
    AMQPConnectionError,
    AMQPError,
    ChannelClosedByBroker,
    ConnectionWrongStateError,
    NackError,
    UnroutableError,
)
from pydantic import SecretStr

from worker.errors import OutageError, PermanentError, SettingsError

SOCKET_SECONDS = 10.0
STACK_SECONDS = 15.0
HEARTBEAT_SECONDS = 60
ERRAND_SECONDS = 60.0

_PORTS = {"amqp": 5672, "amqps": 5671}
_TOO_LARGE_OR_MALFORMED = 406

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker is and how to log in, as in the AMQP URI specification of RabbitMQ."""

    host: str
    port: int
    user: str
    password: SecretStr
    vhost: str
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_url(url: str) -> Address:
    """The address in ``amqp[s]://user:password@host:port/vhost``; no virtual host means ``/``.

    Raises:
        SettingsError: not such a URL. The text never holds the password.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise SettingsError("BROKER_URL: not a URL of the form amqp://user:password@host:5672/vhost") from None
    _check_parts(parts)
    return Address(
        host=parts.hostname or "",
        port=port or _PORTS[parts.scheme],
        user=unquote(parts.username or "guest"),
        password=SecretStr(unquote(parts.password if parts.password is not None else "guest")),
        vhost=unquote(parts.path[1:]) or "/",
        tls=parts.scheme == "amqps",
    )


def connect(urls: Sequence[str], *, ca_file: Path | None = None, name: str = "countersign") -> pika.BlockingConnection:
    """A connection to the first of the brokers that takes us; ``name`` is what its administrator sees.

    ``amqps://`` verifies the certificate and the host name, against ``ca_file`` or the system's store.

    Raises:
        SettingsError: a URL is none, or ``ca_file`` holds no certificates.
        OutageError: none of them took us; the text says for each host and port why.
    """
    return first_of(urls, pika.BlockingConnection, ca_file=ca_file, name=name)


def first_of(
    urls: Sequence[str], dial: Callable[[pika.ConnectionParameters], T], *, ca_file: Path | None, name: str
) -> T:
    """What ``dial`` makes of the first of the brokers that takes it; as ``connect``, for another kind of connection.

    ``dial`` raises pika's errors where a broker does not take it.
    """
    addresses = [parse_url(url) for url in urls]
    if not addresses:
        raise SettingsError("BROKER_URL: no URL given")
    context = _tls_context(ca_file) if any(address.tls for address in addresses) else None
    said = []
    for address in addresses:
        try:
            return dial(_parameters(address, context, name))
        except (AMQPError, AMQPConnectorException, OSError) as error:
            said.append(f"{address}: {reason(error)}")
    raise OutageError("no broker takes a connection: " + "; ".join(said))


@contextmanager
def open_channel(connection: pika.BlockingConnection, *, seconds: float = ERRAND_SECONDS) -> Iterator[BlockingChannel]:
    """A new channel for what is done within ``seconds``, closed behind it.

    What the broker refuses by closing the channel stays pika's ``ChannelClosedByBroker``: only the caller knows what
    it asked for.

    Raises:
        OutageError: the connection is lost, or the broker did not answer in time. It is closed then: connect anew.
    """
    try:
        with _deadline(connection, seconds), _closing(connection.channel()) as channel:
            yield channel
    except AMQPConnectionError as error:
        raise OutageError(f"connection to the broker lost: {reason(error)}") from error


def publish(
    channel: BlockingChannel, exchange: str, routing_key: str, body: bytes, properties: pika.BasicProperties
) -> None:
    """Hand ``body`` over for good: returns only when a queue holds it. Wants ``channel.confirm_delivery()`` before.

    Raises:
        OutageError: no queue is bound, the exchange is missing, a permission lacks, the queue refuses:
            the topology or the broker is at fault, and the same publish may work later.
        PermanentError: the broker refuses this one (too large, a property malformed).
    """
    try:
        channel.basic_publish(exchange, routing_key, body, properties, mandatory=True)
    except UnroutableError:
        raise unroutable(exchange, routing_key) from None
    except NackError:
        raise refused(exchange, routing_key) from None
    except ChannelClosedByBroker as error:
        raise closed(error) from None


def unroutable(exchange: str, routing_key: str) -> OutageError:
    """A mandatory publish came back."""
    return OutageError(
        f"exchange {exchange} has no queue for {routing_key}: declare the topology (countersign topology --declare)"
    )


def refused(exchange: str, routing_key: str) -> OutageError:
    """A publish was answered with a nack."""
    return OutageError(f"exchange {exchange}: the broker refused {routing_key} (a queue is full or away)")


def closed(error: ChannelClosedByBroker) -> OutageError | PermanentError:
    """The broker closed the channel over a publish: give up on this one where it is too large or malformed."""
    if error.reply_code == _TOO_LARGE_OR_MALFORMED:
        return PermanentError(f"the broker refuses it: {error.reply_text}")
    return OutageError(
        f"the broker refuses to publish: {error.reply_text} (countersign topology shows what must be there, and"
        " countersign topology --permissions what each user may do)"
    )


def cut(line: pika.SelectConnection, why: str) -> None:
    """End a connection at once, whether the broker answers or not; to be called in its I/O loop."""
    # A close waits for the broker's consent, and pika 1.3 and 1.4 have no public way without.
    line._terminate_stream(AMQPConnectionError(why))  # noqa: SLF001 - as above


@contextmanager
def _deadline(connection: pika.BlockingConnection, seconds: float) -> Iterator[None]:
    # The blocking adapter waits for a confirm without end, and heartbeats keep the connection alive meanwhile: a
    # quorum queue that lost its majority never confirms. So the line is cut, as a missed heartbeat cuts it.
    if connection.is_closed:
        raise ConnectionWrongStateError("it is closed")
    line = connection._impl  # noqa: SLF001 - no public time limit exists in pika 1.3 or 1.4
    timer = line.ioloop.call_later(seconds, lambda: cut(line, f"the broker did not answer within {seconds:g} s"))
    try:
        yield
    finally:
        if not connection.is_closed:
            line.ioloop.remove_timeout(timer)


@contextmanager
def _closing(channel: BlockingChannel) -> Iterator[BlockingChannel]:
    try:
        yield channel
    finally:
        if channel.is_open:
            channel.close()


def _check_parts(parts: SplitResult) -> None:
    if parts.scheme not in _PORTS:
        raise SettingsError("BROKER_URL: a URL starts with amqp:// or amqps://")
    if not parts.hostname:
        raise SettingsError("BROKER_URL: a URL has no host name")
    if parts.query or parts.fragment:
        raise SettingsError(
            f"BROKER_URL: nothing may follow the virtual host of {parts.hostname}: no ? and no #"
            " (write them in a password as %3F and %23)"
        )


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SettingsError(f"TLS_CA_FILE: {ca_file}: {error.strerror or error}") from None


def _parameters(address: Address, context: ssl.SSLContext | None, name: str) -> pika.ConnectionParameters:
    return pika.ConnectionParameters(
        host=address.host,
        port=address.port,
        virtual_host=address.vhost,
        credentials=pika.PlainCredentials(address.user, address.password.get_secret_value()),
        ssl_options=pika.SSLOptions(context, server_hostname=address.host) if address.tls else None,
        heartbeat=HEARTBEAT_SECONDS,
        blocked_connection_timeout=ERRAND_SECONDS,
        socket_timeout=SOCKET_SECONDS,
        stack_timeout=STACK_SECONDS,
        client_properties={"connection_name": name, "product": "countersign"},
    )


def reason(error: BaseException) -> str:
    """What the broker, or the socket, said."""
    # pika wraps what the socket said, sometimes with an empty text of its own.
    inner = error.args[0] if error.args else None
    if isinstance(inner, AMQPConnectionWorkflowFailed):
        inner = inner.exceptions[-1]
    if isinstance(inner, AMQPConnectorException):
        error = getattr(inner, "exception", inner)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    text = getattr(error, "reply_text", "") or str(error) or type(error).__name__
    quoted = re.search(r"ConnectionClosedByBroker: \(\d+\) (['\"])(.*)\1", text)
    return quoted[2] if quoted else text
