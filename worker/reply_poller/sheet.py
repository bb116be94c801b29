"""A mail's ``<style>`` elements to rules, and for an element to what those that may mean it do to its text.

A selector is followed as far as its last element's tag, names and attributes, and what of its other parts stands around
it. A rule that may or may not apply (a media query, a sibling, ``:hover``) leaves a doubt where it would conceal text.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import tinycss2
import tinycss2.ast

from worker.reply_poller.look import DOUBTS, NO_EFFECT, Effect, suspect
from worker.reply_poller.style import read_declarations

MOST_LEVELS = 4
MOST_COMPARISONS = 150_000

_WITHOUT_TEXT = frozenset(
    {"charset", "namespace", "page", "keyframes", "-webkit-keyframes", "-moz-keyframes", "-o-keyframes", "list"}
    | {"viewport", "-ms-viewport", "property", "counter-style", "font-feature-values", "font-palette-values"}
)
_PASSING = frozenset({"hover", "active", "focus", "focus-within", "focus-visible", "target"})
_ANY_STATE = frozenset({"link", "visited", "any-link"})
_OTHER_ELEMENTS = frozenset({"selection", "placeholder", "backdrop", "file-selector-button", "input-placeholder"})
_GENERATED = frozenset({"before", "after", "marker"})
_FIRST = frozenset({"first-letter", "first-line"})


def keys_of(tag: str, attributes: Mapping[str, str]) -> frozenset[str]:
    """The keys of an element. Letter case is aside: mails are often read in quirks mode."""
    keys = {"*", tag}
    for name, value in attributes.items():
        keys.add(f"[{name.lower()}")
        if name == "class":
            keys |= {f".{part}" for part in value.lower().split()}
        elif name == "id":
            keys.add(f"#{value.strip().lower()}")
    return frozenset(keys)


@dataclass(slots=True)
class _Compound:
    """A part of a selector between two combinators. ``is_exact``: it asks for nothing but the keys."""

    keys: set[str] = field(default_factory=set)
    is_exact: bool = True
    is_passing: bool = False
    pseudo: str = ""


_Asked = tuple[frozenset[str], tuple[frozenset[str], ...]]
"""The keys of an element, and those of others that it must stand in."""


@dataclass(slots=True)
class Sheet:
    """All rules of a mail that may conceal something, found by one key of the element that they mean."""

    rules: dict[str, dict[_Asked, Effect]] = field(default_factory=dict)
    known: dict[frozenset[str], Effect] = field(default_factory=dict)
    comparisons: int = 0

    def add(self, css: str) -> None:
        """Take in the text of a ``<style>`` element."""
        # Old clients wrap the sheet in an HTML comment; CSS ignores the marks themselves.
        text = css.replace("<!--", " ").replace("-->", " ")
        for prelude, effect, certain in _rules(_parsed(text), MOST_LEVELS):
            for selector in _split(prelude):
                self._take(_compounds(selector), effect, certain=certain)

    def _take(self, compounds: list[_Compound], effect: Effect, *, certain: bool) -> None:
        last = compounds[-1]
        if last.is_passing or last.pseudo in _OTHER_ELEMENTS or last.pseudo.startswith("scrollbar"):
            return
        sure = certain and len(compounds) == 1 and last.is_exact
        told = _of_pseudo(last.pseudo, effect) if last.pseudo else effect if sure else suspect(effect)
        if told is not NO_EFFECT:
            around = tuple(frozenset(part.keys) for part in compounds[:-1] if part.keys)
            rules = self.rules.setdefault(_rarest(last.keys), {})
            asked = frozenset(last.keys), around
            rules[asked] = rules.get(asked, NO_EFFECT) | told

    def effect_on(self, keys: frozenset[str], open_keys: Counter[str]) -> Effect:
        """What the rules do to an element of these keys; ``open_keys`` counts those of all that it stands in."""
        effect = self.known.get(keys)
        if effect is None:
            effect = self._compared(keys, open_keys)
        return effect

    def _compared(self, keys: frozenset[str], open_keys: Counter[str]) -> Effect:
        effect, is_alone = NO_EFFECT, True
        for key in keys & self.rules.keys():
            self.comparisons += len(self.rules[key])
            if self.is_exhausting:
                return DOUBTS
            for (wanted, around), told in self.rules[key].items():
                is_alone = is_alone and not around
                if wanted <= keys and all(open_keys[name] for part in around for name in part):
                    effect |= told
        if is_alone:
            self.known[keys] = effect
        return effect

    @property
    def is_exhausting(self) -> bool:
        """Whether comparing has cost more than any honest mail's."""
        return self.comparisons > MOST_COMPARISONS


def _rarest(keys: set[str]) -> str:
    """The key to find a rule by: an id rather than a class, that rather than an attribute, and that than a tag."""
    ranked = sorted(keys, key=lambda key: ("#.[".find(key[0]) % 4, key))
    return ranked[0] if ranked else "*"


def _of_pseudo(pseudo: str, effect: Effect) -> Effect:
    if pseudo in _GENERATED:
        return DOUBTS if effect.in_doubt else NO_EFFECT
    return suspect(effect)


# -- rules ------------------------------------------------------------------------------------------------------------


def _rules(nodes: Iterable[tinycss2.ast.Node], levels: int) -> Iterable[tuple[list[tinycss2.ast.Node], Effect, bool]]:
    """Selectors, what their declarations do, and whether nothing else decides if the rule applies."""
    for node in nodes:
        if isinstance(node, tinycss2.ast.QualifiedRule):
            inner = tinycss2.parse_blocks_contents(node.content, skip_comments=True, skip_whitespace=True)
            effect = read_declarations(inner)
            if effect is not NO_EFFECT:
                yield node.prelude, effect, True
            yield from _nested(inner, levels)
        elif isinstance(node, tinycss2.ast.AtRule):
            yield from _at_rule(node, levels)


def _nested(nodes: list[tinycss2.ast.Node], levels: int) -> Iterable[tuple[list[tinycss2.ast.Node], Effect, bool]]:
    """Rules inside a rule: they mean something inside of what it means."""
    rules = [node for node in nodes if not isinstance(node, tinycss2.ast.Declaration)]
    for _, effect, _ in _rules(rules, levels - 1) if levels else ():
        yield [], suspect(effect), False
    if rules and not levels:
        yield [], DOUBTS, False


def _at_rule(rule: tinycss2.ast.AtRule, levels: int) -> Iterable[tuple[list[tinycss2.ast.Node], Effect, bool]]:
    keyword = rule.lower_at_keyword
    if keyword in _WITHOUT_TEXT or (keyword == "font-face" and not _has_source(rule)):
        return
    if keyword in {"import", "font-face"} or (rule.content is not None and not levels):
        yield [], DOUBTS, False
        return
    if rule.content is None or (keyword == "media" and _condition(rule) == "print"):
        return
    dark = keyword == "media" and "prefers-color-scheme" in _condition(rule) and "dark" in _condition(rule)
    inner = _inside(rule)
    for prelude, effect, _ in _rules(inner, levels - 1):
        yield prelude, suspect(effect, in_the_dark=dark), False
    # Declarations stand here where the rule itself is inside of another.
    yield [], suspect(read_declarations(inner), in_the_dark=dark), False


def _parsed(css: str) -> list[tinycss2.ast.Node]:
    return list(tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True))


def _inside(rule: tinycss2.ast.AtRule) -> list[tinycss2.ast.Node]:
    return list(tinycss2.parse_blocks_contents(rule.content, skip_comments=True, skip_whitespace=True))


def _condition(rule: tinycss2.ast.AtRule) -> str:
    return "".join(_said(rule.prelude)).strip()


def _said(nodes: Iterable[tinycss2.ast.Node]) -> Iterable[str]:
    for node in nodes:
        if isinstance(node, tinycss2.ast.ParenthesesBlock):
            yield from (str(part.value) for part in node.content if isinstance(part, tinycss2.ast.IdentToken))
        else:
            yield str(getattr(node, "lower_value", "") or getattr(node, "value", ""))


def _has_source(rule: tinycss2.ast.AtRule) -> bool:
    inner = tinycss2.parse_blocks_contents(rule.content or [], skip_comments=True, skip_whitespace=True)
    return any(isinstance(node, tinycss2.ast.Declaration) and node.lower_name == "src" for node in inner)


# -- selectors --------------------------------------------------------------------------------------------------------


def _split(prelude: list[tinycss2.ast.Node]) -> list[list[tinycss2.ast.Node]]:
    selectors: list[list[tinycss2.ast.Node]] = [[]]
    for node in prelude:
        if isinstance(node, tinycss2.ast.LiteralToken) and node.value == ",":
            selectors.append([])
        elif node.type != "comment":
            selectors[-1].append(node)
    return selectors


def _compounds(selector: list[tinycss2.ast.Node]) -> list[_Compound]:
    compounds = [_Compound()]
    before = ""
    for node in selector:
        said = str(getattr(node, "value", "")) if node.type in {"literal", "ident"} else ""
        if node.type == "whitespace" or said in {">", "+", "~"}:
            if compounds[-1].keys or not compounds[-1].is_exact:
                compounds.append(_Compound())
            if said in {"+", "~"}:
                # What stands beside it is not looked at.
                compounds = [_Compound(is_exact=False), _Compound()]
        else:
            _extend(compounds[-1], node, before)
        before = f"{before}:" if said == ":" and before.endswith(":") else said
    while len(compounds) > 1 and not compounds[-1].keys and compounds[-1].is_exact:
        compounds.pop()
    return compounds


def _extend(compound: _Compound, node: tinycss2.ast.Node, before: str) -> None:
    if isinstance(node, tinycss2.ast.IdentToken) and before == ".":
        compound.keys.add(f".{node.value.lower()}")
    elif isinstance(node, tinycss2.ast.IdentToken) and before.startswith(":"):
        _add_pseudo(compound, node.lower_value, is_element=before == "::")
    elif isinstance(node, tinycss2.ast.IdentToken):
        compound.keys.add(node.lower_value)
    elif isinstance(node, tinycss2.ast.HashToken):
        compound.keys.add(f"#{node.value.lower()}")
    elif isinstance(node, tinycss2.ast.SquareBracketsBlock):
        _add_attribute(compound, node)
    elif node.type != "literal" or node.value not in {".", ":", "*"}:
        compound.is_exact = False


def _add_pseudo(compound: _Compound, name: str, *, is_element: bool) -> None:
    plain = name.removeprefix("-webkit-").removeprefix("-moz-").removeprefix("-ms-")
    if is_element or plain in _GENERATED | _FIRST:
        compound.pseudo = plain
    elif plain in _PASSING:
        compound.is_passing = True
    elif plain not in _ANY_STATE:
        compound.is_exact = False


def _add_attribute(compound: _Compound, block: tinycss2.ast.SquareBracketsBlock) -> None:
    names = [part.lower_value for part in block.content if isinstance(part, tinycss2.ast.IdentToken)]
    compound.is_exact = False
    if names:
        compound.keys.add(f"[{names[0]}")
