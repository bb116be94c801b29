"""Waiting for mail: woken by it, by a stop, by the end of the connection; never asleep for good."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from reply_poller.mailboxes import a_mail, an_account, an_open_mailbox, subject_of
from servers.dovecot import CAPABILITIES, Dovecot, DovecotUser
from servers.proxy import TcpProxy

from worker.errors import OutageError
from worker.reply_poller.mailbox import Mailbox

StartProxy = Callable[[tuple[str, int]], TcpProxy]


def never() -> bool:
    """Nobody stops."""
    return False


@contextmanager
def soon(act: Callable[[], object], seconds: float = 0.5) -> Iterator[None]:
    """Do that meanwhile, after so many seconds."""
    timer = threading.Timer(seconds, act)
    timer.start()
    try:
        yield
    finally:
        timer.join(10)


def seconds_of(wait: Callable[[], object]) -> float:
    """How long it took."""
    started = time.monotonic()
    wait()
    return time.monotonic() - started


@pytest.mark.parametrize("again", [False, True])
def test_a_mail_wakes_within_two_seconds(dovecot: DovecotUser, *, again: bool) -> None:
    """IDLE tells of it when it comes; also after it was begun anew meanwhile."""
    with an_open_mailbox(dovecot, probe_seconds=0.2 if again else 120.0) as mailbox:
        mailbox.read(30)
        with soon(lambda: dovecot.deliver(a_mail("one"))):
            took = seconds_of(lambda: mailbox.wait(20, idle=True, is_stopping=never))
        assert 0.4 < took < 2.5
        assert [subject_of(mail.raw) for mail in mailbox.read(30)] == ["one"]


def test_a_mail_that_came_before_the_wait_wakes_at_once(dovecot: DovecotUser) -> None:
    """What another command's answer told in passing is not slept over."""
    dovecot.append(a_mail("one"))
    with an_open_mailbox(dovecot) as mailbox:
        mailbox.read(30)
        dovecot.append(a_mail("two"))
        mailbox.remove([1])
        assert seconds_of(lambda: mailbox.wait(20, idle=True, is_stopping=never)) < 2
        mailbox.read(30)
        assert seconds_of(lambda: mailbox.wait(1, idle=True, is_stopping=never)) > 0.9


def test_a_mail_that_leaves_does_not_wake(dovecot: DovecotUser) -> None:
    """Only what comes is worth reading."""
    dovecot.append(a_mail("one"))
    with an_open_mailbox(dovecot) as mailbox:
        mailbox.read(30)

        def delete() -> None:
            with dovecot.client() as other:
                other.select_folder("INBOX")
                other.delete_messages([1])
                other.expunge()

        with soon(delete, 0.2):
            assert seconds_of(lambda: mailbox.wait(2.5, idle=True, is_stopping=never)) > 2.4


def test_without_idle_the_interval_is_waited_out(dovecot: DovecotUser) -> None:
    """Who has read enough for now is not woken by more."""
    with an_open_mailbox(dovecot) as mailbox:
        mailbox.read(30)
        dovecot.append(a_mail("one"))
        assert seconds_of(lambda: mailbox.wait(1, idle=False, is_stopping=never)) > 0.9


def test_a_server_without_idle_is_asked(dovecot_server: Dovecot) -> None:
    """Where there is no IDLE, the proof that the connection lives brings the news."""
    user = dovecot_server.create_user(capabilities=CAPABILITIES.replace(" IDLE", ""))
    with an_open_mailbox(user, probe_seconds=0.3) as mailbox:
        mailbox.read(30)
        with soon(lambda: user.append(a_mail("one"))):
            assert seconds_of(lambda: mailbox.wait(20, idle=True, is_stopping=never)) < 3


@pytest.mark.parametrize("idle", [False, True])
def test_a_stop_ends_the_wait_within_a_second(dovecot: DovecotUser, *, idle: bool) -> None:
    """A shutdown need not wait for the interval; the session is as good as before."""
    stop = threading.Event()
    with an_open_mailbox(dovecot) as mailbox:
        with soon(stop.set):
            assert seconds_of(lambda: mailbox.wait(60, idle=idle, is_stopping=stop.is_set)) < 1.5
        assert mailbox.read(30) == []


@pytest.mark.parametrize("idle", [False, True])
def test_goodbye_is_an_outage(dovecot: DovecotUser, *, idle: bool) -> None:
    """A server that ends the session is heard at once, and the next open finds it again."""
    with an_open_mailbox(dovecot) as mailbox:
        with soon(dovecot.kick), pytest.raises(OutageError, match=r"BYE|closed"):
            mailbox.wait(20, idle=idle, is_stopping=never)
        with pytest.raises(OutageError, match="not open"):
            mailbox.wait(20, idle=idle, is_stopping=never)
        mailbox.open()
        assert mailbox.read(1) == []


def test_a_server_that_restarts_is_found_again(own_dovecot: Dovecot) -> None:
    """Away it is an outage, with host and port; back it is as before."""
    user = own_dovecot.create_user()
    user.append(a_mail("one"))
    with an_open_mailbox(user) as mailbox:
        (mail,) = mailbox.read(30)
        own_dovecot.stop()
        with pytest.raises(OutageError, match=r"BYE|closed"):
            mailbox.wait(20, idle=True, is_stopping=never)
        with pytest.raises(OutageError, match=rf"^127\.0\.0\.1:{own_dovecot.port}: connecting: .*refused"):
            mailbox.open()
        own_dovecot.start()
        mailbox.open()
        mailbox.remove([mail.uid])
    assert user.mails() == []


@pytest.mark.parametrize("idle", [False, True])
def test_a_line_that_is_cut_is_an_outage(dovecot: DovecotUser, tcp_proxy: StartProxy, *, idle: bool) -> None:
    """The end of a connection is noticed when it comes."""
    proxy = tcp_proxy(("127.0.0.1", dovecot.server.port))
    with (
        an_open_mailbox(dovecot, port=proxy.port) as mailbox,
        soon(proxy.cut),
        pytest.raises(OutageError, match="closed"),
    ):
        mailbox.wait(20, idle=idle, is_stopping=never)


@pytest.mark.parametrize("idle", [False, True])
def test_a_line_that_is_dead_is_an_outage(dovecot: DovecotUser, tcp_proxy: StartProxy, *, idle: bool) -> None:
    """A half-open connection says nothing, not even that it is gone: it is asked, and not waited for without end."""
    proxy = tcp_proxy(("127.0.0.1", dovecot.server.port))
    mailbox = Mailbox(an_account(dovecot, port=proxy.port), answer_seconds=0.5, probe_seconds=0.5)
    mailbox.open()
    proxy.stall()
    with pytest.raises(OutageError, match=r"no answer within 0\.5 seconds"):
        mailbox.wait(20, idle=idle, is_stopping=never)
    proxy.restore()
    mailbox.open()
    mailbox.close()


def test_a_dead_line_ends_every_command(dovecot: DovecotUser, tcp_proxy: StartProxy) -> None:
    """Reading, too, and saying goodbye."""
    proxy = tcp_proxy(("127.0.0.1", dovecot.server.port))
    mailbox = Mailbox(an_account(dovecot, port=proxy.port), answer_seconds=0.5)
    mailbox.open()
    proxy.stall()
    with pytest.raises(OutageError, match="NOOP: no answer"):
        mailbox.read(1)
    with pytest.raises(OutageError, match="connecting: no answer"):
        mailbox.open()
    proxy.restore()
    mailbox.open()
    proxy.stall()
    assert seconds_of(mailbox.close) < 4


def test_abort_cuts_from_another_thread(dovecot: DovecotUser, tcp_proxy: StartProxy) -> None:
    """Whatever is waited for ends at once, and no further connection is of use."""
    proxy = tcp_proxy(("127.0.0.1", dovecot.server.port))
    mailbox = Mailbox(an_account(dovecot, port=proxy.port))
    mailbox.open()
    proxy.stall()
    with soon(mailbox.abort), pytest.raises(OutageError):
        mailbox.read(1)
    with pytest.raises(OutageError):
        mailbox.open()


def test_open_is_idempotent(dovecot: DovecotUser, tcp_proxy: StartProxy) -> None:
    """One that is open is not opened twice."""
    proxy = tcp_proxy(("127.0.0.1", dovecot.server.port))
    with an_open_mailbox(dovecot, port=proxy.port) as mailbox:
        mailbox.open()
        mailbox.read(1)
    assert proxy.accepted == 1
