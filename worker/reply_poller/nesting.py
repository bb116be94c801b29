"""HTML to whether it is made to keep its parser busy.

A tag costs time for each element that it stands in, and an attribute for each before it: so much that 500 kB of HTML
keep a parser busy for minutes.
"""

import re

MOST_TAGS = 80_000
MOST_STEPS = 40_000_000
STEPS_A_TAG = 400
SHORTEST_CROWDED = 100

_TAG = re.compile(
    r"<(?P<end>/?)(?P<name>[a-zA-Z][^\s/>]*+)(?:[^>\"'=]++|=\s*+\"[^\"]*+\"|=\s*+'[^']*+'|=|[\"'])*+>|<!--"
)
_VALUE = re.compile("=\\s*+\"[^\"]*+\"|=\\s*+'[^']*+'")
_BEGINS = re.compile(r"</?[a-zA-Z]")
_CHILDLESS = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
    # Those end where the next one begins; what they can be nested in is counted.
    | {"p", "li", "dt", "dd", "td", "th", "tr", "tbody", "thead", "tfoot", "colgroup", "option", "html", "head", "body"}
)


def is_exhausting(html: str) -> bool:
    """Whether its tags, each counted with those that may be open around it, are too many.

    Never too few are taken for open: an end tag counts only where it ends the innermost element, outside of comments.
    """
    if html.count("<") > MOST_TAGS:
        return True
    opened: list[str] = []
    steps = position = comment = 0
    while (position := html.find("<", position)) >= 0:
        match = _TAG.match(html, position)
        if match is None:
            if not _BEGINS.match(html, position):
                position += 1
                continue
            # A tag without an end: nothing is behind it, or its quotes are not what they seem.
            return html.find(">", position) >= 0 or _attributes(html[position:]) ** 2 > MOST_STEPS
        position = match.end()
        if match["name"] is None:
            comment = max(comment, _end_of_comment(html, position)) if position > comment else comment
        else:
            _follow(opened, match["name"].lower(), is_end=match["end"] != "", in_comment=position <= comment)
        steps += STEPS_A_TAG + len(opened) + _attributes(match[0]) ** 2
        if steps > MOST_STEPS:
            return True
    return False


def _attributes(tag: str) -> int:
    """How many attributes a tag may have, at most: each is compared with all before it."""
    if len(tag) < SHORTEST_CROWDED:
        return 0
    names = _VALUE.sub("=", tag)
    return names.count("=") + names.count("/") + len(names.split())


def _end_of_comment(html: str, position: int) -> int:
    end = html.find("-->", position)
    return end if end >= 0 else len(html)


def _follow(opened: list[str], name: str, *, is_end: bool, in_comment: bool) -> None:
    if not is_end and name not in _CHILDLESS:
        opened.append(name)
    elif is_end and not in_comment and opened and opened[-1] == name:
        opened.pop()
