"""What is written in a setting: every notation of the contract is read, anything else gets a clear answer."""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.settings import Settings, read_settings, values

PARSERS: list[Callable[[str], object]] = [
    values.parse_switch,
    values.parse_number,
    values.parse_duration,
    values.parse_size,
    values.parse_list,
    values.parse_mailbox,
    values.parse_keys,
    values.parse_broker_urls,
    values.parse_state_url,
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5m", timedelta(minutes=5)),
        ("300s", timedelta(seconds=300)),
        ("2h", timedelta(hours=2)),
        ("30d", timedelta(days=30)),
        ("1h30m", timedelta(minutes=90)),
        ("1d 2h 3m 4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
    ],
)
def test_durations(text: str, expected: timedelta) -> None:
    """Days, hours, minutes and seconds are read, alone and together."""
    assert values.parse_duration(text) == expected


@pytest.mark.parametrize("text", ["300", "5", "0"])
def test_number_without_unit(text: str) -> None:
    """A number alone is no duration, and the error says what to write."""
    with pytest.raises(ValueError, match="write 300s or 5m"):
        values.parse_duration(text)


@pytest.mark.parametrize(
    "text", ["", " ", "m", "5 m", "5M", "1m1h", "-5m", "1.5h", "5min", "0s", "36501d", "9" * 30 + "d"]
)
def test_not_a_duration(text: str) -> None:
    """What is not in the notation, or no time at all, is refused."""
    with pytest.raises(ValueError, match="duration"):
        values.parse_duration(text)


@given(st.integers(1, int(values.LONGEST.total_seconds())))
def test_duration_round_trip(seconds: int) -> None:
    """A duration is shown as it can be written."""
    duration = timedelta(seconds=seconds)

    assert values.parse_duration(values.show_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("16 MiB", 16 * 2**20),
        ("18MiB", 18 * 2**20),
        ("500 kB", 500_000),
        ("500 KB", 500_000),
        ("1GiB", 2**30),
        ("1048576", 2**20),
        ("7 B", 7),
    ],
)
def test_sizes(text: str, expected: int) -> None:
    """Binary and decimal units are read, and a number alone is bytes."""
    assert values.parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "16M", "MiB", "1.5 MiB", "-1", "0", "2 TiB", "1025 GiB", "9" * 5000])
def test_not_a_size(text: str) -> None:
    """What is not in the notation, or nothing, or absurd, is refused."""
    with pytest.raises(ValueError, match="size"):
        values.parse_size(text)


@given(st.integers(1, values.LARGEST))
def test_size_round_trip(size: int) -> None:
    """A size is shown as it can be written."""
    assert values.parse_size(values.show_size(size)) == size


@pytest.mark.parametrize("text", ["true", "TRUE", "1", "yes", "on", "On"])
def test_switch_on(text: str) -> None:
    """Each of these means true."""
    assert values.parse_switch(text) is True


@pytest.mark.parametrize("text", ["false", "False", "0", "no", "off"])
def test_switch_off(text: str) -> None:
    """Each of these means false."""
    assert values.parse_switch(text) is False


@pytest.mark.parametrize("text", ["", "y", "enabled", "2", "tru", "true;"])
def test_switch_unclear(text: str) -> None:
    """Anything else means neither."""
    with pytest.raises(ValueError, match="write true or false"):
        values.parse_switch(text)


def _answer(parse: Callable[[str], object], text: str) -> str:
    """The sentence of the error; empty where there is a value."""
    try:
        parse(text)
    except ValueError as error:
        # A subclass, such as UnicodeError or ValidationError, was not meant for a person.
        return str(error) if type(error) is ValueError else text
    return ""


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@given(text=st.text() | st.from_regex(r"[0-9]{1,40} ?[a-zA-Z:/@\[\];,%<>=_-]{0,20}"))
@example(text="amqp://[")
@example(text="amqp://h:٣/")
@example(text="٣s")
@example(text="²")
def test_parsers_never_crash(parse: Callable[[str], object], text: str) -> None:
    """Whatever is written, a parser answers with a value or with one sentence that does not repeat it."""
    answer = _answer(parse, text)

    assert len(text) < 12 or text not in answer


@given(st.binary(min_size=32, max_size=80), st.booleans())
def test_keys(key: bytes, padded: bool) -> None:  # noqa: FBT001 - hypothesis draws it
    """A key of 32 bytes or more is read as it was written, with padding or without."""
    text = urlsafe_b64encode(key).decode()

    (read,) = values.parse_keys(text if padded else text.rstrip("="))

    assert read.get_secret_value() == key


def test_several_keys() -> None:
    """Keys are separated by commas and keep their order: the first one signs."""
    keys = values.parse_keys(f"{'a' * 64}, {'b' * 64}")

    assert [key.get_secret_value()[:1] for key in keys] == [b"\x69", b"\x6d"]


@pytest.mark.parametrize(
    "text", ["a" * 42, "a" * 65, "a" * 63 + "+", "a" * 63 + "/", f"{'a' * 64} {'b' * 64}", "ä" * 64, ","]
)
def test_not_a_key(text: str) -> None:
    """A key that is too short, or holds a character that decoding would skip, is refused."""
    with pytest.raises(ValueError, match=r"base64url|at least one"):
        values.parse_keys(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://user:hunter2@host:5672/v", "amqp://user:***@host:5672/v"),
        ("amqp://host/", "amqp://host/"),
        ("amqp://user@host/", "amqp://user@host/"),
        ("amqp://user:hunt@er2@host/", "amqp://user:***@host/"),
        ("amqp://user:hunt/er2@host/", "amqp://user:***@host/"),
        (
            "postgresql+psycopg://host/db?user=u&password=hunter2&sslmode=require",
            "postgresql+psycopg://host/db?user=u&password=***&sslmode=require",
        ),
        ("amqp://us/er:hunter2@host/", "amqp://us/er:***@host/"),
        ("amqp://us@er:hunter2@host/", "amqp://us@er:***@host/"),
    ],
)
def test_masked_password(url: str, shown: str) -> None:
    """A URL shows everything but its password, even where that was not percent-encoded."""
    assert str(values.SecretUrl(url)) == shown
    assert "hunter2" not in repr(values.SecretUrl(url))


@given(st.text(min_size=1), st.text(min_size=8).filter(lambda text: text not in "***@host/"))
def test_password_never_shown(user: str, password: str) -> None:
    """No password, whatever it holds, is left in the masked URL."""
    assert password not in values.mask_password(f"amqp://{user}:{password}@host/").removeprefix(f"amqp://{user}")


@pytest.mark.parametrize(
    "text",
    ["", ";", "http://host/", "amqp://", "amqp://host:port/", "amqp://host/;localhost", "host:5672", "amqp://a b/"],
)
def test_not_a_broker(text: str) -> None:
    """Each URL has to be an AMQP one with a host."""
    with pytest.raises(ValueError, match="amqp://user:password@host:5672/vhost"):
        values.parse_broker_urls(text)


def test_several_brokers() -> None:
    """Brokers are separated by semicolons and keep their order."""
    urls = values.parse_broker_urls("amqp://one/; amqps://two:5671/v")

    assert [url.get_secret_value() for url in urls] == ["amqp://one/", "amqps://two:5671/v"]


@pytest.mark.parametrize(
    "text", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "postgres://h/d", "postgresql://h/d", "mysql://h/d", "x"]
)
def test_not_a_journal(text: str) -> None:
    """A journal that forgets, or a database that is not supported, is refused."""
    with pytest.raises(ValueError, match=r"sqlite:////path/journal[.]db"):
        values.parse_state_url(text)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback(host: str) -> None:
    """These hosts are this machine."""
    assert values.is_loopback(host)


@pytest.mark.parametrize(
    "host", ["mail", "localhost.corp.example", "10.0.0.1", "::2", "127.0.0.1.nip.example", "0.0.0.0"]
)
def test_another_host(host: str) -> None:
    """What only looks like this machine is another one."""
    assert not values.is_loopback(host)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("logs.corp.example", {"logs.corp.example"}),
        ("Logs.corp.example:8443, b.example", {"logs.corp.example:8443", "b.example"}),
    ],
)
def test_a_log_host_may_have_a_port(text: str, hosts: set[str]) -> None:
    """As it stands in a URL, lower case."""
    assert set(read_settings({"LOG_HOSTS": text}, Settings).settings.log_hosts or ()) == hosts


@pytest.mark.parametrize("text", ["l.example:", "l.example:0", "l.example:99999", "l.example:https", ":443"])
def test_a_log_host_with_no_port_is_refused(text: str) -> None:
    """The sentence says what to write."""
    with pytest.raises(SettingsError, match="LOG_HOSTS"):
        read_settings({"LOG_HOSTS": text}, Settings)
