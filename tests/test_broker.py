"""Broker URLs, connections over plain TCP and TLS, and publishing that is proven."""

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import pika
import pytest
import trustme
from front import TlsFront
from hypothesis import given
from hypothesis import strategies as st
from servers.proxy import TcpProxy

from worker.broker import Address, connect, open_channel, parse_url, publish
from worker.errors import OutageError, PermanentError, SettingsError

StartProxy = Callable[[tuple[str, int]], TcpProxy]

PERSISTENT = pika.BasicProperties(delivery_mode=2)


@pytest.fixture
def connection(vhost_url: str) -> Iterator[pika.BlockingConnection]:
    """A connection to an empty virtual host."""
    connection = connect([vhost_url])
    yield connection
    if connection.is_open:
        connection.close()


def broker_of(url: str) -> tuple[str, int]:
    """Host and port in a URL."""
    address = parse_url(url)
    return address.host, address.port


def through(url: str, port: int, *, scheme: str = "amqp", host: str = "127.0.0.1") -> str:
    """The same URL, but by way of ``host`` and ``port``."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return parts._replace(scheme=scheme, netloc=f"{login}@{host}:{port}").geturl()


@pytest.mark.parametrize(
    ("url", "host", "port", "user", "vhost", "tls"),
    [
        ("amqp://guest:guest@localhost:5672/", "localhost", 5672, "guest", "/", False),
        ("amqp://mq.example", "mq.example", 5672, "guest", "/", False),
        ("amqps://dana:pw@mq.example/prod", "mq.example", 5671, "dana", "prod", True),
        ("amqp://d%40na:p%2Fw@[::1]:5700/%2F", "::1", 5700, "d@na", "/", False),
        (" AMQP://h:1/a%2Fb ", "h", 1, "guest", "a/b", False),
    ],
)
def test_url_parts(url: str, host: str, port: int, user: str, vhost: str, *, tls: bool) -> None:
    """Host, port, user and virtual host are read from a URL, with the defaults of AMQP."""
    address = parse_url(url)
    assert (address.host, address.port, address.user, address.vhost, address.tls) == (host, port, user, vhost, tls)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:5672",
        "http://dana:s3cret@h/",
        "amqp://",
        "amqp://dana:s3cret@h:port/",
        "amqp://dana:s3cret@h:99999/",
        "amqp://dana:s3cret@[::1/",
        "amqp://dana:s3cret@h/?heartbeat=5",
        "amqp://dana:s3cret#@h/",
    ],
)
def test_url_refused(url: str) -> None:
    """What is no broker URL is a settings error that names BROKER_URL and never shows the password."""
    with pytest.raises(SettingsError, match="BROKER_URL") as refusal:
        parse_url(url)
    assert "s3cret" not in str(refusal.value)


@given(st.text())
def test_url_any_text(text: str) -> None:
    """Any text is an address or a settings error, nothing else."""
    with suppress(SettingsError):
        assert isinstance(parse_url(f"amqp://{text}"), Address)


@given(user=st.text(min_size=1), password=st.text(), vhost=st.text(min_size=1))
def test_url_quoting(user: str, password: str, vhost: str) -> None:
    """Any user, password and virtual host arrive as they are when they are percent-encoded."""
    address = parse_url(
        "amqp://{}:{}@h/{}".format(*(quote(part, safe="", errors="replace") for part in (user, password, vhost)))
    )
    assert address.user == user.encode(errors="replace").decode()
    assert address.password.get_secret_value() == password.encode(errors="replace").decode()
    assert address.vhost == vhost.encode(errors="replace").decode()


def test_connect_in_turn(vhost_url: str) -> None:
    """A broker that is down is passed over for the next one."""
    connect([through(vhost_url, 1), vhost_url]).close()


def test_connect_none_answers(vhost_url: str) -> None:
    """When no broker takes us the error names each host and port with what it said, and no password."""
    wrong = vhost_url.replace(urlsplit(vhost_url).netloc.rpartition("@")[0], "dana:s3cret")
    with pytest.raises(OutageError) as refusal:
        connect(["amqp://dana:s3cret@127.0.0.1:1/", wrong])
    assert "127.0.0.1:1: Connection refused; " in str(refusal.value)
    assert f"{broker_of(vhost_url)[1]}: ACCESS_REFUSED - Login was refused" in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_connect_unknown_vhost(vhost_url: str) -> None:
    """A virtual host that is not there is said in the broker's words."""
    with pytest.raises(OutageError, match="NOT_ALLOWED - vhost none-such not found"):
        connect([urlsplit(vhost_url)._replace(path="/none-such").geturl()])


def test_connect_no_broker_there(vhost_url: str, tcp_proxy: StartProxy) -> None:
    """Something that hangs up without speaking AMQP is an outage, not a crash."""
    proxy = tcp_proxy(broker_of(vhost_url))
    proxy.refuse()
    with pytest.raises(OutageError, match=f"{proxy.port}: "):
        connect([through(vhost_url, proxy.port)])


def a_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    """A server's context with a certificate for ``name``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def a_ca_file(authority: trustme.CA, folder: Path) -> Path:
    """The authority's certificate as a file."""
    path = folder / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


def test_tls_right_name(vhost_url: str, tmp_path: Path) -> None:
    """With the right name and authority ``amqps://`` connects, and works."""
    authority = trustme.CA()
    with TlsFront(broker_of(vhost_url), a_context(authority, "localhost")) as front:
        url = through(vhost_url, front.port, scheme="amqps", host="localhost")
        connection = connect([url], ca_file=a_ca_file(authority, tmp_path))
        with open_channel(connection) as channel:
            channel.queue_declare("q", durable=True)
        connection.close()


def test_tls_wrong_name(vhost_url: str, tmp_path: Path) -> None:
    """A certificate of a trusted authority for another host is refused."""
    authority = trustme.CA()
    with TlsFront(broker_of(vhost_url), a_context(authority, "mq.example")) as front:
        url = through(vhost_url, front.port, scheme="amqps", host="localhost")
        with pytest.raises(OutageError, match="certificate refused: Hostname mismatch"):
            connect([url], ca_file=a_ca_file(authority, tmp_path))


def test_tls_untrusted_authority(vhost_url: str, tmp_path: Path) -> None:
    """A certificate of an authority that is not ours is refused, and so it is by the system's store."""
    with TlsFront(broker_of(vhost_url), a_context(trustme.CA(), "localhost")) as front:
        url = through(vhost_url, front.port, scheme="amqps", host="localhost")
        for ca_file in (a_ca_file(trustme.CA(), tmp_path), None):
            with pytest.raises(OutageError, match="certificate refused: "):
                connect([url], ca_file=ca_file)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_tls_bad_ca_file(tmp_path: Path, content: bytes | None) -> None:
    """A CA file that is missing or holds no certificate is a settings error, not an outage."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"TLS_CA_FILE: .*ca\.pem: "):
        connect(["amqps://localhost:1/"], ca_file=path)


def publish_to(
    connection: pika.BlockingConnection,
    queue: str = "q",
    *,
    exchange: str = "",
    body: bytes = b"",
    first: Callable[[], None] = lambda: None,
    seconds: float = 30,
) -> None:
    """One publish on a channel of its own; ``first`` happens after the channel is open."""
    with open_channel(connection, seconds=seconds) as channel:
        channel.confirm_delivery()
        first()
        publish(channel, exchange, queue, body, PERSISTENT)


def declare_queue(connection: pika.BlockingConnection, **arguments: str | int) -> None:
    """A queue ``q``; ``max_length=1`` is the argument ``x-max-length``."""
    named = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    with open_channel(connection) as channel:
        channel.queue_declare("q", durable=True, arguments=named)


def test_publish_is_kept(connection: pika.BlockingConnection) -> None:
    """What was published is in the queue when publish returns."""
    declare_queue(connection)
    publish_to(connection, body=b"hello")
    with open_channel(connection) as channel:
        assert channel.basic_get("q")[2] == b"hello"


def test_publish_unroutable(connection: pika.BlockingConnection) -> None:
    """No queue bound is an outage that says what to declare; the connection lives on."""
    with pytest.raises(OutageError, match="no queue for nowhere: declare the topology"):
        publish_to(connection, "nowhere", exchange="amq.topic")
    assert connection.is_open


def test_publish_exchange_missing(connection: pika.BlockingConnection) -> None:
    """An exchange that is not there is an outage in the broker's words; the connection lives on."""
    with pytest.raises(OutageError, match="no exchange 'none-such'"):
        publish_to(connection, exchange="none-such")
    assert connection.is_open


def test_publish_queue_full(connection: pika.BlockingConnection) -> None:
    """A queue that refuses is an outage: nothing is wrong with what is published."""
    declare_queue(connection, max_length=1, overflow="reject-publish")
    publish_to(connection)
    with pytest.raises(OutageError, match="a queue is full or away"):
        publish_to(connection)


def test_publish_too_large(connection: pika.BlockingConnection) -> None:
    """A body over the broker's limit is refused for good: the same one fails again."""
    declare_queue(connection)
    with pytest.raises(PermanentError, match="message size"):
        publish_to(connection, body=bytes(17 * 1024 * 1024))


def test_publish_unanswered(vhost_url: str, tcp_proxy: StartProxy) -> None:
    """A broker that takes a publish and never confirms it is an outage after the time given, not a wait for ever."""
    proxy = tcp_proxy(broker_of(vhost_url))
    connection = connect([through(vhost_url, proxy.port)])
    declare_queue(connection)
    started = time.monotonic()
    with pytest.raises(OutageError, match=r"did not answer within 0\.3 s"):
        publish_to(connection, first=proxy.stall, seconds=0.3)
    assert time.monotonic() - started < 3
    assert connection.is_closed


def test_publish_line_cut(vhost_url: str, tcp_proxy: StartProxy) -> None:
    """A connection lost before the confirm is an outage, and the connection is closed."""
    proxy = tcp_proxy(broker_of(vhost_url))
    connection = connect([through(vhost_url, proxy.port)])
    with pytest.raises(OutageError, match="connection to the broker lost"):
        publish_to(connection, first=proxy.cut)
    assert connection.is_closed


def test_channel_in_time(connection: pika.BlockingConnection) -> None:
    """The time limit of one errand does not hit the next."""
    declare_queue(connection)
    publish_to(connection, seconds=0.2)
    connection.sleep(0.3)
    publish_to(connection)


def test_channel_after_a_lost_connection(connection: pika.BlockingConnection) -> None:
    """A channel on a connection that is gone is an outage."""
    connection.close()
    with pytest.raises(OutageError, match="connection to the broker lost: it is closed"):
        publish_to(connection)
