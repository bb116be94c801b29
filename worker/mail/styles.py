"""A stylesheet and the source of an HTML template to the same source with the rules written into its tags.

Done when a template is loaded, so that a mail costs nothing. A template is no HTML document yet (its tags stand
between Jinja's), hence no HTML parser: each start tag is looked at alone. Selectors are ``tag``, ``.class``,
``tag.class`` and lists of them; everything else (``@media``, ``:hover``, ``.card td``) stays in the ``<style>``.
"""

import re
from dataclasses import dataclass
from functools import cached_property

DARK = "@media (prefers-color-scheme:dark)"

_JINJA = r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}"
_TAG = re.compile(
    rf"<([a-zA-Z][a-zA-Z0-9]*)((?:{_JINJA}|\"(?:{_JINJA}|[^\"])*\"|'(?:{_JINJA}|[^'])*'|[^<>\"'])*)>", re.DOTALL
)
_ATTRIBUTE = re.compile(rf"\s(class|style)=\"((?:{_JINJA}|[^\"])*)\"", re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_RULE = re.compile(r"([^{}]+)\{((?:[^{}]|\{[^{}]*\})*)\}")
_SIMPLE = re.compile(r"(?:[a-z][a-z0-9]*)?(?:\.[a-zA-Z][\w-]*)?")
_CLASS = re.compile(r"\.([a-zA-Z][\w-]*)")


class StyleError(ValueError):
    """The stylesheet can't be read, from ``line`` on."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


@dataclass(frozen=True)
class Rule:
    """One selector and its declarations, in order."""

    tag: str
    name: str
    declarations: tuple[tuple[str, str], ...]

    def fits(self, tag: str, names: list[str]) -> bool:
        """Whether an element of that tag with these classes is meant."""
        return self.tag in {"", tag} and (not self.name or self.name in names)


@dataclass(frozen=True)
class Stylesheet:
    """What is written into tags (``rules``, the most specific last), and what stays in ``<style>`` (``rest``)."""

    rules: tuple[Rule, ...]
    rest: str
    dark: str

    @cached_property
    def outlook(self) -> str:
        """The dark rules once more for Outlook on the web, which marks what it recoloured (``data-ogsc``)."""
        rules = ((_selectors(rule[1]), rule[2]) for rule in _RULE.finditer(self.dark))
        return "".join(
            f"{','.join(f'[data-ogsc] {selector}' for selector in selectors)}{{{body}}}"
            for selectors, body in rules
            if not any(selector.startswith(":root") for selector in selectors)
        )

    @cached_property
    def kept(self) -> frozenset[str]:
        """The classes that ``<style>`` still names."""
        return frozenset(_CLASS.findall(re.sub(r"\{[^{}]*\}", "{}", f"{self.rest}{self.dark}")))

    def inline(self, html: str) -> str:
        """That source with a ``style`` on each tag that rules fit. Line numbers stay."""
        return _TAG.sub(self._tag, re.sub(r"^[ \t]+", "", html, flags=re.MULTILINE))

    def _tag(self, match: re.Match[str]) -> str:
        tag, attributes = match[1].lower(), match[2]
        found = dict(_ATTRIBUTE.findall(attributes))
        classes = found.get("class", "")
        names = [] if "{" in classes else classes.split()
        style = self._style(tag, names, found.get("style", ""))
        kept = classes if "{" in classes else " ".join(name for name in names if name in self.kept)
        written = (f' class="{kept}"' if kept else "") + (f' style="{style}"' if style else "")
        return f"<{match[1]}{_ATTRIBUTE.sub(_line_breaks, attributes).rstrip(' ')}{written}>"

    def _style(self, tag: str, names: list[str], own: str) -> str:
        declared: dict[str, str] = {}
        for rule in self.rules:
            if rule.fits(tag, names):
                declared |= dict(rule.declarations)
        return ";".join([*(f"{name}:{value}" for name, value in declared.items()), *([own] if own else [])])


def read_stylesheet(css: str) -> Stylesheet:
    """The rules of that CSS.

    Raises:
        StyleError: braces that don't pair, or a declaration without a colon.
    """
    text = _COMMENT.sub(_line_breaks, css)
    rules: list[Rule] = []
    rest: list[str] = []
    dark: list[str] = []
    end = 0
    for match in _RULE.finditer(text):
        _only_blank(text, end, match.start())
        _sort(match, (rules, rest, dark))
        end = match.end()
    _only_blank(text, end, len(text))
    rules.sort(key=lambda rule: (bool(rule.name), bool(rule.tag)))
    return Stylesheet(tuple(rules), "".join(rest), "".join(dark))


def _sort(rule: re.Match[str], shelves: tuple[list[Rule], list[str], list[str]]) -> None:
    rules, rest, dark = shelves
    head, body = _tight(rule[1]), rule[2]
    if head == _tight(DARK):
        dark.append(_tight(body))
    elif head.startswith("@") or not all(_SIMPLE.fullmatch(selector) for selector in _selectors(head)):
        rest.append(f"{head}{{{_tight(body)}}}")
    else:
        declarations = _declarations(body, _line(rule.string, rule.start(2)))
        parts = (selector.partition(".") for selector in _selectors(head))
        rules.extend(Rule(tag, name, declarations) for tag, _, name in parts)


def _declarations(body: str, line: int) -> tuple[tuple[str, str], ...]:
    found = [part.partition(":") for part in body.split(";") if part.strip()]
    for name, colon, _ in found:
        if not colon:
            raise StyleError(line, f"a declaration without a colon: {name.strip()[:60]}")
    return tuple((name.strip(), _value(value)) for name, _, value in found)


def _value(text: str) -> str:
    # Within an attribute, hence no double quotes.
    return " ".join(text.split()).replace('"', "'").replace(", ", ",")


def _selectors(head: str) -> list[str]:
    return [selector.strip() for selector in head.split(",")]


def _tight(css: str) -> str:
    return re.sub(r"\s*([{};,!]|:(?=\s))\s*", r"\1", " ".join(css.split())).strip().replace(";}", "}")


def _only_blank(text: str, start: int, end: int) -> None:
    if stray := text[start:end].strip():
        first = text.index(stray, start)
        raise StyleError(_line(text, first), f"no rule begins with {stray[:60]!r}, or a brace is missing")


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def _line_breaks(match: re.Match[str]) -> str:
    return "\n" * match[0].count("\n")
