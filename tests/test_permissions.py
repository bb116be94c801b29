"""The least each role may do, against the names of the topology and on a real broker."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pika
import pytest
from servers.rabbitmq import RabbitMQ

from worker.broker import connect, open_channel, publish
from worker.errors import OutageError
from worker.events import TYPES
from worker.examples import EXAMPLES
from worker.permissions import ROLES, Role, permission_lines
from worker.publisher import publish_events
from worker.topology import (
    CONSUMER_PLAN,
    DEAD_EXCHANGE,
    DEAD_QUEUE,
    DECISIONS_QUEUE,
    EVENTS_EXCHANGE,
    PLAN,
    POLLER_PLAN,
    REPLIES_EXCHANGE,
    REQUESTS_QUEUE,
    UNDECIDED_QUEUE,
    compare,
    declare,
    retry_route,
)

NAMES = {exchange.name for exchange in PLAN.exchanges} | {queue.name for queue in PLAN.queues}
OTHERS = {"", "amq.default", "amq.topic", "events2", "my-events", "approvalsX", "countersign.requests.old"}


def role(user: str) -> Role:
    """The role of that user."""
    return next(role for role in ROLES if role.user == user)


def matched(pattern: str) -> set[str]:
    """The names that a permission covers; RabbitMQ searches, it does not match the whole."""
    return {name for name in NAMES | OTHERS if re.search(pattern, name)}


@pytest.mark.parametrize(
    ("user", "configure", "write", "read"),
    [
        ("countersign-operator", NAMES, NAMES | {"amq.default"}, NAMES),
        (
            "countersign-consumer",
            {"countersign.requests", "countersign.approvals"},
            {"countersign.dead", *(name for name in NAMES if name.startswith("countersign.retry."))},
            {"countersign.requests", "countersign.approvals"},
        ),
        ("countersign-poller", {"approvals", "approvals.undecided"}, {"approvals"}, set()),
        ("deploy-publisher", set(), {"events"}, set()),
        ("approval-consumer", set(), set(), {"approvals", "approvals.undecided"}),
    ],
)
def test_names(user: str, configure: set[str], write: set[str], read: set[str]) -> None:
    """A role may do what it must, on the names it needs, and nothing on any other."""
    its = role(user)
    # The empty name is the empty pattern's own: no queue or exchange that can be declared has it.
    assert (matched(its.configure) - {""}, matched(its.write) - {""}, matched(its.read) - {""}) == (
        configure,
        write,
        read,
    )


def test_who_can_approve() -> None:
    """Only the poller and the operator may publish where approvals come from."""
    assert [role.user for role in ROLES if "approvals" in matched(role.write)] == [
        "countersign-operator",
        "countersign-poller",
    ]


def test_topics() -> None:
    """The publisher may use every event type as routing key, the poller every reply type, and neither the other's."""
    events = role("deploy-publisher").topics[0].write
    replies = role("countersign-poller").topics[0].write
    assert all(re.search(events, kind) and not re.search(replies, kind) for kind in TYPES)
    assert all(
        re.search(replies, kind) for kind in ("approval.approved", "approval.rejected", "reply.late", "reply.untrusted")
    )
    assert not re.search(events, "request.failed.x")


def test_lines_are_shell() -> None:
    """Each line is a comment or a rabbitmqctl command that a shell takes apart as meant, in any virtual host."""
    commands = [shlex.split(line, comments=True) for line in permission_lines(vhost="it's prod")]
    assert [words[:4] for words in commands if words] == [
        ["rabbitmqctl", command, "-p", "it's prod"]
        for command in ("set_permissions",) * len(ROLES) + ("set_topic_permissions",) * 2
    ]
    assert all(len(words) == 8 for words in commands if words)


Connect = Callable[[str], pika.BlockingConnection]
EVENT = ("e.json", json.dumps(EXAMPLES["request.failed"]).encode())


@pytest.fixture
def connect_as(broker: RabbitMQ, vhost_url: str) -> Iterator[Connect]:
    """Connect as the user of a role, on a virtual host where the operator declared everything."""
    vhost = urlsplit(vhost_url).path[1:]
    users = {role.user: f"{role.user}-{vhost}" for role in ROLES}
    with ExitStack() as stack:

        def connect_as(user: str) -> pika.BlockingConnection:
            netloc = f"{users[user]}:pw@{urlsplit(vhost_url).netloc.rpartition('@')[2]}"
            return stack.enter_context(connect([urlsplit(vhost_url)._replace(netloc=netloc).geturl()]))

        for role in ROLES:
            broker.ask("PUT", f"users/{users[role.user]}", {"password": "pw", "tags": ""})
            stack.callback(broker.ask, "DELETE", f"users/{users[role.user]}")
            permission = {"configure": role.configure, "write": role.write, "read": role.read}
            broker.ask("PUT", f"permissions/{vhost}/{users[role.user]}", permission)
        assert declare(connect_as("countersign-operator")) == ()
        for role in ROLES:
            for topics in role.topics:
                topic = {"exchange": topics.exchange, "write": topics.write, "read": topics.read}
                broker.ask("PUT", f"topic-permissions/{vhost}/{users[role.user]}", topic)
        yield connect_as


def send(connection: pika.BlockingConnection, exchange: str, routing_key: str) -> None:
    """One confirmed publish."""
    with open_channel(connection) as channel:
        channel.confirm_delivery()
        publish(channel, exchange, routing_key, b"", pika.BasicProperties(delivery_mode=2))


def holds(connection: pika.BlockingConnection, queue: str) -> bool:
    """Whether something can be taken out of the queue."""
    with open_channel(connection) as channel:
        return channel.basic_get(queue, auto_ack=True)[0] is not None


def test_roles_do_their_work(connect_as: Connect) -> None:
    """With its permissions alone, each role does what it is for."""
    assert len(list(publish_events(connect_as("deploy-publisher"), [EVENT], max_bytes=10**6))) == 1
    consumer = connect_as("countersign-consumer")
    assert holds(consumer, REQUESTS_QUEUE)
    send(consumer, DEAD_EXCHANGE, "request.failed")
    send(consumer, retry_route(600), REQUESTS_QUEUE)
    send(connect_as("countersign-poller"), REPLIES_EXCHANGE, "approval.approved")
    send(connect_as("countersign-poller"), REPLIES_EXCHANGE, "reply.late")
    assert holds(connect_as("approval-consumer"), DECISIONS_QUEUE)
    assert holds(connect_as("approval-consumer"), UNDECIDED_QUEUE)
    assert holds(connect_as("countersign-operator"), DEAD_QUEUE)
    assert compare(connect_as("countersign-operator")) == ()


def test_roles_start(connect_as: Connect) -> None:
    """At start the consumer and the poller find nothing wrong; what they may not see is no obstacle."""
    for user, plan in (("countersign-consumer", CONSUMER_PLAN), ("countersign-poller", POLLER_PLAN)):
        assert [str(difference) for difference in declare(connect_as(user), plan) if difference.blocking] == []
        assert {difference.problem for difference in declare(connect_as(user), plan)} == {"unchecked"}


def test_start_without_the_topology(connect_as: Connect) -> None:
    """A role that may not create what is missing says so, with the permission that lacks."""
    with open_channel(connect_as("countersign-operator")) as channel:
        channel.queue_delete(DECISIONS_QUEUE)
    [refused] = [
        difference for difference in declare(connect_as("countersign-poller"), POLLER_PLAN) if difference.blocking
    ]
    assert (refused.subject, refused.problem) == (f"queue {DECISIONS_QUEUE}", "refused")
    assert f"is missing, and a permission lacks: read access to queue '{DECISIONS_QUEUE}'" in refused.detail


@pytest.mark.parametrize("user", ["countersign-consumer", "deploy-publisher", "approval-consumer"])
def test_nobody_else_approves(connect_as: Connect, user: str) -> None:
    """No other role gets anything into the queue of approvals: not by its exchange, not by another way round."""
    for exchange, routing_key in (
        (REPLIES_EXCHANGE, "approval.approved"),
        ("", DECISIONS_QUEUE),
        (retry_route(1), DECISIONS_QUEUE),
    ):
        with pytest.raises(OutageError):
            send(connect_as(user), exchange, routing_key)


@pytest.mark.parametrize(
    ("user", "exchange", "routing_key"),
    [
        ("deploy-publisher", EVENTS_EXCHANGE, "reply.late"),
        ("countersign-poller", REPLIES_EXCHANGE, "approval.requested"),
        ("countersign-poller", EVENTS_EXCHANGE, "approval.requested"),
    ],
)
def test_foreign_routing_key(connect_as: Connect, user: str, exchange: str, routing_key: str) -> None:
    """A role publishes what is its own to say, and the broker refuses the rest."""
    with pytest.raises(OutageError, match="ACCESS_REFUSED - write access to"):
        send(connect_as(user), exchange, routing_key)
