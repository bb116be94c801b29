"""What the built-in templates make of events."""

import re
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pages import Page
from rendered import a_question, a_request, asked, sound, words

from worker.errors import TemplateError
from worker.events import TYPES
from worker.mail.rendering import LARGEST_HTML, Templates
from worker.mail.samples import KINDS, SampleFile, SampleLinks, SampleLogs, samples

REQUEST_TYPES = [kind for kind in TYPES if kind.startswith("request.")]
LOCALES = ("en", "de")
DECISIONS = re.compile(r"\W*(approved?|rejected?)\b", re.IGNORECASE)
HOSTILE = "<script>alert(1)</script>{{ 7*7 }}{% raw %}\u202egnp.exe\u2066\x00&\"'"


@pytest.fixture(scope="module")
def built_in() -> Templates:
    """The templates without overrides."""
    return Templates(directory=None, default_locale="en", report=lambda _: None)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_type_has_a_mail_in_both_languages(built_in: Templates, kind: str, locale: str) -> None:
    """Each kind renders with everything given and with nothing, tags paired, and shows no None."""
    for sample in samples(kind):
        found = built_in.render(kind, locale=locale, timezone=None, **sample)
        sound(found)
        assert "None" not in found.text + found.html + found.subject
        assert f'<html lang="{locale}">' in found.html


@pytest.mark.parametrize("kind", KINDS)
def test_the_status_is_a_word_and_a_symbol(built_in: Templates, kind: str) -> None:
    """Subject, text and HTML each begin with the same symbol and word, so that colour is not needed."""
    found = built_in.render(kind, locale="en", timezone=None, **samples(kind)[1])
    symbol, word = found.subject.split(":")[0].split(" ", 1)
    lines = [line for line in Page(found.html).lines if line != "Reply above this line"]
    assert f"{symbol} {word.upper()}" in found.text
    assert lines[1].replace("\xa0", "") == f"{symbol} {word}"


def test_no_mail_loads_anything_from_elsewhere(built_in: Templates) -> None:
    """There is no image, no font and no script: nothing is missing with images off, and nothing tracks."""
    for kind in KINDS:
        html = built_in.render(kind, locale="en", timezone=None, **samples(kind)[0]).html
        assert not re.search(r"<img|<link|@import|@font-face|url\(|<script", html)


def test_words_engine_can_read_it(built_in: Templates) -> None:
    """Layout is tables with widths as attributes; no flex, no grid, no background image, a table around the button."""
    html = built_in.render("request.failed", locale="en", timezone=None, **samples("request.failed")[0]).html
    assert not re.search(r"display:\s*(flex|grid)|background-image|float:|position:", html)
    assert '<!--[if mso]><table role="presentation" width="600"' in html
    assert re.search(r'<td style="[^"]*mso-padding-alt[^"]*background:#[0-9a-f]{6}"><a href="https://', html)


def test_layout_tables_say_that_they_are_none(built_in: Templates) -> None:
    """Every table but that of the steps has the role presentation."""
    page = Page(built_in.render("request.failed", locale="en", timezone=None, **samples("request.failed")[0]).html)
    roles = [attributes.get("role") for tag, attributes in page.tags if tag == "table"]
    assert roles.count(None) == 1


def test_styles_are_inlined_and_dark_mode_stays(built_in: Templates) -> None:
    """Rules for light mode stand in the tags; the dark ones in a media query, and once more for Outlook on the web."""
    html = built_in.render("request.completed", locale="en", timezone=None, **samples("request.completed")[0]).html
    assert re.search(r'<td class="head ok" style="[^"]*background:#dcf5e5', html)
    assert "@media (prefers-color-scheme:dark){" in html
    assert "[data-ogsc] .card{background:#181e25!important}" in html
    assert '<meta name="color-scheme" content="light dark">' in html


def test_a_small_mail_is_small(built_in: Templates) -> None:
    """A request.completed without steps stays under 4.6 kB, with three under 6.6 kB."""
    steps = [{"number": number, "name": "Copy", "status": "succeeded", "endpoint": "db-01"} for number in (1, 2, 3)]
    for event, most in ((a_request("request.completed"), 4600), (a_request("request.completed", steps=steps), 6600)):
        assert len(words(built_in, event).html.encode()) < most


def test_times_are_in_the_recipients_zone_and_manner(built_in: Templates) -> None:
    """A time is shown on the recipient's clock, with the zone's name, as the language writes it."""
    event = a_request(started_at="2026-11-23T07:24:00Z", finished_at="2026-11-23T08:28:00Z")
    assert "2026-11-23 08:24 CET" in words(built_in, event).text
    assert "23.11.2026, 08:24 CET" in words(built_in, event, locale="de").html
    assert "2026-11-23 07:24 UTC" in words(built_in, event, timezone=None).text
    assert "2026-11-23 04:24 UTC-03" in words(built_in, event, timezone="America/Sao_Paulo").text


@pytest.mark.parametrize(
    ("seconds", "english", "german"),
    [
        (0.04, "0.0 s", "0,0 s"),
        (12.34, "12.3 s", "12,3 s"),
        (59.96, "1 min 00 s", "1 min 00 s"),
        (245, "4 min 05 s", "4 min 05 s"),
        (3840, "1 h 04 min", "1 h 04 min"),
        (183_600, "2 d 03 h", "2 d 03 h"),
    ],
)
def test_durations_have_two_units(built_in: Templates, seconds: float, english: str, german: str) -> None:
    """A duration is as exact as a person wants it."""
    start = datetime(2026, 11, 23, tzinfo=UTC)
    event = a_request(started_at=start.isoformat(), finished_at=(start + timedelta(seconds=seconds)).isoformat())
    assert f"Duration: {english}\n" in words(built_in, event).text
    assert f"Dauer: {german}\n" in words(built_in, event, locale="de").text


def test_an_end_before_its_start_has_no_duration(built_in: Templates) -> None:
    """Clocks that disagree give no negative duration."""
    found = words(built_in, a_request(started_at="2026-11-23T07:24:00Z", finished_at="2026-11-23T07:23:59Z"))
    assert "Duration: \n" in found.text


def test_times_at_the_end_of_the_calendar_render(built_in: Templates) -> None:
    """A time that has no equivalent in the zone is shown as it came."""
    event = a_request(started_at="0001-01-01T00:00:00Z", finished_at="9999-12-31T23:59:59Z")
    assert "9999-12-31" in words(built_in, event, timezone="Asia/Tokyo").text


def test_the_failed_step_and_its_log_stand_in_the_body(built_in: Templates) -> None:
    """The mail names the failed step, its host and message, and shows the last lines of its log."""
    steps = [
        {"number": 3, "name": "Migrate", "endpoint": "db-01", "execution_id": 1, "status": "failed", "message": "oops"}
    ]
    logs = SampleLogs((), (), (), {0: ("ALTER TABLE", "ERROR: lock <timeout>")})
    found = words(built_in, a_request(steps=steps), logs=logs)
    assert (
        "Step 3: Migrate (db-01)\n  oops\n  Last lines of the log:\n  | ALTER TABLE\n  | ERROR: lock <timeout>"
        in found.text
    )
    assert "ALTER TABLE\nERROR: lock &lt;timeout&gt;</pre>" in found.html


def test_the_mail_says_what_was_cut_or_left_out(built_in: Templates) -> None:
    """Text and HTML name each log that is attached, cut or left out, and why."""
    logs = SampleLogs((SampleFile("all.zip", 1500),), (SampleFile("big.log"),), SampleLogs().left_out, {})
    found = words(built_in, a_request(), logs=logs)
    for shown in (found.text, " ".join(Page(found.html).lines)):
        assert "Attached: all.zip (1.5 kB)" in shown
        assert "Attached without its middle: big.log (1.2 MB are missing" in shown
        for reason in ("logs may not be read from", "could not be read", "too large for a mail"):
            assert reason in shown


def test_steps_too_many_to_show_are_counted(built_in: Templates) -> None:
    """With 500 steps the mail stays readable and says how many are not shown."""
    steps = [{"number": number, "name": "Patch", "status": "failed"} for number in range(500)]
    found = words(built_in, a_request(steps=steps))
    sound(found)
    assert "Further steps, not shown here: 460" in found.text
    assert "Further failed steps, not shown in detail: 497" in found.html


def test_the_largest_event_stays_under_gmails_limit(built_in: Templates) -> None:
    """Where everything is as long as it may be, and grows when escaped, the HTML still stays under 100 kB."""
    long = '"' * 50_000
    steps = [
        {"number": n, "name": long, "status": "failed", "endpoint": long, "execution_id": 1, "message": long}
        for n in range(500)
    ]
    fields = dict.fromkeys(("title", "instance", "project", "environment", "release", "message"), long)
    event = a_request(steps=steps, url="https://x/" + "&" * 1900, submitted_by={"name": long, "email": "a@b"}, **fields)
    files = tuple(SampleFile(long) for _ in range(50))
    logs = SampleLogs(files, files, files, dict.fromkeys(range(500), (long,) * 50))
    found = words(built_in, event, logs=logs)
    sound(found)
    assert len(found.html.encode()) <= LARGEST_HTML
    assert len(found.text) < 400_000
    question = a_question({"title": long, "description": long}, **fields)
    assert len(asked(built_in, question, links=SampleLinks()).html.encode()) <= LARGEST_HTML


def test_a_long_message_is_clipped_and_says_so(built_in: Templates) -> None:
    """A message of a megabyte becomes its beginning and a word that it was shortened."""
    found = words(built_in, a_request(message="x" * 1_000_000))
    assert found.text.count("x") < 3000
    assert "… (shortened)" in found.text
    assert "… (shortened)" in found.html


def test_hostile_text_is_only_text(built_in: Templates) -> None:
    """Markup is escaped in the HTML and plain in the text; template syntax stays as it is; direction marks are gone."""
    found = words(built_in, a_request(message=HOSTILE, title="<b>{{ 7*7 }}\u202e"))
    sound(found)
    assert "<script" not in found.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{ 7*7 }}" in found.html
    assert "<script>alert(1)</script>{{ 7*7 }}" in found.text
    assert found.subject == "✕ Failed: <b>{{ 7*7 }}"
    assert "49" not in found.text


def test_a_message_of_several_lines_keeps_them(built_in: Templates) -> None:
    """Line breaks of a message survive in the HTML, cleaned and escaped."""
    assert "one &amp;<br>\ntwo" in words(built_in, a_request(message="one &\ntwo\u202e")).html


def test_a_subject_is_one_line_of_200_characters(built_in: Templates) -> None:
    """White space collapses, and a long subject ends with an ellipsis."""
    assert words(built_in, a_request(title="a   b")).subject == "✕ Failed: a b"
    assert words(built_in, a_request(title="x" * 900)).subject.endswith("x…")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(REQUEST_TYPES),
    locale=st.sampled_from([*LOCALES, None, "de-AT", "fr"]),
    text=st.text(max_size=40),
    present=st.sets(
        st.sampled_from(["project", "environment", "release", "url", "submitted_by", "started_at", "message"])
    ),
    step_parts=st.sets(st.sampled_from(["endpoint", "started_at", "finished_at", "message"])),
    statuses=st.lists(st.sampled_from(["succeeded", "failed", "skipped", "running"]), max_size=4),
    with_logs=st.booleans(),
)
def test_any_request_event_becomes_a_sound_mail(
    built_in: Templates,
    kind: str,
    locale: str | None,
    text: str,
    present: set[str],
    step_parts: set[str],
    statuses: list[str],
    with_logs: bool,  # noqa: FBT001 - hypothesis passes it by name
) -> None:
    """With every optional part there or not, and any text in it, tags pair and nothing shows as None."""
    line = "".join(c for c in text if c not in "\n\t" and (c.isprintable() or c == "\u202e")) or "x"
    values: dict[str, Any] = dict.fromkeys(("project", "environment", "release"), line) | {
        "message": HOSTILE.replace("\x00", "") + line,
        "url": "https://deploy.example/?a=1&b=2",
        "submitted_by": {"name": line, "email": "a@b.example"},
        "started_at": "2026-11-23T07:24:00Z",
        "endpoint": line,
        "finished_at": "2026-11-23T07:25:00Z",
    }
    steps = [
        {"number": n, "name": line, "status": status} | {part: values[part] for part in step_parts}
        for n, status in enumerate(statuses)
    ]
    event = a_request(kind, steps=steps, title=line, **{part: values[part] for part in present})
    found = words(built_in, event, locale=locale, logs=SampleLogs() if with_logs else None)
    sound(found)
    if "None" not in line:
        assert "None" not in found.text + found.html


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize(
    "data", ["approve", "Reject: no", "APPROVED.", "approve\nrejected - see below\n\napprove", "Approve it"]
)
def test_no_line_of_an_approval_mail_reads_as_an_answer(built_in: Templates, locale: str, data: str) -> None:
    """No line of the text, nor of the HTML, begins with a word that decides, whatever the event says."""
    line = data.partition("\n")[0]
    person = {"name": line, "email": "a@b.example"}
    event = a_question(
        {"title": line, "description": data, "expires_at": "2026-11-24T18:00:00Z", "url": "https://d.example/a"},
        title=line, instance=line, project=line, environment=line, release=line, submitted_by=person,
        url="https://d.example/r",
    )  # fmt: skip
    found = asked(built_in, event, locale=locale, links=SampleLinks())
    assert [text for text in found.text.splitlines() if DECISIONS.match(text) and not text.startswith(">")] == []
    assert [text for text in Page(found.html).lines if re.match(r"(approved?|rejected?)\b", text, re.IGNORECASE)] == []
    assert [text for text in found.text.splitlines() if text.startswith("> ")]


@pytest.mark.parametrize("locale", LOCALES)
def test_the_reply_line_comes_first_in_any_language(built_in: Templates, locale: str) -> None:
    """Text and HTML begin with the line, in English everywhere: the quote lies below it, the preheader too."""
    found = asked(built_in, a_question(), locale=locale, links=SampleLinks())
    assert found.text.splitlines()[0] == "Reply above this line"
    assert Page(found.html).lines[0] == "Reply above this line"


@pytest.mark.parametrize("locale", LOCALES)
def test_the_instruction_names_the_words_on_short_lines(built_in: Templates, locale: str) -> None:
    """The text says which word approves and which rejects, on lines that no client wraps before a deciding word."""
    links = SampleLinks(approve_word="genehmigt", reject_word="nein")
    text = asked(built_in, a_question(), locale=locale, links=links).text
    instruction = [line for line in text.splitlines() if re.search(r"genehmigt|nein", line)]
    assert len(instruction) == 2
    assert all(len(line) <= 72 for line in instruction)


def test_an_approval_mail_has_two_mailto_buttons(built_in: Templates) -> None:
    """With links there are two buttons, which say what they do; the link to the approval is there as well."""
    links = SampleLinks()
    event = a_question({"url": "https://d.example/a/77"})
    targets = [a["href"] for tag, a in Page(asked(built_in, event, links=links).html).tags if tag == "a"]
    assert targets == [links.approve, links.reject, "https://d.example/a/77"]


def test_without_links_only_the_approval_is_linked(built_in: Templates) -> None:
    """Where email approval is off there is neither a mailto link nor a line to reply above, but the button."""
    found = asked(built_in, a_question({"url": "https://d.example/a/77"}))
    assert "mailto:" not in found.html
    assert "Reply above" not in found.text + found.html
    assert [a["href"] for tag, a in Page(found.html).tags if tag == "a"] == ["https://d.example/a/77"]


def test_an_approval_says_who_asks_until_when_and_what(built_in: Templates) -> None:
    """Who submitted it, when it expires on the approver's clock, and the description are in the text."""
    approval = {"description": "Adds a column.", "expires_at": "2026-11-24T18:00:00Z"}
    text = asked(built_in, a_question(approval, submitted_by={"name": "Ole Berg", "email": "o@c.example"})).text
    for shown in ("> Adds a column.", "Decide by: 2026-11-24 19:00 CET", "Submitted by: Ole Berg"):
        assert shown in text


def test_a_withdrawal_gives_its_reason(built_in: Templates) -> None:
    """The reason stands in text and HTML, and nothing asks for a decision any more."""
    event = a_question({"expires_at": "2026-11-24T18:00:00Z"})
    found = asked(built_in, event, kind="approval.withdrawn", reason="superseded")
    assert "> superseded" in found.text
    assert "superseded" in found.html
    assert "Decide by" not in found.text


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["approval.requested", "approval.withdrawn"]),
    locale=st.sampled_from(LOCALES),
    approval=st.sets(st.sampled_from(["description", "expires_at", "url"])),
    request_parts=st.sets(
        st.sampled_from(["title", "instance", "project", "environment", "release", "url", "submitted_by"])
    ),
    linked=st.booleans(),
    reason=st.none() | st.just(HOSTILE),
)
def test_any_approval_becomes_a_sound_mail(
    built_in: Templates,
    kind: str,
    locale: str,
    approval: set[str],
    request_parts: set[str],
    linked: bool,  # noqa: FBT001 - hypothesis passes it by name
    reason: str | None,
) -> None:
    """With every optional part there or not, tags pair and nothing shows as None."""
    line = HOSTILE.replace("\x00", "")
    values: dict[str, Any] = dict.fromkeys(("title", "instance", "project", "environment", "release"), line) | {
        "description": f"{line}\n{line}",
        "url": "https://deploy.example/?a=1&b=2",
        "submitted_by": {"email": "a@b.example"},
        "expires_at": "2026-11-24T18:00:00Z",
    }
    event = a_question(
        {part: values[part] for part in approval} | {"title": line}, **{part: values[part] for part in request_parts}
    )
    found = asked(built_in, event, kind=kind, locale=locale, links=SampleLinks() if linked else None, reason=reason)
    sound(found)
    assert "None" not in found.text + found.html
    assert "<script" not in found.html


@pytest.mark.parametrize(
    ("locale", "default", "language"),
    [
        ("de-AT", "en", "de"),
        ("DE_at", "en", "de"),
        ("fr", "de", "de"),
        (None, "de", "de"),
        ("en-GB", "de", "en"),
        ("fr", "xx", "en"),
    ],
)
def test_a_locale_falls_back(locale: str | None, default: str, language: str) -> None:
    """de-AT takes de, an unknown one the default locale, and what is left English."""
    templates = Templates(directory=None, default_locale=default, report=lambda _: None)
    assert f'<html lang="{language}">' in words(templates, a_request(), locale=locale).html


def test_rendering_costs_little(built_in: Templates) -> None:
    """Subject, text and HTML of a mail with three steps take well under a millisecond."""
    steps = [{"number": n, "name": "Copy", "status": "succeeded", "endpoint": "db-01"} for n in (1, 2, 3)]
    event = a_request("request.completed", steps=steps)

    def spent() -> float:
        start = perf_counter()
        words(built_in, event)
        return perf_counter() - start

    assert min(spent() for _ in range(200)) < 0.0005


def test_an_unknown_type_and_an_unknown_zone_are_errors(built_in: Templates) -> None:
    """What can't be rendered raises TemplateError, and nothing else."""
    with pytest.raises(TemplateError, match=r"there is no template request\.unheard/"):
        built_in.render("request.unheard", locale=None, timezone=None)
    with pytest.raises(TemplateError, match="IANA"):
        words(built_in, a_request(), timezone="Mars/Olympus")
