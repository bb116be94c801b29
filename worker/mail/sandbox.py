"""Jinja's sandbox, made fast for our own frozen types and narrower: a template reads values, and calls nothing of ours.

Reachable: fields of events, keys of dicts, filters, tests, macros, ``loop``, ``super()``, ``range`` and ``namespace``.
No method of any value can be called, so ``str.format`` and its kin are out of reach.
"""

from types import MethodType
from typing import Any, Final

from jinja2 import StrictUndefined
from jinja2.environment import TemplateModule
from jinja2.exceptions import SecurityError
from jinja2.runtime import BlockReference, Context, LoopContext, Macro, TemplateReference
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Namespace

from worker.mail.dialect import READABLE, Compiler, public_fields
from worker.mail.filters import printed_html, printed_text

_JINJAS_OWN: Final = (LoopContext, TemplateModule, TemplateReference)
_PLAIN: Final = frozenset({dict, tuple, list})

_public: Final[dict[type, frozenset[str]]] = {}


class Sandbox(ImmutableSandboxedEnvironment):
    """Where the templates of one locale run."""

    code_generator_class = Compiler
    readable = READABLE
    printed_html = staticmethod(printed_html)
    printed_text = staticmethod(printed_text)

    def __init__(self, **options: Any) -> None:
        super().__init__(undefined=StrictUndefined, auto_reload=False, cache_size=-1, **options)
        self.globals = {"range": safe_range, "namespace": Namespace}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``obj.attribute``: a field of ours, a key of a dict, or what the narrowed sandbox allows."""
        kind = type(obj)
        names = _public.get(kind)
        if names is None:
            if kind is dict:
                return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
            names = _public[kind] = public_fields(kind)
        if attribute in names:
            return getattr(obj, attribute)
        if names:
            return self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``obj[argument]``: an item; a field of ours by its name."""
        if type(obj) in _PLAIN:
            try:
                return obj[argument]
            except (LookupError, TypeError):
                return self.undefined(obj=obj, name=argument)
        if isinstance(argument, str):
            return self.getattr(obj, argument)
        return super().getitem(obj, argument)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether the template may have that attribute: public, and no method unless it is Jinja's own."""
        if callable(value) and not isinstance(obj, _JINJAS_OWN):
            return False
        return super().is_safe_attribute(obj, attr, value)

    def is_safe_callable(self, obj: Any) -> bool:
        """Whether the template may call that: its own macros and blocks, and what this environment gave it."""
        if isinstance(obj, Macro | BlockReference | LoopContext):
            return True
        if isinstance(obj, MethodType):
            return isinstance(obj.__self__, LoopContext)
        return obj is safe_range or obj is Namespace

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call what may be called.

        Raises:
            SecurityError: it may not.
        """
        if not self.is_safe_callable(obj):
            raise SecurityError("only macros, blocks and loops can be called; for everything else there are filters")
        return context.call(obj, *args, **kwargs)
