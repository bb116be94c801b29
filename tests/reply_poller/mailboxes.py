"""Mailboxes over a Dovecot of the tests, and mails to put into them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from servers.dovecot import DovecotUser

from worker.mail.relay import Password
from worker.reply_poller.mailbox import Account, Mailbox


def an_account(user: DovecotUser, **changes: Any) -> Account:
    """The account of that user in plain on loopback."""
    fields = {
        "host": "127.0.0.1",
        "port": user.server.port,
        "login": Password(user.name, user.password),
        "starttls": False,
    }
    return Account(**{**fields, **changes})


@contextmanager
def an_open_mailbox(
    user: DovecotUser, account: Account | None = None, *, probe_seconds: float = 120.0, **changes: Any
) -> Iterator[Mailbox]:
    """The user's mailbox, by that account or one with these changes, open; closed at the end."""
    mailbox = Mailbox(account or an_account(user, **changes), answer_seconds=10.0, probe_seconds=probe_seconds)
    mailbox.open()
    try:
        yield mailbox
    finally:
        mailbox.close()


def a_mail(subject: str, *, to: str = "approvals@corp.example", size: int = 0) -> bytes:
    """A mail with that subject, and so many octets of text at least."""
    lines = b"x" * 70 + b"\r\n"
    head = f"From: dana@corp.example\r\nTo: {to}\r\nSubject: {subject}\r\n\r\n".encode()
    return head + b"approve\r\n" + lines * (-(-size // len(lines)))


def subject_of(raw: bytes | None) -> str:
    """Its subject."""
    assert raw is not None
    return raw.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode()


def put(user: DovecotUser, *subjects: str, folder: str = "INBOX") -> None:
    """Mails with these subjects, in this order."""
    for subject in subjects:
        user.append(a_mail(subject), folder=folder)


def subjects(user: DovecotUser, folder: str = "INBOX") -> list[str]:
    """What lies in the folder, oldest first."""
    return [subject_of(raw) for raw in user.mails(folder)]


def read_subjects(mailbox: Mailbox, limit: int = 30, set_aside: tuple[int, ...] = ()) -> list[str]:
    """What is read, in its order."""
    return [subject_of(mail.raw) for mail in mailbox.read(limit, set_aside=set_aside)]
