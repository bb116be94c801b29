"""A real RabbitMQ: the one that ``TEST_BROKER_URL`` names, else one in a container; and virtual hosts in it."""

import base64
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from uuid import uuid4

from servers.absence import missing
from servers.docker import engine_answers
from servers.ports import wait_until

IMAGE = "rabbitmq:4.3-management"
MANAGEMENT_OFFSET = 10_000
REMEDY = "set TEST_BROKER_URL to a RabbitMQ 4 with its management plugin, or start Docker"


@dataclass(frozen=True, slots=True)
class RabbitMQ:
    """A running broker: its AMQP URL, and the base URL of its management HTTP API."""

    url: str
    management: str

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The management API's answer, parsed; None where it has no body.

        Raises:
            urllib.error.HTTPError: it refused.
            OSError: it does not answer.
        """
        parts = urlsplit(self.url)
        login = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
        request = urllib.request.Request(
            f"{self.management.rstrip('/')}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Basic {base64.b64encode(login.encode()).decode()}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def answers(self) -> bool:
        """Whether the management API does."""
        try:
            self.ask("GET", "overview")
        except OSError:
            return False
        return True

    @contextmanager
    def virtual_host(self) -> Iterator[str]:
        """The AMQP URL of a new, empty virtual host, deleted afterwards with all that is in it."""
        name = f"test-{uuid4().hex[:12]}"
        user = quote(unquote(urlsplit(self.url).username or "guest"), safe="")
        self.ask("PUT", f"vhosts/{name}", {})
        try:
            self.ask("PUT", f"permissions/{name}/{user}", {"configure": ".*", "write": ".*", "read": ".*"})
            yield urlsplit(self.url)._replace(path=f"/{name}").geturl()
        finally:
            self.ask("DELETE", f"vhosts/{name}")


def named(url: str, management: str | None) -> RabbitMQ:
    """The broker at ``url``; its management API is 10,000 ports above unless ``management`` says where."""
    parts = urlsplit(url)
    port = (parts.port or 5672) + MANAGEMENT_OFFSET
    return RabbitMQ(url, management or f"http://{parts.hostname}:{port}")


@contextmanager
def running() -> Iterator[RabbitMQ]:
    """The broker of this test run; skips, or fails in CI, where there is none."""
    if url := os.environ.get("TEST_BROKER_URL"):
        broker = named(url, os.environ.get("TEST_BROKER_MANAGEMENT_URL"))
        wait_until(broker.answers, f"an answer of the management API at {broker.management}", 30)
        yield broker
    elif engine_answers():
        with contained() as broker:
            yield broker
    else:
        missing("RabbitMQ", REMEDY)


@contextmanager
def contained() -> Iterator[RabbitMQ]:
    """A broker in a container of its own, removed afterwards."""
    # Read when testcontainers is imported. The `with` below removes the container; Ryuk is a second image for that.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    os.environ.setdefault("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - behind the variables that it reads

    with DockerContainer(IMAGE).with_exposed_ports(5672, 15672) as container:
        host = container.get_container_host_ip()
        broker = RabbitMQ(
            f"amqp://guest:guest@{host}:{container.get_exposed_port(5672)}/",
            f"http://{host}:{container.get_exposed_port(15672)}",
        )
        wait_until(broker.answers, f"the start of {IMAGE}", 90)
        yield broker
