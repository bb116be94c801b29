"""Roles to the least that each may do on the broker, as ``rabbitmqctl`` lines.

RabbitMQ asks for *configure* to create a queue or exchange, and from 4.3 to look at one; for *write* to publish to an
exchange, to bind a queue and to dead-letter to an exchange; for *read* to consume, and to bind from an exchange.
Only the poller and the operator may publish to ``approvals``: whoever can, can approve.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote

from worker.topology import (
    APPROVALS_QUEUE,
    DEAD_EXCHANGE,
    DECISIONS_QUEUE,
    EVENTS_EXCHANGE,
    PLAN,
    REPLIES_EXCHANGE,
    REQUESTS_QUEUE,
    RETRY_SECONDS,
    UNDECIDED_QUEUE,
    retry_route,
)

NOTHING = "^$"


@dataclass(frozen=True, slots=True)
class Topics:
    """Which routing keys may be published to a topic exchange."""

    exchange: str
    write: str
    read: str = NOTHING


@dataclass(frozen=True, slots=True)
class Role:
    """What one kind of user needs: three regular expressions over names, and topics."""

    user: str
    purpose: str
    configure: str
    write: str
    read: str
    topics: tuple[Topics, ...] = ()


def _names(*names: str) -> str:
    return "^(" + "|".join(sorted(set(names))).replace(".", r"\.") + ")$"


_ALL = (*(exchange.name for exchange in PLAN.exchanges), *(queue.name for queue in PLAN.queues))

ROLES = (
    Role(
        "countersign-operator",
        "declares the topology; lists, replays and discards dead letters",
        configure=_names(*_ALL),
        # The retry queues dead-letter to the default exchange, which permissions know as amq.default.
        write=_names(*_ALL, "amq.default"),
        read=_names(*_ALL),
    ),
    Role(
        "countersign-consumer",
        "countersign consume",
        configure=_names(REQUESTS_QUEUE, APPROVALS_QUEUE),
        write=_names(DEAD_EXCHANGE, *(retry_route(seconds) for seconds in RETRY_SECONDS)),
        read=_names(REQUESTS_QUEUE, APPROVALS_QUEUE),
    ),
    Role(
        "countersign-poller",
        "countersign poll",
        configure=_names(REPLIES_EXCHANGE, UNDECIDED_QUEUE),
        write=_names(REPLIES_EXCHANGE),
        read=NOTHING,
        topics=(Topics(REPLIES_EXCHANGE, r"^(approval\.(approved|rejected)|reply\.[a-z]+)$"),),
    ),
    Role(
        "deploy-publisher",
        "the deployment system: publishes events",
        configure=NOTHING,
        write=_names(EVENTS_EXCHANGE),
        read=NOTHING,
        topics=(Topics(EVENTS_EXCHANGE, r"^(request|approval)\.[a-z]+$"),),
    ),
    Role(
        "approval-consumer",
        "the deployment system: consumes decisions and undecided replies",
        configure=NOTHING,
        write=NOTHING,
        read=_names(DECISIONS_QUEUE, UNDECIDED_QUEUE),
    ),
)


def permission_lines(*, vhost: str = "/") -> Iterator[str]:
    """Shell lines that give each role its permissions in ``vhost``; the users must exist."""
    for role in ROLES:
        yield f"# {role.purpose}"
        yield _line("set_permissions", vhost, role.user, role.configure, role.write, role.read)
    # RabbitMQ refuses these for an exchange that does not exist.
    yield "# once the topology is declared (countersign topology --declare, as the operator)"
    for role in ROLES:
        for topics in role.topics:
            yield _line("set_topic_permissions", vhost, role.user, topics.exchange, topics.write, topics.read)


def _line(command: str, vhost: str, *words: str) -> str:
    return " ".join(("rabbitmqctl", command, "-p", quote(vhost), *(quote(word) for word in words)))
