"""Settings to the parts of the poller, built and wired: what ``parts`` is for the consumers."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from worker import topology
from worker.consumers.draft import Addressing, Identity
from worker.health import Heart
from worker.journal import Journal
from worker.lifetime import Loop
from worker.mail.relay import Relay
from worker.parts import (
    broker_urls,
    build_relay,
    build_templates,
    ensure_topology,
    login_as,
    now,
    open_journal,
    own_addresses_of,
    reply_route,
    token_keys,
)
from worker.reply_poller.account import Account
from worker.reply_poller.answer import AnswerComposer
from worker.reply_poller.correspondent import Correspondent
from worker.reply_poller.decision import Vocabulary, read_decision
from worker.reply_poller.docket import Docket
from worker.reply_poller.explanation import Explanation, explain
from worker.reply_poller.judge import Judge, Rules
from worker.reply_poller.known import Known
from worker.reply_poller.ledger import Ledger
from worker.reply_poller.mailbox import MAX_MAIL_BYTES, Mail, Mailbox
from worker.reply_poller.outbox import Outbox
from worker.reply_poller.outcome import Outcome
from worker.reply_poller.poller import Claim, Pace, Poller
from worker.reply_poller.publisher import ReplyPublisher
from worker.reply_poller.reader import Reader
from worker.reply_poller.reading import ReadingProcess
from worker.reply_poller.reply import Reply
from worker.reply_poller.sender import Trust
from worker.reply_poller.verdict import Finding
from worker.settings import PollSettings


@dataclass(frozen=True, slots=True)
class Edges:
    """What makes the parts that have effects: a proof that a crash loses nothing puts in ones that break off."""

    ledger: Callable[[Journal], Ledger] = Ledger
    mailbox: Callable[[Account], Mailbox] = Mailbox
    publisher: Callable[..., ReplyPublisher] = ReplyPublisher
    outbox: Callable[[Journal], Outbox] = Outbox


EDGES = Edges()

CONFIRM_SECONDS = 30.0
"""For the confirms of a batch: half of what a loop may take before health says that it is stuck."""


def build_poller(settings: PollSettings, journal: Journal, heart: Heart, edges: Edges = EDGES) -> tuple[Loop, Loop]:
    """The loops of the poller: replies to decisions, and answers to approvers, each with a mail session of its own."""
    relay = build_relay(settings, connections=1, depth=1)
    correspondent = build_correspondent(settings, edges.outbox(journal), relay, partial(heart.beat, "answers"))
    beat = partial(heart.beat, "poller")
    inbound = Inbound(settings, journal, edges, beat=beat, wake=correspondent.wake)

    def answer() -> None:
        try:
            correspondent.run()
        finally:
            relay.close()

    return Loop(inbound.run, inbound.poller.stop, inbound.abort), Loop(answer, correspondent.stop, relay.abort)


def poll_once(settings: PollSettings, journal: Journal) -> Iterator[tuple[Finding, Outcome]]:
    """Read the folder once, and yield what came of each mail; then send the answers that are due.

    Raises:
        OutageError: a server is away, or another poller reads this mailbox.
        SettingsError: the folder holds mails that are not addressed to us, or the server can't be used.
    """
    with closing(Inbound(settings, journal)) as inbound:
        yield from inbound.poller.run_once()
    with closing(build_relay(settings, connections=1, depth=1)) as relay:
        build_correspondent(settings, Outbox(journal), relay, lambda _: None).send_due()


def explain_mail(settings: PollSettings, raw: bytes) -> Explanation:
    """What would come of that mail if it were read now. Writes nothing.

    Raises:
        OutageError: the journal can't be read.
    """
    journal, rules = open_journal(settings), build_rules(settings)
    # Where there is none yet, none is made: nobody has been asked anything.
    ledger = Ledger(journal) if journal.is_there else None
    find: Callable[[Collection[str]], Mapping[str, Known]] = ledger.find if ledger else lambda _: {}
    with closing(ReadingProcess(build_reader(settings))) as reading:
        judge = Judge(rules, read=reading.read, find=find)
        evidence = judge.examine(Mail(1, raw if len(raw) <= MAX_MAIL_BYTES else None, len(raw), now()))
    finding = judge.conclude(evidence, find(evidence.tokens))
    outcome = ledger.rehearse(finding, now()) if ledger else Docket(now()).settle(finding)
    title = finding.known.title if finding.known else ""
    said = read_decision(evidence.reply, rules.words, title=title) if evidence.reply else None
    return explain(evidence, finding, outcome, said)


class Inbound:
    """The poller with all that it holds, wired; ``poller`` is the loop."""

    def __init__(
        self,
        settings: PollSettings,
        journal: Journal,
        edges: Edges = EDGES,
        *,
        beat: Callable[[str], None] = lambda _: None,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._reading = ReadingProcess(build_reader(settings))
        self._mailbox = edges.mailbox(_account(settings))
        self._publisher = edges.publisher(broker_urls(settings), ca_file=settings.tls_ca_file, seconds=CONFIRM_SECONDS)
        ledger = edges.ledger(journal)

        def read(raw: bytes) -> Reply:
            # A batch of mails that each take their two seconds is slow, not stuck.
            beat("reading")
            return self._reading.read(raw)

        def probe() -> None:
            self._reading.start()
            journal.open()
            ensure_topology(settings, topology.POLLER_PLAN)

        self.poller = Poller(
            mailbox=self._mailbox,
            ledger=ledger,
            judge=Judge(build_rules(settings), read=read, find=ledger.find).judge,
            publisher=self._publisher,
            pace=_pace(settings),
            claim=_claim(settings),
            retention=settings.quarantine_retention,
            probe=probe,
            clock=now,
            beat=beat,
            wake=wake,
        )

    def run(self) -> None:
        """Poll until told to stop."""
        try:
            self.poller.run()
        finally:
            self.close()

    def close(self) -> None:
        """End the process that reads mails."""
        self._reading.close()

    def abort(self) -> None:
        """Cut what it waits for, from any thread."""
        self._mailbox.abort()
        self._publisher.abort()


def build_reader(settings: PollSettings) -> Reader:
    """What reads the mails that answer ours."""
    sender = settings.smtp_from_address
    addresses = dict.fromkeys((settings.approval_reply_address.lower(), sender.email.lower()))
    return Reader(tuple(addresses), sender.name)


def build_rules(settings: PollSettings) -> Rules:
    """What decides whether a mail is an approver's decision."""
    own = own_addresses_of(settings)
    return Rules(
        address=settings.approval_reply_address,
        separator=settings.reply_subaddress,
        own_addresses=own,
        keys=token_keys(settings),
        trust=Trust(settings.approval_trust, settings.trusted_authserv_id or "", own),
        words=Vocabulary(settings.approve_words, settings.reject_words),
    )


def build_correspondent(
    settings: PollSettings, outbox: Outbox, relay: Relay, beat: Callable[[str], None]
) -> Correspondent:
    """What answers approvers whose reply decided nothing."""
    composer = AnswerComposer(
        build_templates(settings),
        Identity(settings.smtp_from_address),
        Addressing(settings.recipient_domains, settings.reroute_all_to),
        reply_route(settings),
    )
    return Correspondent(outbox=outbox, composer=composer, relay=relay, clock=now, beat=beat)


def _pace(settings: PollSettings) -> Pace:
    interval = settings.email_reply_process_interval.total_seconds()
    return Pace(interval, settings.email_reply_process_count, idle=settings.email_reply_idle)


def _claim(settings: PollSettings) -> Claim:
    return Claim(settings.approval_reply_address, settings.reply_subaddress, unseen=settings.reply_folder_is_ours)


def _account(settings: PollSettings) -> Account:
    return Account(
        host=settings.imap_host,
        port=settings.imap_port,
        login=login_as(settings, settings.imap_user, settings.imap_auth, settings.imap_password),
        starttls=settings.imap_enable_starttls,
        tls=settings.imap_enable_tls,
        ca_file=None if settings.tls_ca_file is None else str(settings.tls_ca_file),
        allow_insecure=settings.allow_insecure_mail,
        folder=settings.email_reply_folder,
        processed_folder=settings.processed_folder,
        quarantine_folder=settings.quarantine_folder,
    )
