"""A structured header value to what stands in its comments and what does not (RFC 5322 3.2.1, 3.2.2, 3.2.4)."""

import re
from dataclasses import dataclass

QUOTED = r'"(?:[^"\\]++|\\.)*+"'
"""A quoted string; compile it with ``re.DOTALL``."""

_OUTSIDE = re.compile(rf'[^"()\\]++|{QUOTED}', re.DOTALL)
_INSIDE = re.compile(r"[^()\\]++|\\.", re.DOTALL)
_WHOLLY_QUOTED = re.compile(QUOTED, re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


@dataclass(frozen=True, slots=True)
class Structured:
    """``text`` has one blank for each comment; ``comments`` are those, without their parentheses.

    ``whole`` is False where a quoted string or comment does not end, or has no beginning, or a backslash quotes
    nothing: ``text`` is then what stands before.
    """

    text: str
    comments: str
    whole: bool


def split_comments(value: str) -> Structured:
    """Comments nest and may stand between any two words; what is quoted holds none. Takes linear time."""
    text: list[str] = []
    comments: list[str] = []
    depth = place = 0
    while place < len(value):
        if found := (_INSIDE if depth else _OUTSIDE).match(value, place):
            (comments if depth else text).append(found[0])
            place = found.end()
            continue
        if value[place] == "(":
            depth += 1
            text += [" "] if depth == 1 else []
        elif value[place] == ")" and depth:
            depth -= 1
        else:
            break
        comments.append(" ")
        place += 1
    return Structured("".join(text), "".join(comments), whole=place == len(value) and not depth)


def unquote(word: str) -> str:
    """What a quoted string stands for; any other word as it is."""
    return _QUOTED_PAIR.sub(r"\1", word[1:-1]) if _WHOLLY_QUOTED.fullmatch(word) else word


def fold(text: str) -> str:
    """In lower case where it is ASCII. No other letter becomes one: the Kelvin sign is no ``k``."""
    return text.translate(_ASCII_LOWER)
