"""A real Dovecot for the reply poller, one for the run, with a mailbox for each test; and journals of both kinds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bookkeeping import BOX, DAY
from reply_poller.desk import AUTHSERV_ID, KEY, Desk
from servers.absence import missing
from servers.dovecot import Dovecot, DovecotUser, find_program
from servers.mailbox_sink import SmtpSink
from servers.ports import LOOPBACK
from upstream import Upstream

from worker.journal import Journal
from worker.reply_poller.ledger import Ledger


@pytest.fixture(scope="session")
def dovecot_server() -> Iterator[Dovecot]:
    """A Dovecot for the whole run; a test makes the users that it needs."""
    program = find_program()
    if program is None:
        missing("Dovecot", "install dovecot-imapd and dovecot-lmtpd (no running server is needed)")
    with Dovecot(program) as server:
        yield server


@pytest.fixture
def dovecot(dovecot_server: Dovecot) -> DovecotUser:
    """A user of this test's own in it, with an empty INBOX."""
    return dovecot_server.create_user()


@pytest.fixture
def own_dovecot() -> Iterator[Dovecot]:
    """A Dovecot of this test's own, to be stopped and started."""
    program = find_program()
    if program is None:
        missing("Dovecot", "install dovecot-imapd and dovecot-lmtpd (no running server is needed)")
    with Dovecot(program) as server:
        yield server


@pytest.fixture
def desk(tmp_path: Path, vhost_url: str, mailbox_sink: SmtpSink, dovecot: DovecotUser) -> Iterator[Desk]:
    """Both ends of the loop, and settings that join them; nothing runs yet."""
    settings = {
        "BROKER_URL": vhost_url,
        "SMTP_PORT": str(mailbox_sink.port),
        "SMTP_FROM_ADDRESS": f"Deploy Approvals <{dovecot.name}>",
        "ENABLE_EMAIL_APPROVAL": "true",
        "IMAP_HOST": LOOPBACK,
        "IMAP_PORT": str(dovecot.server.port),
        "IMAP_USER": dovecot.name,
        "IMAP_PASSWORD": dovecot.password,
        "IMAP_ENABLE_STARTTLS": "false",
        "APPROVAL_TOKEN_KEY": KEY,
        "TRUSTED_AUTHSERV_ID": AUTHSERV_ID,
    }
    with Upstream(vhost_url) as upstream:
        yield Desk(tmp_path, upstream, mailbox_sink, dovecot, settings)


@pytest.fixture(params=["sqlite", "postgresql"])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A journal's URL, of both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def journal(state_url: str) -> Iterator[Journal]:
    """An open journal."""
    opened = Journal(state_url, retention=DAY)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def ledger(journal: Journal) -> Ledger:
    """A poller's view of it, holding the mailbox."""
    ledger = Ledger(journal)
    assert ledger.hold(BOX)
    return ledger
