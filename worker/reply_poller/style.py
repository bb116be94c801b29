"""CSS of an element to what it does to its text: shows it, hides it, strikes it out, or leaves that in doubt.

Only what hides matters. A property that might hide and can't be followed to its end (a transform, a position) leaves
a doubt; a doubt never approves.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import tinycss2
import tinycss2.ast
import tinycss2.color3
import tinycss2.color4

SMALLEST_PIXELS = 4.0
FAINTEST = 0.1
LEAST_CONTRAST = 1.3
FARTHEST_PIXELS = -50.0

_PIXELS = {"px": 1.0, "pt": 4 / 3, "pc": 16.0, "in": 96.0, "cm": 37.8, "mm": 3.78, "em": 16.0, "rem": 16.0, "ex": 8.0}
_ABSOLUTE_PIXELS = {"%": 0.16, "vw": 10.0, "vh": 8.0, "ch": 8.0, "q": 0.945}
_DOUBTFUL = frozenset(
    [
        "animation",
        "animation-name",
        "clip",
        "clip-path",
        "content",
        "filter",
        "flex-direction",
        "float-reference",
        "mask",
        "mask-image",
        "mix-blend-mode",
        "offset-path",
        "order",
        "rotate",
        "scale",
        "text-security",
        "transform",
        "translate",
        "writing-mode",
        "zoom",
    ]
)
_SHOWING = frozenset(
    {"none", "auto", "normal", "initial", "unset", "revert", "horizontal-tb", "row", "column", "0", "1"}
)
_SIZES = frozenset({"height", "max-height", "width", "max-width"})
_OFFSETS = frozenset({"left", "right", "top", "bottom", "text-indent", "margin-left", "margin-top", "margin"})
_RISKY = re.compile(
    r"display|visib|opacity|font|colou?r|background|height|width|overflow|position|indent|clip|transform|mso-hide"
    r"|decoration|bidi|writing|security|scale|rotate|translate|mask|filter|blend|order|flex|content|zoom|animation"
    r"|margin|left|right|top|bottom|\\|/\*|@import",
    re.IGNORECASE,
)

Colour = tuple[float, float, float]
WHITE: Colour = (1.0, 1.0, 1.0)
BLACK: Colour = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Look:
    """How text looks where an element stands; inherited by what it holds."""

    is_hidden: bool = False
    is_struck: bool = False
    in_doubt: bool = False
    keeps_spaces: bool = False
    colour: Colour = BLACK
    background: Colour = WHITE

    @property
    def is_seen(self) -> bool:
        """Whether a person sees text that looks like this, and it is not struck out."""
        return not (self.is_hidden or self.is_struck or _contrast(self.colour, self.background) < LEAST_CONTRAST)


@dataclass(frozen=True, slots=True)
class Effect:
    """What one element's own declarations do."""

    is_hidden: bool = False
    is_struck: bool = False
    in_doubt: bool = False
    keeps_spaces: bool = False
    colour: Colour | None = None
    background: Colour | None = None

    def __or__(self, other: "Effect") -> "Effect":
        return Effect(
            self.is_hidden or other.is_hidden,
            self.is_struck or other.is_struck,
            self.in_doubt or other.in_doubt,
            self.keeps_spaces or other.keeps_spaces,
            other.colour or self.colour,
            other.background or self.background,
        )

    def on(self, look: Look) -> Look:
        """How text looks inside, given how it looks outside."""
        if self == NO_EFFECT:
            return look
        return Look(
            self.is_hidden or look.is_hidden,
            self.is_struck or look.is_struck,
            self.in_doubt or look.in_doubt,
            self.keeps_spaces or look.keeps_spaces,
            self.colour or look.colour,
            self.background or look.background,
        )


NO_EFFECT = Effect()
_HIDES = Effect(is_hidden=True)
_STRIKES = Effect(is_struck=True)
_DOUBTS = Effect(in_doubt=True)


@lru_cache(maxsize=4096)
def read_style(style: str) -> Effect:
    """The effect of a ``style`` attribute."""
    if not _RISKY.search(style):
        return NO_EFFECT if "pre" not in style else _declared(style)
    return _declared(style)


@lru_cache(maxsize=1024)
def read_colour(text: str) -> Colour | None:
    """The colour that an attribute such as ``bgcolor`` names; None where it names none."""
    name = text.strip()
    return _colour(f"#{name}" if re.fullmatch(r"[0-9a-fA-F]{6}", name) else name)


def read_sheet(css: str) -> tuple[tuple[str, Effect], ...]:
    """The rules of a style sheet that may hide something, each with its selector; media queries count as met."""
    if not _RISKY.search(css):
        return ()
    rules = tinycss2.parse_stylesheet(_uncommented(css), skip_comments=True, skip_whitespace=True)
    return tuple(_risky_rules(rules, levels=4))


def _uncommented(css: str) -> str:
    # Old clients wrap the sheet in an HTML comment; CSS ignores the marks themselves.
    return css.replace("<!--", " ").replace("-->", " ")


def _risky_rules(rules: list[tinycss2.ast.Node], levels: int) -> list[tuple[str, Effect]]:
    found: list[tuple[str, Effect]] = []
    for rule in rules:
        if isinstance(rule, tinycss2.ast.QualifiedRule):
            effect = _effect(tinycss2.parse_blocks_contents(rule.content, skip_comments=True, skip_whitespace=True))
            if effect.is_hidden or effect.is_struck or effect.in_doubt or effect.colour or effect.background:
                found.append((tinycss2.serialize(rule.prelude).strip(), effect))
        elif isinstance(rule, tinycss2.ast.AtRule):
            found += _inside(rule, levels)
    return found


def _inside(rule: tinycss2.ast.AtRule, levels: int) -> list[tuple[str, Effect]]:
    if rule.lower_at_keyword == "import":
        return [("*", _DOUBTS)]
    if rule.lower_at_keyword not in {"media", "supports", "layer", "container", "scope"} or rule.content is None:
        return []
    if levels == 0:
        return [("*", _DOUBTS)]
    inner = tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
    # Whether the condition holds on the writer's screen is not known: what it hides is in doubt, not hidden.
    return [(selector, _DOUBTS) for selector, effect in _risky_rules(inner, levels - 1) if _conceals(effect)]


def _conceals(effect: Effect) -> bool:
    faint = effect.colour is not None and effect.background is None and _contrast(effect.colour, WHITE) < LEAST_CONTRAST
    return effect.is_hidden or effect.is_struck or effect.in_doubt or faint


def _declared(style: str) -> Effect:
    return _effect(tinycss2.parse_blocks_contents(style, skip_comments=True, skip_whitespace=True))


def _effect(nodes: list[tinycss2.ast.Node]) -> Effect:
    declared: dict[str, list[tinycss2.ast.Node]] = {}
    effect = NO_EFFECT
    for node in nodes:
        if isinstance(node, tinycss2.ast.Declaration):
            name = node.lower_name.removeprefix("-webkit-").removeprefix("-moz-").removeprefix("-ms-")
            value = [part for part in node.value if part.type not in {"whitespace", "comment"}]
            declared[name] = value
            effect |= _one(name, value)
    return effect | _clipped(declared)


def _one(name: str, value: list[tinycss2.ast.Node]) -> Effect:
    words = [part.lower_value for part in value if isinstance(part, tinycss2.ast.IdentToken)]
    if name in {"display", "visibility", "mso-hide", "content-visibility"}:
        return _HIDES if {"none", "hidden", "collapse", "all"} & {*words} else NO_EFFECT
    if name in {"font-size", "font", "zoom"}:
        return _sized(name, value)
    if name in {"opacity", "text-fill-color", "color", "background", "background-color"}:
        return _painted(name, value)
    if name in {"text-decoration", "text-decoration-line"}:
        return _STRIKES if "line-through" in words else NO_EFFECT
    if name == "white-space":
        return Effect(keeps_spaces=any(word.startswith("pre") for word in words))
    return _placed(name, words, value)


def _placed(name: str, words: list[str], value: list[tinycss2.ast.Node]) -> Effect:
    if name == "position":
        return _DOUBTS if {"absolute", "fixed"} & {*words} else NO_EFFECT
    if name == "unicode-bidi":
        return _DOUBTS if any("override" in word for word in words) else NO_EFFECT
    if name in _OFFSETS:
        return _DOUBTS if any((_length(part) or 0.0) < FARTHEST_PIXELS for part in value) else NO_EFFECT
    if name == "line-height":
        return _DOUBTS if any(_length(part) == 0.0 for part in value) else NO_EFFECT
    if name in _DOUBTFUL:
        shown = all(_serialized(part) in _SHOWING for part in value)
        return NO_EFFECT if shown else _DOUBTS
    return NO_EFFECT


def _serialized(part: tinycss2.ast.Node) -> str:
    return str(tinycss2.serialize([part])).lower()


def _sized(name: str, value: list[tinycss2.ast.Node]) -> Effect:
    # `font` has a size and a line height behind a slash: the size comes first.
    lengths = [length for part in value if (length := _length(part)) is not None and not _is_weight(name, part)]
    if lengths and lengths[0] < SMALLEST_PIXELS:
        return _HIDES if name != "zoom" or lengths[0] == 0 else NO_EFFECT
    return _DOUBTS if any(isinstance(part, tinycss2.ast.FunctionBlock) for part in value) else NO_EFFECT


def _is_weight(name: str, part: tinycss2.ast.Node) -> bool:
    return name == "font" and isinstance(part, tinycss2.ast.NumberToken) and part.value != 0


def _painted(name: str, value: list[tinycss2.ast.Node]) -> Effect:
    if name == "opacity":
        numbers = [part.value for part in value if isinstance(part, tinycss2.ast.NumberToken)]
        numbers += [part.value / 100 for part in value if isinstance(part, tinycss2.ast.PercentageToken)]
        return NO_EFFECT if numbers and numbers[0] >= FAINTEST else _HIDES
    if name in {"color", "text-fill-color"}:
        return _foreground(value)
    colours = [colour for part in value if (colour := _colour(part)) is not None]
    return Effect(background=colours[0]) if colours else NO_EFFECT


def _foreground(value: list[tinycss2.ast.Node]) -> Effect:
    if not value:
        return NO_EFFECT
    colour, alpha = _shade(value[0])
    if colour is None:
        # A variable or a mixture might be anything; a system colour (windowtext) is there to be read.
        return _DOUBTS if isinstance(value[0], tinycss2.ast.FunctionBlock) else NO_EFFECT
    return Effect(colour=colour) if alpha >= FAINTEST else _HIDES


def _clipped(declared: dict[str, list[tinycss2.ast.Node]]) -> Effect:
    tiny = [name for name in _SIZES & declared.keys() if any(_is_nothing(part) for part in declared[name])]
    if not tiny:
        return NO_EFFECT
    overflow = [_serialized(part) for name in declared if name.startswith("overflow") for part in declared[name]]
    return (
        _HIDES
        if {"hidden", "clip"} & {*overflow}
        else _DOUBTS
        if "max-height" in tiny or "height" in tiny
        else NO_EFFECT
    )


def _is_nothing(part: tinycss2.ast.Node) -> bool:
    length = _length(part)
    return length is not None and abs(length) <= 1.0


def _length(part: tinycss2.ast.Node) -> float | None:
    """Pixels, about; None where it is no length."""
    if isinstance(part, tinycss2.ast.DimensionToken):
        unit = part.lower_unit
        return float(part.value) * _PIXELS.get(unit, _ABSOLUTE_PIXELS.get(unit, 1.0))
    if isinstance(part, tinycss2.ast.PercentageToken):
        return float(part.value) * _ABSOLUTE_PIXELS["%"]
    if isinstance(part, tinycss2.ast.NumberToken):
        return float(part.value) if part.value == 0 else float(part.value) * 16
    return None


def _colour(value: str | tinycss2.ast.Node) -> Colour | None:
    colour, alpha = _shade(value)
    return colour if alpha >= FAINTEST else None


def _shade(value: str | tinycss2.ast.Node) -> tuple[Colour | None, float]:
    old = tinycss2.color3.parse_color(value)
    if old is not None and old != "currentColor":
        return (float(old.red), float(old.green), float(old.blue)), float(old.alpha)
    new = tinycss2.color4.parse_color(value) if old is None else None
    if new is None or new == "currentcolor" or new.space != "srgb":
        return None, 1.0
    red, green, blue = new.coordinates
    return (float(red), float(green), float(blue)), float(new.alpha)


def _contrast(one: Colour, other: Colour) -> float:
    """As WCAG 2 defines it: 1 is none, 21 is black on white."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@lru_cache(maxsize=256)
def _luminance(colour: Colour) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)  # noqa: PLR2004 - the constants of sRGB
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
