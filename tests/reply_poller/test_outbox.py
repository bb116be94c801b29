"""What the poller notes as due is what an approver is told."""

from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from builders import a_withdrawal, parsed
from reply_poller.answering import NOW, a_due, a_token, ask, owe, state

from worker.events import ApprovalWithdrawn
from worker.journal import Journal
from worker.register import Register
from worker.reply_poller.ledger import Ledger
from worker.reply_poller.outbox import Outbox
from worker.reply_poller.verdict import Approved, Finding, Undecided, Verdict
from worker.reply_token import token_hash
from worker.tables import DUE, SENDING, SENT

MAILBOX = "imap://approvals@mail.example/INBOX"


@pytest.fixture(params=["sqlite", "postgresql"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    """An open journal, in each database."""
    url = f"sqlite:///{tmp_path}/journal.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    opened = Journal(url, retention=86_400.0)
    opened.open()
    yield opened
    opened.close()


def settle(journal: Journal, token: str, *verdicts: Verdict) -> list[bytes]:
    """Settle a mail with each verdict, as the poller does; their digests."""
    ledger = Ledger(journal)
    assert ledger.hold(MAILBOX)
    known = ledger.find([token])[token]
    findings = [
        Finding(
            digest=sha256(b"%d" % number).digest(),
            received_at=NOW,
            verdict=verdict,
            known=known,
            message_id="<r@corp.example>",
        )
        for number, verdict in enumerate(verdicts)
    ]
    ledger.settle(MAILBOX, findings, NOW)
    return [finding.digest for finding in findings]


def test_an_undecided_reply_is_read_back(journal: Journal) -> None:
    """Why, to which mail, who was asked and with which token: what the poller settled is what the answer says."""
    question = ask(journal)
    token = a_token(question)
    (digest,) = settle(journal, token, Undecided("comment"))
    outbox = Outbox(journal)
    assert [found for found, _ in outbox.due()] == [digest]
    read = outbox.read(digest)
    assert read is not None
    due, background = read
    assert (due.reason, due.details.undecided, due.details.message_id) == ("undecided", "comment", "<r@corp.example>")
    assert due.details.approver == question.data.approvers[0]
    assert background.question == question
    assert background.closed_at == question.time
    assert background.token_hashes == {token_hash(token)}


def test_a_late_reply_is_read_back(journal: Journal) -> None:
    """The first decision, for the second; the time of the withdrawal, for what comes behind it."""
    token = a_token(ask(journal))
    _, late = settle(journal, token, Approved(""), Approved("again"))
    read = Outbox(journal).read(late)
    assert read is not None
    assert read[0].reason == "decided"
    assert read[0].details.decided is not None
    assert read[0].details.decided.decision == "approved"
    withdrawal = parsed(a_withdrawal())
    assert isinstance(withdrawal, ApprovalWithdrawn)
    Register(journal).admit(withdrawal)
    again = Outbox(journal).read(late)
    assert again is not None
    assert again[1].closed_at == withdrawal.time


def test_a_claim_is_had_once(journal: Journal) -> None:
    """The second who claims an answer does not get it; noted as due it can be had again, as settled never."""
    digest = owe(journal, a_due())
    outbox = Outbox(journal)
    assert [outbox.claim(digest), outbox.claim(digest)] == [True, False]
    assert state(journal, digest) == SENDING
    outbox.note({digest: DUE})
    assert outbox.claim(digest)
    outbox.note({digest: SENT})
    assert not outbox.claim(digest)
    assert outbox.due() == []


def test_the_oldest_comes_first(journal: Journal) -> None:
    """With the time since when, and without those that are to wait."""
    newer, older, waiting = (owe(journal, a_due(number), at=NOW - timedelta(minutes=number)) for number in range(3))
    outbox = Outbox(journal)
    assert outbox.due([waiting]) == [(older, NOW - timedelta(minutes=1)), (newer, NOW)]


def test_what_another_version_wrote_is_not_read(journal: Journal) -> None:
    """Rather no answer than one that says something else, or a poller that falls over it."""
    ask(journal)
    due = a_due()
    digest = owe(journal, due)
    with journal.transaction() as connection:
        connection.exec_driver_sql("UPDATE answers SET details = '{}'")
    assert Outbox(journal).read(digest) is None
