"""What inlining a stylesheet does to the source of a template."""

import pytest

from worker.mail.styles import StyleError, read_stylesheet

CSS = """
/* a comment { with braces } */
p { margin: 0; color: black }
.loud, b.very { color: red }
p.loud { font: "A B", serif }
.card td { border: 0 }
@media (max-width: 9px) { .loud { color: blue !important } }
@media (prefers-color-scheme:dark) { :root { x: y } .dim, p { color: white } }
"""


@pytest.mark.parametrize(
    ("source", "inlined"),
    [
        ("<p>x</p>", '<p style="margin:0;color:black">x</p>'),
        ('<p class="loud">', "<p class=\"loud\" style=\"margin:0;color:red;font:'A B',serif\">"),
        ('<b class="very">', '<b style="color:red">'),
        ('<i class="very unknown">', "<i>"),
        ('<i class="dim" style="top:0">', '<i class="dim" style="top:0">'),
        ('<i class="loud" style="top:0">', '<i class="loud" style="color:red;top:0">'),
        ('<i class="{{ tone }}">', '<i class="{{ tone }}">'),
        ("{% if a < b %}<b id=\"{{ '>' }}\" class=\"very\">", "{% if a < b %}<b id=\"{{ '>' }}\" style=\"color:red\">"),
        ('<tr>{% for x in y %}<td class="loud">', '<tr>{% for x in y %}<td class="loud" style="color:red">'),
        ('  <p\n   id="a"\n   class="very">', '<p\nid="a"\n style="margin:0;color:black">'),
        ("<!--[if mso]><td><![endif]-->", "<!--[if mso]><td><![endif]-->"),
    ],
)  # fmt: skip
def test_rules_are_written_into_tags(source: str, inlined: str) -> None:
    """Rules for tags and classes become styles, the more specific last; classes that <style> names stay."""
    assert read_stylesheet(CSS).inline(source) == inlined


def test_lines_keep_their_numbers() -> None:
    """A fault in a template is found where its author wrote it."""
    source = '<p\n class="loud"\n>\n  {{ x }}\n<b class="very"\n>'
    assert read_stylesheet(CSS).inline(source).count("\n") == source.count("\n")


def test_the_rest_stays_in_the_style_element() -> None:
    """Media queries and longer selectors are kept, tight; dark rules are apart, and repeated for Outlook on the web."""
    sheet = read_stylesheet(CSS)
    assert sheet.rest == ".card td{border:0}@media (max-width:9px){.loud{color:blue!important}}"
    assert sheet.dark == ":root{x:y}.dim,p{color:white}"
    assert sheet.outlook == "[data-ogsc] .dim,[data-ogsc] p{color:white}"


@pytest.mark.parametrize(
    ("css", "line"), [("p { color: red", 1), ("p {}\n\n} b {}", 3), ("p {\n color red }", 1), ("b {}\nstray", 2)]
)
def test_a_broken_stylesheet_says_where(css: str, line: int) -> None:
    """A missing brace or colon is an error with its line."""
    with pytest.raises(StyleError) as raised:
        read_stylesheet(css)
    assert raised.value.line == line
