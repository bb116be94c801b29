"""Patterns match as the specification says."""

from hypothesis import given
from hypothesis import strategies as st

from worker.demo.exchanges import topic_matches

WORDS = st.sampled_from(["", "a", "b", "request", "*", "#"])
TOPICS = st.lists(WORDS, max_size=6).map(".".join)


def _reference(pattern: list[str], words: list[str]) -> bool:
    match pattern:
        case []:
            return not words
        case ["#", *rest]:
            return any(_reference(rest, words[start:]) for start in range(len(words) + 1))
        case [part, *rest]:
            return bool(words) and part in {"*", words[0]} and _reference(rest, words[1:])
    raise AssertionError(pattern)


@given(TOPICS, TOPICS)
def test_a_topic_matches_as_its_definition_says(pattern: str, routing_key: str) -> None:
    """``*`` is exactly one word, ``#`` any number of them, everything else is itself."""
    split = [text.split(".") if text else [] for text in (pattern, routing_key)]
    assert topic_matches(pattern, routing_key) is _reference(*split)


def test_no_pattern_is_slow() -> None:
    """Many ``#`` before something that does not match cost no more than their number."""
    assert not topic_matches("#." * 100 + "b", ".".join("a" * 100))
