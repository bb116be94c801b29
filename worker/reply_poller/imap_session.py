"""Questions about the selected folder to typed answers, by one logged-in imapclient; whatever breaks is an outage.

No text from a mail ever goes into a command: only numbers, and names from the settings.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from imapclient import DELETED
from imapclient.datetime_util import parse_to_datetime
from imapclient.imapclient import TRASH

from worker.errors import OutageError
from worker.reply_poller.account import Account
from worker.reply_poller.imap_line import Opened
from worker.reply_poller.imap_login import BROKEN, RefusalError, asking, close, log_in

SLICE_SECONDS = 0.25
"""How long nothing but the socket is looked at."""

_COMMAND_NUMBERS = 250  # a command line stays below 2 kB, what RFC 7162 4 and older servers take
_COMMAND_BYTES = 4_000_000
_PATIENCE = 5  # an answer may come in parts, each within the time for an answer
_FAREWELL_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Head:
    """What the server says of a mail before its text is asked for; ``number`` holds until the next command."""

    number: int
    uid: int
    size: int
    received_at: datetime


class Session:
    """A logged-in connection with one folder selected, for one thread.

    Each method but ``close`` raises ``OutageError`` (``RefusalError`` where the server merely said no); after any
    other than a refusal only ``close`` makes sense.
    """

    def __init__(self, account: Account, opened: Opened, answer_seconds: float) -> None:
        self._account = account
        self._answer_seconds = answer_seconds
        self._client = log_in(account, opened, answer_seconds)
        self._line = self._client.line

    @property
    def grown(self) -> bool:
        """Whether a mail has come since the last ``refresh``."""
        return self._line.grown

    def has(self, capability: str) -> bool:
        """Whether the server offers it."""
        with asking(self._account, "capabilities"):
            return bool(self._client.has_capability(capability))

    def select(self, folder: str) -> int:
        """Open a folder for reading and writing; its UIDVALIDITY."""
        self._allow()
        self._line.exists = 0
        with asking(self._account, f"folder {folder}"):
            return int(self._client.select_folder(folder)[b"UIDVALIDITY"])

    def refresh(self) -> int:
        """Hear what has changed; how many mails there are."""
        self._allow()
        with asking(self._account, "NOOP"):
            self._client.noop()
        self._line.grown = False
        return self._line.exists

    def heads(self, most: int) -> list[Head]:
        """The oldest mails, as many as that or all."""
        found = []
        for number, items in self._fetch(range(1, min(most, self._line.exists) + 1), "RFC822.SIZE", "INTERNALDATE"):
            with asking(self._account, "FETCH"):
                found.append(_head(number, items))
        if any(earlier.uid >= later.uid for earlier, later in pairwise(found)):
            raise OutageError(f"{self._account.server}: FETCH: the UIDs do not ascend")
        return found

    def contents(self, heads: Sequence[Head], most_bytes: int) -> dict[int, bytes]:
        """UIDs to raw mails, cut off behind ``most_bytes``, their flags as they were.

        A mail that is gone, or that the server refuses to give out, is not among them.
        """
        found: dict[int, bytes] = {}
        for batch in _batches(heads):
            try:
                found |= self._contents(batch, most_bytes)
            except RefusalError:
                for head in batch:
                    with suppress(RefusalError):
                        found |= self._contents([head], most_bytes)
        return found

    def fields(self, names: str, most_bytes: int) -> Iterator[tuple[Head, bytes]]:
        """Of each mail in the folder those fields of the header, oldest first."""
        section = f"BODY.PEEK[HEADER.FIELDS ({names})]<0.{most_bytes}>"
        for number, items in self._fetch(range(1, self._line.exists + 1), "RFC822.SIZE", "INTERNALDATE", section):
            with asking(self._account, "FETCH"):
                yield _head(number, items), _text(items) or b""

    def older(self, moment: datetime) -> list[int]:
        """The UIDs of mails that came into the folder before then, as far as the server knows, else were received."""
        saved = self.has("SAVEDATE")
        # The server compares days, in a time zone of its own.
        criteria = ["SAVEDBEFORE" if saved else "BEFORE", (moment + timedelta(days=2)).date()]
        self._allow()
        with asking(self._account, "SEARCH"):
            candidates = sorted(int(uid) for uid in self._client.search(criteria))
        return [uid for some in _chunks(candidates) for uid in self._older(some, moment, saved=saved)]

    def move(self, uids: Iterable[int], folder: str) -> None:
        """Move them into that folder, in one step where the server can."""
        for some in _chunks(sorted(uids)):
            if self.has("MOVE"):
                self._allow()
                with asking(self._account, f"MOVE to {folder}"):
                    self._client.move(some, folder)
            else:
                self._allow()
                with asking(self._account, f"COPY to {folder}"):
                    self._client.copy(some, folder)
                self.delete(some)

    def delete(self, uids: Iterable[int]) -> None:
        """Delete these, and nothing else that somebody flagged as deleted (RFC 4315)."""
        for some in _chunks(sorted(uids)):
            self._allow()
            with asking(self._account, "EXPUNGE"):
                self._client.add_flags(some, [DELETED], silent=True)
                self._client.uid_expunge(some)

    def rest(self, seconds: float, *, idle: bool, is_over: Callable[[], bool]) -> None:
        """Listen so long, or until ``is_over``, asked at least once a second; then prove that the server is there."""
        self._allow()
        with asking(self._account, "IDLE" if idle else "NOOP"):
            if idle:
                self._client.idle()
            until = time.monotonic() + seconds
            while not is_over() and (left := until - time.monotonic()) > 0:
                while self._line.has_line(min(left, SLICE_SECONDS)) and not is_over():
                    self._line.hear()
            self._allow()
            if idle:
                self._client.idle_done()
            else:
                self._client.noop()

    def ensure(self, folder: str) -> str:
        """Make that folder where it is missing; its name as the server wants it, below the personal namespace."""
        if self._exists(folder):
            return folder
        try:
            self._create(folder)
        except RefusalError:
            below = self._personal_prefix() + folder
            if below == folder:
                raise
            if not self._exists(below):
                self._create(below)
            return below
        return folder

    def trash(self) -> str | None:
        """The folder that the server calls the Trash (RFC 6154)."""
        self._allow()
        with asking(self._account, "LIST"):
            listed = self._client.list_folders()
            return next((str(name) for flags, _, name in listed if TRASH.lower() in map(bytes.lower, flags)), None)

    def close(self) -> None:
        """Say goodbye, whatever the server makes of it, and close."""
        with suppress(*BROKEN):
            self._line.allow(_FAREWELL_SECONDS)
            self._client.logout()
        self.cut()

    def cut(self) -> None:
        """Close without a word."""
        close(self._client)

    def _allow(self) -> None:
        self._line.allow(_PATIENCE * self._answer_seconds)
        # imaplib keeps for ever what nobody asked for.
        self._line.untagged_responses.clear()

    def _fetch(self, numbers: Iterable[int], *items: str) -> Iterator[tuple[int, Mapping[bytes, Any]]]:
        """Number and items of those mails that the server answers for, in the order of their numbers."""
        # By number alone: imapclient takes an answer without a UID for the mail of which its number is the UID.
        for some in _chunks(list(numbers)):
            self._allow()
            with asking(self._account, "FETCH"):
                self._client.use_uid = False
                try:
                    answer = self._client.fetch(some, ["UID", *items])
                finally:
                    self._client.use_uid = True
            yield from sorted(answer.items())

    def _contents(self, heads: Sequence[Head], most_bytes: int) -> dict[int, bytes]:
        uids = {head.number: head.uid for head in heads}
        found: dict[int, bytes] = {}
        for number, items in self._fetch(uids, f"BODY.PEEK[]<0.{most_bytes}>"):
            if items.get(b"UID") != uids[number]:
                raise OutageError(f"{self._account.server}: FETCH: the server answered for another mail")
            text = _text(items)
            if text is not None:
                found[uids[number]] = text
        return found

    def _older(self, uids: Sequence[int], moment: datetime, *, saved: bool) -> Iterator[int]:
        self._allow()
        with asking(self._account, "FETCH"):
            answer = self._client.fetch(uids, ["INTERNALDATE", *(["SAVEDATE"] if saved else [])])
            for uid, items in sorted(answer.items()):
                since = items.get(b"SAVEDATE")
                came = items.get(b"INTERNALDATE") if since is None else parse_to_datetime(since, normalise=False)
                if came is not None and came < moment:
                    yield uid

    def _exists(self, folder: str) -> bool:
        self._allow()
        try:
            with asking(self._account, f"folder {folder}"):
                # Not LIST: in a name that holds * or % that would find others.
                self._client.folder_status(folder, ["UIDNEXT"])
        except RefusalError:
            return False
        return True

    def _create(self, folder: str) -> None:
        self._allow()
        with asking(self._account, f"making folder {folder}"):
            self._client.create_folder(folder)

    def _personal_prefix(self) -> str:
        if not self.has("NAMESPACE"):
            return ""
        self._allow()
        with asking(self._account, "NAMESPACE"):
            personal = self._client.namespace().personal
            return str(personal[0][0]) if personal else ""


def _head(number: int, items: Mapping[bytes, Any]) -> Head:
    received_at = items[b"INTERNALDATE"]
    if received_at is None:
        raise ValueError("no date")
    return Head(number, int(items[b"UID"]), int(items[b"RFC822.SIZE"]), received_at.astimezone(UTC))


def _text(items: Mapping[bytes, Any]) -> bytes | None:
    """The one section that was asked for; servers write its name in more than one way."""
    found = [value for key, value in items.items() if key.upper().startswith(b"BODY[") and isinstance(value, bytes)]
    return found[0] if found else None


def _chunks(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), _COMMAND_NUMBERS):
        yield numbers[start : start + _COMMAND_NUMBERS]


def _batches(heads: Sequence[Head]) -> Iterator[Sequence[Head]]:
    """So many that the answer to one command stays small, a large mail alone."""
    batch: list[Head] = []
    for head in heads:
        if batch and sum(each.size for each in [*batch, head]) > _COMMAND_BYTES:
            yield batch
            batch = []
        batch.append(head)
    if batch:
        yield batch
