"""kombu's connection accepts the broker that the URL names, and no other: by itself it takes any host name."""

import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import trustme
from front import TlsFront
from pydantic import SecretStr
from upstream import Upstream

from worker import topology
from worker.broker import Address, parse_url
from worker.consumers.consumer import Consumer
from worker.consumers.delivery import Delivery, Done, Outcome
from worker.errors import OutageError


class Recorder:
    """In a batch's place: notes what it is given, and calls it done."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.arrived = threading.Event()

    def send(self, deliveries: Sequence[Delivery]) -> Outcome:
        """All of them are done."""
        self.bodies += [delivery.body for delivery in deliveries]
        self.arrived.set()
        return Outcome(tuple(Done() for _ in deliveries))

    def finish(self) -> None:
        """Nothing is left to do."""


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    """A certificate authority, its certificate in ``ca.pem``."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return authority


@pytest.fixture
def front(vhost_url: str, authority: trustme.CA) -> Iterator[Callable[[str], Address]]:
    """Start TLS before the broker with a certificate for that name; the address is 127.0.0.1 whatever the name."""
    plain = parse_url(vhost_url)
    fronts = []

    def start(name: str) -> Address:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(name).configure_cert(context)
        fronts.append(TlsFront((plain.host, plain.port), context).__enter__())
        password = SecretStr(plain.password.get_secret_value())
        return Address("127.0.0.1", fronts[-1].port, plain.user, password, plain.vhost, tls=True)

    yield start
    for each in fronts:
        each.__exit__(None, None, None)


def a_consumer(recorder: Recorder, address: Address, ca_file: Path | None, probe: Callable[[], None]) -> Consumer:
    """A consumer of the queue of requests at that address."""
    return Consumer(
        queue=topology.REQUESTS_QUEUE,
        addresses=[address],
        ca_file=ca_file,
        prefetch=10,
        batch_size=10,
        build_sender=lambda _: recorder,
        probe=probe,
        rest=lambda: None,
        beat=lambda _: None,
    )


def test_the_right_broker_is_consumed(
    vhost_url: str,
    front: Callable[[str], Address],
    tmp_path: Path,
    authority: trustme.CA,  # noqa: ARG001 - writes ca.pem
) -> None:
    """Over TLS, with bodies that span many records."""
    recorder = Recorder()
    consumer = a_consumer(recorder, front("127.0.0.1"), tmp_path / "ca.pem", lambda: None)
    body = bytes(range(256)) * 2_000
    with Upstream(vhost_url) as upstream:
        thread = threading.Thread(target=consumer.run)
        thread.start()
        upstream.publish_raw(body, "request.completed")
        assert recorder.arrived.wait(20)
        consumer.stop()
        thread.join(20)
    assert recorder.bodies == [body]


@pytest.mark.parametrize(("name", "trusted"), [("broker.example", True), ("127.0.0.1", False)])
def test_another_broker_is_refused(
    front: Callable[[str], Address], tmp_path: Path, name: str, *, trusted: bool
) -> None:
    """A certificate for another name, or of an authority that is not ours: an outage that says so."""
    refused: list[OutageError] = []
    consumer = a_consumer(Recorder(), front(name), tmp_path / "ca.pem" if trusted else None, lambda: None)
    try:
        consumer._consume()
    except OutageError as error:
        refused.append(error)
    assert "certificate verify failed" in str(refused[0])
