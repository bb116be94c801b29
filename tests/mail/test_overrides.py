"""What becomes of files in the folder of overrides: taken up, given up, or broken and not used."""

from pathlib import Path

import pytest
from rendered import Overrides, a_request, words

from worker.errors import TemplateError
from worker.events import TYPES

REQUEST_TYPES = [kind for kind in TYPES if kind.startswith("request.")]


@pytest.fixture
def overrides(tmp_path: Path) -> Overrides:
    """An empty folder of overrides."""
    return Overrides(tmp_path)


def test_a_folder_adds_a_language(overrides: Overrides) -> None:
    """Labels alone make a new language; words that it lacks are English."""
    overrides.put("labels/fr.toml", 'lang = "fr"\nfailed = "Échec"\n')
    found = words(overrides.templates, a_request(environment="PROD"), locale="fr-CA")
    assert found.subject.startswith("✕ Échec:")
    assert "Environment: PROD" in found.text


def test_a_variant_is_for_its_language_alone(overrides: Overrides) -> None:
    """A file in <event type>/<locale>/ stands in for that locale and its regions, and for no other."""
    overrides.put("request.failed/de/subject.txt.j2", "Kaputt: {{ request.title }}")
    templates = overrides.templates
    assert words(templates, a_request(), locale="de-AT").subject == "Kaputt: Deploy Billing"
    assert words(templates, a_request(), locale="en").subject == "✕ Failed: Deploy Billing"


def test_a_default_locales_variant_does_not_replace_english(tmp_path: Path) -> None:
    """Where the default locale has a variant, a reader of English still gets English."""
    folder = Overrides(tmp_path, default_locale="fr")
    folder.put("request.failed/fr/subject.txt.j2", "Échec: {{ request.title }}")
    assert words(folder.templates, a_request(), locale="en").subject.startswith("✕ Failed")
    assert words(folder.templates, a_request(), locale="it").subject.startswith("Échec")


def test_one_file_of_a_type_can_be_overridden(overrides: Overrides) -> None:
    """A subject of our own leaves text and HTML as they were, and other types."""
    overrides.put("request.failed/subject.txt.j2", "Oh no: {{ request.instance }}")
    found = words(overrides.templates, a_request())
    assert found.subject == "Oh no: BillingService"
    assert "✕ FAILED" in found.text
    assert words(overrides.templates, a_request("request.completed")).subject.startswith("✓")


def test_the_base_and_the_stylesheet_can_be_overridden(overrides: Overrides) -> None:
    """A base that extends the built-in one, and a stylesheet, change every mail; styles are inlined as ours are."""
    overrides.put("base.html.j2", '{% extends "base.html.j2" %}{% block foot %}<b class="mine">ACME</b>{% endblock %}')
    overrides.put("base.css", ".mine { color: #123456 }\n@media (max-width: 9px) { .mine { color: red } }")
    html = words(overrides.templates, a_request()).html
    assert '<b class="mine" style="color:#123456">ACME</b>' in html
    assert "@media (max-width:9px){.mine{color:red}}" in html


def test_an_override_may_use_variables_and_filters(overrides: Overrides) -> None:
    """Variables of the event are at hand, escaped; one that is missing on an event fails that mail alone."""
    overrides.put("request.failed/body.html.j2", "<i>{{ variables.team.name }} {{ request.title | upper }}</i>")
    event = a_request()
    data = event.data.model_copy(update={"variables": {"team": {"name": "<A&B>"}}})
    found = words(overrides.templates, event.model_copy(update={"data": data}))
    assert found.html == "<i>&lt;A&amp;B&gt; DEPLOY BILLING</i>"
    with pytest.raises(TemplateError, match=r"body\.html\.j2:1: .*'team'"):
        words(overrides.templates, event)


def test_a_change_is_taken_up_while_running(overrides: Overrides) -> None:
    """An added, a changed and a removed override each take effect, and each is reported once."""
    templates = overrides.templates
    name = "request.failed/subject.txt.j2"
    overrides.put(name, "one")
    assert words(templates, a_request()).subject == "one"
    overrides.put(name, "three")
    assert words(templates, a_request()).subject == "three"
    overrides.drop(name)
    assert words(templates, a_request()).subject.startswith("✕ Failed")
    overrides.wait()
    assert overrides.reports == [f"template {name}: {what}" for what in ("taken up", "taken up", "override removed")]


def test_the_folder_is_looked_at_once_a_second(overrides: Overrides) -> None:
    """A refresh within the same second costs no look at the disk."""
    templates = overrides.templates
    overrides.folder.joinpath("base.css").write_text("")
    templates.refresh()
    assert overrides.reports == []
    overrides.wait()
    assert overrides.reports == ["template base.css: taken up"]


def test_a_folder_may_come_later(tmp_path: Path) -> None:
    """A folder of overrides that does not exist yet is no error."""
    folder = Overrides(tmp_path / "later")
    assert words(folder.templates, a_request()).subject.startswith("✕ Failed")
    folder.put("request.failed/subject.txt.j2", "here")
    assert words(folder.templates, a_request()).subject == "here"


BROKEN = [
    ("request.failed/subject.txt.j2", "a\n{% if %}", "subject.txt.j2:2: "),
    ("request.failed/subject.txt.j2", "a\n\n{{ request.nonsense }}", "subject.txt.j2:3: UndefinedError"),
    ("request.failed/subject.txt.j2", "{{ nonsense }}", "subject.txt.j2:1: UndefinedError"),
    ("request.failed/subject.txt.j2", "{{ words.nonsense }}", "subject.txt.j2:1: there is no words.nonsense"),
    ("request.failed/subject.txt.j2", "{{ 1 // 0 }}", "subject.txt.j2:1: ZeroDivisionError"),
    ("request.failed/subject.txt.j2", " ", "the subject is empty"),
    ("request.failed/body.html.j2", "{% include 'gone.html.j2' %}", "body.html.j2:1: "),
    ("request.failed/de/body.txt.j2", "\n{% extends 'nowhere.j2' %}", "there is no template nowhere.j2"),
    ("base.html.j2", "<p>\n{% block content %}", "base.html.j2:2: "),
    ("base.css", "p { color: red", "base.css:1: "),
    ("labels/de.toml", 'failed = "x"\nlang = 3', "de.toml:2: lang: a text in quotation marks is expected"),
    ("labels/de.toml", 'failed = "x"\nlang = ', "de.toml:2: not TOML"),
    ("labels/en.toml", 'time_format = "%Y %q"', "en.toml:1: time_format: %q is not one of"),
    ("labels/en.toml", 'footer = "no place for a value"', "TypeError"),
]


@pytest.mark.parametrize(("name", "text", "complaint"), BROKEN)
def test_a_broken_override_keeps_the_last_good_one(overrides: Overrides, name: str, text: str, complaint: str) -> None:
    """What does not render is not used; the report names file, line and fault, once; a repair is taken up."""
    before = {kind: words(overrides.templates, a_request(kind), locale="de") for kind in REQUEST_TYPES}
    overrides.put(name, text)
    overrides.wait()
    assert {kind: words(overrides.templates, a_request(kind), locale="de") for kind in REQUEST_TYPES} == before
    [report] = overrides.reports
    assert report.startswith(f"template {name} is broken and not used, the last good one stays: ")
    assert complaint in report
    assert overrides.templates.problems() == [report.partition("stays: ")[2]]
    overrides.drop(name)
    assert overrides.templates.problems() == []


def test_a_broken_override_at_start_leaves_the_built_in(overrides: Overrides) -> None:
    """A worker that starts beside a broken override starts, uses the built-in one, and says so."""
    overrides.put("request.failed/body.html.j2", "{{ oops")
    assert "<!doctype html>" in words(overrides.templates, a_request()).html
    assert len(overrides.reports) == 1


def test_a_broken_file_does_not_keep_others_back(overrides: Overrides) -> None:
    """Of several changes at once the good ones are used, also where a label breaks a template that nobody touched."""
    templates = overrides.templates
    overrides.folder.joinpath("labels").mkdir()
    overrides.folder.joinpath("labels/en.toml").write_text('footer = "nothing to fill"')
    overrides.put("request.failed/subject.txt.j2", "fine")
    assert words(templates, a_request()).subject == "fine"
    assert [report.split(" is ")[0].split(":")[0] for report in overrides.reports] == [
        "template request.failed/subject.txt.j2",
        "template labels/en.toml",
    ]


def test_an_override_that_was_good_stays_when_it_breaks(overrides: Overrides) -> None:
    """The last good one is the last good override, not the built-in."""
    templates = overrides.templates
    overrides.put("request.failed/subject.txt.j2", "good")
    overrides.put("request.failed/subject.txt.j2", "{{ bad")
    assert words(templates, a_request()).subject == "good"


def test_files_that_need_each_other_come_together(overrides: Overrides) -> None:
    """An override that includes a file of its own is taken up with it, in one go."""
    templates = overrides.templates
    overrides.folder.joinpath("acme.html.j2").write_text("{% macro hat(x) %}<i>{{ x }}</i>{% endmacro %}")
    overrides.put(
        "request.failed/body.html.j2", '{% from "acme.html.j2" import hat %}{{ hat(request.title) }}{{ hat("<") }}'
    )
    assert words(templates, a_request()).html == "<i>Deploy Billing</i><i>&lt;</i>"


def test_an_unreadable_override_is_reported(overrides: Overrides) -> None:
    """A file that is not UTF-8 is broken like any other."""
    templates = overrides.templates
    overrides.folder.joinpath("base.txt.j2").write_bytes(b"\xff\xfe")
    overrides.wait()
    assert "not UTF-8" in overrides.reports[0]
    assert "FAILED" in words(templates, a_request()).text


def test_a_config_map_of_kubernetes_is_followed(overrides: Overrides, tmp_path: Path) -> None:
    """Folders that are links into a hidden folder, swapped at once, are read."""
    for version in ("one", "two"):
        path = tmp_path / f"..{version}" / "request.failed"
        path.mkdir(parents=True)
        (path / "subject.txt.j2").write_text(version)
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "request.failed").symlink_to("..data/request.failed")
    assert words(overrides.templates, a_request()).subject == "one"
    (tmp_path / "..new").symlink_to("..two")
    (tmp_path / "..new").rename(tmp_path / "..data")
    overrides.wait()
    assert words(overrides.templates, a_request()).subject == "two"
