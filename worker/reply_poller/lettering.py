"""The letters of a text to whether they are what they seem: no look-alikes, nothing invisible, no unknown script."""

import re
from functools import lru_cache
from unicodedata import category

# First and last code point of the letters that we have words of, by script.
_SCRIPTS = {
    "latin": (
        *((0x41, 0x17F), (0x1A0, 0x1A1), (0x1AF, 0x1B0), (0x1CD, 0x1DC), (0x1E6, 0x1F5), (0x1F8, 0x21B)),
        *((0x226, 0x233), (0x1E00, 0x1EFF), (0xFF21, 0xFF5A)),
    ),
    "greek": ((0x386, 0x3CE), (0x1F00, 0x1FFF)),
    "cyrillic": ((0x400, 0x45F), (0x48A, 0x4FF)),
    "hebrew": ((0x5D0, 0x5F2),),
    "arabic": ((0x620, 0x6D5), (0x6EE, 0x6FF)),
    "thai": ((0xE01, 0xE5B),),
    "devanagari": ((0x900, 0x97F),),
    "asian": (
        *((0x3005, 0x3007), (0x3031, 0x3035), (0x3041, 0x3096), (0x309B, 0x30FF), (0x3400, 0x4DBF)),
        *((0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFF66, 0xFF9D), (0x20000, 0x323AF)),
    ),
}
_MIXABLE = frozenset({"asian", "thai"})
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\ufffd")
_SELECTORS = frozenset("\ufe0e\ufe0f")
# The blocks of pictures, and those in them that take nothing back: thumbs up, smiles, ticks, bullets, telephones.
_PICTURE = re.compile("[\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]")
_HARMLESS = frozenset(
    "\u2605\u2606\u260e\u260f\u2611\u263a\u263b\u2665\u267b\u2672\u2693\u2699\u26a1\u2702\u2706\u2708\u2709\u270c"
    "\u2713\u2714\u2728\u2705\u2733\u2726\u2731\u2736\u2741\u2743\u2744\u2751\u2752\u2756\u2764\u2794\u2799\u279c"
    "\u279e\u27a1\u27a2\u27a4\u2b05\u2b06\u2b07\u2b50\u231a\u2328\u2302\u2b1b\u25a0\U0001f195\U0001f197\U0001f199"
    "\U0001f31f\U0001f320\U0001f308\U0001f30d\U0001f30e\U0001f30f\U0001f310\U0001f331\U0001f332\U0001f333\U0001f334"
    "\U0001f33f\U0001f340\U0001f343\U0001f37a\U0001f37b\U0001f37e\U0001f381\U0001f382\U0001f384\U0001f386\U0001f387"
    "\U0001f388\U0001f389\U0001f38a\U0001f3af\U0001f3c1\U0001f3c6\U0001f3e0\U0001f3e2\U0001f3fb\U0001f3fc\U0001f3fd"
    "\U0001f3fe\U0001f3ff\U0001f442\U0001f44b\U0001f44c\U0001f44d\U0001f44f\U0001f464\U0001f465\U0001f468\U0001f469"
    "\U0001f48c\U0001f499\U0001f49a\U0001f49b\U0001f49c\U0001f4a1\U0001f4aa\U0001f4af\U0001f4bb\U0001f4bc\U0001f4c5"
    "\U0001f4c6\U0001f4c8\U0001f4cb\U0001f4cc\U0001f4cd\U0001f4ce\U0001f4dd\U0001f4de\U0001f4df\U0001f4e0\U0001f4e2"
    "\U0001f4e3\U0001f4e6\U0001f4e7\U0001f4e8\U0001f4e9\U0001f4ea\U0001f4eb\U0001f4ec\U0001f4ed\U0001f4ee\U0001f4f1"
    "\U0001f4f2\U0001f4f6\U0001f511\U0001f512\U0001f517\U0001f525\U0001f528\U0001f527\U0001f5a5\U0001f5a8\U0001f5d3"
    "\U0001f600\U0001f601\U0001f602\U0001f603\U0001f604\U0001f605\U0001f606\U0001f607\U0001f609\U0001f60a\U0001f60b"
    "\U0001f60d\U0001f60e\U0001f618\U0001f642\U0001f64b\U0001f64c\U0001f64f\U0001f680\U0001f6e0\U0001f7e2\U0001f7e9"
    "\U0001f91d\U0001f917\U0001f918\U0001f919\U0001f929\U0001f942\U0001f947\U0001f970\U0001f973\U0001f9ea\U0001f9e9"
    "\U0001fae1\U0001faf6\U0001f596\U0001f90d\U0001f9e1"
)
_WORD = re.compile(r"[^\W\d_]+")


def is_odd(text: str) -> bool:
    """Whether something in the text is invisible, a picture that may mean no, or a letter that may pass for another."""
    if text.isascii() and text.isprintable():
        return False
    return _has_odd_character(text) or any(_is_odd_word(word) for word in _WORD.findall(text))


def with_plain_letters(text: str) -> str:
    """The text, in lower case, with a Turkish i for what it looks like."""
    return text.replace("\u0131", "i")


def _has_odd_character(text: str) -> bool:
    before = ""
    for character in text:
        kind = _kind(character)
        if kind == "odd" or (kind == "selector" and before != "picture"):
            return True
        before = "picture" if kind == "selector" else kind
    return False


@lru_cache(maxsize=4096)
def _kind(character: str) -> str:
    if character in _SELECTORS:
        return "selector"
    if character in _FILLERS or category(character) in {"Cf", "Co", "Cs", "Cn"}:
        return "odd"
    if category(character) == "Cc":
        return "other" if character in "\n\t" else "odd"
    if _PICTURE.match(character):
        return "picture" if character in _HARMLESS else "odd"
    return "picture" if category(character) in {"So", "Sm", "Po"} else "other"


def _is_odd_word(word: str) -> bool:
    scripts = {_script(letter) for letter in word if not category(letter).startswith("M")}
    return "unknown" in scripts or len(scripts - _MIXABLE) > 1


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    point = ord(letter)
    for script, ranges in _SCRIPTS.items():
        if any(first <= point <= last for first, last in ranges):
            return script
    return "unknown"
