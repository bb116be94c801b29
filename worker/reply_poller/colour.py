"""A colour, as CSS or old HTML writes it, to red, green, blue and opacity; and how well two can be told apart."""

import re
from functools import lru_cache

import tinycss2
import tinycss2.ast
import tinycss2.color3
import tinycss2.color4

Colour = tuple[float, float, float]
Shade = tuple[float, float, float, float]
"""Red, green, blue and opacity, each from 0 to 1."""

WHITE: Colour = (1.0, 1.0, 1.0)
BLACK: Colour = (0.0, 0.0, 0.0)
LONGEST_NAME = 128

_SHORT = re.compile(r"#[0-9a-f]{3}")
_NO_HEX = re.compile("[^0-9a-f]")


def read_value(value: str | tinycss2.ast.Node) -> Shade | None:
    """The colour of a CSS value; None where it is none, or one that depends on the screen."""
    old = tinycss2.color3.parse_color(value)
    if old is not None:
        return None if old == "currentColor" else (float(old.red), float(old.green), float(old.blue), float(old.alpha))
    new = tinycss2.color4.parse_color(value)
    if new is None or new == "currentcolor" or new.space != "srgb":
        return None
    red, green, blue = new.coordinates
    return (float(red), float(green), float(blue), float(new.alpha))


@lru_cache(maxsize=512)
def read_attribute(text: str) -> Shade | None:
    """The colour of an attribute such as ``bgcolor``: anything but nothing is one (HTML, legacy colour value)."""
    name = text.strip().lower()[:LONGEST_NAME]
    if name in {"", "transparent"}:
        return None
    if not name.startswith("#") and (named := tinycss2.color3.parse_color(name)) not in {None, "currentColor"}:
        return (float(named.red), float(named.green), float(named.blue), 1.0)
    if _SHORT.fullmatch(name):
        name = "".join(digit * 2 for digit in name[1:])
    return (*_components(_NO_HEX.sub("0", name.removeprefix("#"))), 1.0)


def _components(digits: str) -> Colour:
    digits += "0" * (-len(digits) % 3 or (3 if not digits else 0))
    third = len(digits) // 3
    parts = [digits[start : start + third][-8:] for start in (0, third, 2 * third)]
    while len(parts[0]) > 2 and all(part.startswith("0") for part in parts):  # noqa: PLR2004 - two hex digits
        parts = [part[1:] for part in parts]
    red, green, blue = (int(part[:2], 16) / 255 for part in parts)
    return red, green, blue


def blend(shade: Shade, under: Colour) -> Colour:
    """What is seen of a shade that lies on a colour."""
    opacity = min(max(shade[3], 0.0), 1.0)
    red, green, blue = (over * opacity + below * (1 - opacity) for over, below in zip(shade[:3], under, strict=True))
    return red, green, blue


def contrast(one: Colour, other: Colour) -> float:
    """As WCAG 2 defines it: 1 is none, 21 is black on white."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@lru_cache(maxsize=512)
def _luminance(colour: Colour) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)  # noqa: PLR2004 - the constants of sRGB
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
