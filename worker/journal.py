"""What was sent, and who was asked: claims before a mail leaves, records after it was taken. SQLite or PostgreSQL.

A mail is claimed by one living process, sent, and recorded. A process proves that it lives by renewing its lease;
the claims of a dead one are free again after ``LEASE`` seconds. So the same event, delivered twice or to two
consumers at once, sends one mail; only what a process had in flight when it died can be sent once more.
"""

import json
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, case, create_engine, delete, event, func, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from worker.errors import OutageError, SettingsError
from worker.tables import (
    DECIDING,
    answers,
    approvals,
    asked,
    leases,
    mails,
    metadata,
    outcomes,
    owners,
    questions,
)

LEASE = 15.0
"""Seconds after which a process that did not renew its lease counts as dead."""

PURGE_EVERY = 3600.0
DAY = 86_400.0

CLAIMED, SENT, PARTIAL = range(3)


@dataclass(frozen=True, slots=True)
class Claims:
    """What came of a claim: ours to send (with the recipients that already have it), sent, or another's just now."""

    ours: Mapping[bytes, frozenset[str]]
    sent: frozenset[bytes]
    busy: frozenset[bytes]


@dataclass(slots=True)
class Records:
    """What became of claimed mails; filled while a batch is sent, written in one transaction."""

    sent: list[bytes] = field(default_factory=list)
    partial: dict[bytes, Collection[str]] = field(default_factory=dict)
    released: list[bytes] = field(default_factory=list)

    def add(self, other: "Records") -> None:
        """Take over what the other holds."""
        self.sent += other.sent
        self.partial |= other.partial
        self.released += other.released


class Journal:
    """The journal at one ``STATE_URL``.

    Every method raises ``OutageError`` when the database can't be reached: the caller pauses, nothing is lost.
    """

    def __init__(self, url: str, *, retention: float) -> None:
        """``url`` as SQLAlchemy writes it; ``retention`` in seconds."""
        self._url = _parse(url)
        self._retention = retention
        self._engine = _engine(self._url)
        self.insert = postgresql.insert if self._url.get_backend_name() == "postgresql" else sqlite.insert
        # The database's clock, in seconds: the one clock that all processes share.
        self.now = (
            func.extract("epoch", func.clock_timestamp())
            if self._url.get_backend_name() == "postgresql"
            else (func.julianday("now") - 2440587.5) * 86400.0
        )
        place = "%s" if self._url.get_backend_name() == "postgresql" else "?"
        self._mark_statement = f"UPDATE mails SET state = {SENT}, at = {place}, taken = NULL WHERE key = {place}"  # noqa: S608 - our own words
        self._claim_statement = (
            f"INSERT INTO mails (key, state, owner, at) VALUES ({place}, {CLAIMED}, {place}, {place})"  # noqa: S608 - likewise
            " ON CONFLICT DO NOTHING"
        )
        self._relaxed = "SET synchronous_commit = off" if place == "%s" else "PRAGMA synchronous = NORMAL"
        self._driver_error: type[Exception] = (
            self._engine.dialect.dbapi.Error if self._engine.dialect.dbapi else OSError
        )
        self._marks: Connection | None = None
        self._marking = threading.Lock()
        self.owner = uuid4().hex
        self._held: set[bytes] = set()
        self._lock = threading.Lock()
        self._alive_until = 0.0
        self._closed = threading.Event()
        self._renewal: threading.Thread | None = None

    # -- life ---------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Create what is missing, take a lease and keep it renewed until ``close``."""
        with self.transaction() as connection:
            metadata.create_all(connection)
        self.renew()
        if self._renewal is None:
            self._renewal = threading.Thread(target=self._keep, name="journal-lease", daemon=True)
            self._renewal.start()

    def close(self) -> None:
        """Give the lease up; what is still claimed is free at once."""
        self._closed.set()
        if self._renewal is not None:
            self._renewal.join(timeout=LEASE)
        with suppress(OutageError), self.transaction() as connection:
            # Where the journal is away, the lease runs out by itself.
            connection.execute(delete(owners).where(owners.c.owner == self.owner))
        self._drop_marks()
        self._engine.dispose()

    @property
    def alive(self) -> bool:
        """Whether our lease holds: without it another process may send what we claimed."""
        return time.monotonic() < self._alive_until

    @property
    def is_there(self) -> bool:
        """Whether there is a database to ask; a SQLite file is made by ``open`` alone."""
        return self._url.get_backend_name() != "sqlite" or Path(self._url.database or "").exists()

    def renew(self) -> None:
        """Renew the lease, or take it anew."""
        asked = time.monotonic()
        row = {"owner": self.owner, "until": self.now + LEASE}
        statement = self.insert(owners).values(row)
        with self.transaction() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["owner"], set_={"until": row["until"]}))
        self._alive_until = asked + LEASE

    def _keep(self) -> None:
        purged = 0.0
        while not self._closed.wait(LEASE / 3):
            try:
                self.renew()
                if time.monotonic() - purged > PURGE_EVERY:
                    self.purge()
                    purged = time.monotonic()
            except OutageError:
                continue  # ``alive`` turns false by itself; the next batch says why

    def purge(self) -> None:
        """Forget what is older than the retention, and processes long dead."""
        with self.transaction() as connection:
            old = time.time() - self._retention
            for table in (mails, asked, questions, approvals, answers):
                connection.execute(delete(table).where(table.c.at < old))
            # A decision outlives the tokens that might decide again, whatever the clocks of two machines say.
            ended = (outcomes.c.state != DECIDING) & (outcomes.c.at < old - DAY)
            connection.execute(delete(outcomes).where(ended))
            for table in (owners, leases):
                connection.execute(delete(table).where(table.c.until < self.now - DAY))

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back on any error.

        Raises:
            OutageError: the database is away, locked for too long, full or not writable.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise self._outage(error) from error

    def _outage(self, error: Exception) -> OutageError:
        return OutageError(f"journal {self._url.render_as_string()}: {_cause(error)}")

    # -- mails --------------------------------------------------------------------------------------------------

    def claim(self, keys: Collection[bytes]) -> Claims:
        """Claim those mails for this process, in one transaction.

        Claims of the same process that are still in its hands are busy, too: a batch holds a mail once.
        """
        with self._lock:
            wanted = sorted(key for key in keys if key not in self._held)
            self._held.update(wanted)
        try:
            with self.transaction() as connection:
                claims = self._claim(connection, wanted)
        except BaseException:
            self._forget(wanted)
            raise
        self._forget([*claims.sent, *claims.busy])
        return Claims(claims.ours, claims.sent, claims.busy | (frozenset(keys) - frozenset(wanted)))

    def _claim(self, connection: Connection, wanted: Sequence[bytes]) -> Claims:
        if not wanted:
            return Claims({}, frozenset(), frozenset())
        now = time.time()
        inserted = connection.exec_driver_sql(self._claim_statement, [(key, self.owner, now) for key in wanted])
        if inserted.rowcount == len(wanted):
            # The rule: nobody has heard of them.
            return Claims(dict.fromkeys(wanted, frozenset()), frozenset(), frozenset())
        sent, free = self._standing(connection, wanted)
        if free:
            row = {"state": CLAIMED, "owner": self.owner, "at": now}
            connection.execute(update(mails).where(mails.c.key.in_(free)).values(row))
        return Claims(free, sent, frozenset(wanted) - sent - free.keys())

    def _standing(
        self, connection: Connection, keys: Sequence[bytes]
    ) -> tuple[frozenset[bytes], dict[bytes, frozenset[str]]]:
        dead = or_(owners.c.until.is_(None), owners.c.until < self.now, mails.c.owner == self.owner)
        free = case((mails.c.state == PARTIAL, True), else_=(mails.c.state == CLAIMED) & dead)
        rows = connection.execute(
            select(mails.c.key, mails.c.state, mails.c.taken, free)
            .select_from(mails.outerjoin(owners, owners.c.owner == mails.c.owner))
            .where(mails.c.key.in_(keys))
            .with_for_update(of=mails)
        ).all()
        return (
            frozenset(bytes(key) for key, state, _, _ in rows if state == SENT),
            {bytes(key): frozenset(json.loads(taken or "[]")) for key, _, taken, is_free in rows if is_free},
        )

    def record(self, records: Records) -> None:
        """Write what became of claimed mails, in one transaction, and let go of them.

        ``sent`` is final. ``partial`` notes the recipients that have it; only the others are tried again.
        """
        if records.sent:
            self._mark_sent(records.sent)
        if records.partial or records.released:
            with self.transaction() as connection:
                _record_rest(connection, records, self.owner)
        self._forget([*records.sent, *records.partial, *records.released])

    def _mark_sent(self, keys: Sequence[bytes]) -> None:
        # Written a few mails at a time while others are on their way: a connection of its own, and the driver's own
        # statement, cost a tenth of what composing one costs.
        now = time.time()
        try:
            with self._marking, self._dropping_marks():
                marks = self._marks = self._marks or self._connect_for_marks()
                marks.exec_driver_sql(self._mark_statement, [(now, key) for key in keys])
                marks.commit()
        except (SQLAlchemyError, self._driver_error) as error:
            raise self._outage(error) from error

    def _connect_for_marks(self) -> Connection:
        connection = self._engine.connect()
        # A killed process loses no mark; a power cut may lose the last ones, until the next claim is written through.
        # By the driver itself: SQLAlchemy would begin a transaction first, and inside one SQLite refuses.
        driver: Any = connection.connection.driver_connection
        driver.execute(self._relaxed)
        driver.commit()
        return connection

    @contextmanager
    def _dropping_marks(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._drop_marks()
            raise

    def _drop_marks(self) -> None:
        marks, self._marks = self._marks, None
        if marks is not None:
            with suppress(SQLAlchemyError, self._driver_error):
                marks.invalidate()
                marks.close()

    def _forget(self, keys: Iterable[bytes]) -> None:
        with self._lock:
            self._held.difference_update(keys)


def _record_rest(connection: Connection, records: Records, owner: str) -> None:
    for key, taken in records.partial.items():
        row = {"state": PARTIAL, "at": time.time(), "taken": json.dumps([*taken])}
        connection.execute(update(mails).where(mails.c.key == key, mails.c.state != SENT).values(row))
    ours = mails.c.key.in_(records.released) & (mails.c.state == CLAIMED) & (mails.c.owner == owner)
    connection.execute(update(mails).where(ours & mails.c.taken.is_not(None)).values(state=PARTIAL))
    connection.execute(delete(mails).where(ours & mails.c.taken.is_(None)))


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError(
            "STATE_URL: not a database URL; write sqlite:////path/journal.db or postgresql+psycopg://…"
        ) from None
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise SettingsError(f"STATE_URL: {parsed.get_backend_name()} is not supported; use sqlite or postgresql")
    return parsed


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    if url.database:
        _make_folder(Path(url.database).parent)
    engine = create_engine(url, connect_args={"timeout": 10, "check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediately)
    return engine


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsError(f"STATE_URL: the folder {folder} can't be made: {error.strerror}") from None


def _prepare_sqlite(connection: object, _: object) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]  # the driver's own BEGIN comes too late for us
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]


def _begin_immediately(connection: Connection) -> None:
    # A read that becomes a write fails at once when another process wrote in between; a write lock waits.
    connection.execute(text("BEGIN IMMEDIATE"))


def _cause(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).partition("\n")[0]
