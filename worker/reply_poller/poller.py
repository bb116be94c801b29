"""The loop: mails out of the reply folder, judged, settled, published, and only then removed.

The order of effects is the safety (contract, section 4)::

    ledger.settle        committed: what each mail amounts to, unique for approval and approver
    publisher.publish    confirmed by the broker
    ledger.published     marked
    mailbox.remove       gone from the folder

A crash between any two leaves what the next start finishes: it publishes again what it finds unpublished, byte for
byte, before it reads a mail; a mail that it reads again is known by its digest, and only removed.
"""

import random
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

import structlog

from worker.errors import OutageError, SettingsError, TransientError
from worker.reply_poller.broker_line import Receipt
from worker.reply_poller.lease import LEASE, LeaseLostError
from worker.reply_poller.ledger import Ledger
from worker.reply_poller.mailbox import Mail, Mailbox
from worker.reply_poller.outcome import Outcome
from worker.reply_poller.publisher import ReplyPublisher
from worker.reply_poller.verdict import Finding

BATCH = 200
"""Mails settled in one transaction, and published together."""
STANDBY_SECONDS = 2.0
"""How often a poller that stands by tries to take over: with the lease's time, within 15 s of a death."""
RENEWAL_SECONDS = LEASE / 3
PURGE_EVERY = 3600.0
LONGEST_PAUSE = 60.0

_ADDRESS = re.compile(r"[^\s<>]+@[^\s<>]+")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the folder is read, in seconds, and how many mails in that time at most, those of IDLE included."""

    interval: float
    count: int
    idle: bool = True


@dataclass(frozen=True, slots=True)
class Claim:
    """What makes the folder ours: mails to ``address``, with or without something behind ``separator``.

    ``unseen`` takes it over unseen (``REPLY_FOLDER_IS_OURS``).
    """

    address: str
    separator: str
    unseen: bool = False


class Poller:
    """Reads one mailbox until told to stop, whatever happens to the servers meanwhile."""

    def __init__(  # noqa: PLR0913 - where from, where to, and how
        self,
        *,
        mailbox: Mailbox,
        ledger: Ledger,
        judge: Callable[[Sequence[Mail]], Sequence[Finding]],
        publisher: ReplyPublisher,
        pace: Pace,
        claim: Claim,
        retention: timedelta,
        probe: Callable[[], None],
        clock: Callable[[], datetime],
        beat: Callable[[str], None] = lambda _: None,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """``retention`` is how long the quarantine keeps a mail.

        ``probe`` raises ``OutageError`` while a server is away; ``beat`` is called, with words, whenever the loop
        turns, and ``wake`` whenever an answer may be due.
        """
        self._mailbox = mailbox
        self._ledger = ledger
        self._judge = judge
        self._publisher = publisher
        self._pace = pace
        self._claim = claim
        self._retention = retention
        self._probe = probe
        self._clock = clock
        self._beat = beat
        self._wake = wake
        self._stop = threading.Event()
        self._failures = 0
        self._aside: set[int] = set()
        self._since = self._purged = float("-inf")
        self._used = 0

    def stop(self) -> None:
        """Finish the mails in hand, and return from ``run``."""
        self._stop.set()

    def run(self) -> None:
        """Poll until ``stop``; an outage pauses, with growing patience, and ends nothing.

        Raises:
            SettingsError: the folder holds mails that are not addressed to us, or the server can't be used.
        """
        try:
            while not self._stop.is_set():
                try:
                    self._beat("waiting for the servers")
                    self._probe()
                    self._serve()
                except LeaseLostError:
                    log.warning("another poller took the mailbox over", mailbox=self._mailbox.name)
                    self._mailbox.close()
                except TransientError as error:
                    self._pause(error)
        finally:
            self._leave()

    def run_once(self) -> Iterator[tuple[Finding, Outcome]]:
        """Read the folder once, ``Pace.count`` mails at most, and yield what came of each.

        Raises:
            OutageError: a server is away, or another poller reads this mailbox.
            SettingsError: as in ``run``.
        """
        try:
            self._probe()
            if not self._ledger.hold(self._mailbox.name):
                raise OutageError(f"another poller reads {self._mailbox.name} just now")
            with self._renewing():
                self._prepare()
                yield from self._turns()
        finally:
            self._leave()

    def _turns(self) -> Iterator[tuple[Finding, Outcome]]:
        left = 0
        while self._used < self._pace.count:
            settled = self._turn()
            left = max(left, len(self._aside))
            if not settled:
                break
            yield from settled
        if left:
            raise OutageError(f"{left} of the mails could not be published and stay in the folder: the log says why")

    def _leave(self) -> None:
        self._mailbox.close()
        self._publisher.close()
        # Where the journal is away, the lease runs out by itself.
        with suppress(OutageError):
            self._ledger.release(self._mailbox.name)

    def _pause(self, error: TransientError) -> None:
        self._mailbox.close()
        spread = random.uniform(0.8, 1.0)  # noqa: S311 - keeps a herd apart
        seconds = min(LONGEST_PAUSE, 2.0 ** min(self._failures, 10)) * spread
        self._failures += 1
        cause = _ADDRESS.sub("…", str(error))
        log.warning("outage", mailbox=self._mailbox.name, cause=cause, pause_seconds=round(seconds, 1))
        while seconds > 0 and not self._stop.wait(min(seconds, 5.0)):
            self._beat("paused by an outage")
            seconds -= 5.0

    # -- one mailbox, while it is ours ------------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self._stop.is_set():
            if self._ledger.hold(self._mailbox.name):
                with self._renewing():
                    self._poll()
            else:
                self._mailbox.close()
                self._beat("standing by: another poller reads this mailbox")
                self._stop.wait(STANDBY_SECONDS)

    @contextmanager
    def _renewing(self) -> Iterator[None]:
        """Keep the lease while mails are read and servers are waited for; a decision asks for it once more."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(RENEWAL_SECONDS):
                with suppress(OutageError):
                    self._ledger.hold(self._mailbox.name)

        thread = threading.Thread(target=renew, name="mailbox-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _poll(self) -> None:
        self._prepare()
        log.info("polling", mailbox=self._mailbox.name)
        while not self._stop.is_set():
            self._beat("polling")
            self._begin_interval()
            moved = self._used < self._pace.count and bool(self._turn())
            self._failures = 0
            if not moved:
                self._rest()

    def _prepare(self) -> None:
        self._mailbox.open()
        self._aside.clear()
        self._adopt()
        receipt = self._finish(self._ledger.unfinished(self._mailbox.name))
        outage = next((error for error in receipt.failed.values() if isinstance(error, OutageError)), None)
        if outage is not None:
            raise outage

    def _adopt(self) -> None:
        name = self._mailbox.name
        if self._ledger.is_adopted(name):
            return
        claim = self._claim
        foreign = None if claim.unseen else self._mailbox.find_foreign(claim.address, claim.separator)
        if foreign is not None:
            raise SettingsError(
                f"EMAIL_REPLY_FOLDER (Email Reply Folder): {name} holds mails that are not addressed to"
                f" {claim.address}, {foreign} for one. What is read there is removed: give the replies a folder of"
                " their own, or set REPLY_FOLDER_IS_OURS=true if nothing else is expected in it"
            )
        self._ledger.adopt(name)

    def _begin_interval(self) -> None:
        if monotonic() - self._since >= self._pace.interval:
            self._since, self._used = monotonic(), 0
            self._purge()

    def _purge(self) -> None:
        if monotonic() - self._purged < PURGE_EVERY:
            return
        self._purged = monotonic()
        purged = self._mailbox.purge_quarantine(self._clock() - self._retention)
        if purged:
            log.info("quarantine purged", mailbox=self._mailbox.name, mails=purged)

    def _rest(self) -> None:
        """Until the interval is over, or until a mail comes that may still be read in it."""
        left = max(self._since + self._pace.interval - monotonic(), 0.1)
        may_read = self._pace.idle and self._used < self._pace.count

        def is_over() -> bool:
            self._beat("polling")
            return self._stop.is_set()

        self._mailbox.wait(left, idle=may_read, is_stopping=is_over)

    # -- one batch --------------------------------------------------------------------------------------------------

    def _turn(self) -> Sequence[tuple[Finding, Outcome]]:
        """Settle the oldest mails; what was settled. Those that can't be stay where they are, behind the others."""
        read = self._mailbox.read(min(BATCH, self._pace.count - self._used), set_aside=self._aside)
        mails = [mail for mail in read if mail.uid not in self._aside]
        if not mails:
            # Nothing is in front of them any more: next time it is their turn.
            self._aside.clear()
            return ()
        findings = self._judge(mails)
        outcomes = self._ledger.settle(self._mailbox.name, findings, self._clock())
        self._wake()
        self._used += len(mails)
        receipt = self._finish(outcomes)
        settled = [
            (mail, finding, outcome)
            for mail, finding, outcome in zip(mails, findings, outcomes, strict=True)
            if outcome.published or outcome.digest in receipt.confirmed
        ]
        self._clear([(mail, outcome) for mail, _, outcome in settled])
        self._aside.update({mail.uid for mail in mails} - {mail.uid for mail, _, _ in settled})
        if receipt.outage is not None:
            raise receipt.outage
        return [(finding, outcome) for _, finding, outcome in settled]

    def _finish(self, outcomes: Sequence[Outcome]) -> Receipt:
        """Publish what is not yet published, and mark what was confirmed."""
        pending = {outcome.digest: outcome for outcome in outcomes if not outcome.published}
        if not pending:
            return Receipt()
        receipt = self._publisher.publish([*pending.values()])
        self._ledger.published(self._mailbox.name, receipt.confirmed)
        for digest in receipt.confirmed:
            _report(pending[digest])
        for digest, error in receipt.failed.items():
            log.warning("reply not published", event_id=str(pending[digest].event_id), cause=str(error))
        return receipt

    def _clear(self, settled: Sequence[tuple[Mail, Outcome]]) -> None:
        """The one place where mails leave the folder."""
        away = [mail.uid for mail, outcome in settled if outcome.disposal == "quarantine"]
        done = [mail.uid for mail, outcome in settled if outcome.disposal == "remove"]
        if away:
            self._mailbox.quarantine(away)
        if done:
            self._mailbox.remove(done)


def _report(outcome: Outcome) -> None:
    log.info(
        "reply published",
        type=outcome.type,
        event_id=str(outcome.event_id),
        approval=outcome.approval_id,
        reason=_ADDRESS.sub("…", outcome.reason),
        digest=outcome.digest.hex()[:16],
    )
