"""The text of a setting to its value: switches, numbers, durations, sizes, lists, keys, URLs; and back for showing.

A parser raises ``ValueError`` with what to write instead, and never repeats what was written: it may be a secret.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Secret, SecretBytes, TypeAdapter, ValidationError

from worker.events import Locale, Person

MASK = "********"
LONGEST = timedelta(days=36_500)
LARGEST = 2**40
SHORTEST_KEY = 32
LARGEST_PORT = 65_535

_SWITCH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_DURATION = re.compile(r"(?:([0-9]{1,9})d)? ?(?:([0-9]{1,9})h)? ?(?:([0-9]{1,9})m)? ?(?:([0-9]{1,9})s)?")
_SIZE = re.compile(r"([0-9]{1,15}) ?([a-z]*)")
_UNITS = {"gib": 2**30, "mib": 2**20, "kib": 2**10, "gb": 10**9, "mb": 10**6, "kb": 10**3, "b": 1, "": 1}
_SHOWN_UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3))
_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_MAILBOX = re.compile(r"(.*?)\s*<([^<>]*)>")
_PASSWORD = re.compile(r"(://[^:]*):.*@", re.DOTALL)
_PASSWORD_FIELD = re.compile(r"([?&][a-z_]*(?:pass|secret|token)[a-z_]*=)[^&;]*", re.IGNORECASE)
_NO_WORD = re.compile(r"[\s.,:;!?\"'()<>\u2013\u2014-]")


class SecretUrl(Secret[str]):
    """A URL that may hold a password, which is masked wherever it is shown."""

    def _display(self) -> str:
        return mask_password(self.get_secret_value())


def mask_password(url: str) -> str:
    """The URL with ``***`` for its password, and for what the query calls password, secret or token.

    A password that should have been percent-encoded and isn't is masked whole: too much rather than too little.
    """
    return _PASSWORD_FIELD.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))


def parse_switch(text: str) -> bool:
    """``true`` or ``false``, also as 1/0, yes/no, on/off; letter case aside."""
    if (switch := _SWITCH.get(text.lower())) is None:
        raise ValueError("write true or false")
    return switch


def parse_number(text: str) -> int:
    """A whole number in decimal digits."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError("write a whole number in digits")
    return int(text)


def parse_duration(text: str) -> timedelta:
    """``30d``, ``2h``, ``5m``, ``300s`` or several of them in that order, as in ``1h30m``."""
    if text.isdecimal():
        raise ValueError("a number alone has no unit: write 300s or 5m")
    match = _DURATION.fullmatch(text)
    if not match or not any(match.groups()):
        raise ValueError("not a duration: write 300s, 5m, 2h, 30d or 1h30m")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    # In seconds first: a timedelta overflows, an int does not.
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not 0 < total <= LONGEST.total_seconds():
        raise ValueError(f"a duration is at least 1s and at most {LONGEST.days}d")
    return timedelta(seconds=total)


def parse_size(text: str) -> int:
    """Bytes: ``16 MiB``, ``18MiB``, ``500 kB`` or a number alone; letter case aside."""
    match = _SIZE.fullmatch(text.lower())
    if not match or match[2] not in _UNITS:
        raise ValueError("not a size: write 16 MiB, 500 kB or a number of bytes")
    size = int(match[1]) * _UNITS[match[2]]
    if not 0 < size <= LARGEST:
        raise ValueError("a size is at least 1 byte and at most 1024 GiB")
    return size


def parse_list(text: str) -> tuple[str, ...]:
    """What stands between the commas; empty places don't count."""
    items = tuple(item.strip() for item in text.split(",") if item.strip())
    if not items:
        raise ValueError("at least one is expected, several separated by commas")
    return items


def parse_mailbox(text: str) -> dict[str, str]:
    """``local@domain`` or ``Name <local@domain>`` as the fields of a ``Person``."""
    if match := _MAILBOX.fullmatch(text):
        return {"name": match[1].removeprefix('"').removesuffix('"'), "email": match[2]}
    return {"email": text}


def parse_keys(text: str) -> tuple[SecretBytes, ...]:
    """Keys in base64url, with or without padding, separated by commas."""
    return tuple(SecretBytes(_key(item)) for item in parse_list(text))


def _key(text: str) -> bytes:
    complaint = ValueError(f"each key is base64url (A-Z a-z 0-9 - _) of at least {SHORTEST_KEY} bytes")
    # b64decode on its own skips what is not in the alphabet, and would sign with a shorter key than was meant.
    if not re.fullmatch(r"[A-Za-z0-9_-]+={0,2}", text):
        raise complaint
    letters = text.rstrip("=")
    if len(letters) % 4 == 1:
        raise complaint
    key = urlsafe_b64decode(letters + "=" * (-len(letters) % 4))
    if len(key) < SHORTEST_KEY:
        raise complaint
    return key


def parse_broker_urls(text: str) -> tuple[SecretUrl, ...]:
    """``amqp://`` and ``amqps://`` URLs separated by semicolons."""
    urls = [item.strip() for item in text.split(";") if item.strip()]
    if not urls or not all(_is_broker(url) for url in urls):
        raise ValueError(
            "each URL is amqp://user:password@host:5672/vhost or amqps://…, several separated by ;"
            " (special characters in a password percent-encoded)"
        )
    return tuple(SecretUrl(url) for url in urls)


def _is_broker(url: str) -> bool:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"amqp", "amqps"} and bool(parts.hostname) and parts.port != 0
        return fits and not re.search(r"\s", url)
    except ValueError:
        return False


def parse_state_url(text: str) -> SecretUrl:
    """A journal's URL as SQLAlchemy writes it: a SQLite file, or PostgreSQL by psycopg."""
    if not re.match(r"sqlite:///(?!:memory:).|postgresql\+psycopg://.", text):
        raise ValueError("write sqlite:////path/journal.db or postgresql+psycopg://user:password@host/database")
    return SecretUrl(text)


def is_loopback(host: str) -> bool:
    """Whether that host is this machine by its name alone; nothing is looked up."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def show_duration(duration: timedelta) -> str:
    """As ``parse_duration`` reads it; fractions of a second are cut."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    # Days only where nothing else is left: 36h says more than 1d12h.
    days, hours = divmod(hours, 24) if hours % 24 == 0 and not (minutes or seconds) else (0, hours)
    parts = ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def show_size(size: int) -> str:
    """As ``parse_size`` reads it, in the largest unit that divides it."""
    return next((f"{size // factor} {unit}" for unit, factor in _SHOWN_UNITS if size % factor == 0), f"{size}")


def _host(text: str) -> str:
    try:
        return str(ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        if len(text) > 253 or not _HOST.fullmatch(text):  # noqa: PLR2004 - RFC 1035, 2.3.4
            raise ValueError("a host name or IP address alone is expected, without port, scheme or path") from None
        return text


def _domain(text: str) -> str:
    try:
        return _host(text.removeprefix("@").encode("idna").decode("ascii").lower().rstrip("."))
    except UnicodeError:
        raise ValueError("not a domain name") from None


def _authority(text: str) -> str:
    host, colon, port = text.partition(":")
    if colon and not (port.isascii() and port.isdecimal() and 0 < int(port) <= LARGEST_PORT):
        raise ValueError("each is a host name, or host:port")
    return f"{_domain(host)}{colon}{port}"


def _word(text: str) -> str:
    if _NO_WORD.search(text):
        raise ValueError("each is one word without white space or punctuation, several separated by commas")
    return text


def _token_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        fits = secure and bool(parts.hostname) and "@" not in parts.netloc and not re.search(r"\s", text)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError("write microsoft, google or the https URL of a token endpoint")
    return text


def _provider(text: str) -> str:
    return text.lower() if text.lower() in {"microsoft", "google"} else _token_url(text)


def _separator(text: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+/=?^_`{|}~.-]?", text):
        raise ValueError("one character that a mail address may hold, such as + or -, or nothing")
    return text


def _locale(text: str) -> str:
    try:
        return TypeAdapter(Locale).validate_python(text)
    except ValidationError:
        raise ValueError("write a language such as en, de or pt-BR") from None


def _token(text: str) -> str:
    if re.search(r"[\s;]", text):
        raise ValueError("one name is expected, as the gateway writes it, without white space or ;")
    return text


def _from_text(parse: Callable[[str], object]) -> BeforeValidator:
    """Text is parsed; what has its type already passes."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


def _between(low: int, high: int) -> AfterValidator:
    def check(number: int) -> int:
        if not low <= number <= high:
            raise ValueError(f"a whole number from {low} to {high} is expected")
        return number

    return AfterValidator(check)


LOWER = _from_text(str.lower)
"""For a choice of words: letter case aside."""

Switch = Annotated[bool, _from_text(parse_switch)]
Count = Annotated[int, _from_text(parse_number), _between(1, 10_000)]
Port = Annotated[int, _from_text(parse_number), _between(1, LARGEST_PORT)]
OptionalPort = Annotated[int, _from_text(parse_number), _between(0, LARGEST_PORT)]
Duration = Annotated[timedelta, _from_text(parse_duration)]
Size = Annotated[int, _from_text(parse_size)]
Host = Annotated[str, AfterValidator(_host)]
Hosts = Annotated[
    frozenset[Annotated[str, AfterValidator(_domain)]], _from_text(lambda text: frozenset(parse_list(text)))
]
Authorities = Annotated[
    frozenset[Annotated[str, AfterValidator(_authority)]], _from_text(lambda text: frozenset(parse_list(text)))
]
Folder = Annotated[Path, _from_text(Path)]
Mailbox = Annotated[Person, _from_text(parse_mailbox)]
Vocabulary = Annotated[tuple[Annotated[str, AfterValidator(_word)], ...], _from_text(parse_list)]
Keys = Annotated[tuple[SecretBytes, ...], _from_text(parse_keys)]
BrokerUrls = Annotated[tuple[SecretUrl, ...], _from_text(parse_broker_urls)]
StateUrl = Annotated[SecretUrl, _from_text(parse_state_url)]
Provider = Annotated[str, AfterValidator(_provider)]
Separator = Annotated[str, AfterValidator(_separator)]
Language = Annotated[str, AfterValidator(_locale)]
ServerName = Annotated[str, AfterValidator(_token)]
