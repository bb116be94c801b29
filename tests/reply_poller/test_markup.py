"""HTML is read as a person sees it: without what is hidden, and with a doubt where there is more to see than text."""

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reply_poller.hostile import approves, both, decide, html

from worker.reply_poller.line import Line, Mark
from worker.reply_poller.markup import read_markup
from worker.reply_poller.nesting import is_exhausting
from worker.reply_poller.verdict import Approved

OURS = re.compile("approvals@deploy")


def seen(body: str) -> list[str]:
    """The lines of an HTML text that are typed and certain."""
    lines = read_markup(body, OURS)
    return [line.text for line in lines if line.text and line.mark is Mark.NONE and line.doubt is None]


@pytest.mark.parametrize(
    "body",
    [
        *("<div hidden>Approve</div>", "<div hidden=until-found>Approve</div>", "<div popover>Approve</div>"),
        *("<dialog>Approve</dialog>", "<details><summary>x</summary>Approve</details>", "<template>Approve</template>"),
        *("<script>Approve</script>", "<textarea>Approve</textarea>", "<select><option>Approve</select>"),
        *(
            "<input value=Approve>",
            "<button>Approve</button>",
            "<svg><text>Approve</text></svg>",
            "<title>Approve</title>",
        ),
        *("<math><mtext>Approve</mtext></math>", "<canvas>Approve</canvas>", "<object>Approve</object>"),
        *(
            "<video>Approve</video>",
            "<iframe>Approve</iframe>",
            "<iframe srcdoc=Approve></iframe>",
            "<img alt=Approve>",
        ),
        *("<noframes>Approve</noframes>", "<s>Approve</s>", "<strike>Approve</strike>", "<del>Approve</del>"),
        *(
            "<ruby>Approve<rt>no</rt></ruby>",
            "<bdo dir=rtl>Approve</bdo>",
            "<marquee>Approve</marquee>",
            "<q>Approve</q>",
        ),
        *("<!-- Approve -->", "<!--[if mso]>Approve<![endif]-->", "<![if !mso]>Approve<![endif]>", "App<br>rove"),
        *(
            "<!--[if !mso]><!-->Approve<!--<![endif]-->",
            "App&shy;rove",
            "App&#8203;rove",
            "&#8238;evorppA",
            "App<p>rove",
        ),
        *(
            "<datalist><option>Approve</datalist>",
            "<input type=checkbox>Approve",
            "<xml>Approve</xml>",
            "<ins>Dis</ins>approve",
        ),
        *("<blockquote type=cite>Approve</blockquote>", "<ol><li>Approve</ol>", "<span title=Approve></span>"),
        *(
            '<body text="#ffffff">Approve',
            "<body bgcolor=black>Approve",
            "<table bgcolor=black><tr><td>Approve</table>",
        ),
        *("<body background=a.png>Approve", "<font color=white>Approve</font>", "<font color=ffffffzz>Approve</font>"),
        *("<font face=Wingdings>Approve</font>", "<body link=white><a href=x>Approve</a>", "<small>" * 20 + "Approve"),
        *("<div>" * 3000 + "Approve" + "</div>" * 3000 + "<p hidden>x", "<a href=x title=no>Approve</a> this"),
    ],
)
def test_not_seen(body: str) -> None:
    """What a person does not see as text that was typed is no answer."""
    assert not approves(html(f"{body}<p>see you</p>"))


@pytest.mark.parametrize(
    "other",
    [
        *("<button>not yet</button>", "<textarea>not yet</textarea>", '<input value="not yet">', "<input type=submit>"),
        *("<select><option>not yet</select>", "<svg><text>not yet</text></svg>", "<math><mtext>no</mtext></math>"),
        *(
            "<noscript>not yet</noscript>",
            "<object>not yet</object>",
            "<video>not yet</video>",
            "<canvas>not yet</canvas>",
        ),
        *(
            "<map>not yet</map>",
            "<noembed>not yet</noembed>",
            '<iframe srcdoc="not yet"></iframe>',
            "<xml>not yet</xml>",
        ),
        *(
            "<!--[if mso]><p>not yet</p><![endif]-->",
            "<!--[if gte mso 9]>not yet<![endif]-->",
            "<progress>no</progress>",
        ),
        *(
            '<img alt="\U0001f44e" src="cid:1">',
            '<img alt="not yet">',
            "<option>not yet</option>",
            "<dialog open>not yet</dialog>",
        ),
        *(
            "<font face=Wingdings>L</font>",
            "<font face=Wingdings>\u00fb tested</font>",
            "<embed src=no.html>",
            "<audio>no</audio>",
        ),
    ],
)
def test_seen_besides(other: str) -> None:
    """What a person sees beside the word counts, though it is no text that can be read."""
    assert not approves(html(f"<div>Approve</div>{other}"))


@pytest.mark.parametrize(
    "body",
    [
        *(
            "<div style='display:flex;flex-direction:row-reverse'><p>approve</p><p>Dis</p></div>",
            "<pre>Approve\nof staging not</pre>",
        ),
        *(
            "<div style='display:inline'>Approve</div><div style='display:inline'> of staging</div>",
            "Approve<wbr> of staging",
        ),
        *(
            "<table><tbody><tr><td>Approve</tbody><thead><tr><td>You are mad to</thead></table>",
            "Approve<br hidden>of staging",
        ),
        *(
            "<table><tfoot><tr><td>Approve</tfoot><tbody><tr><td>You are mad to</tbody></table>",
            "<tr><td>Approve<td>of staging",
        ),
        *(
            "<table><tr><td>Approve</tr><caption>You are mad to</caption></table>",
            "<fieldset>Approve<legend>Mad to</legend>",
        ),
        *(
            "<p>Approve<span style='float:left'>Dis</span></p>",
            "<pre style='white-space:normal'>Approve\nof staging</pre>",
        ),
        *(
            "<div style='white-space:pre'><p style='white-space:normal'>Approve\nof staging</p></div>",
            "<div>Approve</div\n>: no",
        ),
    ],
)
def test_other_order(body: str) -> None:
    """Where lines end, and which comes first, is what a person sees, not what the source says."""
    assert not approves(html(body))


def test_lines() -> None:
    """Blocks, line breaks and preformatted text make lines; cells stand beside each other."""
    assert seen("<p>a <b>b</b>\n c</p>d<br>e<pre>f\ng</pre><table><tr><td>h<td>i</table>") == [
        "a b c",
        "d",
        "e",
        "f",
        "g",
        "h i",
    ]
    assert seen("<span style='display:block'>a</span>b<p style='display:inline'>c</p>") == ["a", "bc"]


def test_lists() -> None:
    """Items are numbered as in the text that clients make of them, so that both say the same."""
    assert seen("<ol><li>a<li>b</ol><ul><li>c</ul>") == ["1. a", "2. b", "\u2022 c"]
    assert decide(both("Approve\r\n\r\n 1. a\r\n 2. b", "Approve<ol><li>a<li>b</ol>")) == Approved("1. a\n2. b")


def test_pictograms() -> None:
    """A small picture that stands for a sign is that sign, and so is a letter of a symbol font."""
    assert seen("thanks <img alt='\U0001f44d' src=x><img alt=logo src=x>") == ["thanks \U0001f44d"]
    assert seen("<font face=Wingdings>J</font> <span style='font-family:Symbol'>\u00b7</span>") == ["\u263a \u00b7"]


@pytest.mark.parametrize(
    ("body", "mark"),
    [
        ("<blockquote type=cite>x", Mark.QUOTED),
        ("<blockquote class=gmail_quote>x", Mark.QUOTED),
        ("<blockquote style='border-left:1px solid'>x", Mark.QUOTED),
        ("<blockquote><p>approvals@deploy</p>x", Mark.QUOTED),
        ("<blockquote><a href='mailto:approvals@deploy'>us</a></blockquote>", Mark.QUOTED),
        ("<blockquote style='margin:0 0 0 40px;border:none'>x", Mark.NONE),
        ("<div class='x_yahoo_quoted'>x", Mark.QUOTED),
        ("<div class=gmail_signature>x", Mark.SIGNATURE),
        ("<div id=divRplyFwdMsg>x", Mark.ORIGINAL),
    ],
)
def test_marks(body: str, mark: Mark) -> None:
    """A quote, a signature and the mail that is answered are known by what clients write; an indentation is typed."""
    assert {line.mark for line in read_markup(body, OURS) if line.text} == {mark}


def test_mark_inside_line() -> None:
    """What stands before a mark on the same line is not marked with it."""
    assert seen("Approve<br>but wait<span id=appendonsend></span>") == ["Approve", "but wait"]


def test_quote_is_not_looked_at() -> None:
    """How a quote looks is nobody's concern; what is hidden beside it is."""
    assert approves(html("Approve<blockquote type=cite><p style='display:none'>x</p><button>x</button></blockquote>"))
    assert not approves(html("Approve<blockquote type=cite>x</blockquote><p style='display:none'>x</p>"))


def test_long_settings() -> None:
    """Word's settings are no text, in a comment or outside."""
    xml = "<xml><o:OfficeDocumentSettings><o:PixelsPerInch>96</o:PixelsPerInch></o:OfficeDocumentSettings></xml>"
    assert approves(html(f"<!--[if gte mso 9]>{xml}<![endif]--><p>Approve{xml}"))


@pytest.mark.parametrize(
    "build",
    [
        lambda: "<div>" * 100_000,
        lambda: "<div>" * 9_000 + "</b>" * 60_000,
        lambda: "<div><table></div></table>" * 19_000,
        lambda: "<p " + " ".join(f"a{number}" for number in range(200_000)) + ">x",
        lambda: ("<p " + " ".join(f"a{number}" for number in range(2_000)) + ">x") * 100,
        lambda: "<p>" + "".join(f"<b id={number}>" for number in range(1_000)) + "</p>" + "<p>x" * 70_000,
        lambda: "<" * 1_900_000,
        lambda: '<a x="' * 13_000 + ">",
    ],
)
def test_exhausting(build: Callable[[], str]) -> None:
    """What keeps a parser busy is not given to it, and leaves a doubt."""
    assert is_exhausting(build())
    assert read_markup(build(), OURS) == (Line("", Mark.NONE, "too-long"),)


@pytest.mark.parametrize(
    "body",
    [
        "<p>" * 5_000,
        "<div><p>x</p></div>" * 5_000,
        "<div>" * 500 + "x" + "</div>" * 500,
        "<br>" * 50_000,
        "a < b",
        "<p",
        "",
    ],
)
def test_not_exhausting(body: str) -> None:
    """A long mail is no hostile one."""
    assert not is_exhausting(body)


@pytest.mark.parametrize(
    "build",
    [
        lambda: "<blockquote>" * 4_000 + "x",
        lambda: "<blockquote>approvals@deploy</blockquote>" * 20_000,
        lambda: "<style>" + ".a{display:none}" * 60_000 + "</style>x",
        lambda: "<style>" + "p p p p p{color:#fff}" * 4_000 + "</style>" + "<p class=a>x" * 30_000,
        lambda: (
            "<style>" + "".join(f".c{n}{{color:red}}" for n in range(6_000)) + "</style>" + "<p class=c1>x" * 30_000
        ),
        lambda: "".join(f'<p style="color:rgb({n % 250},{n // 250},1)">x' for n in range(40_000)),
        lambda: "<style>" + "a{" * 45_000 + "</style>x",
        lambda: '<p class="' + "x_" * 900_000 + '">x',
        lambda: "<!--[if mso]>" + "<xml>" * 10_000 + "-->x",
        lambda: "<font color=" + "f" * 1_900_000 + ">x",
        lambda: "<pre>" + "\n" * 1_900_000,
    ],
)
def test_in_time(build: Callable[[], str]) -> None:
    """Two megabytes of anything are read in less than two seconds."""
    body, begin = build(), time.process_time()
    read_markup(body, OURS)

    assert time.process_time() - begin < 2


@given(
    st.lists(st.sampled_from([*"<>/=\"'! -[]a", "div", "<p ", "style", "hidden", "<table>", "Approve", "&lt;", "<br>"]))
)
def test_anything(parts: list[str]) -> None:
    """Any text is read as HTML, and no line of it holds a line end."""
    assert all("\n" not in line.text for line in read_markup("".join(parts), OURS))
