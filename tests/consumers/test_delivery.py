"""What is read from a delivery's headers, whoever wrote them."""

import tempfile
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.consumers.delivery import Delivery

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

values = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.lists(st.integers(), max_size=2)


def delivery(**headers: Any) -> Delivery:
    """A delivery with those headers."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Delivery(1, b"{}", {"application_headers": names}, "request.completed")


def test_a_delivery_without_headers_was_never_tried() -> None:
    """Nothing is there at all."""
    fresh = Delivery(1, b"{}", {}, "request.completed")
    assert fresh.attempts == 0
    assert fresh.first_failed_at(NOW) == NOW
    assert fresh.content_type is None


def test_attempts_and_first_failure_are_kept() -> None:
    """As the retry wrote them."""
    first = NOW - timedelta(hours=5)
    tried = delivery(x_attempts=7, x_first_failed_at=first.isoformat())
    assert tried.attempts == 7
    assert tried.first_failed_at(NOW) == first


@given(values, values)
def test_no_header_does_harm(attempts: Any, first: Any) -> None:
    """Anybody may publish with headers of our names."""
    strange = delivery(x_attempts=attempts, x_first_failed_at=first)
    assert strange.attempts >= 0
    assert strange.first_failed_at(NOW).tzinfo is not None


@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 100_000])
def test_a_body_in_a_file_reads_the_same(body: bytes) -> None:
    """Each time it is asked for."""
    with tempfile.TemporaryFile() as file:
        file.write(body)
        held = Delivery(1, file, {}, "request.completed")
        assert held.body == held.body == body
