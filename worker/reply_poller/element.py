"""An HTML element to whether it stands on lines of its own, whether it is seen, and what it does to its text."""

import re
from collections.abc import Mapping

from selectolax.lexbor import LexborNode

from worker.reply_poller.colour import read_attribute
from worker.reply_poller.line import Mark
from worker.reply_poller.look import DOUBTS, HIDES, NO_EFFECT, STRIKES, Effect

BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "dir", "div"}
    | {"dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header"}
    | {"hgroup", "hr", "html", "legend", "li", "listing", "main", "menu", "nav", "ol", "optgroup", "option", "p"}
    | {"plaintext", "pre", "search", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul", "xmp"}
)
UNSEEN = frozenset(
    {"area", "base", "col", "datalist", "frame", "head", "link", "meta", "param", "rp", "script", "source", "style"}
    | {"template", "title", "track"}
)
"""What shows no text of its own, on any screen."""

WIDGETS = frozenset(
    {"applet", "audio", "button", "canvas", "embed", "frameset", "iframe", "input", "math", "meter", "noembed"}
    | {"noframes", "noscript", "object", "optgroup", "option", "progress", "select", "svg", "textarea", "video", "xml"}
)
"""What may show text that is not typed, or not where it stands."""

SPACED = frozenset({"pre", "listing", "plaintext", "xmp"})

_STRUCK = frozenset({"s", "strike", "del"})
_DOUBTFUL = frozenset({"bdo", "marquee", "ruby", "rt", "q", "slot", "blink", "caption", "legend"})
_SMALLER = frozenset({"small", "sub", "sup"})
_FONT_SIZES = {"1": 10.0, "2": 13.0, "3": 16.0, "4": 18.0, "5": 24.0, "6": 32.0, "7": 48.0}
_TELLING = frozenset({"hidden", "popover", "color", "bgcolor", "background", "face", "size", "text"})
_SYMBOL_FACES = ("wingdings", "webdings", "symbol", "dingbat", "marlett")

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
_BORDERED = re.compile(r"border(?:-left)?:(?!none|0|medium)")
_CONDITION = re.compile(r"\s*\[\s*if\s([^\]]*)\]")
_NO_TEXT = re.compile(r"<[^<>]*>|&nbsp;|&#160;")
_SETTINGS = ("xml", "style", "head")
LONGEST_NAMES = 1_000
_WORD = re.compile(r"\w")


def names_of(attributes: Mapping[str, str]) -> str:
    """Its id and its classes, which tell what a client made it for."""
    return f"{attributes.get('id', '')[:LONGEST_NAMES]} {attributes.get('class', '')[:LONGEST_NAMES]}"


def begins_original(names: str) -> bool:
    """Whether a client marks so where the mail that is answered begins."""
    return _ORIGINAL_NAME.search(names) is not None


def read_mark(tag: str, names: str, attributes: Mapping[str, str], *, holds_us: bool) -> Mark:
    """What the element says about its text; ``holds_us``: our address stands in it."""
    if tag == "blockquote":
        if holds_us or _is_quotation(names, attributes):
            return Mark.QUOTED
        # Gmail and Outlook indent typed text with one; others quote with one, and nothing says so.
        return Mark.NONE if "margin" in attributes.get("style", "").lower() else Mark.ASIDE
    if not names.strip():
        return Mark.NONE
    if _QUOTE_NAME.search(names):
        return Mark.QUOTED
    return Mark.SIGNATURE if _SIGNATURE_NAME.search(names) else Mark.NONE


def _is_quotation(names: str, attributes: Mapping[str, str]) -> bool:
    if attributes.get("type", "").lower() == "cite" or "cite" in attributes or "quote" in names.lower():
        return True
    return _BORDERED.search(attributes.get("style", "").replace(" ", "").lower()) is not None


def read_attributes(tag: str, attributes: Mapping[str, str]) -> Effect:
    """What the tag and the attributes of old HTML do to the text inside."""
    effect = _of_tag(tag, attributes)
    if not _TELLING.isdisjoint(attributes):
        effect |= _of_attributes(tag, attributes)
    return effect


def _of_tag(tag: str, attributes: Mapping[str, str]) -> Effect:
    if tag in _STRUCK:
        return STRIKES
    if tag in _DOUBTFUL:
        return DOUBTS
    if tag in SPACED:
        return Effect(keeps_spaces=True)
    if tag in _SMALLER:
        return Effect(enlarged=0.83)
    return HIDES if tag in {"details", "dialog"} and "open" not in attributes else NO_EFFECT


def _of_attributes(tag: str, attributes: Mapping[str, str]) -> Effect:
    effect = HIDES if {"hidden", "popover"} & attributes.keys() else NO_EFFECT
    ink = attributes.get({"font": "color", "body": "text"}.get(tag, ""), "")
    if (shade := read_attribute(ink)) is not None:
        effect |= Effect(foregrounds=(shade,))
    if (shade := read_attribute(attributes.get("bgcolor", ""))) is not None:
        effect |= Effect(backgrounds=(shade,))
    if attributes.get("background", ""):
        effect |= DOUBTS
    return effect | _of_font(attributes) if tag in {"font", "basefont"} else effect


def _of_font(attributes: Mapping[str, str]) -> Effect:
    face = attributes.get("face", "").lower()
    return Effect(
        pixels=_FONT_SIZES.get(attributes.get("size", "").strip()),
        has_symbols=any(name in face for name in _SYMBOL_FACES) if face else None,
    )


def is_out_of_order(node: LexborNode, tag: str) -> bool:
    """Whether a table shows this part of it elsewhere than it stands: a head below, or a foot above."""
    if tag not in {"thead", "tfoot"}:
        return False
    other = node.prev if tag == "thead" else node.next
    while other is not None and (other.tag or "").startswith(("-", "!")):
        other = other.prev if tag == "thead" else other.next
    return other is not None and other.tag not in {"colgroup", "caption"}


def shows_other_text(node: LexborNode, tag: str, attributes: Mapping[str, str]) -> bool:
    """Whether a widget may show text."""
    if tag == "input":
        kind = attributes.get("type", "text").lower()
        shown = any(attributes.get(name, "").strip() for name in ("value", "placeholder", "alt"))
        return kind in {"checkbox", "radio", "submit", "reset", "file"} or (kind != "hidden" and shown)
    if tag in {"iframe", "embed", "object", "frameset"} and {"src", "srcdoc", "data"} & attributes.keys():
        return True
    if tag == "xml":
        # Word keeps settings in there (<o:PixelsPerInch>96</o:PixelsPerInch>); a browser shows them.
        return any(_has_words(child) for child in _children(node) if ":" not in (child.tag or ""))
    return _has_words(node)


def _children(node: LexborNode) -> list[LexborNode]:
    found, child = [], node.child
    while child is not None:
        found.append(child)
        child = child.next
    return found


def _has_words(node: LexborNode) -> bool:
    return _WORD.search(node.text(deep=True, skip_empty=True) or "") is not None


def is_conditional(comment: str) -> bool:
    """Whether a comment is Microsoft's (``[if mso]``) and hides from one program what another shows."""
    condition = _CONDITION.match(comment)
    if condition is None:
        return False
    said = comment[condition.end() :].replace("<![endif]", "")
    if _WORD.search(_NO_TEXT.sub(" ", _without_settings(said))):
        return True
    return "mso" in condition[1].lower() and said in {"", "><!", "><!--"}


def _without_settings(said: str) -> str:
    for name in _SETTINGS:
        lower, kept, position = said.lower(), [], 0
        while (start := lower.find(f"<{name}", position)) >= 0 and (end := lower.find(f"</{name}", start)) >= 0:
            kept.append(said[position:start])
            position = end
        said = "".join((*kept, said[position:]))
    return said
