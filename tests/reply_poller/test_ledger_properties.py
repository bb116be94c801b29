"""Whatever mails come in whatever order, an approver decides once, and only what is open."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from builders import a_withdrawal, an_approval_event, parsed
from findings import NOON, a_finding, a_known
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.events import RequestEvent
from worker.journal import Journal
from worker.register import Register
from worker.reply_poller.ledger import Ledger
from worker.reply_poller.outcome import Outcome
from worker.reply_poller.verdict import Approved, Automatic, Finding, Rejected, Undecided, Untrusted, Verdict

BOX = "imap.corp.example/countersign/INBOX"
NUMBERS = count(1)
VERDICTS: Sequence[Verdict] = [
    Approved("yes"),
    Approved(""),
    Rejected("no"),
    Undecided("no-word"),
    Untrusted("another sender"),
    Automatic("absent"),
]
# Mails by their number in a story; a mail may come in several batches, and twice in one.
MAILS = st.lists(st.integers(0, 5), min_size=1, max_size=5)
STEPS = st.lists(
    st.one_of(MAILS, st.sampled_from(["withdraw", "supersede", "expire", "publish", "restart"])), max_size=8
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def journals(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Journal]]:
    """Two processes' journals at one database, of both kinds."""
    folder: Path = tmp_path_factory.mktemp("ledger")
    cluster = request.getfixturevalue("postgres_cluster") if request.param == "postgresql" else None
    url = cluster.create_database() if cluster else f"sqlite:///{folder}/journal.db"
    with ExitStack() as stack:
        opened = [Journal(url, retention=86_400.0) for _ in range(2)]
        for journal in opened:
            journal.open()
            stack.callback(journal.close)
        yield opened


@dataclass
class Story:
    """One approval and one approver, through whatever happens to them."""

    journals: list[Journal]
    verdicts: Sequence[Verdict]
    approval: str = field(default_factory=lambda: f"P-{next(NUMBERS)}")
    closed: bool = False
    published: list[tuple[bool, Outcome]] = field(default_factory=list)
    now = NOON

    def __post_init__(self) -> None:
        known = a_known(approval=self.approval, expires_at=NOON + timedelta(hours=1))
        self.mails: list[Finding] = [a_finding(verdict, known=known) for verdict in self.verdicts]
        self.register = Register(self.journals[0])
        self.poller = 0
        self.ledgers = [Ledger(journal) for journal in self.journals]
        self._tell(an_approval_event(approval={"id": self.approval, "title": "Go?"}))

    def play(self, step: str | list[int]) -> None:
        """One thing happens."""
        match step:
            case list():
                self._settle([self.mails[number] for number in step])
            case "withdraw" | "supersede" | "expire":
                self._close(step)
            case "publish":
                self._hold().published(BOX, [outcome.digest for outcome in self._hold().unfinished(BOX)])
            case "restart":
                self.ledgers[self.poller].release(BOX)
                self.poller = 1 - self.poller

    def _settle(self, mails: list[Finding]) -> None:
        outcomes = self._hold().settle(BOX, mails, self.now)
        assert [outcome.digest for outcome in outcomes] == [mail.digest for mail in mails]
        unfinished = [outcome for outcome in self._hold().unfinished(BOX) if outcome.approval_id == self.approval]
        self.published += [(self.closed, outcome) for outcome in [*outcomes, *unfinished] if outcome.decides]

    def _close(self, how: str) -> None:
        self.closed = True
        if how == "expire":
            self.now = NOON + timedelta(hours=2)
        elif how == "withdraw":
            self._tell(a_withdrawal(event_id=f"w-{self.approval}", approval=self.approval))
        else:
            again = {"id": self.approval, "title": "Go?"}
            self._tell(an_approval_event(event_id="a-2", time="2026-11-23T09:00:00Z", approval=again))

    def _hold(self) -> Ledger:
        ledger = self.ledgers[self.poller]
        assert ledger.hold(BOX)
        return ledger

    def _tell(self, event: dict[str, object]) -> None:
        told = parsed(event)
        assert not isinstance(told, RequestEvent)
        self.register.admit(told)

    def end(self) -> None:
        """Leave the mailbox to the next story."""
        self._hold().published(BOX, [outcome.digest for outcome in self._hold().unfinished(BOX)])
        self._hold().release(BOX)


@settings(max_examples=60, deadline=None)
@given(verdicts=st.lists(st.sampled_from(VERDICTS), min_size=6, max_size=6), steps=STEPS)
def test_one_decision_and_never_another(
    journals: list[Journal], verdicts: list[Verdict], steps: list[str | list[int]]
) -> None:
    """At most one event decides, ever, byte for byte; and none that was not open when the first was settled."""
    story = Story(journals, verdicts)
    for step in steps:
        story.play(step)
    story.end()
    bodies = {outcome.body for _, outcome in story.published}
    assert len(bodies) <= 1
    assert len({outcome.digest for _, outcome in story.published}) <= 1
    if story.published:
        first_when_closed, outcome = story.published[0]
        assert not first_when_closed
        assert outcome.body is not None
        verdict = verdicts[[mail.digest for mail in story.mails].index(outcome.digest)]
        assert isinstance(verdict, Approved | Rejected)
        assert json.loads(outcome.body)["data"]["comment"] == verdict.comment
        assert outcome.type == ("approval.approved" if isinstance(verdict, Approved) else "approval.rejected")
