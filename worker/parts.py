"""Settings to the parts of a process, built and wired: the one place that knows them all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path

import pika
import structlog
from pydantic import SecretStr

from worker import broker, topology
from worker.consumers.approvals import ApprovalComposer, ReplyRoute
from worker.consumers.batch import Batch
from worker.consumers.consumer import Consumer
from worker.consumers.draft import Addressing, Composer, Identity
from worker.consumers.requests import RequestComposer
from worker.errors import TopologyError
from worker.health import Heart
from worker.journal import Journal
from worker.lifetime import Loop
from worker.mail.logs import Logs
from worker.mail.relay import Password, Relay, Server, Token
from worker.mail.rendering import Templates
from worker.oauth import Grant, TokenSource, default_scope, endpoint
from worker.register import Register
from worker.reply_token import TokenKeys
from worker.settings import ConsumeSettings, Settings
from worker.telemetry import outcome_writer

log = structlog.get_logger()

REQUEST_PREFETCH = 500
"""Deliveries in hand at once, and the largest batch: enough to fill the pipelines over a slow line."""
APPROVAL_PREFETCH = 10


@dataclass(frozen=True, slots=True)
class Lane:
    """A queue with all that is its own: the composer, how many sessions, how many mails in flight on each."""

    queue: str
    composer: Composer
    prefetch: int
    batch_size: int
    connections: int
    depth: int


def build_templates(settings: Settings) -> Templates:
    """The mail templates: ours, and those in ``TEMPLATES_DIR`` in their place."""
    return Templates(
        directory=settings.templates_dir,
        default_locale=settings.default_locale,
        report=lambda said: log.warning("templates", said=said),
    )


def build_composers(
    settings: ConsumeSettings, journal: Journal, templates: Templates, clock: Callable[[], datetime]
) -> tuple[RequestComposer, ApprovalComposer]:
    """What turns events into mails."""
    identity = Identity(settings.smtp_from_address)
    addressing = Addressing(settings.recipient_domains, settings.reroute_all_to)
    requests = RequestComposer(
        templates=templates,
        logs=Logs(
            policy=settings.attach_logs,
            max_bytes=settings.max_attachment_bytes,
            logs_dir=settings.logs_dir,
            log_hosts=settings.log_hosts,
            ca_file=settings.tls_ca_file,
        ),
        identity=identity,
        addressing=addressing,
        clock=clock,
    )
    approvals = ApprovalComposer(
        templates=templates,
        register=Register(journal),
        identity=identity,
        addressing=addressing,
        own_addresses=own_addresses_of(settings),
        replies=reply_route(settings) if settings.enable_email_approval else None,
        clock=clock,
    )
    return requests, approvals


def build_consumers(settings: ConsumeSettings, journal: Journal, heart: Heart) -> tuple[Loop, Loop]:
    """The loops of the two consumers, each with a queue and mail sessions of its own.

    A flood of request mails never delays an approval. Approval mails go one at a time: a cut can double no other.
    """
    requests, approvals = build_composers(settings, journal, build_templates(settings), now)
    lanes = (
        Lane(
            topology.REQUESTS_QUEUE,
            requests,
            REQUEST_PREFETCH,
            REQUEST_PREFETCH,
            settings.smtp_connections,
            settings.smtp_pipeline_depth,
        ),
        # One delivery at a time: a withdrawal has to see who was mailed by the request before it.
        Lane(topology.APPROVALS_QUEUE, approvals, APPROVAL_PREFETCH, 1, 1, 1),
    )
    first, second = (_build_consumer(settings, journal, heart, lane) for lane in lanes)
    return first, second


def _build_consumer(settings: ConsumeSettings, journal: Journal, heart: Heart, lane: Lane) -> Loop:
    relay = build_relay(settings, connections=lane.connections, depth=lane.depth)

    def build_sender(is_stopping: Callable[[], bool]) -> Batch:
        return Batch(
            queue=lane.queue,
            composer=lane.composer,
            journal=journal,
            relay=relay,
            max_event_bytes=settings.max_event_bytes,
            is_stopping=is_stopping,
            report=outcome_writer(settings.log_format, settings.log_level),
        )

    def probe() -> None:
        journal.open()
        ensure_topology(settings)
        relay.probe(settings.smtp_from_address.email)

    consumer = Consumer(
        queue=lane.queue,
        addresses=[broker.parse_url(url) for url in broker_urls(settings)],
        ca_file=settings.tls_ca_file,
        prefetch=lane.prefetch,
        batch_size=lane.batch_size,
        build_sender=build_sender,
        probe=probe,
        rest=relay.close_idle,
        beat=partial(heart.beat, lane.queue),
    )

    def run() -> None:
        try:
            consumer.run()
        finally:
            relay.close()

    return Loop(run, consumer.stop, relay.abort)


def build_relay(settings: ConsumeSettings, *, connections: int, depth: int) -> Relay:
    """A relay to the mail server, with so many sessions, and so many mails in flight on each."""
    server = Server(
        host=settings.smtp_host,
        port=settings.smtp_port,
        starttls=settings.smtp_enable_starttls,
        tls=settings.smtp_enable_tls,
        login=_smtp_login(settings),
        ca_file=None if settings.tls_ca_file is None else str(settings.tls_ca_file),
        allow_insecure=settings.allow_insecure_mail,
    )
    return Relay(server, connections=connections, depth=depth)


def _smtp_login(settings: ConsumeSettings) -> Password | Token | None:
    if settings.smtp_user is None:
        return None
    return login_as(settings, settings.smtp_user, settings.smtp_auth, settings.smtp_password)


def login_as(settings: Settings, user: str, auth: str, password: SecretStr | None) -> Password | Token:
    """How that user logs in, by password or by OAuth 2.0."""
    if auth == "oauth2":
        return Token(user, _token_source(settings))
    return Password(user, password.get_secret_value() if password is not None else "")


def _token_source(settings: Settings) -> TokenSource:
    provider, refresh_token = settings.oauth_provider or "", settings.oauth_refresh_token
    secret = settings.oauth_client_secret
    return _shared_source(
        Grant(
            endpoint=endpoint(provider, settings.oauth_tenant_id),
            client_id=settings.oauth_client_id or "",
            client_secret=None if secret is None else secret.get_secret_value(),
            refresh_token=None if refresh_token is None else refresh_token.get_secret_value(),
            scope=settings.oauth_scope or default_scope(provider, refreshing=refresh_token is not None),
        ),
        settings.tls_ca_file,
    )


@lru_cache(maxsize=8)
def _shared_source(grant: Grant, ca_file: Path | None) -> TokenSource:
    # One for all sessions: a provider that rotates refresh tokens ends the old one with the first use.
    return TokenSource(grant, ca_file)


def broker_urls(settings: Settings) -> list[str]:
    """The broker's URLs, passwords included, in the order to try them."""
    return [url.get_secret_value() for url in settings.broker_url]


@contextmanager
def connect(settings: Settings, purpose: str) -> Iterator[pika.BlockingConnection]:
    """A connection for a short errand, closed behind it.

    Raises:
        OutageError: no broker takes us.
    """
    connection = broker.connect(broker_urls(settings), ca_file=settings.tls_ca_file, name=f"countersign {purpose}")
    try:
        yield connection
    finally:
        if connection.is_open:
            connection.close()


def open_journal(settings: Settings) -> Journal:
    """The journal, not yet opened: the consumers open it when it can be reached."""
    return Journal(settings.state_url.get_secret_value(), retention=settings.state_retention.total_seconds())


def ensure_topology(settings: Settings, plan: topology.Plan = topology.CONSUMER_PLAN) -> None:
    """Create what is missing on the broker.

    Raises:
        OutageError: the broker is away.
        TopologyError: something there is not as planned; it is never changed or deleted.
    """
    with connect(settings, "topology") as connection:
        differences = topology.declare(connection, plan)
    unchecked = [difference for difference in differences if not difference.blocking]
    if unchecked:
        # With no more rights than it needs, the process may not look at everything.
        log.info("topology partly unchecked", items=len(unchecked))
    wrong = [str(difference) for difference in differences if difference.blocking]
    if wrong:
        raise TopologyError("the broker is not as planned (countersign topology shows the plan):\n" + "\n".join(wrong))


def own_addresses_of(settings: ConsumeSettings) -> frozenset[str]:
    """The addresses that we send from and are answered at, in lower case."""
    return frozenset({settings.smtp_from_address.email.lower(), settings.approval_reply_address.lower()})


def token_keys(settings: Settings) -> TokenKeys:
    """The keys that sign and verify reply tokens."""
    return TokenKeys([key.get_secret_value() for key in settings.approval_token_key])


def reply_route(settings: ConsumeSettings) -> ReplyRoute:
    """Where the replies go, and what the tokens are signed with."""
    return ReplyRoute(
        address=settings.approval_reply_address,
        separator=settings.reply_subaddress,
        keys=token_keys(settings),
        approve_word=settings.approve_words[0],
        reject_word=settings.reject_words[0],
    )


def now() -> datetime:
    """The moment, in UTC."""
    return datetime.now(UTC)
