"""The poller is killed at each of its steps, once; its servers go away in each; two of them share a mailbox."""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count

import psutil
import pytest
from reply_poller.crashing import Place
from reply_poller.crashsite import BreakingPoller, CrashSite, Events, a_decision_of, said, told_of
from reply_poller.desk import BO, DANA, Question, an_approval_requested
from servers.dovecot import Dovecot
from servers.mailbox_sink import SmtpSink
from servers.ports import LOOPBACK, wait_until
from servers.postgres import Cluster
from servers.proxy import TcpProxy
from servers.rabbitmq import RabbitMQ
from sqlalchemy.engine import make_url
from upstream import Upstream

from worker.tables import SENDING, SENT

CY = {"name": "Cy Ode", "email": "cy@corp.example"}
STRANGER = b"From: news@shop.example\r\nTo: %s\r\nSubject: Offers\r\nMessage-ID: <%d@shop.example>\r\n\r\nApprove\r\n"

MakeSite = Callable[..., CrashSite]

_NUMBERS = count(1)


@pytest.fixture(scope="module")
def make_site(
    broker: RabbitMQ, dovecot_server: Dovecot, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeSite]:
    """A new mailbox, broker, mail server and journal; its workers reach these by the ``ports`` of proxies, if given."""
    with ExitStack() as stack:

        def make(state_url: str | None = None, **ports: int) -> CrashSite:
            url, smtp = stack.enter_context(broker.virtual_host()), stack.enter_context(SmtpSink())
            folder = tmp_path_factory.mktemp("crash")
            made = CrashSite(folder, url, smtp, dovecot_server.create_user(), state_url)
            made.settings |= {name: through(port, made.settings[name]) for name, port in ports.items()}
            return stack.enter_context(made)

        yield make


def through(port: int, url: str) -> str:
    """That URL by another port of the loopback."""
    return make_url(url).set(host=LOOPBACK, port=port).render_as_string(hide_password=False)


def address(url: str) -> tuple[str, int]:
    """Where that URL leads."""
    parsed = make_url(url)
    return parsed.host or LOOPBACK, parsed.port or 5672


@pytest.fixture(scope="module")
def site(make_site: MakeSite) -> CrashSite:
    """One for one crash after the other."""
    return make_site()


class Replies:
    """Answers to three approvals, and mails that are none; what each must amount to, by the id of its event.

    ``last`` comes later than the other ``mails``; those ``refused`` are among them.
    """

    def __init__(self, site: CrashSite, *, committed: bool = True) -> None:
        """Two of the approvals are closed by ``close``: whether after their answers were ``committed``."""
        self.mails: list[bytes] = []
        self.expected: dict[str, str] = {}
        self.refused: list[bytes] = []
        self._site, self._number = site, next(_NUMBERS)
        kept, bo, cy = site.ask(f"{self._number}-kept", DANA, BO, CY)
        (withdrawn,) = site.ask(f"{self._number}-withdrawn", DANA)
        (superseded,) = site.ask(f"{self._number}-superseded", DANA)
        self._approve(withdrawn, late=None if committed else "late: withdrawn")
        self._approve(superseded, late=None if committed else "late: superseded")
        self._approve(kept, late=None)
        self._tell(kept.reply("Reject\n"), "late: decided")
        self._tell(cy.reply("What does it change?\n"), "reply.undecided")
        self._refuse(kept.reply("Approve\n", sender="mallory@evil.example"))
        self._refuse(cy.reply("Approve\n", results=None))
        self._refuse(STRANGER % (site.settings["IMAP_USER"].encode(), self._number))
        self.last = bo.reply("Reject: too risky\n")
        self.expected[a_decision_of(bo)] = "approval.rejected"

    def close(self) -> None:
        """Withdraw the one, and ask anew for the other."""
        self._site.withdraw(f"{self._number}-withdrawn")
        self._site.ask(f"{self._number}-superseded", DANA, again=True)

    def _approve(self, question: Question, *, late: str | None) -> None:
        raw = question.reply("Approve\n\nChecked.\n")
        if late is None:
            self.mails.append(raw)
            self.expected[a_decision_of(question)] = "approval.approved"
        else:
            self._tell(raw, late)

    def _tell(self, raw: bytes, outcome: str) -> None:
        self.mails.append(raw)
        self.expected[told_of(raw)] = outcome

    def _refuse(self, raw: bytes) -> None:
        self._tell(raw, "reply.untrusted")
        self.refused.append(raw)


# Before it publishes it is killed further down.
@pytest.mark.parametrize("place", [place for place in Place if place is not Place.PUBLISHING])
def test_a_crash_loses_nothing(site: CrashSite, place: Place) -> None:
    """Killed there: what was committed stands whatever happened meanwhile, all else is judged by what is so then."""
    replies = Replies(site, committed=place is not Place.SETTLING)
    poller = site.running()
    with poller.frozen():
        site.put(replies.mails)
        poller.kill_at(place)
    poller.wait_killed()
    lost = {digest for digest, state in site.answers().items() if state == SENDING}
    replies.close()
    site.put([replies.last])
    site.free_lease()
    site.running()
    assert_settled(site, replies, lost)


def test_what_was_committed_needs_no_mail(site: CrashSite) -> None:
    """Killed before it published; then somebody empties the folder: all is told as it was committed."""
    replies, poller = Replies(site), site.running()
    with poller.frozen():
        site.put([*replies.mails, replies.last])
        poller.kill_at(Place.PUBLISHING)
    poller.wait_killed()
    replies.close()
    site.empty()
    site.free_lease()
    site.running()
    assert {event_id: said(copies[0]) for event_id, copies in site.published().items()} == replies.expected


def assert_settled(site: CrashSite, replies: Replies, lost: Collection[bytes] = ()) -> Events:
    """Soon each of them was told as it must be, and has left the folder; each answer went out once. What was told.

    Those ``lost`` were on their way in a crash: they went out once at most.
    """
    wait_until(lambda: site.left() == 0, f"an empty folder:\n{site.text}", 20)
    wait_until(lambda: all(state == SENT or digest in lost for digest, state in site.answers().items()), site.text, 20)
    events, sent = site.published(), site.answered()
    assert {event_id: said(copies[0]) for event_id, copies in events.items()} == replies.expected
    assert sorted(site.empty(".Quarantine")) == sorted(replies.refused)
    times = {digest: sent[digest[:16]] for digest in site.answers()}
    assert all(number == 1 or (number == 0 and digest in lost) for digest, number in times.items()), times
    return events


@dataclass(frozen=True, slots=True)
class Distant:
    """A site whose worker, both halves of it, reaches journal and broker by ways that can be cut."""

    site: CrashSite
    ways: dict[str, TcpProxy]

    @property
    def worker(self) -> BreakingPoller:
        """It, running."""
        return self.site.running("run")

    def outages(self, half: str) -> int:
        """How often that half has said that a server is away; it names its mailbox or its queue."""
        return sum(line["event"] == "outage" and half in line for line in self.worker.lines)


@pytest.fixture(scope="module")
def distant(make_site: MakeSite, broker: RabbitMQ, postgres_cluster: Cluster) -> Iterator[Distant]:
    """With a journal in PostgreSQL."""
    url = postgres_cluster.create_database()
    with TcpProxy(address(url)) as journal, TcpProxy(address(broker.url)) as line:
        site = make_site(url, STATE_URL=journal.port, BROKER_URL=line.port)
        yield Distant(site, {"journal": journal, "broker": line})


@pytest.mark.parametrize(
    ("server", "place"),
    [
        ("journal", Place.SETTLING),
        ("journal", Place.CONFIRMED),
        ("journal", Place.CLAIMING),
        ("journal", Place.TAKEN),
        ("broker", Place.PUBLISHING_SOME),
    ],
)
def test_an_outage_pauses_both_halves(distant: Distant, server: str, place: Place) -> None:
    """Away from there on: events and replies stay where they are; it comes back, and nothing is lost or told twice."""
    site, worker, way = distant.site, distant.worker, distant.ways[server]
    replies, asked = Replies(site), site.asked()
    before = {half: distant.outages(half) for half in ("mailbox", "queue")}
    worker.hold_at(place)
    site.put(replies.mails)
    worker.wait_held()
    way.refuse()
    way.cut()
    worker.let_go()
    with Upstream(site.url) as upstream:
        upstream.publish(an_approval_requested(BO, number=f"{server}, {place}", event_id=f"{server}, {place}"))
    site.put([replies.last])
    for half, times in before.items():
        wait_until(lambda half=half, times=times: distant.outages(half) > times, f"{half}:\n{worker.text}", 20)  # type: ignore[misc]
    assert site.asked() == asked
    assert site.left() > 0
    way.restore()
    assert_settled(site, replies)
    wait_until(lambda: site.asked() > asked, f"the question:\n{worker.text}", 20)
    assert site.asked() == asked + 1


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_FSIZE"), reason="no such limit here")
def test_a_full_disk_pauses(make_site: MakeSite) -> None:
    """The SQLite journal can't be written: nothing is told, and no mail leaves, until it can be again."""
    site = make_site()
    poller, replies = site.running(), Replies(site)
    limits = psutil.Process(poller.process.pid).rlimit
    with poller.frozen():
        site.put(replies.mails)
        # Enough for what it logs, and too little for the journal.
        limits(psutil.RLIMIT_FSIZE, (65_536, psutil.RLIM_INFINITY))
    poller.wait_line("outage")
    assert site.published() == {}
    assert site.left() == len(replies.mails)
    limits(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
    site.put([replies.last])
    assert_settled(site, replies)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_pollers_decide_once(make_site: MakeSite, request: pytest.FixtureRequest, kind: str) -> None:
    """Each in turn stands still until the other has taken over: what it had in hand it may not settle any more."""
    url = None if kind == "sqlite" else request.getfixturevalue("postgres_cluster").create_database()
    site = make_site(url)
    pollers = site.running(), site.start()
    for turn, (place, copies) in enumerate({Place.SETTLING: 1, Place.CONFIRMED: 2, Place.MARKED: 1}.items()):
        active, replies = pollers[turn % 2], Replies(site)
        active.hold_at(place)
        with active.frozen():
            site.put([*replies.mails, replies.last])
        active.wait_held()
        site.free_lease()
        events = assert_settled(site, replies)
        assert {len(found) for found in events.values()} == {copies}
        active.let_go()
        if place is not Place.MARKED:
            active.wait_line("another poller took the mailbox over")
    # The first may not have noticed yet that the mailbox is not its own any more: both may read what comes.
    replies = Replies(site)
    site.put([*replies.mails, replies.last])
    events = assert_settled(site, replies)
    assert {len(found) for found in events.values()} == {1}
    assert [poller.process.poll() for poller in pollers] == [None, None]
