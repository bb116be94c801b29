"""A text part's bytes to lines: its charset, ``format=flowed`` (RFC 3676), and the marks of quoted lines."""

import re
from collections.abc import Iterable, Iterator

import webencodings

from worker.reply_poller.line import Line, Mark

_QUOTED = re.compile(r"[\u200e\u200f\s]{0,8}(?:>|&gt;|\u203a )")
_BREAK = re.compile(r"\r\n|\n|\r|\x0b|\x0c|\x85|\u2028|\u2029")


def decode(raw: bytes, charset: str) -> str:
    """The text, in the charset that browsers would take (WHATWG); what can't be read becomes U+FFFD.

    UTF-7 is none of them: it would hide words from whoever looks at the mail.
    """
    label = charset.strip().strip("\"'").lower()
    encoding = webencodings.lookup(label) if label else None
    if encoding is None or label in {"us-ascii", "ascii"}:
        return raw.decode("utf-8", "replace")
    return str(webencodings.decode(raw, encoding, errors="replace")[0])


def read_plain(text: str, *, flowed: bool = False, delsp: bool = False) -> tuple[Line, ...]:
    """The lines of a plain text, those with a quote mark marked."""
    raw = _BREAK.split(text)
    return tuple(_line(line) for line in (_unflow(raw, delsp=delsp) if flowed else raw))


def _line(text: str) -> Line:
    return Line(" ".join(text.split()), Mark.QUOTED if _QUOTED.match(text) else Mark.NONE)


def _unflow(lines: Iterable[str], *, delsp: bool) -> Iterator[str]:
    """Lines that a client broke, joined again: those that end in a space, at the same depth of quoting."""
    held: str | None = None
    depth = 0
    for line in lines:
        body = line.lstrip(">")
        level = len(line) - len(body)
        body = body.removeprefix(" ")
        if held is not None and (level != depth or body.rstrip() == "--"):
            yield held
            held = None
        text = body if held is None else held + body
        if held is None:
            text, depth = ">" * level + text, level
        if body.endswith(" ") and body != "-- ":
            held = text.removesuffix(" ") if delsp else text
        else:
            yield text
            held = None
    if held is not None:
        yield held
