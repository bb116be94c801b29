"""The poller as a process that breaks off where a file says: ``crashing.py COMMAND FILE``.

The file holds the name of a place, and ``kill`` or ``hold``. The thread that comes to that place ends the process by
SIGKILL, or stands still until the file is gone that appears beside it: meanwhile a test may take a server away.
"""

import os
import signal
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from imapclient import DELETED

from worker.cli import _serve
from worker.health import Heart
from worker.inbound import Edges, build_poller
from worker.journal import Journal
from worker.lifetime import Loop
from worker.parts import build_consumers
from worker.reply_poller.account import Account
from worker.reply_poller.broker_line import Receipt
from worker.reply_poller.ledger import Ledger
from worker.reply_poller.mailbox import Mailbox
from worker.reply_poller.outbox import Outbox
from worker.reply_poller.outcome import Outcome
from worker.reply_poller.publisher import ReplyPublisher
from worker.reply_poller.verdict import Finding
from worker.settings import PollSettings
from worker.tables import SENT

T = TypeVar("T")


class Place(StrEnum):
    """Where a poller can be broken off, in the order of its steps; then while answers are sent."""

    SETTLING = "before settling"
    SETTLED = "settled"
    PUBLISHING = "before publishing"
    PUBLISHING_SOME = "some published"
    CONFIRMED = "all confirmed"
    MARKED = "marked as published"
    QUARANTINING_SOME = "some in quarantine"
    REMOVING_SOME = "some removed"
    REMOVED = "removed"
    CLAIMING = "before an answer is claimed"
    CLAIMED = "answer claimed"
    TAKEN = "answer taken"


class Fuse:
    """What the file says; absent for the most part."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = path.with_suffix(".held")

    def is_set(self, place: Place) -> bool:
        """Whether it is that place."""
        return self._read()[:1] == [place]

    def burn(self, place: Place) -> None:
        """Break off, if it is that place."""
        read = self._read()
        if read == [place, "kill"]:
            self._path.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        elif read == [place, "hold"]:
            self._path.replace(self._held)
            self.wait()

    def wait(self) -> None:
        """While one thread is held, others that act for it wait, too."""
        while self._held.exists():
            time.sleep(0.01)

    def _read(self) -> list[str]:
        try:
            return self._path.read_text().splitlines()
        except FileNotFoundError:
            return []


class BreakingLedger(Ledger):
    """Breaks off around what it commits, and renews no lease while it is held."""

    def __init__(self, fuse: Fuse, journal: Journal) -> None:
        super().__init__(journal)
        self._fuse = fuse

    def hold(self, mailbox: str) -> bool:
        """Later, where it is held."""
        self._fuse.wait()
        return super().hold(mailbox)

    def settle(self, mailbox: str, findings: Sequence[Finding], now: datetime) -> Sequence[Outcome]:
        """Before, or after."""
        self._fuse.burn(Place.SETTLING)
        outcomes = super().settle(mailbox, findings, now)
        self._fuse.burn(Place.SETTLED)
        return outcomes

    def published(self, mailbox: str, digests: Collection[bytes]) -> None:
        """Before, or after."""
        self._fuse.burn(Place.CONFIRMED)
        super().published(mailbox, digests)
        self._fuse.burn(Place.MARKED)


class BreakingPublisher(ReplyPublisher):
    """Breaks off before it publishes, or when the broker has confirmed some."""

    def __init__(self, fuse: Fuse, urls: Sequence[str], **more: Any) -> None:
        super().__init__(urls, **more)
        self._fuse = fuse

    def publish(self, outcomes: Sequence[Outcome]) -> Receipt:
        """Before, or in the middle."""
        self._fuse.burn(Place.PUBLISHING)
        if not self._fuse.is_set(Place.PUBLISHING_SOME):
            return super().publish(outcomes)
        some, left = _halves(outcomes)
        receipt = super().publish(some)
        self._fuse.burn(Place.PUBLISHING_SOME)
        return receipt + super().publish(left)


class BreakingMailbox(Mailbox):
    """Breaks off while mails leave the folder."""

    def __init__(self, fuse: Fuse, account: Account) -> None:
        super().__init__(account)
        self._fuse = fuse

    def quarantine(self, uids: Collection[int]) -> None:
        """In the middle."""
        if not self._fuse.is_set(Place.QUARANTINING_SOME):
            super().quarantine(uids)
            return
        some, left = _halves(sorted(uids))
        super().quarantine(some)
        self._fuse.burn(Place.QUARANTINING_SOME)
        super().quarantine(left)

    def remove(self, uids: Collection[int]) -> None:
        """In the middle, some gone and the others flagged; or after."""
        if self._fuse.is_set(Place.REMOVING_SOME):
            some, left = _halves(sorted(uids))
            super().remove(some)
            with self._working() as session:
                session._client.add_flags(left, [DELETED])
            self._fuse.burn(Place.REMOVING_SOME)
            super().remove(left)
        else:
            super().remove(uids)
        self._fuse.burn(Place.REMOVED)


class BreakingOutbox(Outbox):
    """Breaks off around an answer that is sent."""

    def __init__(self, fuse: Fuse, journal: Journal) -> None:
        super().__init__(journal)
        self._fuse = fuse

    def claim(self, digest: bytes) -> bool:
        """Before, or after."""
        self._fuse.burn(Place.CLAIMING)
        claimed = super().claim(digest)
        self._fuse.burn(Place.CLAIMED)
        return claimed

    def note(self, states: Mapping[bytes, int]) -> None:
        """When a server took the answer, and nobody has written that down."""
        if SENT in states.values():
            self._fuse.burn(Place.TAKEN)
        super().note(states)


def _halves(items: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    return items[: len(items) // 2], items[len(items) // 2 :]


def main(command: str, path: str) -> None:
    """Run ``poll`` or ``run`` with that fuse."""
    fuse = Fuse(Path(path))
    edges = Edges(
        ledger=partial(BreakingLedger, fuse),
        mailbox=partial(BreakingMailbox, fuse),
        publisher=partial(BreakingPublisher, fuse),
        outbox=partial(BreakingOutbox, fuse),
    )

    def build(settings: PollSettings, journal: Journal, heart: Heart) -> tuple[Loop, ...]:
        consumers = build_consumers(settings, journal, heart) if command == "run" else ()
        return (*consumers, *build_poller(settings, journal, heart, edges))

    _serve(command, PollSettings, build)


if __name__ == "__main__":
    main(*sys.argv[1:])
