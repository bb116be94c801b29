"""The header of a mail to what our gateway has found out about its sender's domain, or to nothing.

Source: RFC 8601 (Authentication-Results), RFC 7489 11.1 (``dmarc`` and its ``header.from``). A field is judged as a
whole: what its grammar does not allow makes it speak against the mail, never for it.
"""

import re
from dataclasses import dataclass

from worker.reply_poller.address import domain_key
from worker.reply_poller.reply import Headers
from worker.reply_poller.structured import QUOTED, fold, split_comments, unquote

FIELD = "authentication-results"
INTERNAL = "x-ms-exchange-organization-authas"
LONGEST = 8_192
"""Characters of a field of our gateway; a longer one speaks against the mail."""
MOST_FIELDS = 20
"""Fields of our gateway; more of them speak against the mail."""

_VERSION = "1"
_LONGEST_ID = 400
_DEFECT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_STRETCH = re.compile(rf'(?:{QUOTED}|[^;"]++)++|;', re.DOTALL)
_WORD = re.compile(rf'(?:{QUOTED}|[^\s;"]++)++', re.DOTALL)
_PAIR = re.compile(rf'\s*+([^\s=;"]++)\s*+=\s*+((?:{QUOTED}|[^\s;"]++)*+)\s*+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Results:
    """What one field says: for each ``dmarc`` in it the domain that passed, or None where it is no pass of just one.

    ``sound`` says that all of the field was read.
    """

    dmarc: tuple[str | None, ...]
    sound: bool

    def agrees(self, domain: str) -> bool:
        """Whether nothing in it says other than that this domain passed."""
        return self.sound and all(passed == domain for passed in self.dmarc)


def prove_dmarc(headers: Headers, *, authserv_id: str, domain: str) -> str | None:
    """What our gateway says for that domain (in the form of ``domain_key``), to be shown; None where it does not.

    Its topmost field has to say ``dmarc=pass``, and none of its fields anything else. Fields of others are ignored:
    anyone can write them.
    """
    wanted = fold(authserv_id)
    ours = [value for value in headers.all(FIELD) if wanted and _identity(value) == wanted]
    if not ours or len(ours) > MOST_FIELDS:
        return None
    fields = [_read(value, with_id=True) for value in ours]
    if not fields[0].dmarc or not all(results.agrees(domain) for results in fields):
        return None
    return _dmarc_text(domain)


def prove_exchange(headers: Headers, *, domain: str) -> str | None:
    """What Exchange Online says for that domain, to be shown; None where it does not.

    Its own field is the topmost of all, and has no authserv-id. Others below may be those of the sender's tenant.
    """
    if [fold(value).strip() for value in headers.all(INTERNAL)] == ["internal"]:
        return "X-MS-Exchange-Organization-AuthAs: Internal"
    topmost = headers.first(FIELD)
    if topmost is None:
        return None
    results = _read(topmost, with_id=False)
    return _dmarc_text(domain) if results.dmarc and results.agrees(domain) else None


def _dmarc_text(domain: str) -> str:
    return f"dmarc=pass header.from={domain}"


def _identity(value: str) -> str:
    """The authserv-id, whatever comes behind it."""
    words = _WORD.findall(_stretches(split_comments(value[:_LONGEST_ID]).text)[0])
    return fold(unquote(words[0])) if words else ""


def _read(value: str, *, with_id: bool) -> _Results:
    parts = split_comments(value[:LONGEST])
    sound = parts.whole and len(value) <= LONGEST and not _DEFECT.search(value)
    stretches = _stretches(parts.text)
    if with_id:
        sound = sound and _WORD.findall(stretches.pop(0))[1:] in ([], [_VERSION])
    # ``none`` stands alone, and says nothing about anything (RFC 8601 2.2).
    if [fold(stretch).strip() for stretch in stretches] == ["none"]:
        return _Results((), sound)
    pairs = [_pairs(stretch) for stretch in stretches]
    dmarc = tuple(_passed(found) for found in pairs if any(_is_dmarc(name) for name, _ in found))
    return _Results(dmarc, sound and bool(pairs) and all(pairs))


def _stretches(text: str) -> list[str]:
    """What stands between the semicolons; an empty end is none, as several gateways write one."""
    stretches = [""]
    for found in _STRETCH.finditer(text):
        if found[0] == ";":
            stretches.append("")
        else:
            stretches[-1] += found[0]
    return stretches[:-1] if len(stretches) > 1 and not stretches[-1].strip() else stretches


def _pairs(stretch: str) -> list[tuple[str, str]]:
    """``method=result``, ``reason=…`` and the properties, in their order; none where there is anything else."""
    pairs, place = [], 0
    while place < len(stretch):
        found = _PAIR.match(stretch, place)
        if found is None:
            return []
        pairs.append((fold(found[1]), unquote(found[2])))
        place = found.end()
    return pairs


def _is_dmarc(name: str) -> bool:
    return name.partition("/")[0] == "dmarc"


def _passed(pairs: list[tuple[str, str]]) -> str | None:
    (method, result), *properties = pairs
    domains = [domain_key(value) for name, value in properties if name == "header.from"]
    others = [name for name, _ in properties if _is_dmarc(name)]
    if method not in {"dmarc", f"dmarc/{_VERSION}"} or fold(result) != "pass" or others or len(domains) != 1:
        return None
    return domains[0]
