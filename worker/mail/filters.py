"""What stands behind ``|`` in a template: values to words that are safe to show.

Whatever a template prints goes through ``printed_html`` or ``printed_text`` unseen: nothing shows as ``None``, control
characters and those that turn the direction of writing are dropped, and in HTML a long value is cut.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any

from jinja2 import TemplateRuntimeError, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from worker.mail.labels import Labels
from worker.mail.units import TimeFormat, duration_words, size_words, time_format, time_words

LONGEST_IN_HTML = 200
LONGEST_IN_TEXT = 2000

# Controls but tab and line feed; line and paragraph separators; embeddings, overrides and isolates of direction;
# surrogates, interlinear marks, tags, and what is no character.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e007f]"
)


def clean(text: str) -> str:
    """That text without what can't be seen or turns the text around it."""
    return text if text.isprintable() else _UNWANTED.sub("", text)


def shortened(text: str, limit: int, mark: str = "…") -> str:
    """That text, cleaned, in at most so many characters and a mark where it was cut."""
    # Cut first: cleaning 16 MB to keep 200 characters of it would be slow.
    if len(text) > limit:
        return clean(text[:limit]).rstrip() + mark
    return clean(text)


class Fitted(str):
    """Text that was cut to measure already, as long as that may be."""

    __slots__ = ()


def printed_html(value: Any) -> str:
    """What stands in the HTML for a value that a template prints: escaped, clean, and not longer than a line or two."""
    kind = type(value)
    if (kind is str or kind is Fitted) and len(value) <= LONGEST_IN_HTML:
        return _escaped(value)
    if kind is int:
        return str(value)
    if value is None:
        return ""
    if isinstance(value, Markup):
        return str(value)
    return str(escape(clean(value) if isinstance(value, Fitted) else shortened(str(value), LONGEST_IN_HTML)))


def printed_text(value: Any) -> str:
    """What stands in the plain text for a value that a template prints."""
    if type(value) is str and len(value) <= LONGEST_IN_TEXT and value.isprintable():
        return value
    if value is None:
        return ""
    return clean(str(value)) if isinstance(value, Fitted) else shortened(str(value), LONGEST_IN_TEXT)


@lru_cache(maxsize=8192)
def _escaped(value: str) -> str:
    # Short values only: environments, steps and hosts come again with every mail.
    return str(escape(clean(value)))


def link(value: Any) -> Fitted:
    """A URL for ``href``: ``http``, ``https`` and ``mailto`` pass whole, anything else becomes nothing."""
    text = clean(str(value or "")).strip()
    return Fitted(text if text.lower().startswith(("https://", "http://", "mailto:")) else "")


def fitted(labels: Labels) -> dict[str, Callable[..., Any]]:
    """Our filters, in one language."""
    return {
        "link": link,
        **_texts(labels.words),
        **_moments(labels),
        **_amounts(labels.words),
    }


def _texts(words: Mapping[str, str]) -> dict[str, Callable[..., Any]]:
    mark = f" … ({words['cut']})"

    def clip(value: Any, limit: int) -> str:
        if _fits(value, limit):
            return str(value)
        return Fitted("" if value is None else shortened(str(value), limit, mark))

    def prefixed(value: Any, prefix: str, limit: int) -> str:
        if _fits(value, limit):
            return prefix + str(value)
        return Fitted(prefix + clip(value, limit).strip().replace("\n", f"\n{prefix}"))

    def lines(value: Any, limit: int, prefix: str = "") -> str:
        text = prefixed(value, prefix, limit)
        if "\n" not in text:
            return text
        return Markup(str(escape(clean(text))).replace("\n", "<br>\n"))  # noqa: S704 - escaped in this very line

    return {"clip": clip, "lines": lines, "prefixed": prefixed}


@dataclass(frozen=True, slots=True)
class Clock:
    """The zone of one mail, and what was worked out for it: the text and the HTML show the same times.

    Keyed by the id of a value, and keeping the value so that no other gets that id meanwhile: comparing two times of
    an event costs more than writing one.
    """

    zone: tzinfo
    times: dict[int, tuple[Any, str]] = field(default_factory=dict)
    clocks: dict[int, tuple[Any, str]] = field(default_factory=dict)
    durations: dict[int, tuple[Any, str]] = field(default_factory=dict)


def _fits(value: Any, limit: int) -> bool:
    # One line that is printed whole anyway: most messages.
    return type(value) is str and len(value) <= limit and len(value) < LONGEST_IN_HTML and "\n" not in value


def _moments(labels: Labels) -> dict[str, Callable[..., Any]]:
    @pass_context
    def time(context: Context, value: datetime | None, pattern: str | None = None) -> str:
        shown = _clock(context)
        if pattern is not None:
            return "" if value is None else time_words(value, shown.zone, time_format(pattern))
        return _once(shown.times, value, shown.zone, labels.time)

    @pass_context
    def clock(context: Context, value: datetime | None) -> str:
        shown = _clock(context)
        return _once(shown.clocks, value, shown.zone, labels.clock)

    return {"time": time, "clock": clock}


def _once(known: dict[int, tuple[Any, str]], value: datetime | None, zone: tzinfo, form: TimeFormat) -> str:
    found = known.get(id(value))
    if found is None:
        found = known[id(value)] = (value, "" if value is None else time_words(value, zone, form))
    return found[1]


def _amounts(words: Mapping[str, str]) -> dict[str, Callable[..., Any]]:
    @pass_context
    def duration(context: Context, value: Any) -> str:
        known = _clock(context).durations
        found = known.get(id(value))
        if found is None:
            found = known[id(value)] = (value, _duration(value, words))
        return found[1]

    def size(value: int) -> str:
        return size_words(value, words)

    return {"duration": duration, "size": size}


def _duration(value: Any, words: Mapping[str, str]) -> str:
    start, end = value.started_at, value.finished_at
    if start is None or end is None:
        return ""
    seconds = (end - start).total_seconds()
    return duration_words(seconds, words) if seconds >= 0 else ""


def _clock(context: Context) -> Clock:
    try:
        clock: Clock = context.parent["mail_clock"]
    except KeyError:
        raise TemplateRuntimeError("times need the mail's zone: import this template 'with context'") from None
    return clock
