"""A mail's HTML to the lines that a person sees, each with what the markup says about it."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from selectolax.lexbor import LexborHTMLParser, LexborNode

from worker.reply_poller.colour import Shade, read_attribute
from worker.reply_poller.element import (
    BLOCKS,
    SPACED,
    UNSEEN,
    WIDGETS,
    begins_original,
    is_conditional,
    is_out_of_order,
    names_of,
    read_attributes,
    read_mark,
    shows_other_text,
)
from worker.reply_poller.line import Line, Mark
from worker.reply_poller.look import DOUBTS, NO_EFFECT, Effect, Look
from worker.reply_poller.nesting import is_exhausting
from worker.reply_poller.reply import Doubt
from worker.reply_poller.sheet import Sheet, keys_of
from worker.reply_poller.style import read_style

MOST_NODES = 30_000
MOST_LINES = 20_000
"""What is behind them is not looked at, and leaves a doubt; likewise these."""
MOST_SHEET_CHARACTERS = 100_000
MOST_STYLE_CHARACTERS = 200_000
LEAST_STYLE_CHARACTERS = 60
"""What the shortest style counts as."""
LONGEST_PICTOGRAM = 16

_SPACE = re.compile(r"[ \t\r\n\f]+")
_LINE_END = re.compile(r"\r\n|\r|\n")
_WORD = re.compile(r"\w")
# What letters of a symbol font look like: what programs write with it by themselves.
_SYMBOLS = {
    "J": "\u263a",
    "K": "\U0001f610",
    "L": "\u2639",
    "\u00e0": "\u2192",
    "\u00e8": "\u2192",
    "\u00fc": "\u2713",
} | {
    "\u00fb": "\u2717",
    "\u00fe": "\u2611",
    "\u00fd": "\u2612",
    "o": "\u2610",
    "n": "\u25a0",
    "q": "\u2751",
    "v": "\u2756",
    "\u00d8": "\u27a2",
}
_PLAIN_LOOK = Look()
_SPACED_LOOK = Look(keeps_spaces=True)
_LINK: Shade = (0.0, 0.0, 0.93, 1.0)


@dataclass(slots=True)
class _Frame:
    """An element on the way down, and how text looks in it."""

    tag: str
    look: Look
    mark: Mark
    is_block: bool
    keys: frozenset[str] = frozenset()
    items: int = 0


@dataclass(slots=True)
class _Page:
    """The lines so far, and the one that is being written."""

    holds_us: frozenset[int]
    sheet: Sheet
    link: Shade = _LINK
    lines: list[Line] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    mark: Mark = Mark.NONE
    doubt: Doubt | None = None
    is_original: bool = False
    is_too_long: bool = False
    open_keys: Counter[str] = field(default_factory=Counter)
    styles: dict[str, Effect] = field(default_factory=dict)
    style_characters: int = 0

    def write(self, text: str, look: Look, mark: Mark) -> None:
        """Text of an element, as its look shows it."""
        if not text.strip():
            self._space(text, look)
            return
        self.begin(mark)
        if mark is Mark.NONE and not self.is_original and not look.is_certain:
            self.doubt = "hidden"
            if not look.is_seen:
                return
        if look.has_symbols:
            text = self._symbols(text)
        first, *others = self._broken(text) if look.keeps_spaces else [_SPACE.sub(" ", text)]
        self.text.append(first)
        for other in others:
            self.end_line()
            self.mark = mark
            self.text.append(other)

    def begin(self, mark: Mark) -> None:
        """What comes is marked so: on another line than what is marked otherwise."""
        if mark is not self.mark and (self.doubt or any(part.strip() for part in self.text)):
            self.end_line()
        self.mark = mark

    def doubt_here(self, mark: Mark) -> None:
        """There is more to see here than can be read."""
        self.begin(mark)
        self.doubt = "hidden"

    def _broken(self, text: str) -> list[str]:
        parts = _LINE_END.split(text, maxsplit=MOST_LINES)
        self.is_too_long = self.is_too_long or len(parts) > MOST_LINES
        return parts

    def _space(self, text: str, look: Look) -> None:
        if look.keeps_spaces and "\n" in text:
            for _ in self._broken(text)[1:]:
                self.end_line()
        elif text:
            self.text.append(" ")

    def _symbols(self, text: str) -> str:
        shown = _SYMBOLS.get(text.strip(), text)
        if _WORD.search(shown):
            self.doubt = "hidden"
        return shown

    def end_line(self) -> None:
        mark = Mark.ORIGINAL if self.is_original else self.mark
        self.lines.append(Line(" ".join("".join(self.text).split()), mark, self.doubt))
        self.text, self.doubt, self.mark = [], None, Mark.NONE

    def end_block(self) -> None:
        if self.doubt or any(part.strip() for part in self.text):
            self.end_line()
        else:
            self.text = []

    def style(self, style: str) -> Effect:
        """The effect of a style attribute: each is read once, and not without end."""
        known = self.styles.get(style)
        if known is None:
            self.style_characters += LEAST_STYLE_CHARACTERS + len(style)
            self.is_too_long = self.is_too_long or self.style_characters > MOST_STYLE_CHARACTERS
            known = self.styles[style] = DOUBTS if self.is_too_long else read_style(style)
        return known


def read_markup(html: str, ours: re.Pattern[str]) -> tuple[Line, ...]:
    """The lines that a person sees, in their order.

    ``ours`` finds our reply address: what holds it in a ``blockquote`` is our mail, given back. Where there is more
    than can be looked at, the first line is empty and has that doubt.
    """
    if is_exhausting(html):
        return (Line("", Mark.NONE, "too-long"),)
    tree = LexborHTMLParser(html)
    page = _Page(_holding(tree, ours) if "<blockquote" in html.lower() else frozenset(), Sheet())
    page.is_too_long = not _take_sheets(tree, page.sheet)
    if tree.root is not None:
        _walk(tree.root, page)
    page.end_block()
    too_long = page.is_too_long or page.sheet.is_exhausting
    return (Line("", Mark.NONE, "too-long"), *page.lines) if too_long else tuple(page.lines)


def _take_sheets(tree: LexborHTMLParser, sheet: Sheet) -> bool:
    """Reads the style sheets; False where they are too long to be read."""
    styles = [style.text(deep=True) for style in tree.css("style")]
    if sum(map(len, styles)) > MOST_SHEET_CHARACTERS:
        return False
    for css in styles:
        sheet.add(css)
    if any("stylesheet" in (link.attributes.get("rel") or "").lower() for link in tree.css("link")):
        sheet.add("@import 'it';")
    return True


def _holding(tree: LexborHTMLParser, ours: re.Pattern[str]) -> frozenset[int]:
    """All elements that our address stands in, or in a link inside."""
    found: set[int] = set()
    for node in tree.root.traverse(include_text=True) if tree.root is not None else ():
        text = node.text_content if node.tag == "-text" else node.attributes.get("href") if node.tag == "a" else None
        if text and "@" in text and ours.search(text):
            outer: LexborNode | None = node
            while outer is not None and outer.mem_id not in found:
                found.add(outer.mem_id)
                outer = outer.parent
    return frozenset(found)


def _walk(root: LexborNode, page: _Page) -> None:
    # Without recursion: a mail may nest as deep as it likes.
    stack: list[LexborNode | _Frame] = [root, *_before(root)]
    outside = [_Frame("", Look(), Mark.NONE, is_block=True)]
    seen = 0
    while stack:
        node = stack.pop()
        if isinstance(node, _Frame):
            _leave(node, page)
            outside.pop()
            continue
        seen += 1
        if page.is_original and page.lines and page.lines[-1].text:
            # All that follows is the mail that is answered.
            return
        if seen > MOST_NODES or len(page.lines) > MOST_NODES:
            page.is_too_long = True
            return
        frame = _enter(node, outside[-1], page)
        if frame is not None:
            outside.append(frame)
            stack.append(frame)
            stack.extend(reversed([*islice(_children(node), MOST_NODES + 1)]))


def _children(node: LexborNode) -> Iterator[LexborNode]:
    child = node.child
    while child is not None:
        yield child
        child = child.next


def _before(root: LexborNode) -> Iterator[LexborNode]:
    """Comments above the document, the first one last."""
    other = root.prev
    while other is not None:
        yield other
        other = other.prev


def _enter(node: LexborNode, outer: _Frame, page: _Page) -> _Frame | None:
    tag = node.tag or ""
    if tag == "-text":
        page.write(node.text_content or "", outer.look, outer.mark)
    elif tag == "-comment":
        if outer.mark is Mark.NONE and is_conditional(node.comment_content or ""):
            page.doubt_here(outer.mark)
    elif tag not in UNSEEN and not tag.startswith(("-", "!")):
        return _open(node, tag, outer, page)
    return None


def _open(node: LexborNode, tag: str, outer: _Frame, page: _Page) -> _Frame | None:
    attributes = {name: value or "" for name, value in node.attributes.items()}
    if tag in WIDGETS:
        if outer.mark is Mark.NONE and shows_other_text(node, tag, attributes):
            page.doubt_here(outer.mark)
        return None
    if tag == "img":
        _picture(attributes, outer, page)
        return None
    frame = _frame(node, tag, attributes, outer, page)
    if tag == "br":
        page.doubt = "hidden" if not frame.look.is_seen or frame.is_block else page.doubt
        page.end_line()
        return None
    if frame.is_block:
        page.end_block()
    elif tag in {"td", "th"}:
        page.text.append(" ")
    if frame.mark is Mark.QUOTED:
        # How a quote is made up is nobody's concern: it is one line.
        page.end_block()
        page.lines.append(Line(" ".join(node.text(deep=True, separator=" ").split()), Mark.QUOTED))
        return None
    _begin(tag, attributes, outer, page)
    page.open_keys.update(frame.keys)
    return frame


def _begin(tag: str, attributes: dict[str, str], outer: _Frame, page: _Page) -> None:
    if begins_original(names_of(attributes)):
        page.end_block()
        page.is_original = True
    if tag == "li" and outer.mark is Mark.NONE:
        outer.items += 1
        page.text.append(f"{outer.items}. " if outer.tag == "ol" else "\u2022 ")


def _frame(node: LexborNode, tag: str, attributes: dict[str, str], outer: _Frame, page: _Page) -> _Frame:
    mark = outer.mark
    if mark is Mark.NONE:
        holds_us = tag == "blockquote" and node.mem_id in page.holds_us
        mark = read_mark(tag, names_of(attributes), attributes, holds_us=holds_us)
    if mark is not Mark.NONE or page.is_original:
        # How a quote looks is nobody's concern.
        return _Frame(tag, _SPACED_LOOK if tag in SPACED else _PLAIN_LOOK, mark, tag in BLOCKS)
    keys = keys_of(tag, attributes) if page.sheet.rules else frozenset()
    effect = page.sheet.effect_on(keys, page.open_keys) if keys else NO_EFFECT
    effect |= _own_effect(node, tag, attributes, page)
    is_block = effect.display == "block" if effect.display else tag in BLOCKS
    return _Frame(tag, effect.on(outer.look), mark, is_block or tag == "hr", keys)


def _own_effect(node: LexborNode, tag: str, attributes: dict[str, str], page: _Page) -> Effect:
    effect = read_attributes(tag, attributes)
    if attributes.get("style"):
        # Its colours stand in for those of the tag.
        styled = page.style(attributes["style"])
        effect = styled if effect is NO_EFFECT else effect | styled
    if tag == "a" and "href" in attributes and not effect.foregrounds:
        effect |= Effect(foregrounds=(page.link,))
    if tag == "body" and (shade := read_attribute(attributes.get("link", ""))) is not None:
        page.link = shade
    return effect | DOUBTS if is_out_of_order(node, tag) else effect


def _picture(attributes: dict[str, str], outer: _Frame, page: _Page) -> None:
    """Small pictures stand for signs (an emoji); of others the text is seen only where there is no picture."""
    shown = attributes.get("alt", "").strip()
    if shown and not _WORD.search(shown) and not shown.isascii() and len(shown) <= LONGEST_PICTOGRAM:
        page.write(shown, outer.look, outer.mark)
    elif _WORD.search(shown) and not attributes.get("src", "").strip() and outer.mark is Mark.NONE:
        page.doubt_here(outer.mark)


def _leave(frame: _Frame, page: _Page) -> None:
    page.open_keys.subtract(frame.keys)
    if frame.is_block:
        page.end_block()
    if frame.tag == "hr":
        page.lines.append(Line("_" * 32, Mark.ORIGINAL if page.is_original else frame.mark))
