"""What CSS hides is not read, in whatever way it is written; what clients write does not stand in the way."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reply_poller.hostile import approves, html

from worker.reply_poller.colour import BLACK, WHITE, blend, contrast, read_attribute, read_value
from worker.reply_poller.look import DOUBTS, NO_EFFECT, Effect, Look, suspect
from worker.reply_poller.sheet import Sheet
from worker.reply_poller.style import read_style

_STYLES = tomllib.loads(Path(__file__).with_name("styles.toml").read_text("utf-8"))


@pytest.mark.parametrize("style", _STYLES["hiding"])
def test_hiding(style: str) -> None:
    """Text is not approved by that is hidden, moved or disguised, on an element, by a rule or for the whole mail."""
    quoted = style.replace('"', "&quot;")

    assert not approves(html(f'<div style="{quoted}">Approve</div><p>see you</p>'))
    assert not approves(html(f'<body style="{quoted}">Approve'))
    assert not approves(html(f"<style>.q{{{style}}}</style><div class=q>Approve</div>"))


@pytest.mark.parametrize("style", _STYLES["showing"])
def test_showing(style: str) -> None:
    """Text that stands where it stands is read, whatever a client says about its look."""
    quoted = style.replace('"', "&quot;")

    assert approves(html(f'<div style="{quoted}">Approve</div><p>Thanks</p>'))
    assert approves(html(f"<style>.q{{{style}}}</style><div class=q>Approve</div>"))


@pytest.mark.parametrize("style", ["font-size:50%", "font-size:.5em", "opacity:.5", "zoom:.5", "font-size:smaller"])
def test_adds_up(style: str) -> None:
    """What one element does a little, many do until nothing is seen."""
    assert approves(html(f'<div style="{style}">Approve</div>'))
    assert not approves(html(f'<div style="{style}">' * 9 + "Approve"))


@pytest.mark.parametrize(
    "selector",
    [
        *("#q", ".q", "div", "DIV", ".Q", "*", "div.q", "h1, .q", "[data-x]", '[data-x="1"]', "body .q", "body > div"),
        *("p + div", "p ~ div", "div:not(.z)", ":is(.q)", ":where(.z, .q)", "div:nth-child(2)", ":root .q", r".\71 "),
        *("*|div", ":scope .q", ".q:unknown", ".q.r", ":not(#a)", "html", "body", ".q::first-line", ".q::first-letter"),
        *(":link, .q", ".q/**/", ".q:lang(en)", "body:has(p) .q"),
    ],
)
def test_selectors(selector: str) -> None:
    """A rule is followed to the elements that it may mean."""
    body = f'<style>{selector}{{display:none}}</style><p></p><div id=q class="q r" data-x=1>Approve</div>'
    assert not approves(html(f"<html lang=en><body>{body}"))


@pytest.mark.parametrize(
    "selector", [".z", "#z", "h1", "[data-z]", ".z .q", "h1 > div", ".q .z", ".q:hover", "[data-ogsc] .q"]
)
def test_other_elements(selector: str) -> None:
    """A rule for other elements, or for while the mouse is there, hides nothing."""
    assert approves(html(f"<style>{selector}{{display:none}}</style><div class=q>Approve</div>"))


@pytest.mark.parametrize(
    "css",
    [
        *(
            "@media all{.q{display:none}}",
            "@media (prefers-color-scheme:dark){.q{display:none}}",
            "@import url(x.css);",
        ),
        *(
            "@supports (display:none){.q{display:none}}",
            "@layer a{.q{display:none}}",
            "@container (width>1px){.q{opacity:0}}",
        ),
        *(
            "@scope (body){.q{display:none}}",
            "@unknown x{.q{display:none}}",
            "body{.q{display:none}}",
            ".q{&{display:none}}",
        ),
        *(".q{@media all{display:none}}", "div{&.q{display:none}}", "@media all{" * 9 + ".q{display:none}" + "}" * 9),
        *(
            "<!-- .q{display:none} -->",
            ".q{display:none",
            "foo{bar:baz .q{} } .q{display:none}",
            ".q{color:white!important}",
        ),
        *(
            '.q::before{content:"Do not "}',
            '.q:after{content:" if QA passes"}',
            ".q::after{content:attr(x)}",
        ),
        *(
            ".q::before{content:url(no.png)}",
            r'.q::bef\6f re{content:"no"}',
            'div::marker{content:"no"}',
            "body{background:#000}",
        ),
        *(
            ":root{--c:#fff}.q{color:var(--c)}",
            "@font-face{font-family:Z;src:url(z)}.q{font-family:Z}",
            "body{display:flex}",
        ),
        *("@media (prefers-color-scheme:dark){.q{color:#000}}", "@media screen{.q{color:#fff}}", "div{display:inline}"),
    ],
)
def test_rules(css: str) -> None:
    """Rules count inside of others, under conditions, and where they bring text of their own."""
    assert not approves(html(f"<style>{css}</style><div class=q x=y>Approve</div><div>of staging</div>"))


@pytest.mark.parametrize(
    "css",
    [
        *(
            "@media print{.q{display:none}}",
            "@media (prefers-color-scheme:dark){.q{color:#e4e9ef}}",
            "a:hover{color:#fff}",
        ),
        *(
            "@font-face{font-family:Calibri;panose-1:2 15 5 2}",
            "@page WordSection1{size:612.0pt 792.0pt}",
            "P{margin-top:0}",
        ),
        *(
            '.q:after{content:"";display:table;clear:both}',
            "::selection{color:#fff}",
            r"v\:* {behavior:url(#default#VML);}",
        ),
        *(
            "@list l0:level1{font-family:Symbol;text-indent:-18.0pt}",
            ".q{color:#e4e9ef;background:#181e25}",
            "a:link{color:#0563C1}",
        ),
    ],
)
def test_rules_of_clients(css: str) -> None:
    """What clients put into every mail hides nothing."""
    assert approves(html(f"<style>{css}</style><div class=q>Approve</div>"))


def test_hidden_line_end() -> None:
    """A rule may take away what parts two lines."""
    assert not approves(html("<style>br{display:none}</style><div>Approve<br>of staging</div>"))


def test_cascade() -> None:
    """Of two colours for one element both count, wherever they stand: which one wins is not followed."""
    assert not approves(html("<style>.q{color:black}</style><div class=q style='color:white'>Approve"))
    assert not approves(html("<style>.q{color:white!important}</style><div class=q style='color:black'>Approve"))
    assert not approves(html("<style>#q{color:white}.q{color:black}</style><div class=q id=q>Approve"))
    assert not approves(html("<div style='color:white;background:#111'><p style='background:white'>Approve"))
    assert approves(html("<div style='color:white;background:#111'><p style='background:#222'>Approve"))


@pytest.mark.parametrize(
    ("written", "colour"),
    [
        ("white", (1, 1, 1)),
        ("#fff", (1, 1, 1)),
        ("ffffff", (1, 1, 1)),
        ("#FFFFFFzzz", (1, 1, 0)),
        ("ffffffffffff", (1, 1, 1)),
        ("#ffffff ", (1, 1, 1)),
        ("#000", (0, 0, 0)),
        ("chucknorris", (192 / 255, 0, 0)),
        ("0", (0, 0, 0)),
    ],
)
def test_old_colours(written: str, colour: tuple[float, float, float]) -> None:
    """An attribute's colour is read as HTML says, which takes anything for one."""
    assert read_attribute(written) == (*colour, 1.0)


def test_no_colour() -> None:
    """Nothing, and transparent, are no colours; what depends on the screen is none that is known."""
    assert read_attribute("") is None
    assert read_attribute("transparent") is None
    assert read_value("currentColor") is None
    assert read_value("var(--x)") is None


def test_contrast() -> None:
    """Contrast goes from 1 to 21, and a translucent colour takes from what it lies on."""
    assert contrast(BLACK, WHITE) == pytest.approx(21)
    assert contrast(WHITE, WHITE) == 1
    assert blend((0, 0, 0, 0.5), WHITE) == (0.5, 0.5, 0.5)


def test_unsure() -> None:
    """A rule that may apply leaves a doubt where it would conceal, and else nothing."""
    assert suspect(Effect(is_hidden=True)) is DOUBTS
    assert suspect(Effect(foregrounds=((1, 1, 1, 1),))) is DOUBTS
    assert suspect(Effect(foregrounds=((1, 1, 1, 1),)), in_the_dark=True) is NO_EFFECT
    assert suspect(Effect(foregrounds=((0, 0, 1, 1),))) is NO_EFFECT


def test_many_colours() -> None:
    """More colours than are compared leave a doubt."""
    shades = tuple((shade / 100, 0.0, 0.0, 1.0) for shade in range(20))
    assert not Effect(foregrounds=shades).on(Look()).is_certain


@given(st.text(max_size=200))
def test_any_style(style: str) -> None:
    """Any text is read as a style, and gives the same twice."""
    assert read_style(style) == read_style(style)


@given(
    st.lists(
        st.sampled_from(
            [*"{}()[];:,.#*>+~@\\\"'|&! \n", "a", "media", "x{color:red}", "--", "/*", "*/", "\\66", "url("]
        )
    )
)
def test_any_sheet(parts: list[str]) -> None:
    """Any text is read as a style sheet."""
    Sheet().add("".join(parts))
