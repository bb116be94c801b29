"""How text looks in an element: what its own declarations do (an ``Effect``), on the ``Look`` that it inherits.

Only what hides matters. What might hide and can't be followed to its end (a transform, a position) leaves a doubt; a
doubt never approves.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from worker.reply_poller.colour import BLACK, WHITE, Colour, Shade, blend, contrast

SMALLEST_PIXELS = 4.5
FAINTEST = 0.2
LEAST_CONTRAST = 1.4
MOST_COLOURS = 8

Display = Literal["block", "inline"]


@dataclass(frozen=True, slots=True)
class Look:
    """How text looks where an element stands; inherited by what it holds.

    More than one colour or background: which of them counts depends on rules that are not followed to their end.
    """

    is_hidden: bool = False
    is_struck: bool = False
    in_doubt: bool = False
    keeps_spaces: bool = False
    foregrounds: tuple[Shade, ...] = ((*BLACK, 1.0),)
    backgrounds: tuple[Colour, ...] = (WHITE,)
    pixels: float = 16.0
    opacity: float = 1.0
    has_symbols: bool = False

    @property
    def is_seen(self) -> bool:
        """Whether a person sees text that looks like this, and it is not struck out."""
        faded = self.opacity < FAINTEST or self.pixels < SMALLEST_PIXELS
        return not (self.is_hidden or self.is_struck or faded or max(self._contrasts) < LEAST_CONTRAST)

    @property
    def is_certain(self) -> bool:
        """Whether a person sees it for sure."""
        many = len(self.foregrounds) > MOST_COLOURS or len(self.backgrounds) > MOST_COLOURS
        return self.is_seen and not (self.in_doubt or many or min(self._contrasts) < LEAST_CONTRAST)

    @property
    def _contrasts(self) -> tuple[float, ...]:
        return _contrasts(self.foregrounds[:MOST_COLOURS], self.backgrounds[:MOST_COLOURS], self.opacity)


@lru_cache(maxsize=512)
def _contrasts(inks: tuple[Shade, ...], papers: tuple[Colour, ...], opacity: float) -> tuple[float, ...]:
    pairs = [((*ink[:3], ink[3] * opacity), paper) for ink in inks for paper in papers]
    return tuple(contrast(blend(ink, paper), paper) for ink, paper in pairs)


@dataclass(frozen=True, slots=True)
class Effect:
    """What one element's own declarations do. ``pixels`` is a font size, ``enlarged`` a factor to the inherited one."""

    is_hidden: bool = False
    is_struck: bool = False
    in_doubt: bool = False
    keeps_spaces: bool | None = None
    foregrounds: tuple[Shade, ...] = ()
    backgrounds: tuple[Shade, ...] = ()
    pixels: float | None = None
    enlarged: float = 1.0
    opacity: float = 1.0
    has_symbols: bool | None = None
    display: Display | None = None

    def __or__(self, other: "Effect") -> "Effect":
        """Both on one element, the other written later; where that does not settle it, the one that hides more."""
        if self is NO_EFFECT:
            return other
        if other is NO_EFFECT:
            return self
        sizes = [pixels for pixels in (self.pixels, other.pixels) if pixels is not None]
        return Effect(
            is_hidden=self.is_hidden or other.is_hidden,
            is_struck=self.is_struck or other.is_struck,
            in_doubt=self.in_doubt or other.in_doubt,
            keeps_spaces=self.keeps_spaces if other.keeps_spaces is None else other.keeps_spaces,
            foregrounds=_merged(self.foregrounds, other.foregrounds),
            backgrounds=_merged(self.backgrounds, other.backgrounds),
            pixels=min(sizes, default=None),
            enlarged=min(self.enlarged, other.enlarged),
            opacity=min(self.opacity, other.opacity),
            has_symbols=self.has_symbols or other.has_symbols if other.has_symbols is not None else self.has_symbols,
            display=other.display or self.display,
        )

    def on(self, look: Look) -> Look:
        """How text looks inside, given how it looks outside."""
        if self is NO_EFFECT:
            return look
        return Look(
            is_hidden=self.is_hidden or look.is_hidden,
            is_struck=self.is_struck or look.is_struck,
            in_doubt=self.in_doubt or look.in_doubt,
            keeps_spaces=look.keeps_spaces if self.keeps_spaces is None else self.keeps_spaces,
            foregrounds=self.foregrounds or look.foregrounds,
            backgrounds=self._painted(look.backgrounds),
            pixels=(look.pixels if self.pixels is None else self.pixels) * self.enlarged,
            opacity=self.opacity * look.opacity,
            has_symbols=look.has_symbols if self.has_symbols is None else self.has_symbols,
        )

    def _painted(self, under: tuple[Colour, ...]) -> tuple[Colour, ...]:
        if not self.backgrounds:
            return under
        blended = {blend(shade, paper): None for shade in self.backgrounds for paper in under[:MOST_COLOURS]}
        return tuple(blended)[: MOST_COLOURS + 1]


NO_EFFECT = Effect()
HIDES = Effect(is_hidden=True)
STRIKES = Effect(is_struck=True)
DOUBTS = Effect(in_doubt=True)

_PAPERS: dict[bool, Look] = {
    False: Look(),
    True: Look(foregrounds=((0.9, 0.9, 0.9, 1.0),), backgrounds=((0.07, 0.07, 0.07),)),
}


def _merged(first: tuple[Shade, ...], second: tuple[Shade, ...]) -> tuple[Shade, ...]:
    return tuple(dict.fromkeys((*first, *second)))[: MOST_COLOURS + 1] if first and second else second or first


def suspect(effect: Effect, *, in_the_dark: bool = False) -> Effect:
    """A doubt where the effect would conceal text, nothing where it would not: for rules that may or may not apply.

    ``in_the_dark``: the rule is for screens whose text is light already.
    """
    look = effect.on(_PAPERS[in_the_dark])
    safe = look.is_certain and not look.has_symbols and effect.display != "inline"
    return NO_EFFECT if safe else DOUBTS
