"""Lines between quotes to typed ones and small print: what is dropped, what is set aside, what stays."""

import pytest

from worker.reply_poller.footer import is_disclaimer, may_be_phone_signature, without_footer
from worker.reply_poller.phrases import PHRASES

NOTICE = "This e-mail is confidential and intended solely for the addressee."


def split(text: str, sender: str = "Dana Ito") -> tuple[str, str]:
    """Typed text, and what was set aside."""
    typed, aside = without_footer(text.split("\n"), sender)
    return "\n".join(typed).strip(), "\n".join(aside)


@pytest.mark.parametrize(
    "footer",
    [
        "--\nDana\nHead of rejections",
        NOTICE,
        f"{NOTICE}\nIf you received it in error, delete it.",
        "Sent from my iPhone",
        "Sent from Outlook for Android<https://aka.ms/AAb9ysg>",
        "Get Outlook for iOS<https://aka.ms/o0ukef>",
        "Sent with [Proton Mail](https://proton.me/mail/home) secure email.",
        "Sent via Superhuman ( https://sprh.mn/?vip=dana@corp.example )",
        "Von meinem/meiner Galaxy gesendet",
        "Gesendet mit der GMX Mail App",
        "Отправлено из мобильной Почты Mail.ru",
        "发自我的手机",
        "Virus-free. www.avast.com",
        "This email has been checked for viruses by Avast antivirus software.\nwww.avast.com",
        "P Please consider the environment before printing this email.",
    ],
)
def test_dropped(footer: str) -> None:
    """What a program certainly wrote is gone."""
    assert split(f"Approve\n\n{footer}") == ("Approve", "")


@pytest.mark.parametrize(
    ("footer", "aside"),
    [
        ("_____________\nplatform mailing list", "platform mailing list"),
        ("_____\nops list\nTo unsubscribe send an email to ops-leave@lists.corp.example", "ops list"),
        (
            "####\nTo unsubscribe from the OPS list, click the following link:\nhttps://lists.corp.example/wa.exe?A=1",
            "",
        ),
        ("_____\nTo unsubscribe from the OPS list, wait", "To unsubscribe from the OPS list, wait"),
        ("\u2014\nDana", "Dana"),
        ("Sent from my iPhone while travelling", "Sent from my iPhone while travelling"),
        ("Best regards,\nDana Ito\nHead of Ops\n+49 30 1234", "Best regards,\nDana Ito\nHead of Ops\n+49 30 1234"),
        ("Mit freundlichen Grüßen\n\nDana", "Mit freundlichen Grüßen\nDana"),
        ("Dana Ito | Ops\nDana Ito\nCorp", "Dana Ito\nCorp"),
        ("Dana", "Dana"),
        ("#####\nSee https://lists.corp.example/wa.exe?A=1", "See"),
    ],
)
def test_aside(footer: str, aside: str) -> None:
    """What a program or a signature probably is stays to be looked at; a list's links say nothing."""
    typed, other = split(f"Approve\n\n{footer}")
    assert typed in {"Approve", "Approve\n\nDana Ito | Ops"}
    assert other == aside


@pytest.mark.parametrize(
    "text",
    [
        "only for iOS",
        "iOS",
        "no Android",
        "Thanks, go on",
        "Thanks\nnot yet",
        "Dana Ito must see it",
        "This e-mail is confidential",
        "the test environment before printing",
        "Sent back to Bo",
        f"Only then.  {NOTICE}",
    ],
)
def test_typed(text: str) -> None:
    """What a person may have meant stays typed."""
    assert split(f"Approve\n\n{text}") == (f"Approve\n\n{text}", "")


def test_a_name_alone() -> None:
    """Where From has no name, none is looked for; a mail that begins with it has it typed."""
    assert split("Approve\n\nDana Ito", "") == ("Approve\n\nDana Ito", "")
    assert split("Dana Ito\nApprove") == ("Dana Ito\nApprove", "")


def test_a_long_signature_is_none() -> None:
    """A line too long for a signature, below a name, is typed."""
    text = f"Approve\n\nDana Ito\n{'word ' * 30}"
    assert split(text) == (text.strip(), "")


def test_a_disclaimer_begins_as_one() -> None:
    """Words of a disclaimer behind somebody's own make none of these."""
    assert is_disclaimer(NOTICE)
    assert not is_disclaimer(f"Only after noon. {NOTICE}")
    assert not is_disclaimer("This e-mail is confidential, so wait until I have called you all about it.")


def test_phone_signatures_use_their_words_alone() -> None:
    """A product and a word that sends, and no other words."""
    assert PHRASES.is_phone_signature("Sent from my Samsung Galaxy smartphone.")
    assert not PHRASES.is_phone_signature("Sent from my iPhone, wait")
    assert not PHRASES.is_phone_signature("Android")
    assert not PHRASES.is_phone_signature("for Android")
    assert may_be_phone_signature("Sent from my iPhone, wait")
