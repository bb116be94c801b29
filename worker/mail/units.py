"""Times, durations and sizes to words, as a person of one locale reads them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from operator import attrgetter
from typing import Any

_CODES = {
    "%Y": ("%04d", "year"),
    "%m": ("%02d", "month"),
    "%-m": ("%d", "month"),
    "%d": ("%02d", "day"),
    "%-d": ("%d", "day"),
    "%H": ("%02d", "hour"),
    "%M": ("%02d", "minute"),
    "%S": ("%02d", "second"),
}
_ZONE = "%Z"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_KILO = 1000


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """A pattern taken apart: what ``%`` fills, and what it is filled with; a fifth of what ``strftime`` takes."""

    form: str
    values: Callable[[Any], Any]
    names_zone: bool


def time_format(pattern: str) -> TimeFormat:
    """A pattern in the way of ``strftime``, such as ``%d.%m.%Y %H:%M %Z``.

    Raises:
        ValueError: a code that is not one of ``%Y %m %d %H %M %S %Z %-m %-d``, or none at all.
    """
    names: list[str] = []

    def positional(match: re.Match[str]) -> str:
        if match[0] == _ZONE:
            return "%" + _ZONE
        if match[0] not in _CODES:
            raise ValueError(f"{match[0]} is not one of {' '.join((*_CODES, _ZONE))}")
        form, name = _CODES[match[0]]
        names.append(name)
        return form

    form = re.sub(r"%-?.?", positional, pattern)
    if not names:
        raise ValueError(f"it needs at least one of {' '.join(_CODES)}")
    return TimeFormat(form, attrgetter(*names), _ZONE in pattern)


def time_words(moment: datetime, zone: tzinfo, pattern: TimeFormat) -> str:
    """That moment on the clocks of that zone."""
    try:
        local = moment.astimezone(zone)
    except OverflowError:
        # The first and the last day that datetime knows have no other zone.
        local = moment
    text: str = pattern.form % pattern.values(local)
    return text.replace(_ZONE, _zone_name(local)) if pattern.names_zone else text


def _zone_name(local: datetime) -> str:
    # Zones without a name of their own have a number: +03.
    name = local.tzname() or "UTC"
    return f"UTC{name}" if name[0] in "+-" else name


def duration_words(seconds: float, words: Mapping[str, str]) -> str:
    """So many seconds, to two units: ``12.3 s``, ``4 min 05 s``, ``1 h 04 min``, ``2 d 03 h``."""
    if seconds < _MINUTE - 0.05:
        return f"{seconds:.1f} {words['second']}".replace(".", words["decimal"], 1)
    whole = round(seconds)
    if whole < _HOUR:
        return _two(whole, _MINUTE, words["minute"], words["second"])
    if whole < _DAY:
        return _two(whole // _MINUTE, _MINUTE, words["hour"], words["minute"])
    return _two(whole // _HOUR, _DAY // _HOUR, words["day"], words["hour"])


def size_words(size: int, words: Mapping[str, str]) -> str:
    """So many bytes: ``812 bytes``, ``1.2 kB``, ``340 MB``."""
    if size < _KILO:
        return f"{size} {words['bytes']}"
    amount, unit = float(size), "kB"
    for unit in ("kB", "MB", "GB"):  # noqa: B007 - the unit reached is the answer
        amount /= _KILO
        if amount < _KILO - 0.5:
            break
    digits = 1 if amount < 10 else 0  # noqa: PLR2004 - two digits are enough to judge a size
    return f"{amount:.{digits}f} {unit}".replace(".", words["decimal"], 1)


def _two(count: int, base: int, large: str, small: str) -> str:
    whole, rest = divmod(count, base)
    return f"{whole} {large} {rest:02d} {small}"
