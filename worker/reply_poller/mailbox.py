"""An account to the mails in its reply folder, oldest first; and what was read, to where it belongs.

::

    Mailbox ─ Session ─ Client ─ Line     octets: a socket, bounded and in time
       │         │         └───────────── imapclient, logged in
       │         └─────────────────────── typed answers; whatever breaks is an outage
       └───────────────────────────────── which mails, and what may be done with them
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from time import monotonic

import structlog

from worker.errors import OutageError, SettingsError
from worker.mail.wire import Handle
from worker.reply_poller.account import Account
from worker.reply_poller.imap_session import Head, Session
from worker.reply_poller.recipients import FIELDS, is_for

__all__ = ["MAX_MAIL_BYTES", "Account", "Mail", "Mailbox"]

MAX_MAIL_BYTES = 10_000_000
MAX_READ_BYTES = 64_000_000
"""Of all mails that one ``read`` gives."""

ANSWER_SECONDS = 60.0
PROBE_SECONDS = 120.0
"""So often a waiting connection proves that it is alive; IDLE ends at 29 minutes, and many a firewall forgets at 5."""

_HEADER_BYTES = 65536

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as it lies in the folder. ``raw`` is ``None`` where it is larger than ``MAX_MAIL_BYTES``.

    ``size`` is what the server says, ``received_at`` when it came to this server, in UTC.
    """

    uid: int
    raw: bytes | None = field(repr=False)
    size: int
    received_at: datetime


class Mailbox:
    """The reply folder of an account, for one thread; ``abort`` alone may come from any other.

    After any error the connection is closed: ``open`` makes a new one. Every method but ``open``, ``close`` and
    ``abort`` raises ``OutageError`` while it is not open.
    """

    def __init__(
        self, account: Account, *, answer_seconds: float = ANSWER_SECONDS, probe_seconds: float = PROBE_SECONDS
    ) -> None:
        self.name = account.name
        self._account = account
        self._answer_seconds = answer_seconds
        self._probe_seconds = probe_seconds
        self._handle = Handle()
        self._session: Session | None = None
        self._validity: int | None = None
        self._read: set[int] = set()
        self._withheld: set[int] = set()
        self._quarantine = account.quarantine_folder
        self._destination: str | None = None

    def open(self) -> None:
        """Connect, log in, open the folder, make the ones that mails are moved to; nothing where it is open.

        Raises:
            SettingsError: the server has neither UIDPLUS nor MOVE; a file of certificates can't be read.
            OutageError: anything that may pass: no connection, no TLS, no login, no such folder.
        """
        if self._session is not None:
            return
        try:
            self._session = Session(self._account, self._handle.hold, self._answer_seconds)
        except BaseException:
            self._handle.drop()
            raise
        with self._working() as session:
            self._withheld.clear()
            self._destination = self._choose_destination(session)
            self._quarantine = session.ensure(self._account.quarantine_folder)
            self._enter(session)

    def read(self, limit: int, *, set_aside: Collection[int] = ()) -> Sequence[Mail]:
        """The ``limit`` oldest mails, those set aside (by UID) behind all others; no flag changes.

        Fewer where they would be over ``MAX_READ_BYTES`` together. A mail that the server refuses to give out is left
        out, and set aside until the next ``open``.
        """
        with self._working() as session:
            aside = self._withheld.union(set_aside)
            session.refresh()
            heads = sorted(session.heads(limit + len(aside)), key=lambda head: head.uid in aside)
            mails = self._fetch(session, _affordable(heads[:limit]))
        self._read.update(mail.uid for mail in mails)
        return mails

    def remove(self, uids: Collection[int]) -> None:
        """What was read leaves the folder: moved where that is set or Gmail wants it, else deleted for good.

        Raises:
            OutageError: also where one of them was not read since the folder was made (UIDVALIDITY, RFC 9051 2.3.1.1).
        """
        with self._working() as session:
            self._check(uids)
            if self._destination is None:
                session.delete(uids)
            else:
                session.move(uids, self._destination)
        self._read.difference_update(uids)

    def quarantine(self, uids: Collection[int]) -> None:
        """What was read goes to the quarantine folder; errors as in ``remove``."""
        with self._working() as session:
            self._check(uids)
            session.move(uids, self._quarantine)
        self._read.difference_update(uids)

    def wait(self, seconds: float, *, idle: bool, is_stopping: Callable[[], bool]) -> None:
        """Return after ``seconds``, or within a second of ``is_stopping``.

        With ``idle`` it returns as soon as a mail comes, or has come since the last ``read``; without IDLE on the
        server that is noticed every two minutes.

        Raises:
            OutageError: the connection is lost; a silent one is noticed within ``PROBE_SECONDS`` and an answer's time.
        """
        until = monotonic() + seconds
        with self._working() as session:
            can_idle = idle and session.has("IDLE")

            def is_over() -> bool:
                return is_stopping() or (idle and session.grown)

            while not is_over() and (left := until - monotonic()) > 0:
                session.rest(min(left, self._probe_seconds), idle=can_idle, is_over=is_over)

    def find_foreign(self, address: str, separator: str) -> str | None:
        """Which mail in the folder is not addressed to ``address`` or its sub-addresses; ``None``: all are.

        It looks through the whole folder, and says of the mail only when it came and its UID.
        """
        with self._working() as session:
            session.refresh()
            for head, fields in session.fields(FIELDS, _HEADER_BYTES):
                if not is_for(address, separator, fields):
                    return f"the mail received {head.received_at:%Y-%m-%d %H:%M} UTC (UID {head.uid})"
        return None

    def purge_quarantine(self, older_than: datetime) -> int:
        """Delete what lies in the quarantine since before then; how many mails that were."""
        with self._working() as session:
            session.select(self._quarantine)
            uids = session.older(older_than)
            self._delete(session, uids)
            self._enter(session)
        return len(uids)

    def close(self) -> None:
        """Say goodbye and close; harmless when it is not open."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
        self._handle.drop()

    def abort(self) -> None:
        """Cut the connection, from any thread or signal, and each one made from now on."""
        self._handle.abort()

    @contextmanager
    def _working(self) -> Iterator[Session]:
        session = self._session
        if session is None:
            raise OutageError(f"{self._account.server}: the mailbox is not open")
        try:
            yield session
        except BaseException:
            # What the server was about to say would be taken for the next answer.
            self._session = None
            session.cut()
            self._handle.drop()
            raise

    def _enter(self, session: Session) -> None:
        validity = session.select(self._account.folder)
        if validity != self._validity:
            if self._validity is not None:
                log.warning("the reply folder was made anew", mailbox=self.name)
            self._read.clear()
            self._withheld.clear()
            self._validity = validity

    def _check(self, uids: Collection[int]) -> None:
        if not self._read.issuperset(uids):
            raise OutageError(
                f"{self._account.server}: folder {self._account.folder} changed since these mails were read"
            )

    def _choose_destination(self, session: Session) -> str | None:
        """Where removed mails go; ``None``: nowhere, they are deleted."""
        if not (session.has("UIDPLUS") or session.has("MOVE")):
            raise SettingsError(
                f"IMAP_HOST: {self._account.server} has neither UIDPLUS nor MOVE: without one of them a mail can't be"
                " removed without risk for others; use a server that has"
            )
        if self._account.processed_folder is not None:
            return session.ensure(self._account.processed_folder)
        return _trash(session)

    def _delete(self, session: Session, uids: Collection[int]) -> None:
        trash = _trash(session) if uids else None
        if trash is None:
            session.delete(uids)
        else:
            session.move(uids, trash)

    def _fetch(self, session: Session, heads: Sequence[Head]) -> list[Mail]:
        wanted = [head for head in heads if head.size <= MAX_MAIL_BYTES]
        # One octet more than allowed: what a server says of the size is at times an estimate.
        contents = session.contents(wanted, MAX_MAIL_BYTES + 1)
        missing = {head.uid for head in wanted} - contents.keys()
        if missing - self._withheld:
            log.warning("the server does not give mails out", mailbox=self.name, uids=sorted(missing - self._withheld))
        self._withheld |= missing
        return [_mail(head, contents.get(head.uid)) for head in heads if head.uid not in missing]


def _trash(session: Session) -> str | None:
    """Where mails go when they are deleted, on servers that delete in no other way."""
    if session.has("X-GM-EXT-1"):
        # There, to expunge may only archive.
        trash = session.trash()
        if trash is None:
            raise SettingsError(
                "Gmail does not show its Trash: turn on Show in IMAP for it (Settings, Labels), or set PROCESSED_FOLDER"
            )
        return trash
    return None if session.has("UIDPLUS") else session.trash() or session.ensure("Trash")


def _mail(head: Head, raw: bytes | None) -> Mail:
    if raw is not None and len(raw) > MAX_MAIL_BYTES:
        raw = None
    return Mail(head.uid, raw, head.size, head.received_at)


def _affordable(heads: Sequence[Head]) -> Sequence[Head]:
    """As many as may be held at once, and one in any case."""
    sizes = accumulate(head.size if head.size <= MAX_MAIL_BYTES else 0 for head in heads)
    count = sum(size <= MAX_READ_BYTES for size in sizes)
    return heads[: max(count, 1)]
