"""Brokers to test against: the embedded one, and beside it the real RabbitMQ of this test run."""

from collections.abc import Iterator

import pytest
from demo.desk import Desk

from worker.demo.broker import Broker


@pytest.fixture(scope="session", params=["embedded", "rabbitmq"])
def either_broker_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A broker of each kind, so that what holds of one is shown of the other."""
    if request.param == "embedded":
        with Broker() as broker:
            yield broker.url
    else:
        yield request.getfixturevalue("broker_url")


@pytest.fixture
def desk(either_broker_url: str) -> Iterator[Desk]:
    """A desk at a broker of each kind."""
    desk = Desk(either_broker_url)
    yield desk
    desk.close()
