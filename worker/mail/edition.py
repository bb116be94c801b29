"""``Source`` texts to an ``Edition``: all templates of one state of the files, compiled for each locale when needed."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from functools import cached_property
from traceback import walk_tb
from typing import Any, NamedTuple

from jinja2 import BaseLoader, Environment, Template, TemplateNotFound, nodes
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.exceptions import TemplateSyntaxError
from jinja2.runtime import Context
from markupsafe import Markup

from worker.mail.dialect import Folding
from worker.mail.filters import fitted
from worker.mail.labels import LabelError, read_labels
from worker.mail.sandbox import Sandbox
from worker.mail.sources import Source, Sources, locale_tag
from worker.mail.styles import StyleError, Stylesheet, read_stylesheet

FALLBACK = "en"
STYLESHEET = "base.css"
LABELS = "labels"
BUILT_IN_PREFIX = "built-in/"
FILES = ("subject.txt.j2", "body.txt.j2", "body.html.j2")

FAILURES = (JinjaError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError)
"""What a template can raise: it is a program, and somebody else's."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with which file."""

    path: str
    line: int
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Sheet:
    """One template with what it extends resolved: the outermost layout, and each block's versions, own first.

    Jinja would look that up anew for every mail, and pass each piece of text through a generator a level.
    """

    environment: Environment
    name: str
    layout: Callable[[Context], Iterator[str]]
    blocks: dict[str, list[Callable[[Context], Iterator[str]]]]

    def write(self, values: dict[str, Any]) -> str:
        """The template's text with those values in it, the environment's globals among them.

        Raises:
            Exception: one of ``FAILURES``.
        """
        context = Context(self.environment, values, self.name, {})
        context.blocks = self.blocks
        return "".join(self.layout(context))


class Trio(NamedTuple):
    """The three templates of an event type in one locale."""

    subject: Sheet
    text: Sheet
    html: Sheet


class Edition:
    """The built-in templates with the overrides over them."""

    def __init__(self, built_in: Sources, overrides: Sources, default_locale: str) -> None:
        self._built_in = built_in
        self._overrides = overrides
        self._default = locale_tag(default_locale)
        self._environments: dict[str, _Dialect] = {}
        self._trios: dict[tuple[str | None, str], Trio] = {}

    @cached_property
    def tags(self) -> frozenset[str]:
        """The locales that anything was written for."""
        folders = {tuple(name.split("/")[:-1]) for name in {*self._built_in, *self._overrides}}
        variants = {part for parts in folders for part in parts if part != LABELS and "." not in part}
        return frozenset(variants) | self._languages

    @cached_property
    def _languages(self) -> frozenset[str]:
        names = {*self._built_in, *self._overrides}
        return frozenset(name[len(LABELS) + 1 : -len(".toml")] for name in names if name.startswith(f"{LABELS}/"))

    def trio(self, event_type: str, locale: str | None) -> Trio:
        """The templates for that type and locale: ``de-AT``, else ``de``, else the default locale, else English.

        Raises:
            Exception: one of ``FAILURES``, where a template can't be compiled.
        """
        try:
            return self._trios[locale, event_type]
        except KeyError:
            tag = next((tag for tag in self._chain(locale) if tag in self.tags), FALLBACK)
            trio = self._compiled(event_type, tag)
            # Locales come from events: only those that exist are remembered, or the memory would grow with them.
            if locale is None or locale in self.tags:
                self._trios[locale, event_type] = trio
            return trio

    def _compiled(self, event_type: str, tag: str) -> Trio:
        if tag not in self._environments:
            self._environments[tag] = self._environment(tag)
        return Trio(*(_sheet(self._environments[tag], f"{event_type}/{file}") for file in FILES))

    def _chain(self, locale: str | None) -> tuple[str, ...]:
        # Where a language has its labels, the templates for all are written in it: another one's would be wrong.
        found: list[str] = []
        for wanted in (locale, self._default):
            found += _parents(wanted or "")
            if self._languages.intersection(found):
                break
        return tuple(dict.fromkeys(found)) or (FALLBACK,)

    def _environment(self, tag: str) -> "_Dialect":
        chain = self._chain(tag)
        labels = read_labels(self._labels((*chain, FALLBACK)))
        environment = _Dialect(_Shelf(self._built_in, self._overrides, chain, labels.words))
        for name in ("random", "pprint"):
            del environment.filters[name]
        environment.filters.update(fitted(labels))
        environment.globals["words"] = dict(labels.words)
        return environment

    def _labels(self, chain: tuple[str, ...]) -> Iterator[Source]:
        for tag in chain:
            for shelf in (self._overrides, self._built_in):
                if source := shelf.get(f"{LABELS}/{tag}.toml"):
                    yield source


def _parents(locale: str) -> Iterator[str]:
    tag = locale_tag(locale)
    while tag:
        yield tag
        tag = tag.rpartition("-")[0]


def _sheet(environment: "_Dialect", name: str) -> Sheet:
    template = environment.get_template(name)
    blocks = {block: [written] for block, written in template.blocks.items()}
    while parent := environment.shelf.extended.get(template.name or ""):
        template = environment.get_template(parent, template.name)
        for block, written in template.blocks.items():
            blocks.setdefault(block, []).append(written)
    return Sheet(environment, name, template.root_render_func, blocks)


class _Dialect(Sandbox):
    """A sandbox with our shelf of templates."""

    def __init__(self, shelf: "_Shelf") -> None:
        super().__init__(
            autoescape=lambda name: name is not None and name.endswith(".html.j2"),
            trim_blocks=True,
            lstrip_blocks=True,
            loader=shelf,
        )
        self.shelf = shelf

    def join_path(self, template: str, parent: str) -> str:
        """A template that extends its own name extends the built-in one."""
        return f"{BUILT_IN_PREFIX}{template}" if template == parent else template


class _Shelf(BaseLoader):
    def __init__(self, built_in: Sources, overrides: Sources, chain: tuple[str, ...], words: Mapping[str, str]) -> None:
        self._built_in = built_in
        self._overrides = overrides
        self._chain = chain
        self._words = words
        self.extended: dict[str, str] = {}

    def load(
        self,
        environment: Environment,
        name: str,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002 - Jinja's name
    ) -> Template:
        """Find, inline, fold and compile."""
        source = self._find(name)
        path = str(source.path)
        if source.fault:
            raise TemplateSyntaxError(source.fault, 1, name, path)
        html = name.endswith(".html.j2")
        tree = environment.parse(self._stylesheet.inline(source.text) if html else source.text, name, path)
        folding = Folding({"words": self._words, "styles": self._styles})
        try:
            folding.visit(tree)
        except TemplateSyntaxError as error:
            raise TemplateSyntaxError(error.message or "", error.lineno, name, path) from None
        if parent := _only_extends(tree):
            self.extended[name] = parent
        return Template.from_code(environment, environment.compile(tree, name, path), globals or {})

    def _find(self, name: str) -> Source:
        plain = name.removeprefix(BUILT_IN_PREFIX)
        folder, slash, file = plain.rpartition("/")
        shelves = (self._built_in,) if plain != name else (self._overrides, self._built_in)
        for candidate in (*(f"{folder}{slash}{tag}/{file}" for tag in self._chain), plain):
            for shelf in shelves:
                if candidate in shelf:
                    return shelf[candidate]
        raise TemplateNotFound(plain, f"there is no template {plain}")

    @cached_property
    def _stylesheet(self) -> Stylesheet:
        source = self._find(STYLESHEET)
        try:
            return read_stylesheet(source.text)
        except StyleError as error:
            raise TemplateSyntaxError(str(error), error.line, STYLESHEET, str(source.path)) from None

    @cached_property
    def _styles(self) -> Mapping[str, Markup]:
        sheet = self._stylesheet
        dark = f"@media (prefers-color-scheme:dark){{{sheet.dark}}}" if sheet.dark else ""
        return {"rest": Markup(sheet.rest + dark), "outlook": Markup(sheet.outlook)}  # noqa: S704 - our own CSS


def _only_extends(tree: nodes.Template) -> str | None:
    """The template that this one extends, where it does nothing beside that but fill blocks."""
    found = [node for node in tree.body if not _is_blank(node)]
    first, others = (found[0], found[1:]) if found else (None, [])
    if not isinstance(first, nodes.Extends) or not isinstance(first.template, nodes.Const):
        return None
    return str(first.template.value) if all(isinstance(node, nodes.Block) for node in others) else None


def _is_blank(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Output) and all(
        isinstance(child, nodes.TemplateData) and not child.data.strip() for child in node.nodes
    )


def explain(error: BaseException, fallback: str) -> Fault:
    """Where that error happened, as file and line of a template, and what it was."""
    if isinstance(error, LabelError):
        return Fault(str(error.source.path), error.line, str(error))
    if isinstance(error, TemplateSyntaxError):
        return Fault(error.filename or fallback, error.lineno, error.message or "it can't be read")
    place = (fallback, 1)
    for frame, line in walk_tb(error.__traceback__):
        template = frame.f_globals.get("__jinja_template__")
        if isinstance(template, Template):
            place = (template.filename or fallback, template.get_corresponding_lineno(line))
    return Fault(*place, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
