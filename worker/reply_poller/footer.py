"""A paragraph to whether it is small print: what a phone adds, or what a company's gateway puts under every mail."""

from worker.reply_poller.phrases import PHRASES

LONGEST_PHONE_SIGNATURE = 80
SHORTEST_DISCLAIMER = 80


def is_phone_signature(paragraph: str) -> bool:
    """Whether this is a line such as *Sent from my iPhone*, in one of the languages that phones write it in."""
    if len(paragraph) > LONGEST_PHONE_SIGNATURE:
        return False
    said = paragraph.casefold()
    return said.startswith(PHRASES.phone_begins) or said.endswith(PHRASES.phone_ends)


def is_disclaimer(paragraph: str) -> bool:
    """Whether this is a notice of confidentiality: long, and it speaks of the addressee and of the law."""
    if len(paragraph) < SHORTEST_DISCLAIMER:
        return False
    said = paragraph.casefold()
    return any(phrase in said for phrase in PHRASES.addressee) and any(phrase in said for phrase in PHRASES.legal)
