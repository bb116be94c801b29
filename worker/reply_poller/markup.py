"""A mail's HTML to the lines that a person sees, each with what the markup says about it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from worker.reply_poller.line import Line, Mark
from worker.reply_poller.reply import Doubt
from worker.reply_poller.style import NO_EFFECT, Effect, Look, read_colour, read_sheet, read_style

MOST_NODES = 50_000
"""What is behind them is not looked at, and leaves a doubt."""

_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "center",
        "dd",
        "details",
        "dialog",
        "dir",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hgroup",
        "hr",
        "html",
        "legend",
        "li",
        "listing",
        "main",
        "menu",
        "nav",
        "ol",
        "p",
        "plaintext",
        "pre",
        "search",
        "section",
        "summary",
        "table",
        "tbody",
        "tfoot",
        "thead",
        "title",
        "tr",
        "ul",
        "xmp",
    ]
)
_UNSEEN = frozenset(
    [
        "applet",
        "area",
        "audio",
        "base",
        "canvas",
        "col",
        "datalist",
        "embed",
        "frame",
        "frameset",
        "head",
        "iframe",
        "img",
        "link",
        "map",
        "math",
        "meta",
        "meter",
        "noembed",
        "noframes",
        "noscript",
        "object",
        "param",
        "progress",
        "rp",
        "script",
        "select",
        "source",
        "style",
        "svg",
        "template",
        "title",
        "track",
        "video",
        "xml",
        "button",
        "input",
        "textarea",
        "option",
        "optgroup",
    ]
)
_SPACED = frozenset({"pre", "listing", "plaintext", "xmp"})
_STRUCK = frozenset({"s", "strike", "del"})
_DOUBTFUL = frozenset({"bdo", "marquee", "ruby", "rt", "q", "slot", "blink"})
_SPACE = re.compile(r"[ \t\r\n\f]+")

_QUOTE_NAME = re.compile(
    r"(?:^|[\s_-])(?:x_)*(?:yahoo_quoted|protonmail_quote|tutanota_quote|zmail_extra|mail_quote|iui_quote|wps_quote"
    r"|moz-cite-prefix|gmail_attr|reply-intro|replyContent|isReplyContent|isForwardContent|OutlookMessageHeader"
    r"|quoted-text|quoted_text|email-quote|moz-email-headers-table)",
    re.IGNORECASE,
)
_ORIGINAL_NAME = re.compile(
    r"(?:^|\s)(?:x_)*(?:divRplyFwdMsg|appendonsend|mail-editor-reference-message-container"
    r"|ms-outlook-mobile-reference-message|reply_original|_MailOriginal)(?:$|\s)",
    re.IGNORECASE,
)
_SIGNATURE_NAME = re.compile(
    r"(?:^|[\s])(?:x_)*(?:gmail_signature\w*|moz-signature|AppleMailSignature|composer_signature|Signature"
    r"|protonmail_signature_block[\w-]*|ms-outlook-mobile-signature|ymail_android_signature|mobileSignature"
    r"|tutanota_signature|zmail_signature|bloop_sign\w*|edo-signature|spark-signature)(?:$|\s)",
)


@dataclass(slots=True)
class _Frame:
    """An element on the way down, and how text looks in it."""

    node: LexborNode
    tag: str
    look: Look
    mark: Mark


@dataclass(slots=True)
class _Page:
    """The lines so far, and the one that is being written."""

    ours: re.Pattern[str]
    sheet: Mapping[int, Effect]
    lines: list[Line] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    mark: Mark = Mark.NONE
    doubt: Doubt | None = None
    original: bool = False

    def write(self, text: str, look: Look, mark: Mark) -> None:
        if not text.strip():
            self._space(text, look)
            return
        if mark is not self.mark and any(part.strip() for part in self.text):
            self.end_line()
        if not look.is_seen:
            self.doubt = "hidden"
            self.mark = mark
            return
        if look.in_doubt:
            self.doubt = "hidden"
        self.mark = mark
        first, *others = text.split("\n") if look.keeps_spaces else [_SPACE.sub(" ", text)]
        self.text.append(first)
        for other in others:
            self.end_line()
            self.mark = mark
            self.text.append(other)

    def _space(self, text: str, look: Look) -> None:
        if look.keeps_spaces and "\n" in text:
            for _ in range(text.count("\n")):
                self.end_line()
        elif text:
            self.text.append(" ")

    def end_line(self) -> None:
        mark = Mark.ORIGINAL if self.original else self.mark
        self.lines.append(Line(" ".join("".join(self.text).split()), mark, self.doubt))
        self.text, self.doubt, self.mark = [], None, Mark.NONE

    def end_block(self) -> None:
        if self.doubt or any(part.strip() for part in self.text):
            self.end_line()
        else:
            self.text = []


def read_markup(html: str, ours: re.Pattern[str]) -> tuple[Line, ...]:
    """The lines that a person sees, in their order.

    ``ours`` finds our reply address: what holds it in a ``blockquote`` is our mail, given back.
    """
    tree = LexborHTMLParser(html)
    page = _Page(ours, _sheet_effects(tree))
    if tree.root is not None:
        _walk(tree.root, page)
    page.end_block()
    return tuple(page.lines)


def _sheet_effects(tree: LexborHTMLParser) -> dict[int, Effect]:
    effects: dict[int, Effect] = {}
    for style in tree.css("style"):
        for selector, effect in read_sheet(style.text(deep=True)):
            for node in _matching(tree, selector):
                effects[node.mem_id] = effects.get(node.mem_id, NO_EFFECT) | effect
    return effects


def _matching(tree: LexborHTMLParser, selector: str) -> list[LexborNode]:
    found: list[LexborNode] = []
    for one in selector.split(","):
        try:
            found += tree.css(one)
        except SelectolaxError:
            # A selector of another program (v\:*) or of the future: it may mean its last element.
            found += _any_of(tree, one)
    return found


def _any_of(tree: LexborHTMLParser, selector: str) -> list[LexborNode]:
    name = re.match(r"\s*([a-z][a-z0-9]*)\b(?!\\)", selector.rsplit(maxsplit=1)[-1] if selector.split() else "")
    return tree.css(name[1]) if name else []


def _walk(root: LexborNode, page: _Page) -> None:
    # Without recursion: a mail may nest as deep as it likes.
    stack: list[LexborNode | _Frame] = [root]
    outside = [_Frame(root, "", Look(), Mark.NONE)]
    seen = 0
    while stack:
        node = stack.pop()
        if isinstance(node, _Frame):
            _leave(node, page)
            outside.pop()
            continue
        seen += 1
        if seen > MOST_NODES:
            page.doubt = "too-long"
            page.end_line()
            return
        frame = _enter(node, outside[-1], page)
        if frame is not None:
            outside.append(frame)
            stack.append(frame)
            stack.extend(reversed([*_children(node)]))


def _children(node: LexborNode) -> Iterator[LexborNode]:
    child = node.child
    while child is not None:
        yield child
        child = child.next


def _enter(node: LexborNode, outer: _Frame, page: _Page) -> _Frame | None:
    tag = node.tag or ""
    if tag == "-text":
        page.write(node.text_content or "", outer.look, outer.mark)
        return None
    if tag == "br":
        page.end_line()
        return None
    if tag in _UNSEEN or tag.startswith(("-", "!")):
        return None
    if tag in _BLOCKS:
        page.end_block()
    elif tag in {"td", "th"}:
        page.text.append(" ")
    return _open(node, tag, outer, page)


def _open(node: LexborNode, tag: str, outer: _Frame, page: _Page) -> _Frame:
    attributes = {name: value or "" for name, value in node.attributes.items()}
    look = outer.look
    if attributes or tag in _STRUCK or tag in _SPACED or tag in _DOUBTFUL or tag in {"details", "dialog"}:
        look = _effect(tag, attributes).on(look)
    sheet = page.sheet.get(node.mem_id)
    if sheet is not None:
        look = sheet.on(look)
    name = f"{attributes.get('id', '')} {attributes.get('class', '')}" if attributes else ""
    if name != "" and _ORIGINAL_NAME.search(name):
        page.original = True
    return _Frame(node, tag, look, _mark(node, tag, name, attributes, outer.mark, page))


def _leave(frame: _Frame, page: _Page) -> None:
    if frame.tag in _BLOCKS:
        page.end_block()
    if frame.tag == "hr":
        page.lines.append(Line("_" * 32, Mark.ORIGINAL if page.original else frame.mark))


def _effect(tag: str, attributes: Mapping[str, str]) -> Effect:
    effect = read_style(attributes["style"]) if attributes.get("style") else NO_EFFECT
    hidden = "hidden" in attributes or (tag == "dialog" and "open" not in attributes)
    if hidden or tag in _STRUCK or tag in _SPACED or tag in _DOUBTFUL or tag == "details":
        effect |= Effect(
            is_hidden=hidden or (tag == "details" and "open" not in attributes),
            is_struck=tag in _STRUCK,
            in_doubt=tag in _DOUBTFUL,
            keeps_spaces=tag in _SPACED,
        )
    if "color" in attributes or "bgcolor" in attributes or (tag == "font" and "size" in attributes):
        effect = _old_attributes(tag, attributes) | effect
    return effect


def _old_attributes(tag: str, attributes: Mapping[str, str]) -> Effect:
    return Effect(
        colour=read_colour(attributes.get("color", "")) if tag == "font" else None,
        background=read_colour(attributes.get("bgcolor", "")),
    )


def _mark(node: LexborNode, tag: str, name: str, attributes: Mapping[str, str], outer: Mark, page: _Page) -> Mark:
    if outer is not Mark.NONE:
        return outer
    if tag == "blockquote":
        return Mark.QUOTED if _is_quotation(node, name, attributes, page) else Mark.NONE
    if name.strip() == "":
        return Mark.NONE
    if _QUOTE_NAME.search(name):
        return Mark.QUOTED
    return Mark.SIGNATURE if _SIGNATURE_NAME.search(name) else Mark.NONE


def _is_quotation(node: LexborNode, name: str, attributes: Mapping[str, str], page: _Page) -> bool:
    # Gmail and Outlook use a blockquote for what is merely indented: that is typed text.
    if attributes.get("type", "").lower() == "cite" or "cite" in attributes or "quote" in name.lower():
        return True
    style = attributes.get("style", "").replace(" ", "").lower()
    bordered = re.search(r"border(?:-left)?:(?!none|0|medium)", style) is not None
    return bordered or page.ours.search(node.html or "") is not None
