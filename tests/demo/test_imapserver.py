"""The demo's mailbox serves what a reader of replies asks of an IMAP server."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError, LoginError

from worker.demo.imapserver import ImapServer

PATIENCE = 5.0
FIRST, SECOND, THIRD = (b"Subject: %d\r\n\r\nline\r\n.\r\n\xff\r\n" % number for number in range(3))


@pytest.fixture
def mailbox() -> Iterator[ImapServer]:
    """A mailbox of this test's own."""
    with ImapServer("approvals@corp.example") as mailbox:
        yield mailbox


@pytest.fixture
def client(mailbox: ImapServer) -> Iterator[IMAPClient]:
    """A client that has selected INBOX."""
    client = _client(mailbox)
    client.select_folder("INBOX")
    yield client
    client.logout()


def _client(mailbox: ImapServer) -> IMAPClient:
    client = IMAPClient("127.0.0.1", mailbox.port, ssl=False, timeout=PATIENCE)
    client.login(mailbox.user, mailbox.password)
    return client


def test_it_starts_empty_and_at_once(mailbox: ImapServer) -> None:
    """One INBOX without mails, ready when the block begins; it offers what the poller asks for, and no STARTTLS."""
    started = time.monotonic()
    client = _client(mailbox)
    assert time.monotonic() - started < 1
    assert client.select_folder("INBOX")[b"EXISTS"] == 0
    assert {b"IDLE", b"MOVE", b"UIDPLUS"} <= set(client.capabilities())
    assert not client.has_capability("STARTTLS")
    client.logout()

    assert mailbox.folders() == {"INBOX": ()}


def test_a_wrong_password_is_refused(mailbox: ImapServer) -> None:
    """Also on loopback."""
    with IMAPClient("127.0.0.1", mailbox.port, ssl=False, timeout=PATIENCE) as client, pytest.raises(LoginError):
        client.login(mailbox.user, "wrong")


def test_a_mail_is_found_as_it_was_delivered(mailbox: ImapServer, client: IMAPClient) -> None:
    """By sequence number and by UID, octet for octet, with its size and when it came; looking at it marks nothing."""
    mailbox.deliver(FIRST)
    mailbox.deliver(SECOND)
    client.noop()
    uids = client.search()
    client.normalise_times = False
    wanted = [b"BODY.PEEK[]", b"RFC822.SIZE", b"INTERNALDATE", b"FLAGS"]
    by_uid = client.fetch(uids, wanted)
    client.use_uid = False
    by_number = client.fetch([1, 2], [b"UID", *wanted])
    client.use_uid = True

    assert [by_uid[uid][b"BODY[]"] for uid in uids] == [FIRST, SECOND]
    assert [(by_number[number][b"UID"], by_number[number][b"BODY[]"]) for number in (1, 2)] == list(
        zip(uids, (FIRST, SECOND), strict=True)
    )
    assert by_uid[uids[0]][b"RFC822.SIZE"] == len(FIRST)
    assert abs((datetime.now(UTC) - by_uid[uids[0]][b"INTERNALDATE"]).total_seconds()) < 5
    assert b"\\Seen" not in client.fetch(uids, [b"FLAGS"])[uids[0]][b"FLAGS"]


def test_who_waits_hears_of_a_mail(mailbox: ImapServer, client: IMAPClient) -> None:
    """IDLE wakes when a mail is delivered, and when another client appends one."""
    other = _client(mailbox)
    client.idle()
    for number, deliver in enumerate((mailbox.deliver, lambda raw: other.append("INBOX", raw)), start=1):
        threading.Timer(0.1, deliver, (FIRST,)).start()
        started = time.monotonic()
        assert (number, b"EXISTS") in client.idle_check(timeout=PATIENCE)
        assert time.monotonic() - started < 1
        _drain(client)
    client.idle_done()
    other.logout()


def _drain(client: IMAPClient) -> None:
    while client.idle_check(timeout=0.1):
        pass


def test_what_came_before_the_waiting_is_told(mailbox: ImapServer, client: IMAPClient) -> None:
    """No mail is missed between the last look and IDLE."""
    mailbox.deliver(FIRST)
    client.idle()
    assert (1, b"EXISTS") in client.idle_check(timeout=PATIENCE)
    client.idle_done()


def test_no_line_comes_in_halves(mailbox: ImapServer, client: IMAPClient) -> None:
    """A client that idles and reads what is there gets whole lines: imapclient fails on half a one."""
    client.idle()
    for count in range(1, 51):
        mailbox.deliver(b"Subject: %d\r\n\r\n" % count)
        client.idle_check(timeout=PATIENCE)
    _drain(client)
    client.idle_done()

    assert len(client.search()) == 50


def test_mails_move_to_other_folders(mailbox: ImapServer, client: IMAPClient) -> None:
    """CREATE, COPY, MOVE, and UID EXPUNGE of these alone; what others flagged stays."""
    for raw in (FIRST, SECOND, THIRD):
        mailbox.deliver(raw)
    client.noop()
    first, second, third = client.search()
    with pytest.raises(IMAPClientError, match="TRYCREATE"):
        client.move([first], "Quarantine")
    client.create_folder("Quarantine")
    client.copy([first], "Quarantine")
    client.move([second], "Quarantine")
    client.delete_messages([first, third])
    client.uid_expunge([first])

    assert client.search() == [third]
    assert mailbox.folders() == {"INBOX": (THIRD,), "Quarantine": (FIRST, SECOND)}


def test_clients_are_told_when_it_stops(recwarn: pytest.WarningsRecorder) -> None:
    """BYE, also while they wait, and nothing is left open."""
    with ImapServer("approvals@corp.example") as mailbox:
        client = _client(mailbox)
        client.select_folder("INBOX")
        client.idle()
    assert client.idle_check(timeout=PATIENCE)[0][0] == b"BYE"
    client.shutdown()

    assert not recwarn.list
