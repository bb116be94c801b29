"""How this house compiles templates: fixed words folded in when a template is loaded, every printed value made safe.

``{{ words.failed }}`` becomes text: a label costs a mail nothing, and a misspelt one is found before the first event.
``{{ request.title }}`` becomes a call of ``printed_html`` or ``printed_text``, whose one step does what Jinja's own
escaping, a ``finalize`` and a check for unwanted characters would do in four.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from itertools import groupby
from typing import Any, Final

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import TemplateSyntaxError
from jinja2.visitor import NodeTransformer
from pydantic import BaseModel

from worker import events
from worker.mail.filters import printed_html, printed_text

OUR_WORDS: Final = frozenset({"time", "clock", "duration", "size"})
"""Filters that give our own words and digits, never a text of the event: there is nothing to escape."""


def public_fields(kind: type) -> frozenset[str]:
    """The fields of our own kind of value (a pydantic model, a dataclass) that templates may read; else none."""
    if issubclass(kind, BaseModel):
        names = frozenset(kind.model_fields)
    elif is_dataclass(kind):
        names = frozenset(field.name for field in fields(kind))
    else:
        names = frozenset()
    return frozenset(name for name in names if not name.startswith("_"))


def _readable() -> Mapping[str, frozenset[type]]:
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, BaseModel)]
    names = frozenset().union(*(public_fields(kind) for kind in kinds))
    return {name: frozenset(kind for kind in kinds if name in public_fields(kind)) for name in names}


READABLE: Final = _readable()
"""Each public field of an event's parts, with the types that have it."""


class Folding(NodeTransformer):
    """One pass over one template's tree. ``constants`` has the names that fold, with what their attributes are."""

    def __init__(self, constants: Mapping[str, Mapping[str, Any]]) -> None:
        self._constants = constants

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:  # noqa: N802 - Jinja calls visitors by their node
        """Fold ``words.failed``.

        Raises:
            TemplateSyntaxError: there is no such word.
        """
        if not isinstance(node.node, nodes.Name) or node.node.name not in self._constants:
            return self.generic_visit(node)
        known = self._constants[node.node.name]
        if node.attr not in known:
            raise TemplateSyntaxError(f"there is no {node.node.name}.{node.attr}", node.lineno)
        return nodes.Const(known[node.attr], lineno=node.lineno)


class Compiler(CodeGenerator):
    """Jinja's compiler, with three things of our own.

    They are the last step for each printed value, one ``yield`` for a run of text and values, and fields of our own
    types read without a detour where the type of the variable allows it.
    """

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:  # noqa: N802 - as above
        """``request.title``: read at once where the variable is of a type that has that public field."""
        if not isinstance(node.node, nodes.Name) or node.attr not in READABLE:
            super().visit_Getattr(node, frame)
            return
        variable = frame.symbols.ref(node.node.name)
        self.write(f"({variable}.{node.attr} if type({variable}) in environment.readable[{node.attr!r}] else ")
        super().visit_Getattr(node, frame)
        self.write(")")

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:  # noqa: N802 - as above
        """Text and printed values in a row, as one piece."""
        if frame.require_output_check or frame.buffer is not None or frame.eval_ctx.volatile:
            super().visit_Output(node, frame)
            return
        self.writeline("yield (")
        for place, piece in enumerate(_merged(self._pieces(node, frame))):
            self.write(" + " if place else "")
            if isinstance(piece, str):
                self.write(repr(piece))
            else:
                self._write_value(piece, frame)
        self.write(")")

    def _write_value(self, value: nodes.Expr, frame: Frame) -> None:
        self.newline(value)
        if isinstance(value, nodes.Filter) and value.name in OUR_WORDS:
            self.visit(value, frame)
            return
        self._output_child_pre(value, frame, None)
        self.visit(value, frame)
        self.write(")")

    def _pieces(self, node: nodes.Output, frame: Frame) -> Iterator[str | nodes.Expr]:
        printed = printed_html if frame.eval_ctx.autoescape else printed_text
        for child in node.nodes:
            try:
                constant = child.as_const(frame.eval_ctx)
            except nodes.Impossible:
                yield child
            else:
                yield str(constant) if isinstance(child, nodes.TemplateData) else printed(constant)

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if frame.eval_ctx.volatile:
            # {% autoescape %} with a value known only later: Jinja's own way, which escapes too.
            super()._output_child_pre(node, frame, finalize)
        elif frame.eval_ctx.autoescape:
            self.write("environment.printed_html(")
        else:
            self.write("environment.printed_text(")


def _merged(pieces: Iterable[str | nodes.Expr]) -> Iterator[str | nodes.Expr]:
    for is_text, group in groupby(pieces, lambda piece: isinstance(piece, str)):
        if is_text:
            yield "".join(str(piece) for piece in group)
        else:
            yield from group
