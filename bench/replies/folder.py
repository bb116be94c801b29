"""Replies to a mailbox in a running Dovecot, and how many of them are still in its folder."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers.dovecot import Dovecot, DovecotUser, find_program

PLACES = "new", "cur"
PASSWORD = "a-password"


class NoDovecotError(Exception):
    """Dovecot is not installed."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A mailbox full of replies, seen from the server's side."""

    user: DovecotUser
    logins_before: int

    @property
    def port(self) -> int:
        """Where IMAP is, on loopback."""
        return self.user.server.port

    def left(self) -> int:
        """How many mails are in it. Cheap enough to be asked every few milliseconds."""
        return sum(len(os.listdir(self.user.home / "mail" / place)) for place in PLACES)  # noqa: PTH208 - the fastest

    def is_entered(self) -> bool:
        """Whether somebody has logged in since it was filled."""
        return _logins(self.user) > self.logins_before

    def quarantined(self) -> int:
        """How many mails were put aside."""
        folder = self.user.home / "mail" / ".Quarantine"
        return sum(len(list((folder / place).iterdir())) for place in PLACES) if folder.exists() else 0


@contextmanager
def dovecot() -> Iterator[Dovecot]:
    """A Dovecot of this run.

    Raises:
        NoDovecotError: it is not installed.
    """
    program = find_program()
    if program is None:
        raise NoDovecotError("Dovecot is not installed: on Debian dovecot-imapd and dovecot-lmtpd")
    with Dovecot(program) as server:
        yield server


def fill(server: Dovecot, mails: Sequence[bytes]) -> Folder:
    """A new user with these mails in INBOX, as a delivery agent would have left them."""
    user = server.create_user()
    _simplify_password(user)
    user.mails()  # Dovecot has made its folders then
    new = user.home / "mail" / "new"
    for number, mail in enumerate(mails, 1):
        path = new / f"{number:010}.M{number}P1.localhost"
        path.write_bytes(mail)
        shutil.chown(path, new.owner(), new.group())
    with user.client() as client:
        # What is listed once lies where Dovecot keeps it: no contender pays for the first look.
        client.select_folder("INBOX", readonly=True)
    return Folder(user, _logins(user))


def _simplify_password(user: DovecotUser) -> None:
    # Ruby's Net::IMAP fails on one that is not ASCII.
    path = user.server.folder / "users" / user.name
    path.write_text(path.read_text().replace(user.password, PASSWORD))
    user.password = PASSWORD


def _logins(user: DovecotUser) -> int:
    log = Path(user.server.folder / "log")
    return log.read_bytes().count(f"Login: user=<{user.name}>".encode())
