"""Who we are in the eyes of a mail client, when it quotes our mail."""

import re
from dataclasses import dataclass

LONGEST_NAME = 4

_AROUND = re.compile(r"[\s\"'\u2018\u2019\u201c\u201d\u201e\u300c\u300d<>()\[\]{},;*|]|mailto:", re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s<>@()\[\]:]{1,64}@[^\s<>@()\[\]]{2,255}")


@dataclass(frozen=True, slots=True)
class Origin:
    """How a client names us when it quotes: what finds our address, and the names that it may give us.

    ``subject`` is what the reply answers to, ``sender`` the name of who wrote it.
    """

    ours: re.Pattern[str]
    names: tuple[str, ...] = ()
    subject: str = ""
    sender: str = ""

    def names_us(self, text: str) -> bool:
        """Whether our address, or the name that we send under, stands there."""
        return self.ours.search(text) is not None or any(name in text for name in self.names)

    def without_us(self, text: str) -> str:
        """The text without our names and any address. An address book may give our address another name."""
        for name in sorted(self.names, key=len, reverse=True):
            text = text.replace(name, " ")
        parts, end = [], 0
        for match in self.ours.finditer(text):
            parts.append(_without_name(text[end : match.start()]))
            end = match.end()
        return _ADDRESS.sub(" ", " ".join((*parts, text[end:])))

    def is_us(self, text: str) -> bool:
        """Whether it names us, and nobody and nothing else."""
        return self.names_us(text) and _AROUND.sub("", self.without_us(text)) == ""


def _without_name(text: str) -> str:
    """What stands before ``Some Name <``: a name is in quotes, or has capital letters."""
    before = text.rstrip(" ")
    if not before.endswith(("<", "(", "[")):
        return text
    before = before[:-1].rstrip(" ")
    if before.endswith('"'):
        return before[: max(before.rfind('"', 0, -1), 0)]
    words = before.split(" ")
    for _ in range(LONGEST_NAME):
        if words and words[-1][:1].isupper() and words[-1][-1].isalpha():
            words.pop()
    return " ".join(words)
