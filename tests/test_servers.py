"""The servers that other tests lean on do what their names say."""

import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pika
import psycopg
import pytest
import trustme
from servers.absence import missing
from servers.mailbox_sink import SmtpSink, TakenMail
from servers.ports import LOOPBACK, answers, free_port, wait_until
from servers.postfix_sink import PostfixSink
from servers.postgres import Cluster
from servers.proxy import TcpProxy
from servers.rabbitmq import RabbitMQ, named

MAIL = b"Subject: hello\r\n\r\nfirst\r\n.second\r\n"
SENDER, DANA, MAX = "us@corp.example", "dana@corp.example", "max@corp.example"

StartProxy = Callable[[tuple[str, int]], TcpProxy]
StartPostfixSink = Callable[..., PostfixSink]


def send(port: int, *recipients: str) -> None:
    """One mail through the standard library's client."""
    with smtplib.SMTP(LOOPBACK, port, timeout=10) as session:
        session.sendmail(SENDER, recipients or [DANA], MAIL)


def echo_through(proxy: TcpProxy, *, timeout: float = 5.0) -> bytes:
    """The first bytes that the server behind the proxy says."""
    with socket.create_connection((LOOPBACK, proxy.port), timeout=timeout) as line:
        return line.recv(100)


def test_missing_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing server skips a test at a developer's desk."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no such server: install it"):
        missing("such server", "install it")


def test_missing_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing server fails the test in CI, and the text says what to do."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no such server: install it"):
        missing("such server", "install it")


def test_waiting_has_an_end() -> None:
    """What never happens is said to be missing, in time."""
    with pytest.raises(TimeoutError, match="the flood did not happen"):
        wait_until(lambda: False, "the flood", 0.05)


def test_free_port_is_free() -> None:
    """Nothing listens on it."""
    assert not answers(free_port())


def test_management_port_follows() -> None:
    """The management API is 10,000 above the broker's port, unless it is named."""
    assert named("amqp://h:5701/", None).management == "http://h:15701"
    assert named("amqp://h/", None).management == "http://h:15672"
    assert named("amqp://h/", "http://m:1").management == "http://m:1"


def test_vhost_is_empty_and_goes(broker: RabbitMQ) -> None:
    """A virtual host takes a queue, shows it to nobody else, and is gone afterwards."""
    with broker.virtual_host() as url:
        name = url.rpartition("/")[2]
        with pika.BlockingConnection(pika.URLParameters(url)) as connection:
            connection.channel().queue_declare("here", durable=True, arguments={"x-queue-type": "quorum"})
        assert [queue["name"] for queue in broker.ask("GET", f"queues/{name}")] == ["here"]
    assert name not in [vhost["name"] for vhost in broker.ask("GET", "vhosts")]


def test_two_vhosts_differ(broker: RabbitMQ, vhost_url: str) -> None:
    """Each test has its own."""
    with broker.virtual_host() as other:
        assert other != vhost_url


def test_databases_are_apart(postgres_cluster: Cluster) -> None:
    """What one test creates another does not find."""
    one, other = (postgres_cluster.create_database().replace("+psycopg", "") for _ in range(2))
    with psycopg.connect(one) as connection:
        connection.execute("CREATE TABLE here (a int)")
    with psycopg.connect(other) as connection:
        found = connection.execute("SELECT to_regclass('here')").fetchone()
    assert found == (None,)


def test_mail_is_kept_as_it_came(mailbox_sink: SmtpSink) -> None:
    """Envelope and bytes are those of the client, and the mail is parsed."""
    send(mailbox_sink.port, DANA, MAX)
    assert mailbox_sink.wait_for(1) == [TakenMail(SENDER, (DANA, MAX), MAIL)]
    assert mailbox_sink.mails[0].parsed["Subject"] == "hello"


def test_mail_that_never_comes(mailbox_sink: SmtpSink) -> None:
    """Waiting for a mail ends."""
    with pytest.raises(TimeoutError):
        mailbox_sink.wait_for(1, 0.05)


def test_recipient_refused(mailbox_sink: SmtpSink) -> None:
    """One recipient is refused with the code asked for, the other gets the mail."""
    mailbox_sink.fail("RCPT", "550 5.1.1 nobody", recipient=MAX)
    with smtplib.SMTP(LOOPBACK, mailbox_sink.port) as session:
        refused = session.sendmail(SENDER, [DANA, MAX], MAIL)
    assert refused == {MAX: (550, b"5.1.1 nobody")}
    assert mailbox_sink.wait_for(1)[0].recipients == (DANA,)


@pytest.mark.parametrize("stage", ["MAIL", "DATA"])
def test_fault_and_mending(mailbox_sink: SmtpSink, stage: str) -> None:
    """A stage fails until it is mended."""
    mailbox_sink.fail("MAIL" if stage == "MAIL" else "DATA", "451 4.3.0 later")
    with pytest.raises(smtplib.SMTPResponseException, match="later"):
        send(mailbox_sink.port)
    assert mailbox_sink.mails == []
    mailbox_sink.mend()
    send(mailbox_sink.port)
    assert (len(mailbox_sink.mails), mailbox_sink.attempts) == (1, 2)


def test_greeting_refused(mailbox_sink: SmtpSink) -> None:
    """EHLO can fail too."""
    mailbox_sink.fail("EHLO", "550 5.7.1 go away")
    with smtplib.SMTP(LOOPBACK, mailbox_sink.port) as session:
        assert session.ehlo() == (550, b"5.7.1 go away")


def test_421_ends_the_session(mailbox_sink: SmtpSink) -> None:
    """A 421 is answered, and then the line is dead."""
    mailbox_sink.fail("MAIL", "421 4.3.2 shutting down")
    with socket.create_connection((LOOPBACK, mailbox_sink.port), timeout=5) as line, line.makefile("rwb") as stream:
        stream.readline()
        stream.write(b"HELO me\r\nMAIL FROM:<us@corp.example>\r\n")
        stream.flush()
        assert stream.read().splitlines()[-1] == b"421 4.3.2 shutting down"


def test_login_over_tls(tmp_path: Path) -> None:
    """With a certificate and a login, nothing is taken before STARTTLS and AUTH."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with SmtpSink(tls=tls, login=("dana", "s3cret")) as sink, smtplib.SMTP("localhost", sink.port) as session:
        assert session.mail(SENDER)[0] == 530
        session.starttls(context=client)
        with pytest.raises(smtplib.SMTPAuthenticationError):
            session.login("dana", "wrong")
        session.login("dana", "s3cret")
        session.sendmail(SENDER, [DANA], MAIL)
        assert len(sink.wait_for(1)) == 1


def test_login_in_the_clear() -> None:
    """With a login alone, AUTH is offered at once, and needed."""
    with SmtpSink(login=("dana", "s3cret")) as sink, smtplib.SMTP(LOOPBACK, sink.port) as session:
        session.ehlo()
        assert session.mail(SENDER)[0] == 530
        session.login("dana", "s3cret")
        assert session.mail(SENDER)[0] == 250


def test_postfix_keeps_mails(smtp_sink: StartPostfixSink) -> None:
    """smtp-sink's files are read back as the mails that were sent."""
    sink = smtp_sink()
    send(sink.port, DANA, MAX)
    assert sink.wait_for(1) == [TakenMail(SENDER, (DANA, MAX), MAIL)]


def test_postfix_takes_options(smtp_sink: StartPostfixSink) -> None:
    """Its options arrive: this one refuses recipients."""
    sink = smtp_sink("-r", "RCPT")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(sink.port)
    assert sink.mails() == []


def test_proxy_passes(mailbox_sink: SmtpSink, tcp_proxy: StartProxy) -> None:
    """Left alone, it is not noticed."""
    proxy = tcp_proxy((LOOPBACK, mailbox_sink.port))
    send(proxy.port)
    assert (mailbox_sink.wait_for(1)[0].content, proxy.accepted) == (MAIL, 1)


def test_proxy_refuses_until_restored(mailbox_sink: SmtpSink, tcp_proxy: StartProxy) -> None:
    """A refused client gets no byte."""
    proxy = tcp_proxy((LOOPBACK, mailbox_sink.port))
    proxy.refuse()
    assert echo_through(proxy) == b""
    proxy.restore()
    assert echo_through(proxy).startswith(b"220 ")


def test_proxy_cuts(mailbox_sink: SmtpSink, tcp_proxy: StartProxy) -> None:
    """An open session ends; the next one works."""
    proxy = tcp_proxy((LOOPBACK, mailbox_sink.port))
    with socket.create_connection((LOOPBACK, proxy.port), timeout=5) as line:
        assert line.recv(100).startswith(b"220 ")
        proxy.cut()
        assert line.recv(100) == b""
    assert echo_through(proxy).startswith(b"220 ")


def test_proxy_stalls(mailbox_sink: SmtpSink, tcp_proxy: StartProxy) -> None:
    """What is held back comes when the stall is over."""
    proxy = tcp_proxy((LOOPBACK, mailbox_sink.port))
    proxy.stall()
    with socket.create_connection((LOOPBACK, proxy.port), timeout=0.2) as line:
        with pytest.raises(TimeoutError):
            line.recv(100)
        proxy.restore()
        line.settimeout(5)
        assert line.recv(100).startswith(b"220 ")


def test_proxy_delays(mailbox_sink: SmtpSink, tcp_proxy: StartProxy) -> None:
    """Bytes take the time asked for."""
    proxy = tcp_proxy((LOOPBACK, mailbox_sink.port))
    proxy.delay(0.2)
    started = time.monotonic()
    assert echo_through(proxy).startswith(b"220 ")
    assert time.monotonic() - started >= 0.2


def test_proxy_before_a_server_that_is_away(tcp_proxy: StartProxy) -> None:
    """Its client is cut off, as by a server that just went."""
    assert echo_through(tcp_proxy((LOOPBACK, free_port()))) == b""
