"""Envelopes to receipts, shared by several sessions: who takes the next mail, and when all is over."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from threading import Condition

from worker.errors import OutageError
from worker.mail.envelope import Envelope, Receipt

Settled = Callable[[Sequence[tuple[int, Receipt]]], None]
"""Told, in the thread of a session, which envelopes (by index) have a receipt now."""


class Work:
    """The mails of one ``send_many``.

    ``receipts`` stands beside the envelopes. ``settled`` is told of each before its session begins another mail.
    Each of so many sessions calls ``enter`` before its first ``claim``, and ``leave`` once, whatever happened.
    """

    def __init__(
        self, envelopes: Sequence[Envelope], may_start: Callable[[], bool], settled: Settled, sessions: int
    ) -> None:
        self.receipts: list[Receipt | None] = [None] * len(envelopes)
        self.most = -(-len(envelopes) // sessions)
        self._envelopes = envelopes
        self._may_start = may_start
        self._settled = settled
        self._waiting = deque(range(len(envelopes)))
        self._entered = 0
        self._sessions = sessions
        self._stopped = False
        self._outages: list[OutageError] = []
        self._errors: list[Exception] = []
        self._change = Condition()

    def claim(self) -> tuple[int, Envelope] | None:
        """The next mail, or ``None``: there is none, or none may be begun any more."""
        with self._change:
            self._stopped = self._stopped or (bool(self._waiting) and not self._allowed())
            if not self._waiting or self._stopped:
                return None
            index = self._waiting.popleft()
            if not self._waiting:
                self._change.notify_all()
        return index, self._envelopes[index]

    def _allowed(self) -> bool:
        try:
            return self._may_start()
        except Exception as error:  # noqa: BLE001 - the caller's own; what is in flight is finished before it is raised
            self._errors.append(error)
            return False

    def settle(self, receipts: Iterable[tuple[int, Receipt]]) -> None:
        """These mails are done."""
        done = list(receipts)
        with self._change:
            for index, receipt in done:
                self.receipts[index] = receipt
        if done:
            self._settled(done)

    def give_back(self, indexes: Sequence[int]) -> None:
        """These mails nobody took: they can be claimed again, before the others."""
        with self._change:
            self._waiting.extendleft(reversed(indexes))

    @property
    def left(self) -> bool:
        """Whether there is a mail to begin."""
        return bool(self._waiting) and not self._stopped

    def stop(self, outage: OutageError) -> None:
        """No session begins another mail."""
        with self._change:
            self._stopped = True
            self._outages.insert(0, outage)

    def enter(self) -> None:
        """A session is open and takes part."""
        with self._change:
            self._entered += 1

    def leave(self, outage: OutageError | None = None, error: Exception | None = None, *, entered: bool) -> None:
        """A session has finished, or could not be opened: then the others go on."""
        with self._change:
            self._sessions -= 1
            self._entered -= entered
            self._outages += [outage] if outage else []
            self._errors += [error] if error else []
            self._stopped = self._stopped or error is not None
            self._change.notify_all()

    def wait(self) -> None:
        """Return when all is done, or nobody is left to do it; who is still opening a session is not waited for."""
        with self._change:
            self._change.wait_for(lambda: not self._sessions or (not self.left and not self._entered))

    def wait_all(self, seconds: float) -> None:
        """Return when no mail is left to begin, or after so many seconds."""
        with self._change:
            self._change.wait_for(lambda: not self.left, seconds)

    def outage(self) -> OutageError | None:
        """Why mails were not taken, or may have been; ``None`` where all that may be begun is settled.

        Raises:
            Exception: what a session stumbled over.
        """
        with self._change:
            if self._errors:
                raise self._errors[0]
            return self._outages[0] if self._outages and (self._stopped or self._waiting) else None
