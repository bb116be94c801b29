"""One poller reads a mailbox, and another takes over when it is gone: on SQLite and on PostgreSQL."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from worker.errors import OutageError, TransientError
from worker.journal import Journal
from worker.reply_poller.lease import LEASE, LeaseLostError, Leases
from worker.tables import leases

DAY = 86_400.0
BOX = "imap.corp.example/countersign/INBOX"


@pytest.fixture(params=["sqlite", "postgresql"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    """An open journal, of both kinds."""
    sqlite = f"sqlite:///{tmp_path}/journal.db"
    opened = Journal(sqlite if request.param == "sqlite" else request.getfixturevalue("postgres_url"), retention=DAY)
    opened.open()
    yield opened
    opened.close()


def pass_by(journal: Journal, seconds: float) -> None:
    """Let time pass for the leases."""
    with journal.transaction() as connection:
        connection.execute(update(leases).values(until=leases.c.until - seconds))


def test_one_holds_a_mailbox(journal: Journal) -> None:
    """Two pollers of one process are two; one mailbox says nothing about another."""
    first, second = Leases(journal), Leases(journal)
    assert first.hold(BOX)
    assert not second.hold(BOX)
    assert first.hold(BOX)
    assert second.hold("other")


def test_a_dead_poller_is_followed(journal: Journal) -> None:
    """Once its lease ran out, and not before; when it comes back it finds the mailbox taken."""
    first, second = Leases(journal), Leases(journal)
    first.hold(BOX)
    pass_by(journal, LEASE - 2)
    assert not second.hold(BOX)
    pass_by(journal, 3)
    assert second.hold(BOX)
    assert not first.hold(BOX)


def test_holding_renews(journal: Journal) -> None:
    """The time counts from the last time, by the database's clock."""
    first, second = Leases(journal), Leases(journal)
    first.hold(BOX)
    pass_by(journal, LEASE - 1)
    first.hold(BOX)
    pass_by(journal, LEASE - 1)
    assert not second.hold(BOX)


def test_given_up_it_is_free_at_once(journal: Journal) -> None:
    """But nobody gives up what another holds."""
    first, second = Leases(journal), Leases(journal)
    first.hold(BOX)
    second.release(BOX)
    assert not second.hold(BOX)
    first.release(BOX)
    assert second.hold(BOX)


def test_required_it_must_be_ours(journal: Journal) -> None:
    """Never taken, taken by another, or run out: nothing may be written."""
    first, second = Leases(journal), Leases(journal)
    assert issubclass(LeaseLostError, TransientError)
    with pytest.raises(LeaseLostError), journal.transaction() as connection:
        first.require(connection, BOX)
    first.hold(BOX)
    with pytest.raises(LeaseLostError), journal.transaction() as connection:
        second.require(connection, BOX)
    pass_by(journal, LEASE + 1)
    with pytest.raises(LeaseLostError), journal.transaction() as connection:
        first.require(connection, BOX)


def test_required_it_is_renewed_and_kept(journal: Journal) -> None:
    """Nobody takes it over in the middle of a transaction that requires it, not even when it runs out there."""
    first, second = Leases(journal), Leases(journal)
    first.hold(BOX)
    pass_by(journal, LEASE - 1)
    taken: list[bool] = []
    taking = threading.Thread(target=lambda: taken.append(second.hold(BOX)))
    with journal.transaction() as connection:
        first.require(connection, BOX)
        left = connection.execute(select(leases.c.until - journal.now)).scalar_one()
        assert LEASE - 1 < float(left) <= LEASE + 0.01
        connection.execute(update(leases).values(until=0.0))
        taking.start()
        taking.join(0.3)
        assert taking.is_alive()
    taking.join(10)
    assert taken == [True]


def test_of_many_one_takes_it(journal: Journal) -> None:
    """However many start at once."""
    pollers = [Leases(journal) for _ in range(6)]
    held: list[bool] = []
    threads = [threading.Thread(target=lambda poller=poller: held.append(poller.hold(BOX))) for poller in pollers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(held) == [False] * 5 + [True]


def test_a_journal_that_is_away_is_an_outage() -> None:
    """Nobody reads a mailbox on the strength of a lease that can't be seen."""
    away = Leases(Journal("postgresql+psycopg://u:p@127.0.0.1:1/x", retention=DAY))
    with pytest.raises(OutageError):
        away.hold(BOX)
