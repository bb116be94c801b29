"""CSS declarations, of a ``style`` attribute or a rule, to what they do to text."""

from functools import lru_cache

import tinycss2
import tinycss2.ast

from worker.reply_poller.look import NO_EFFECT, Effect
from worker.reply_poller.property import read_clipping, read_property

CACHED_CHARACTERS = 1_000

_PREFIXES = ("-webkit-", "-moz-", "-ms-", "-o-")


def read_style(style: str) -> Effect:
    """The effect of a ``style`` attribute."""
    return _read_short(style) if len(style) <= CACHED_CHARACTERS else _read(style)


def _read(style: str) -> Effect:
    return read_declarations(tinycss2.parse_blocks_contents(style, skip_comments=True, skip_whitespace=True))


# Long ones are not kept: strangers write them.
_read_short = lru_cache(maxsize=2048)(_read)


def read_declarations(nodes: list[tinycss2.ast.Node]) -> Effect:
    """The effect of declarations that stand together, in their order."""
    declared: dict[str, list[tinycss2.ast.Node]] = {}
    effect = NO_EFFECT
    for node in nodes:
        if isinstance(node, tinycss2.ast.Declaration):
            value = [part for part in node.value if part.type not in {"whitespace", "comment"}]
            name = _plain_name(node.lower_name)
            declared[name] = value
            effect |= read_property(name, value)
    return effect | read_clipping(declared)


def _plain_name(name: str) -> str:
    return next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)
