"""What a template can't reach, and that what it prints is safe."""

from pathlib import Path

import pytest
from rendered import Overrides, a_request, words


@pytest.fixture
def overrides(tmp_path: Path) -> Overrides:
    """An empty folder of overrides."""
    return Overrides(tmp_path)


ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''['__class__'] }}",
    "{{ ''|attr('__class__') }}",
    "{{ request.__class__ }}",
    "{{ request['__class__'] }}",
    "{{ request['__dict__'] }}",
    "{{ request.model_config }}",
    "{{ request.model_fields }}",
    "{{ request.model_dump() }}",
    "{{ request.model_copy }}",
    "{{ request.copy() }}",
    "{{ event.data.__pydantic_fields_set__ }}",
    "{{ [request]|map(attribute='__class__')|join }}",
    "{{ [request]|map(attribute='model_config')|join }}",
    "{% for group in [request]|groupby('__class__') %}{{ group[0] }}{% endfor %}",
    "{{ '{0.__class__}'.format(request) }}",
    "{{ '{0.__class__}'.format_map({'0': request}) }}",
    "{% set f = ''.format %}{{ f(1) }}",
    "{{ ('%s'|format)('x') }}",
    "{{ ''.join(['a']) }}",
    "{{ variables.items() }}",
    "{{ variables.clear() }}",
    "{{ request.title.upper }}",
    "{{ self._TemplateReference__context }}",
    "{{ self.__init__.__globals__ }}",
    "{{ range.__globals__ }}",
    "{{ namespace.__init__ }}",
    "{{ loop }}",
    "{% for x in [1] %}{{ loop._iterator }}{{ loop.__class__ }}{% endfor %}",
    "{% macro m() %}{% endmacro %}{{ m.__globals__ }}{{ m._func }}",
    "{{ request.started_at.now() }}",
    "{{ request.started_at.__reduce__ }}",
    "{{ lipsum() }}",
    "{{ cycler.__init__ }}",
    "{{ mail_clock.known }}{{ mail_clock.__class__ }}",
    "{{ logs.attachments[0].content.read() }}",
]


@pytest.mark.parametrize("escape", ESCAPES)
def test_the_sandbox_holds(overrides: Overrides, escape: str) -> None:
    """None of the usual ways out of a sandbox renders: no dunder, no method, no str.format."""
    overrides.put("request.failed/subject.txt.j2", f"found {escape}")
    templates = overrides.templates
    assert len(overrides.reports) == 1, escape
    assert words(templates, a_request()).subject.startswith("✕ Failed")


def test_event_data_is_never_a_template(overrides: Overrides) -> None:
    """Syntax in a variable is printed, also where a template prints it twice over."""
    overrides.put("request.failed/subject.txt.j2", "{% set x = request.title %}{{ x ~ x }}")
    assert words(overrides.templates, a_request(title="{{ 7*7 }}")).subject == "{{ 7*7 }}{{ 7*7 }}"


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("{% set x %}<b>{{ request.title }}</b>{% endset %}{{ x }}", "<b>&lt;i&gt;</b>"),
        ("{% macro m(x) %}<b>{{ x }}{{ caller() }}{% endmacro %}{% call m('<') %}<u>{% endcall %}", "<b>&lt;<u>"),
        ("{% for x in 'ab' %}{{ loop.index }}{{ loop.cycle('<', '>') }}{% endfor %}", "1&lt;2&gt;"),
        ("{{ request.title ~ '<' }}{{ '%s<' % request.title }}", "&lt;i&gt;&lt;&lt;i&gt;&lt;"),
        ("{% autoescape true %}{{ request.title }}{% endautoescape %}", "&lt;i&gt;"),
        ("{% autoescape request.title %}{{ request.title }}{% endautoescape %}", "&lt;i&gt;"),
        ("{% filter trim %} {{ request.title }}<i>{% endfilter %}", "&lt;i&gt;<i>"),
        ("{{ request.project }}{{ request.project or '-' }}{{ 1.5 }}{{ [1, '<'] }}", "-1.5[1, &#39;&lt;&#39;]"),
        ("{% for n in range(2) %}{{ n }}{% endfor %}", "01"),
        ("{% set n = namespace(a=1) %}{% set n.a = 2 %}{{ n.a }}", "2"),
        ("<a href='{{ 'javascript:alert(1)' | link }}'>{{ request.id | clip(2) }}", "<a href=''>48 … (shortened)"),
    ],
)  # fmt: skip
def test_templates_are_jinja_with_everything_escaped(overrides: Overrides, template: str, shown: str) -> None:
    """Sets, macros, loops and filters work as in Jinja, and values come out escaped once."""
    overrides.put("request.failed/body.html.j2", template)
    assert words(overrides.templates, a_request(title="<i>")).html == shown
    assert [report.rpartition(": ")[2] for report in overrides.reports] == ["taken up"]
