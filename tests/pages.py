"""An HTML mail to what a test asks of it: whether its tags pair, and the lines of text that a person sees."""

import re
from html.parser import HTMLParser

VOID = frozenset({"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"})
BLOCKS = frozenset({"body", "div", "table", "tr", "td", "th", "p", "h1", "h2", "pre", "br", "ul", "li", "blockquote"})
UNSEEN = frozenset({"head", "style", "script", "title"})


class Page(HTMLParser):
    """One mail, parsed. ``faults`` are tags that don't pair; ``tags`` every start tag with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self._text: list[str] = []
        self.feed(html)
        self.close()
        self.faults += [f"never closed: {tag}" for tag in self._open]

    @property
    def lines(self) -> list[str]:
        """The text, a line for each block, cell or break, as a client may quote it; hidden text too."""
        text = re.sub(r"[ \t\r\f\v]+", " ", "".join(self._text))
        return [line.strip() for line in text.split("\n") if line.strip()]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag, and a line break where it begins a block."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag in BLOCKS:
            self._text.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """Note a tag that was not the last to be opened."""
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"closed out of turn: {tag}")
        if tag in BLOCKS:
            self._text.append("\n")

    def handle_data(self, data: str) -> None:
        """Text; source line breaks are only space, save in ``pre``."""
        if not UNSEEN.intersection(self._open):
            self._text.append(data if "pre" in self._open else data.replace("\n", " "))
