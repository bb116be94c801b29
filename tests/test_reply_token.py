"""A token stands for one question, and for nothing else."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from worker.reply_token import TOKEN_LENGTH, Question, TokenKeys, reply_address, token_hash

OLD, NEW = b"o" * 32, b"n" * 32
QUESTION = Question("/deploy/prod", "A-77", "e-1", "dana@corp.example", datetime(2026, 12, 1, tzinfo=UTC))

questions = st.builds(
    Question,
    st.text(),
    st.text(),
    st.text(),
    st.text(),
    st.none() | st.datetimes(timezones=st.just(UTC)),
)


def test_a_token_fits_an_address() -> None:
    """32 letters and digits of one case, which stand in a sub-address."""
    token = TokenKeys([NEW]).mint(QUESTION)
    assert len(token) == TOKEN_LENGTH
    assert token.isalnum()
    assert token == token.lower()
    assert reply_address("approvals@corp.example", "+", token) == f"approvals+{token}@corp.example"
    assert reply_address("approvals@corp.example", "", token) == "approvals@corp.example"


def test_the_same_question_has_the_same_token() -> None:
    """A mail tried again carries what the first try carried."""
    assert TokenKeys([NEW]).mint(QUESTION) == TokenKeys([NEW, OLD]).mint(QUESTION)


def test_keys_rotate() -> None:
    """The first signs, all verify, and a removed one verifies nothing."""
    token = TokenKeys([OLD]).mint(QUESTION)
    assert TokenKeys([NEW, OLD]).verify(token, QUESTION)
    assert TokenKeys([NEW, OLD]).mint(QUESTION) != token
    assert not TokenKeys([NEW]).verify(token, QUESTION)


def test_letter_case_does_not_matter() -> None:
    """Mail systems fold the case of addresses."""
    token = TokenKeys([NEW]).mint(QUESTION)
    assert TokenKeys([NEW]).verify(token.upper(), QUESTION)
    assert token_hash(token.upper()) == token_hash(token)


@given(questions, questions)
def test_a_token_verifies_its_own_question_only(one: Question, two: Question) -> None:
    """Fields can't be shifted into each other; only the approver's letter case is alike."""
    keys = TokenKeys([NEW])
    alike = (one.source, one.approval_id, one.event_id, one.approver.lower(), one.expires_at) == (
        two.source,
        two.approval_id,
        two.event_id,
        two.approver.lower(),
        two.expires_at,
    )
    assert keys.verify(keys.mint(one), two) is alike


@given(st.text(max_size=40))
def test_no_other_text_is_a_token(text: str) -> None:
    """Whatever a mail holds in its place."""
    keys = TokenKeys([NEW])
    assert keys.verify(text, QUESTION) is (text.lower() == keys.mint(QUESTION))
