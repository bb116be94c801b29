"""``phrases.toml`` to what the readers ask of it: what clients and gateways write by themselves."""

import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Phrases:
    """Lower-case phrases of many languages; ``wrote`` and ``subject_prefix`` as patterns that ignore letter case."""

    phone_begins: tuple[str, ...]
    phone_ends: tuple[str, ...]
    addressee: tuple[str, ...]
    legal: tuple[str, ...]
    wrote: re.Pattern[str]
    subject_prefix: re.Pattern[str]

    def strip_prefixes(self, subject: str) -> str:
        """The subject without ``Re:`` and what it is in other languages."""
        return self.subject_prefix.sub("", subject, count=1)


def _load() -> Phrases:
    said: dict[str, list[str]] = tomllib.loads(files("worker.reply_poller").joinpath("phrases.toml").read_text("utf-8"))
    prefixes = "|".join(map(re.escape, said["subject_prefixes"]))
    return Phrases(
        phone_begins=tuple(said["phone_begins"]),
        phone_ends=tuple(said["phone_ends"]),
        addressee=tuple(said["addressee"]),
        legal=tuple(said["legal"]),
        wrote=re.compile("|".join(_verb(verb) for verb in said["wrote"]), re.IGNORECASE),
        subject_prefix=re.compile(rf"\s*(?:(?:{prefixes})(?:\[\d{{1,3}}\])?\s?[:\uff1a]\s*)+", re.IGNORECASE),
    )


def _verb(verb: str) -> str:
    # Asian and Semitic languages put no blank before or behind it.
    return rf"(?<!\w){re.escape(verb)}(?!\w)" if verb[0] < "\u0590" else re.escape(verb)


PHRASES = _load()
