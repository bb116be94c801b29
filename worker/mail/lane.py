"""A ``Work`` to its end on one session at a time: opened when needed, reopened where that is safe, kept for later."""

import threading
import time
from queue import SimpleQueue

from worker.errors import OutageError
from worker.mail.connection import Server
from worker.mail.session import Session
from worker.mail.wire import Handle
from worker.mail.work import Work

_DEFER_SECONDS = 60.0
_END_SECONDS = 5.0
_JOIN_SECONDS = 0.003


class Lane:
    """One of the relay's sessions, with a thread of its own from the first ``post``."""

    def __init__(self, server: Server, depth: int) -> None:
        self.busy = False
        self._server = server
        self._depth = depth
        self._handle = Handle()
        self._session: Session | None = None
        self._deferred = 0.0
        self._entered = False
        self._posted: SimpleQueue[Work | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def open(self) -> bool:
        """Whether a session is at hand."""
        return self._session is not None

    @property
    def ready(self) -> bool:
        """Whether it may be posted to: not busy, and not refused a session just now."""
        return not self.busy and time.monotonic() >= self._deferred

    def post(self, work: Work) -> None:
        """Take part in the work, in a thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="relay", daemon=True)
            self._thread.start()
        self.busy = True
        self._posted.put(work)

    def run(self, work: Work) -> None:
        """Take part in the work, here."""
        outage: OutageError | None = None
        bug: Exception | None = None
        self._entered = whole = False
        try:
            outage = self._run(work)
            whole = True
        except Exception as error:  # noqa: BLE001 - handed to who waits for the work, where it is raised again
            bug = error
        finally:
            if not whole:
                self.drop()
            self.busy = False
            work.leave(outage, bug, entered=self._entered)

    def _serve(self) -> None:
        while work := self._posted.get():
            # Where the server is near, one session is done by now; two would only fight for the interpreter.
            work.wait_all(_JOIN_SECONDS)
            self.run(work)
        self.drop()

    def _run(self, work: Work) -> OutageError | None:
        while work.left:
            session = self._session if self._session and self._session.alive() else None
            kept = session is not None
            try:
                session = session or self.renew()
            except OutageError as outage:
                self._deferred = time.monotonic() + _DEFER_SECONDS
                return outage
            self._enter(work)
            if not self._carry(session, work, kept=kept):
                break
        return None

    def _enter(self, work: Work) -> None:
        if not self._entered:
            self._entered = True
            work.enter()

    def _carry(self, session: Session, work: Work, *, kept: bool) -> bool:
        try:
            loss = session.carry(work)
        except OutageError as outage:
            self.drop()
            work.stop(outage)
            return False
        if loss is None:
            return False
        self.drop()
        if loss.doubtful or not (loss.achieved or kept):
            work.stop(OutageError(f"{self._server.name}: {loss.reason}"))
            return False
        return True

    def renew(self) -> Session:
        """A new session, instead of the one at hand.

        Raises:
            OutageError: the server cannot be reached or refuses the session.
        """
        self.close()
        try:
            self._session = Session(self._server, self._depth, self._handle)
        except BaseException:
            self.drop()
            raise
        self._deferred = 0.0
        return self._session

    def close_idle(self) -> None:
        """Close a session that was not used for a while."""
        if not self.busy and self._session and self._session.idle:
            self.close()

    def close(self) -> None:
        """Say goodbye to the server."""
        session, self._session = self._session, None
        if session:
            session.quit()
        self._handle.drop()

    def drop(self) -> None:
        """Close without a word."""
        session, self._session = self._session, None
        if session:
            session.close()
        self._handle.drop()

    def abort(self) -> None:
        """Cut whatever is going on, from any thread, for good."""
        self._handle.abort()

    def end(self) -> None:
        """Close, and let the thread end."""
        if self.busy:
            self.abort()
        else:
            self.close()
        self._posted.put(None)
        if self._thread:
            self._thread.join(_END_SECONDS)
