"""One CSS property and its value to what it does to text."""

from collections.abc import Callable, Mapping

import tinycss2.ast

from worker.reply_poller.colour import Shade, read_value
from worker.reply_poller.look import DOUBTS, HIDES, NO_EFFECT, STRIKES, Effect

Value = list[tinycss2.ast.Node]

FARTHEST_BEFORE = -50.0
FARTHEST_ABOVE = -10.0
FARTHEST_BEHIND = 600.0
CLIPPED_PIXELS = 8.0
LEAST_SPACING = -2.0
MOST_SPACING = 60.0
LEAST_LINE = 6.0
WIDEST_STROKE = 1.0
PIXELS_OF_A_LINE = 16.0
PIXELS_ACROSS = 8.0

_PIXELS = {"px": 1.0, "pt": 4 / 3, "pc": 16.0, "in": 96.0, "cm": 37.8, "mm": 3.78, "q": 0.945, "rem": 16.0}
_OF_FONT = {"em": 1.0, "ex": 0.5, "ch": 0.5, "lh": 1.2, "cap": 0.7, "ic": 1.0}
_NAMED_SIZES = {
    "xx-small": 9.0,
    "x-small": 10.0,
    "small": 13.0,
    "medium": 16.0,
    "large": 18.0,
    "x-large": 24.0,
    "xx-large": 32.0,
    "xxx-large": 48.0,
}
_INHERITING = frozenset({"inherit", "initial", "unset", "revert", "revert-layer"})
_STILL = _INHERITING | {"none", "auto", "normal", "0", "1", "horizontal-tb", "row", "column", "nowrap", "wrap", "top"}
# What may move, cover, turn, mask or reorder text.
_DOUBTFUL = frozenset(
    {"animation", "animation-name", "backdrop-filter", "binding", "box-direction", "box-reflect", "caption-side"}
    | {"clip", "clip-path", "contain", "content-visibility", "filter", "flex-direction", "flex-flow", "flex-wrap"}
    | {"font-size-adjust", "grid-area", "grid-column", "grid-row", "grid-template-areas", "mask", "mask-image"}
    | {"mask-box-image", "mask-border", "mix-blend-mode", "offset", "offset-path", "order", "perspective", "rotate"}
    | {"ruby-position", "text-emphasis", "text-emphasis-style", "text-security", "transform", "translate"}
    | {"writing-mode", "columns", "column-count"}
)
_BLOCKS = frozenset({"block", "list-item", "table", "table-row", "flow-root", "table-row-group"})
_INLINES = frozenset({"inline", "inline-block", "contents", "inline-table", "table-cell", "initial", "unset", "revert"})
_INK = frozenset(
    {
        "canvastext",
        "windowtext",
        "buttontext",
        "fieldtext",
        "linktext",
        "menutext",
        "captiontext",
        "infotext",
        "marktext",
    }
    | {"currentcolor", "text", "-webkit-text", "-moz-fieldtext", "auto"}
)
_PAPER = frozenset(
    {
        "canvas",
        "window",
        "buttonface",
        "field",
        "highlight",
        "highlighttext",
        "mark",
        "selecteditem",
        "selecteditemtext",
    }
    | {"accentcolor", "accentcolortext", "activetext", "graytext", "buttonhighlight", "threedhighlight", "threedface"}
    | {"background", "menu", "infobackground", "appworkspace", "scrollbar", "activecaption", "inactivecaption"}
    | {"threedlightshadow", "threedshadow", "threeddarkshadow", "buttonshadow", "buttonborder", "visitedtext"}
    | {"activeborder", "inactiveborder", "inactivecaptiontext", "windowframe"}
)
_SYMBOL_FONTS = ("wingdings", "webdings", "symbol", "dingbat", "marlett", "mt extra", "bookshelf")
_SIZES = frozenset({"height", "max-height", "width", "max-width"}) | {
    f"{limit}{side}-size" for limit in ("", "max-") for side in ("block", "inline")
}
_TALL = frozenset({"height", "max-height", "block-size", "max-block-size"})


def read_property(name: str, value: Value) -> Effect:
    """The effect of one declaration; ``name`` in lower case and without a browser's prefix."""
    reader = _READERS.get(name) or (_read_offset if name.startswith(_OFFSETS) else None)
    if reader is None:
        return DOUBTS if name in _DOUBTFUL and not _is_still(value) else NO_EFFECT
    if _words(value) == ["inherit"]:
        return NO_EFFECT
    return reader(name, value)


def read_clipping(declared: Mapping[str, Value]) -> Effect:
    """The effect of sizes and overflow together: a box of no height shows nothing of what it holds."""
    tiny = {name for name in _SIZES & declared.keys() if any(_is_tiny(part) for part in declared[name])}
    if not tiny:
        return NO_EFFECT
    overflow = {word for name in declared if name.startswith("overflow") for word in _words(declared[name])}
    if overflow & {"hidden", "clip", "scroll", "auto", "overlay"}:
        return HIDES
    return DOUBTS if any(_is_nothing(part) for name in tiny & _TALL for part in declared[name]) else NO_EFFECT


# -- values -----------------------------------------------------------------------------------------------------------


def _words(value: Value) -> list[str]:
    return [part.lower_value for part in value if isinstance(part, tinycss2.ast.IdentToken)]


def _has_function(value: Value) -> bool:
    """Whether it is worked out from something else: a variable, a sum, an attribute."""
    return any(isinstance(part, tinycss2.ast.FunctionBlock) for part in value)


def _length(part: tinycss2.ast.Node, *, whole: float = PIXELS_OF_A_LINE) -> float | None:
    """Pixels, about; a percentage is of ``whole``; None where it is no length."""
    if isinstance(part, tinycss2.ast.DimensionToken):
        unit = part.lower_unit
        return float(part.value) * _PIXELS.get(unit, _OF_FONT.get(unit, 0.5) * PIXELS_OF_A_LINE)
    if isinstance(part, tinycss2.ast.PercentageToken):
        return float(part.value) / 100 * whole
    return float(part.value) if isinstance(part, tinycss2.ast.NumberToken) else None


def _lengths(value: Value, *, whole: float = PIXELS_OF_A_LINE) -> list[float]:
    return [length for part in value if (length := _length(part, whole=whole)) is not None]


def _is_tiny(part: tinycss2.ast.Node) -> bool:
    length = _length(part, whole=100.0)
    return isinstance(part, tinycss2.ast.FunctionBlock) or (length is not None and length < CLIPPED_PIXELS)


def _is_nothing(part: tinycss2.ast.Node) -> bool:
    length = _length(part, whole=100.0)
    return length is not None and length <= 1.0


def _is_still(value: Value) -> bool:
    parts = [part for part in value if not isinstance(part, tinycss2.ast.LiteralToken)]
    return all(
        part.lower_value in _STILL if isinstance(part, tinycss2.ast.IdentToken) else _length(part) in {0.0, 1.0}
        for part in parts
    )


# -- shown at all -----------------------------------------------------------------------------------------------------


def _read_display(_name: str, value: Value) -> Effect:
    words = {*_words(value)}
    if "none" in words:
        return HIDES
    if words and words <= _BLOCKS:
        return Effect(display="block")
    return Effect(display="inline") if words and words <= _INLINES else DOUBTS


def _read_visibility(_name: str, value: Value) -> Effect:
    return NO_EFFECT if {*_words(value)} & {"visible", *_INHERITING} else HIDES


def _read_mso_hide(_name: str, value: Value) -> Effect:
    return NO_EFFECT if _words(value) == ["none"] else HIDES


def _read_opacity(_name: str, value: Value) -> Effect:
    if {*_words(value)} & _INHERITING:
        return NO_EFFECT
    numbers = [part.value for part in value if isinstance(part, tinycss2.ast.NumberToken)]
    numbers += [part.value / 100 for part in value if isinstance(part, tinycss2.ast.PercentageToken)]
    return Effect(opacity=min(1.0, numbers[0])) if numbers else HIDES


def _read_decoration(name: str, value: Value) -> Effect:
    words = _words(value)
    if "line-through" in words or (name == "text-line-through" and words != ["none"]):
        return STRIKES
    return DOUBTS if _has_function(value) and read_value(value[-1]) is None else NO_EFFECT


def _read_all(_name: str, _value: Value) -> Effect:
    return DOUBTS


def _read_content(_name: str, value: Value) -> Effect:
    strings = [part for part in value if isinstance(part, tinycss2.ast.StringToken)]
    if len(strings) == len(value):
        return DOUBTS if any(string.value.strip(" \n\t\u00a0.") for string in strings) else NO_EFFECT
    return NO_EFFECT if _is_still(value) else DOUBTS


def _read_list(_name: str, value: Value) -> Effect:
    return DOUBTS if any(isinstance(part, tinycss2.ast.StringToken) for part in value) else NO_EFFECT


def _read_spaces(_name: str, value: Value) -> Effect:
    words = _words(value)
    return Effect(keeps_spaces=any(word.startswith(("pre", "break")) for word in words))


# -- sizes ------------------------------------------------------------------------------------------------------------


def _read_size(name: str, value: Value) -> Effect:
    if _has_function(value):
        return DOUBTS
    words = [word for word in _words(value) if word in _NAMED_SIZES or word in {"smaller", "larger"}]
    # `font` has weights before the size, and a line height behind a slash.
    sizes = [part for part in value if _length(part) is not None and not _is_weight(name, part)]
    if words:
        named = _NAMED_SIZES.get(words[0])
        return Effect(pixels=named) if named else Effect(enlarged=0.83 if words[0] == "smaller" else 1.2)
    return _sized(sizes[0]) if sizes else NO_EFFECT


def _sized(part: tinycss2.ast.Node) -> Effect:
    if isinstance(part, tinycss2.ast.PercentageToken):
        return Effect(enlarged=part.value / 100)
    if isinstance(part, tinycss2.ast.DimensionToken) and part.lower_unit in _OF_FONT:
        return Effect(enlarged=part.value * _OF_FONT[part.lower_unit])
    return Effect(pixels=_length(part))


def _is_weight(name: str, part: tinycss2.ast.Node) -> bool:
    return name == "font" and isinstance(part, tinycss2.ast.NumberToken) and part.value != 0


def _read_zoom(_name: str, value: Value) -> Effect:
    if _has_function(value):
        return DOUBTS
    numbers = [part.value for part in value if isinstance(part, tinycss2.ast.NumberToken)]
    numbers += [part.value / 100 for part in value if isinstance(part, tinycss2.ast.PercentageToken)]
    return Effect(enlarged=numbers[0]) if numbers else NO_EFFECT


def _read_scale(_name: str, value: Value) -> Effect:
    return NO_EFFECT if all(_length(part) == 1.0 for part in value) or _words(value) == ["none"] else DOUBTS


def _read_font(name: str, value: Value) -> Effect:
    return _read_family(name, value) | _read_size(name, value)


def _read_family(_name: str, value: Value) -> Effect:
    named = (tinycss2.ast.IdentToken, tinycss2.ast.StringToken)
    said = " ".join(str(part.value) for part in value if isinstance(part, named)).lower()
    has_family = any(word not in _INHERITING for word in said.split())
    return Effect(has_symbols=any(font in said for font in _SYMBOL_FONTS)) if has_family else NO_EFFECT


def _read_line_height(_name: str, value: Value) -> Effect:
    numbers = [part.value for part in value if isinstance(part, tinycss2.ast.NumberToken)]
    lengths = [_length(part) or 0.0 for part in value if isinstance(part, tinycss2.ast.DimensionToken)]
    small = any(number * PIXELS_OF_A_LINE < LEAST_LINE for number in numbers)
    return DOUBTS if small or any(length < LEAST_LINE for length in lengths) else NO_EFFECT


def _read_spacing(_name: str, value: Value) -> Effect:
    if _has_function(value):
        return DOUBTS
    return DOUBTS if any(not LEAST_SPACING <= length <= MOST_SPACING for length in _lengths(value)) else NO_EFFECT


def _read_stroke(_name: str, value: Value) -> Effect:
    return DOUBTS if any(length > WIDEST_STROKE for length in _lengths(value)) else NO_EFFECT


def _read_covering(_name: str, value: Value) -> Effect:
    return DOUBTS if _has_function(value) or any(length < LEAST_SPACING for length in _lengths(value)) else NO_EFFECT


# -- places -----------------------------------------------------------------------------------------------------------


def _read_position(_name: str, value: Value) -> Effect:
    return NO_EFFECT if {*_words(value)} <= {"static", "relative", "sticky", *_INHERITING} else DOUBTS


def _read_float(_name: str, value: Value) -> Effect:
    return NO_EFFECT if {*_words(value)} <= {"none", *_INHERITING} else DOUBTS


def _read_bidi(_name: str, value: Value) -> Effect:
    return DOUBTS if any("override" in word for word in _words(value)) else NO_EFFECT


def _read_offset(name: str, value: Value) -> Effect:
    if any(isinstance(part, tinycss2.ast.FunctionBlock) and read_value(part) is None for part in value):
        return DOUBTS
    vertical = name.endswith(("top", "bottom")) or "block" in name or name == "vertical-align"
    nearest = FARTHEST_ABOVE if vertical else FARTHEST_BEFORE
    lengths = _lengths(value, whole=100 * PIXELS_ACROSS)
    return DOUBTS if any(not nearest <= length <= FARTHEST_BEHIND for length in lengths) else NO_EFFECT


# -- colours ----------------------------------------------------------------------------------------------------------


def _read_colour(_name: str, value: Value) -> Effect:
    shades = [shade for part in value if (shade := read_value(part)) is not None]
    if shades:
        return Effect(foregrounds=(shades[0],))
    # A mixture or a variable may be anything; what browsers don't know they pass over.
    return DOUBTS if _has_function(value) or {*_words(value)} & _PAPER else NO_EFFECT


def _read_background(_name: str, value: Value) -> Effect:
    shades: list[Shade] = [shade for part in value if (shade := read_value(part)) is not None]
    painted = Effect(backgrounds=tuple(shades[:1]))
    others = [part for part in value if read_value(part) is None]
    pictured = _has_function(others) or any(isinstance(part, tinycss2.ast.URLToken) for part in others)
    if pictured or {*_words(others)} & (_INK | _PAPER):
        return painted | DOUBTS
    return painted


_OFFSETS = (
    *("margin", "padding", "inset", "left", "right", "top", "bottom", "text-indent", "vertical-align", "border"),
    "mso-text-raise",
)
_READERS: dict[str, Callable[[str, Value], Effect]] = {
    "display": _read_display,
    "visibility": _read_visibility,
    "mso-hide": _read_mso_hide,
    "opacity": _read_opacity,
    "text-decoration": _read_decoration,
    "text-decoration-line": _read_decoration,
    "text-line-through": _read_decoration,
    "all": _read_all,
    "content": _read_content,
    "list-style": _read_list,
    "list-style-type": _read_list,
    "white-space": _read_spaces,
    "white-space-collapse": _read_spaces,
    "font-size": _read_size,
    "font": _read_font,
    "font-family": _read_family,
    "zoom": _read_zoom,
    "scale": _read_scale,
    "line-height": _read_line_height,
    "letter-spacing": _read_spacing,
    "word-spacing": _read_spacing,
    "text-stroke": _read_stroke,
    "text-stroke-width": _read_stroke,
    "text-underline-offset": _read_covering,
    "outline-offset": _read_covering,
    "position": _read_position,
    "float": _read_float,
    "unicode-bidi": _read_bidi,
    "color": _read_colour,
    "text-fill-color": _read_colour,
    "background": _read_background,
    "background-color": _read_background,
    "background-image": _read_background,
}
