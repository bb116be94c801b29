"""Answers that are due to mails taken: claimed, composed, sent and noted, one after the other.

Before the first octet of an answer leaves, an outage puts it back; behind that nobody knows, and it is not tried again:
an answer lost is better than one sent twice.
"""

import random
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog

from worker.consumers.draft import Draft
from worker.errors import OutageError, PermanentError
from worker.mail.envelope import Content, Envelope, Receipt
from worker.mail.mime import encode
from worker.mail.relay import Relay
from worker.reply_poller.answer import NULL_SENDER, AnswerComposer
from worker.reply_poller.due import AnswerDue
from worker.reply_poller.outbox import Outbox
from worker.tables import DUE, SENT

IDLE_SECONDS = 5.0
"""How often another process's answers are looked for; those of this process wake it at once."""
LONGEST_PAUSE = 60.0
AGAIN_SECONDS = 300.0
"""A recipient that is refused for now (4yz) is tried again after this."""
GIVE_UP_AFTER = timedelta(hours=24)

_ADDRESS = re.compile(r"[^\s<>]+@[^\s<>]+")

Result = TypeVar("Result")

log = structlog.get_logger()


class Correspondent:
    """Sends what is due until told to stop, whatever happens to the servers meanwhile."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        composer: AnswerComposer,
        relay: Relay,
        clock: Callable[[], datetime],
        beat: Callable[[str], None],
    ) -> None:
        """``relay`` is its own; ``beat`` is called, with words, whenever the loop turns."""
        self._outbox = outbox
        self._composer = composer
        self._relay = relay
        self._clock = clock
        self._beat = beat
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._failures = 0
        self._notes: dict[bytes, int] = {}
        self._later: dict[bytes, float] = {}
        self._thread = ThreadPoolExecutor(1, "answers")

    def wake(self) -> None:
        """There may be something due; for the thread that wrote it."""
        self._woken.set()

    def stop(self) -> None:
        """Finish the answer in flight, and return from ``run``."""
        self._stopping.set()
        self._woken.set()

    def run(self) -> None:
        """Send until ``stop``; an outage pauses, with growing patience, and ends nothing."""
        while not self._stopping.is_set():
            self._beat("answering")
            try:
                self.send_due()
                self._failures = 0
            except OutageError as error:
                self._pause(error)
                continue
            if self._woken.wait(IDLE_SECONDS):
                self._woken.clear()
        self._thread.shutdown()
        with suppress(OutageError):
            self._write_notes()

    def send_due(self) -> None:
        """One turn: all that is due now.

        Raises:
            OutageError: the journal or the mail server is away; what nobody was given stays due.
        """
        self._write_notes()
        self._later = {digest: moment for digest, moment in self._later.items() if moment > time.monotonic()}
        waiting = self._outbox.due(self._later)
        if not waiting:
            self._relay.close_idle()
            return
        # The server is asked before an answer is risked: most outages show here.
        self._watch(partial(self._relay.probe, NULL_SENDER))
        self._composer.refresh()
        for digest, since in waiting:
            if self._stopping.is_set():
                return
            self._beat("answering")
            if self._outbox.claim(digest):
                self._answer(digest, since)

    def _pause(self, error: OutageError) -> None:
        seconds = min(LONGEST_PAUSE, 2.0 ** min(self._failures, 10)) * random.uniform(0.8, 1.0)  # noqa: S311 - spreads a herd
        self._failures += 1
        log.warning("outage", cause=_ADDRESS.sub("…", str(error)), pause_seconds=round(seconds, 1))
        while seconds > 0 and not self._stopping.wait(min(seconds, 5.0)):
            self._beat("paused by an outage")
            seconds -= 5.0

    # -- one answer ---------------------------------------------------------------------------------------------

    def _answer(self, digest: bytes, since: datetime) -> None:
        try:
            self._send(digest, since)
        except OutageError:
            with suppress(OutageError):
                self._write_notes()
            raise
        self._write_notes()

    def _send(self, digest: bytes, since: datetime) -> None:
        # Until something is handed over: what fails before, in the journal or at the server, changed nothing.
        self._notes[digest] = DUE
        found = self._outbox.read(digest)
        if found is None:
            self._settle(digest, "answer dropped", cause="the approval is not known any more")
            return
        due, background = found
        try:
            draft = self._composer.compose(due, background, self._clock())
            content = encode(draft.email)
        except PermanentError as error:
            self._settle(digest, "answer dropped", reason=due.reason, cause=str(error))
            return
        self._judge(due, self._deliver(digest, draft, content), since)

    def _deliver(self, digest: bytes, draft: Draft, content: Content) -> Receipt | None:
        # Some servers let nobody send with an empty sender who is logged in: then it is our own address.
        receipt = self._hand_over(digest, Envelope(draft.envelope_from, draft.recipients, content))
        if receipt is not None and _is_refused_for_good(receipt):
            receipt = self._hand_over(digest, Envelope(draft.email.sender.email, draft.recipients, content))
        return receipt

    def _hand_over(self, digest: bytes, envelope: Envelope) -> Receipt | None:
        def may_start() -> bool:
            if self._stopping.is_set():
                return False
            # From here on nobody knows what the server has, until it says so.
            self._notes.pop(digest, None)
            return True

        sent = self._watch(partial(self._relay.send_many, [envelope], may_start))
        (receipt,) = sent.receipts
        if receipt is not None:
            self._notes[digest] = SENT if receipt.taken else DUE
        elif sent.outage is not None:
            if digest not in self._notes:
                log.warning("answer in doubt", digest=digest.hex()[:16])
            raise sent.outage
        return receipt

    def _watch(self, call: Callable[[], Result]) -> Result:
        """What that call gives, however long a server keeps it waiting: the loop is alive meanwhile."""
        running = self._thread.submit(call)
        while wait((running,), timeout=1.0).not_done:
            self._beat("answering")
        return running.result()

    def _judge(self, due: AnswerDue, receipt: Receipt | None, since: datetime) -> None:
        if receipt is None:
            return
        if receipt.taken:
            self._settle(due.digest, "answer sent", reason=due.reason)
        elif _is_refused_for_good(receipt):
            self._settle(due.digest, "answer refused", reason=due.reason, cause=_cause(receipt))
        elif self._clock() - since >= GIVE_UP_AFTER:
            self._settle(due.digest, "answer given up", reason=due.reason, cause=_cause(receipt))
        else:
            self._later[due.digest] = time.monotonic() + AGAIN_SECONDS
            log.info("answer deferred", reason=due.reason, seconds=AGAIN_SECONDS, cause=_cause(receipt))

    def _settle(self, digest: bytes, said: str, **fields: str) -> None:
        self._notes[digest] = SENT
        log.info(said, digest=digest.hex()[:16], **fields)

    def _write_notes(self) -> None:
        # What could not be written stays in hand, and is written before anything else is sent.
        self._outbox.note(self._notes)
        self._notes = {}


def _is_refused_for_good(receipt: Receipt) -> bool:
    return bool(receipt.refused) and all(refusal.permanent for refusal in receipt.refused.values())


def _cause(receipt: Receipt) -> str:
    return _ADDRESS.sub("…", "; ".join(str(refusal) for refusal in receipt.refused.values()))
