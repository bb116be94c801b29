"""Real servers for tests: a broker, a database, mail servers; started when first asked for, stopped at the end.

One that is not installed skips the test, and fails it where ``CI=true``: see ``servers.absence``.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from servers import postfix_sink, postgres, rabbitmq
from servers.absence import missing
from servers.mailbox_sink import SmtpSink
from servers.postfix_sink import PostfixSink
from servers.proxy import TcpProxy

StartPostfixSink = Callable[..., PostfixSink]
StartProxy = Callable[[tuple[str, int]], TcpProxy]


@pytest.fixture(scope="session")
def broker() -> Iterator[rabbitmq.RabbitMQ]:
    """A real RabbitMQ for the whole run, with its management API."""
    with rabbitmq.running() as found:
        yield found


@pytest.fixture(scope="session")
def broker_url(broker: rabbitmq.RabbitMQ) -> str:
    """Its AMQP URL. Tests share what is in it: take ``vhost_url`` instead wherever anything is declared."""
    return broker.url


@pytest.fixture
def vhost_url(broker: rabbitmq.RabbitMQ) -> Iterator[str]:
    """The AMQP URL of a virtual host of this test's own."""
    with broker.virtual_host() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[postgres.Cluster]:
    """A PostgreSQL server for the whole run."""
    programs = postgres.find_programs()
    if programs is None:
        missing("PostgreSQL", "install postgresql (its programs are enough, no running server is needed)")
    with postgres.Cluster(programs) as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres_cluster: postgres.Cluster) -> str:
    """The SQLAlchemy URL of a database of this test's own."""
    return postgres_cluster.create_database()


@pytest.fixture
def mailbox_sink() -> Iterator[SmtpSink]:
    """A mail server that keeps what it takes and fails on demand."""
    with SmtpSink() as sink:
        yield sink


@pytest.fixture
def smtp_sink(tmp_path: Path) -> Iterator[StartPostfixSink]:
    """Start Postfix's smtp-sink with these options; stopped after the test."""
    program = postfix_sink.find_program()
    if program is None:
        missing("smtp-sink", "install postfix (its programs are enough, no running server is needed)")
    with ExitStack() as stack:

        def start(*options: str) -> PostfixSink:
            folder = tmp_path / f"smtp-sink-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            return stack.enter_context(PostfixSink(program, folder, *options))

        yield start


@pytest.fixture
def tcp_proxy() -> Iterator[StartProxy]:
    """Put a proxy that makes trouble on demand in front of a server: ``tcp_proxy((host, port))``."""
    with ExitStack() as stack:
        yield lambda target: stack.enter_context(TcpProxy(target))
