"""A text part's bytes to lines: its charset, ``format=flowed`` (RFC 3676), and the marks of quoted lines."""

import re
from collections.abc import Iterable, Iterator

import webencodings

from worker.reply_poller.line import Line, Mark

_QUOTED = re.compile(r"[\u200e\u200f\u202a\u202b\u2066-\u2068\ufeff\s]{0,8}(?:>|&gt;|\u203a )")
_ARMOUR, _SIGNED = "-----BEGIN PGP SIGNED MESSAGE-----", "-----BEGIN PGP SIGNATURE-----"
_END = "-----END PGP SIGNATURE-----"
_ARMOURED = re.compile(r"[A-Za-z0-9+/=]{0,100}|Version: \S+(?: \(\S+\))?")
# What clients write where the HTML has a picture: of a signature, mostly.
_PICTURE = re.compile(
    r"\[(?:cid:|image: ?|inline image|bild: ?|imagem?: ?|immagine: ?|afbeelding: ?)[^\[\]]{0,100}\]"
    r"|[<\[][\w.-]{1,60}\.(?:png|jpe?g|gif)[>\]]",
    re.IGNORECASE,
)
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
    raw = _without_armour(_BREAK.split(text))
    if flowed:
        return tuple(_unflow(raw, delsp=delsp))
    return tuple(_line(line, Mark.QUOTED if _QUOTED.match(line) else Mark.NONE) for line in raw)


def _without_armour(lines: list[str]) -> list[str]:
    """Without what OpenPGP puts around a signed text (RFC 9580 7): its header above, its signature below."""
    begin = next((number for number, line in enumerate(lines) if line.strip()), 0)
    if lines[begin].strip() != _ARMOUR:
        return lines
    empty = next((number for number in range(begin, len(lines)) if not lines[number].strip()), begin)
    if not all(line.startswith("Hash: ") for line in lines[begin + 1 : empty]):
        return lines
    body = lines[empty:]
    end = next((number for number, line in enumerate(body) if line.strip() == _SIGNED), len(body))
    last = next((number for number in range(end, len(body)) if body[number].strip() == _END), len(body) - 1)
    is_signature = all(_ARMOURED.fullmatch(line.strip()) for line in body[end + 1 : last])
    return [line.removeprefix("- ") for line in (body[:end] + body[last + 1 :] if is_signature else body)]


def _line(text: str, mark: Mark) -> Line:
    if mark is Mark.NONE and _PICTURE.fullmatch(text.strip()):
        mark = Mark.ASIDE
    return Line(" ".join(text.split()), mark)


def _unflow(lines: Iterable[str], *, delsp: bool) -> Iterator[Line]:
    """Lines that a client broke, joined again: those that end in a space, at the same depth of quoting.

    A line that begins with a space is stuffed: what stands behind it is typed, a ``>`` too (RFC 3676 4.4).
    """
    held: str | None = None
    depth = 0
    for line in lines:
        body = line.lstrip(">")
        level = len(line) - len(body)
        body = body.removeprefix(" ")
        if held is not None and (level != depth or body.rstrip() == "--"):
            yield _flowed(held, depth)
            held = None
        depth = level
        text = body if held is None else held + body
        if body.endswith(" ") and body != "-- ":
            held = text.removesuffix(" ") if delsp else text
        else:
            yield _flowed(text, depth)
            held = None
    if held is not None:
        yield _flowed(held, depth)


def _flowed(text: str, depth: int) -> Line:
    return _line(">" * depth + text, Mark.QUOTED if depth else Mark.NONE)
