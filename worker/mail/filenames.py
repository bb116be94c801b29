"""Steps to the names of their logs: such as every file system can hold, none twice."""

import re
from collections.abc import Iterable

from worker.events import Step

LONGEST = 255
"""Bytes of a name, as most file systems have it."""

_LONGEST_ID = 100
_SUFFIX = ".log"

# What Windows forbids, control characters, and those that turn the direction of the letters behind them.
_ILLEGAL = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]')
_HIDDEN = re.compile(r"^[. ]")


def log_name(instance: str, step: Step) -> str:
    """The name of a log that is attached alone: ``<instance>_<number>_<name>_<endpoint>(<execution_id>).log``."""
    return _name(f"{instance}_{_stem(step)}", _suffix(step))


def archive_name(instance: str) -> str:
    """The name of the zip file with all logs: ``<instance>_logs.zip``."""
    return _name(instance, "_logs.zip")


def member_names(steps: Iterable[Step]) -> list[str]:
    """The logs' names in a zip file: ``<number>_<name>_<endpoint>(<execution_id>).log``.

    A name that another one has, letter case aside, gets `` (2)``, `` (3)`` and so on.
    """
    taken: dict[str, int] = {}
    return [_unique(_stem(step), _suffix(step), taken) for step in steps]


def _stem(step: Step) -> str:
    return f"{step.number}_{step.name}_{step.endpoint}"


def _suffix(step: Step) -> str:
    return f"({_cut(_legal(str(step.execution_id)), _LONGEST_ID)}){_SUFFIX}"


def _unique(stem: str, suffix: str, taken: dict[str, int]) -> str:
    first = name = _name(stem, suffix)
    number = taken.get(first.casefold(), 1)
    while name.casefold() in taken:
        number += 1
        name = _name(stem, f"{suffix.removesuffix(_SUFFIX)} ({number}){_SUFFIX}")
    taken[first.casefold()] = number
    taken.setdefault(name.casefold(), 1)
    return name


def _name(stem: str, suffix: str) -> str:
    return _HIDDEN.sub("_", _cut(_legal(stem), LONGEST - len(suffix.encode()))) + suffix


def _legal(text: str) -> str:
    return _ILLEGAL.sub("_", text)


def _cut(text: str, length: int) -> str:
    return text.encode("utf-8", "replace")[:length].decode("utf-8", "ignore")
