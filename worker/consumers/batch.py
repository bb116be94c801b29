"""A batch of deliveries to a verdict on each: parse, compose, encode, claim, send, record. No AMQP here.

What the server has taken is final: nothing after it turns a delivery into one that is sent again. The verdicts are
settled by the consumer; here, and only here, stands ``except Exception``: a bug of ours parks the delivery.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock

import structlog

from worker.consumers.delivery import Back, Dead, Delivery, Done, Kept, Later, Outcome, Verdict
from worker.consumers.draft import Composer, Draft
from worker.errors import InvalidEventError, OutageError, PermanentError
from worker.events import parse_event
from worker.journal import Journal, Records
from worker.mail.envelope import Envelope, Receipt, Refusal
from worker.mail.mime import Content, encode
from worker.mail.relay import Relay
from worker.reply_token import TOKEN_LENGTH
from worker.telemetry import Outcomes
from worker.topology import RETRY_SECONDS

GIVE_UP_AFTER = timedelta(hours=24)
BATCH_SECONDS = 10.0
"""Mails not begun by then wait for the next batch: what is taken is acked in time, however slow the server."""
BATCH_BYTES = 16 * 1024 * 1024
"""Bodies and attachments that one batch holds; what comes after waits for the next."""
BUSY_SECONDS = 10
"""An event that another consumer is mailing just now is looked at again after this."""
OUTAGE_SECONDS = 60
"""A mail that an outage met alone, or some of its recipients, is tried again after this."""
SUSPICIONS = 6
"""Outages in a row, each at the same delivery alone, after which it is set aside: about a minute."""
LONGEST_REASON = 4000
"""Characters of a reason in a header: all headers together fit one frame."""
_TOKEN = re.compile(rf"(?<![a-z0-9])[a-z2-7]{{{TOKEN_LENGTH}}}(?![a-z0-9])", re.IGNORECASE)

log = structlog.get_logger()


@dataclass(slots=True)
class _Mail:
    """A draft on its way: who still needs it, and what the server said."""

    draft: Draft
    content: Content | None = None
    before: frozenset[str] | None = None
    busy: bool = False
    unwanted: bool = False
    receipt: Receipt | None = None
    recorded: bool = False

    @property
    def remaining(self) -> tuple[str, ...]:
        """The recipients that don't have it yet."""
        before = self.before
        return tuple(r for r in self.draft.recipients if r not in before) if before else self.draft.recipients

    @property
    def taken(self) -> frozenset[str]:
        """The recipients that have it."""
        now = self.receipt.taken if self.receipt is not None else ()
        return (self.before or frozenset()).union(now)

    def enter(self, records: Records) -> None:
        """Write down who has it."""
        if self.taken.issuperset(self.draft.recipients):
            records.sent.append(self.draft.key)
        elif self.taken:
            records.partial[self.draft.key] = sorted(self.taken)
        else:
            records.released.append(self.draft.key)


@dataclass(slots=True)
class _Job:
    """A delivery on its way, with the mails that it became."""

    delivery: Delivery
    about: tuple[str, str, str] = ("", "", "")
    mails: list[_Mail] | None = None
    verdict: Verdict | None = None


class Batch:
    """Sends batches of one queue's deliveries, one after the other."""

    def __init__(
        self,
        *,
        queue: str,
        composer: Composer,
        journal: Journal,
        relay: Relay,
        max_event_bytes: int,
        is_stopping: Callable[[], bool],
        report: Outcomes,
    ) -> None:
        self._queue = queue
        self._composer = composer
        self._journal = journal
        self._relay = relay
        self._max_event_bytes = max_event_bytes
        self._is_stopping = is_stopping
        self._report = report
        self._unrecorded = Records()
        self._recording = Lock()
        self._suspect: tuple[str, str, str] | None = None
        self._suspicions = 0

    def send(self, deliveries: Sequence[Delivery]) -> Outcome:
        """Make mails of the deliveries and send them. Raises nothing: what goes wrong is in the outcome."""
        jobs = [_Job(delivery) for delivery in deliveries]
        outage = None
        try:
            self._record(Records())
            self._composer.refresh()
            self._compose(jobs)
            self._claim(jobs)
            self._relay_all(jobs)
        except OutageError as error:
            outage = _clipped(str(error))
        except Exception as error:
            log.exception("batch failed", queue=self._queue, deliveries=len(jobs))
            outage = self._blame(jobs, error)
        outage = self._settle_mails(jobs) or outage
        for job in jobs:
            job.verdict = job.verdict or self._judge(job, outage)
        self._set_suspect_aside(jobs)
        self._log(jobs)
        return Outcome(tuple(job.verdict or Back() for job in jobs), outage)

    def finish(self) -> None:
        """Write down what could not be written while the journal was away."""
        with suppress(OutageError):
            self._record(Records())

    def _set_suspect_aside(self, jobs: Sequence[_Job]) -> None:
        """A delivery that alone ends the session again and again waits elsewhere, and lets the others pass.

        Postfix, for one, says 421 to a mail with twenty unknown recipients. Nothing is counted: it may be an outage.
        """
        if len(jobs) != 1 or not isinstance(jobs[0].verdict, Back) or self._is_stopping():
            self._suspect, self._suspicions = None, 0
            return
        self._suspicions = self._suspicions + 1 if self._suspect == jobs[0].about else 1
        self._suspect = jobs[0].about
        if self._suspicions >= SUSPICIONS and jobs[0].mails is not None:
            jobs[0].verdict = Later(OUTAGE_SECONDS, "the mail server ends the session at this mail", counted=False)
            self._suspect, self._suspicions = None, 0

    # -- compose ------------------------------------------------------------------------------------------------

    def _compose(self, jobs: Iterable[_Job]) -> None:
        room = BATCH_BYTES
        for job in jobs:
            if room <= 0:
                job.verdict = Kept()
                continue
            body = job.delivery.body
            self._compose_one(job, body)
            room -= len(body) + sum(mail.draft.size for mail in job.mails or ())

    def _compose_one(self, job: _Job, body: bytes) -> None:
        delivery = job.delivery
        try:
            _require_readable(delivery)
            event = parse_event(
                body,
                delivery.content_type,
                delivery.headers,
                family=self._composer.family,
                max_bytes=self._max_event_bytes,
            )
            job.about = (event.id, event.source, event.type)
            job.mails = [_Mail(draft) for draft in self._composer.compose(event)]
            for mail in job.mails:
                mail.content = encode(mail.draft.email)
        except PermanentError as error:
            job.verdict = Dead(str(error), type(error).__name__)
        except OutageError:
            raise
        except Exception as error:
            log.exception("event failed", queue=self._queue, event_id=job.about[0])
            job.verdict = _bug(error)

    # -- claim --------------------------------------------------------------------------------------------------

    def _claim(self, jobs: Sequence[_Job]) -> None:
        first: dict[bytes, _Mail] = {}
        for mail in _mails(job for job in jobs if job.verdict is None):
            mail.busy = first.setdefault(mail.draft.key, mail) is not mail
        claims = self._journal.claim(first)
        for key, mail in first.items():
            mail.busy = key in claims.busy
            mail.before = claims.ours.get(key)
            if key in claims.sent:
                mail.receipt = Receipt(taken=mail.draft.recipients, refused={})

    # -- send ---------------------------------------------------------------------------------------------------

    def _relay_all(self, jobs: Sequence[_Job]) -> None:
        begun = [mail for mail in _mails(jobs) if mail.before is not None and not mail.unwanted and mail.content]
        for group in _groups(begun):
            self._relay_group(group)

    def _relay_group(self, begun: Sequence[_Mail]) -> None:
        if len(begun) == 1 and begun[0].draft.is_wanted is not None and not begun[0].draft.is_wanted():
            begun[0].unwanted = True
            return
        envelopes = [Envelope(m.draft.envelope_from, m.remaining, m.content) for m in begun if m.content]
        deadline = time.monotonic() + BATCH_SECONDS
        lost: list[OutageError] = []

        def may_start() -> bool:
            in_time = time.monotonic() < deadline
            return in_time and not lost and self._journal.alive and not self._is_stopping()

        def settled(receipts: Sequence[tuple[int, Receipt]]) -> None:
            try:
                self._note(begun, receipts)
            except OutageError as error:
                lost.append(error)

        sent = self._relay.send_many(envelopes, may_start, settled)
        outage = sent.outage or next(iter(lost), None)
        if outage is not None:
            raise outage
        if not self._journal.alive:
            raise OutageError("journal: the lease ran out, another process may send what this one claimed")

    def _note(self, begun: Sequence[_Mail], receipts: Sequence[tuple[int, Receipt]]) -> None:
        # In the thread of the mail session, before it begins another mail: what a kill can double is what is on its
        # way, never what was taken before.
        records = Records()
        for index, receipt in receipts:
            mail = begun[index]
            mail.receipt = receipt
            if receipt.taken:
                mail.recorded = True
                mail.enter(records)
        self._record(records)

    def _blame(self, jobs: Sequence[_Job], error: Exception) -> str | None:
        # One of many can't be told from the others: they go back, and the next batch is a single delivery.
        if len(jobs) > 1:
            return f"internal error: {type(error).__name__}"
        if any(mail.receipt is not None for mail in _mails(jobs)):
            # Somebody has it already: that is settled, and what is left is tried again.
            return f"internal error: {type(error).__name__}"
        jobs[0].verdict = _bug(error)
        return None

    # -- record -------------------------------------------------------------------------------------------------

    def _settle_mails(self, jobs: Sequence[_Job]) -> str | None:
        records = Records()
        for mail in _mails(jobs):
            mail.draft.close()
            if mail.before is not None and not mail.recorded:
                mail.enter(records)
        try:
            self._record(records)
        except OutageError as error:
            return str(error)
        return None

    def _record(self, records: Records) -> None:
        # What could not be written stays in hand: the process holds those mails, and writes before it claims again.
        with self._recording:
            self._unrecorded.add(records)
            self._journal.record(self._unrecorded)
            self._unrecorded = Records()

    # -- judge --------------------------------------------------------------------------------------------------

    def _judge(self, job: _Job, outage: str | None) -> Verdict:
        mails = job.mails
        if mails is None or any(mail.receipt is None and not mail.unwanted and not mail.busy for mail in mails):
            return Back() if outage is not None or self._is_stopping() else Kept()
        if any(mail.busy for mail in mails):
            return Later(BUSY_SECONDS, "another consumer is sending it", counted=False)
        refused = {
            address: refusal
            for mail in mails
            if mail.receipt is not None
            for address, refusal in mail.receipt.refused.items()
        }
        return _judge_refusals(job.delivery, refused, datetime.now(UTC)) if refused else Done()

    # -- log ----------------------------------------------------------------------------------------------------

    def _log(self, jobs: Sequence[_Job]) -> None:
        self._report("event done", [self._fields(job) for job in jobs if isinstance(job.verdict, Done)])
        for job in jobs:
            match job.verdict:
                case Dead(error=error):
                    log.warning("event dead-lettered", **self._fields(job), error=error)
                case Later(seconds=seconds):
                    log.info("event deferred", **self._fields(job), seconds=seconds)
                case Done() | Kept() | Back() | None:
                    pass

    def _fields(self, job: _Job) -> dict[str, object]:
        event_id, source, kind = job.about
        return {
            "queue": self._queue,
            "event_id": event_id,
            "event_source": source,
            "event_type": kind,
            "mails": len(job.mails or ()),
        }


def _judge_refusals(delivery: Delivery, refused: dict[str, Refusal], now: datetime) -> Later | Dead:
    reason = _clipped("; ".join(f"{address}: {refusal}" for address, refusal in refused.items()))
    if any(refusal.outage for refusal in refused.values()):
        # Others have this mail, so it is settled by itself; the rest waits for the server, and nothing is counted.
        return Later(OUTAGE_SECONDS, reason, counted=False)
    if all(refusal.permanent for refusal in refused.values()):
        return Dead(f"refused by the mail server: {reason}", "RefusedError")
    if now - delivery.first_failed_at(now) >= GIVE_UP_AFTER:
        return Dead(f"refused by the mail server {delivery.attempts + 1} times in 24 h: {reason}", "TransientError")
    return Later(RETRY_SECONDS[min(delivery.attempts, len(RETRY_SECONDS) - 1)], reason)


def _require_readable(delivery: Delivery) -> None:
    if not delivery.is_readable:
        raise InvalidEventError("properties: not AMQP 0-9-1 (a header's value or name can't be read)")


def _clipped(reason: str) -> str:
    # A mail server may repeat the sender, and the sender of a question holds its token.
    reason = _TOKEN.sub("[token]", reason)
    return reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]}… ({len(reason)} characters in all)"


def _groups(mails: Sequence[_Mail]) -> Iterator[Sequence[_Mail]]:
    """Those that may be sent together; one that has to be asked for first goes by itself."""
    together = [mail for mail in mails if mail.draft.is_wanted is None]
    if together:
        yield together
    yield from ([mail] for mail in mails if mail.draft.is_wanted is not None)


def _bug(error: Exception) -> Dead:
    return Dead(f"internal error, please report it: {type(error).__name__}", type(error).__name__)


def _mails(jobs: Iterable[_Job]) -> Iterator[_Mail]:
    return (mail for job in jobs for mail in job.mails or ())
