"""How times, durations and sizes read."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.mail.units import duration_words, size_words, time_format, time_words

WORDS = {"day": "d", "hour": "h", "minute": "min", "second": "s", "decimal": ".", "bytes": "bytes"}
NOON = datetime(2026, 3, 4, 11, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("%Y-%m-%d %H:%M:%S %Z", "2026-03-04 12:05:06 CET"),
        ("%-d.%-m.", "4.3."),
        ("100%% {x}", None),
        ("%A", None),
        ("no code", None),
    ],
)
def test_a_pattern_is_filled_or_refused(pattern: str, shown: str | None) -> None:
    """A pattern has the codes that we know; another one, or none, is an error that lists them."""
    if shown is None:
        with pytest.raises(ValueError, match="%Y %m %-m %d %-d %H %M %S"):
            time_format(pattern)
    else:
        assert time_words(NOON, ZoneInfo("Europe/Berlin"), time_format(pattern)) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (12_345, "12 kB"), (999_700, "1.0 MB"), (10**12, "1000 GB")],
)
def test_a_size_has_two_digits(size: int, shown: str) -> None:
    """Sizes are decimal and short."""
    assert size_words(size, WORDS) == shown


@given(st.floats(min_value=0, max_value=10**9))
def test_no_duration_has_sixty_of_a_unit(seconds: float) -> None:
    """Rounding never shows 60 seconds, 60 minutes or 24 hours."""
    shown = duration_words(seconds, WORDS)
    assert not shown.startswith(("60 s", "60.0 s", "60 min", "24 h"))
    assert not shown.endswith(("24 h", "60 min", "60 s"))
