"""Mails are claimed by one living process, sent, and recorded: on SQLite and on PostgreSQL."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from worker.errors import OutageError, SettingsError
from worker.journal import Journal, Records
from worker.tables import mails, metadata, owners

DAY = 86_400.0


@pytest.fixture(params=["sqlite", "postgresql"])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty journal's URL, of both kinds."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/state/journal.db"
        return
    url = request.getfixturevalue("postgres_url")
    yield url
    journal = Journal(url, retention=DAY)
    with journal.transaction() as connection:
        metadata.drop_all(connection)
    journal.close()


@pytest.fixture
def journal(state_url: str) -> Iterator[Journal]:
    """An open journal."""
    opened = Journal(state_url, retention=DAY)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def other(state_url: str, journal: Journal) -> Iterator[Journal]:  # noqa: ARG001 - opened behind the first
    """Another process's journal at the same URL."""
    opened = Journal(state_url, retention=DAY)
    opened.open()
    yield opened
    opened.close()


def keys(count: int) -> list[bytes]:
    """So many keys that nobody has."""
    return [os.urandom(16) for _ in range(count)]


def test_a_new_mail_is_ours(journal: Journal) -> None:
    """Nobody has it, nobody got it."""
    wanted = keys(3)
    claims = journal.claim(wanted)
    assert claims.ours == dict.fromkeys(wanted, frozenset())
    assert not claims.sent
    assert not claims.busy


def test_a_claimed_mail_is_busy_for_everybody(journal: Journal, other: Journal) -> None:
    """For another process, and for another thread of the same one."""
    wanted = keys(1)
    journal.claim(wanted)
    assert other.claim(wanted).busy == frozenset(wanted)
    assert journal.claim(wanted).busy == frozenset(wanted)


def test_a_sent_mail_is_never_claimed_again(journal: Journal, other: Journal) -> None:
    """Sent is final, whoever asks."""
    wanted = keys(2)
    journal.claim(wanted)
    journal.record(Records(sent=list(wanted)))
    assert journal.claim(wanted).sent == frozenset(wanted)
    assert other.claim(wanted).sent == frozenset(wanted)


def test_a_released_mail_is_free_again(journal: Journal, other: Journal) -> None:
    """As if it had never been claimed."""
    wanted = keys(1)
    journal.claim(wanted)
    journal.record(Records(released=list(wanted)))
    assert other.claim(wanted).ours == {wanted[0]: frozenset()}


def test_who_has_a_mail_is_remembered(journal: Journal, other: Journal) -> None:
    """A mail taken by some recipients is free for the others, through any number of releases."""
    (key,) = keys(1)
    journal.claim([key])
    journal.record(Records(partial={key: ["dana@corp.example"]}))
    assert other.claim([key]).ours == {key: frozenset({"dana@corp.example"})}
    other.record(Records(released=[key]))
    assert journal.claim([key]).ours == {key: frozenset({"dana@corp.example"})}


def test_the_claims_of_a_dead_process_are_free(journal: Journal, other: Journal) -> None:
    """Once its lease ran out, and not before."""
    wanted = keys(1)
    journal.claim(wanted)
    assert other.claim(wanted).busy
    with other.transaction() as connection:
        connection.execute(update(owners).where(owners.c.owner == journal.owner).values(until=0.0))
    assert other.claim(wanted).ours


def test_an_orderly_end_frees_claims_at_once(journal: Journal, state_url: str) -> None:
    """No lease is waited for."""
    first = Journal(state_url, retention=DAY)
    first.open()
    wanted = keys(1)
    first.claim(wanted)
    first.close()
    assert journal.claim(wanted).ours


def test_a_lease_that_ran_out_is_known(journal: Journal) -> None:
    """A process whose journal is away stops believing in its claims."""
    assert journal.alive
    journal._alive_until = 0.0
    assert not journal.alive
    journal.renew()
    assert journal.alive


def test_two_processes_share_what_there_is(journal: Journal, other: Journal) -> None:
    """Claiming the same mails at once, each gets some or none; together all, and none twice."""
    wanted = keys(400)
    got: list[set[bytes]] = []

    def claim(of: Journal) -> None:
        got.extend(set(of.claim(wanted[start : start + 50]).ours) for start in range(0, 400, 50))

    threads = [threading.Thread(target=claim, args=(of,)) for of in (journal, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(len(some) for some in got) == 400
    assert set().union(*got) == set(wanted)


def test_what_is_old_is_forgotten(journal: Journal) -> None:
    """Only what is older than the retention."""
    old, new = keys(2)
    journal.claim([old, new])
    journal.record(Records(sent=[old, new]))
    with journal.transaction() as connection:
        connection.execute(update(mails).where(mails.c.key == old).values(at=0.0))
    journal.purge()
    claims = journal.claim([old, new])
    assert old in claims.ours
    assert new in claims.sent


def test_a_claim_that_failed_holds_nothing(journal: Journal) -> None:
    """After an outage of the journal the same mails can be claimed."""
    wanted = keys(1)
    with journal.transaction() as connection:
        connection.execute(delete(owners))
        mails.drop(connection)
    with pytest.raises(OutageError):
        journal.claim(wanted)
    journal.open()
    assert journal.claim(wanted).ours


def test_a_journal_that_is_away_is_an_outage(tmp_path: Path) -> None:
    """The sentence names it, and no password."""
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    away = Journal("postgresql+psycopg://u:secret@127.0.0.1:1/x", retention=DAY)
    with pytest.raises(OutageError, match="journal") as caught:
        away.open()
    assert "secret" not in str(caught.value)
    with pytest.raises((OutageError, SettingsError)):
        Journal(f"sqlite:///{blocked}/journal.db", retention=DAY).open()


@pytest.mark.parametrize("url", ["nonsense", "mysql://localhost/x"])
def test_another_database_is_refused(url: str) -> None:
    """The sentence says what to write."""
    with pytest.raises(SettingsError, match="STATE_URL"):
        Journal(url, retention=DAY)
