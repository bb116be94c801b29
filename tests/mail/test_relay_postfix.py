"""The relay against a real Postfix: its smtpd with CHUNKING, with PIPELINING alone, and with neither."""

import time
from collections import Counter

import pytest
from mail.conftest import Postfix
from mail.envelopes import a_relay, an_envelope

from worker.mail.relay import Envelope, Receipt

PORTS = pytest.mark.parametrize("kind", ["full", "pipelining", "bare"])


def fates(envelopes: list[Envelope], receipts: list[Receipt | None]) -> dict[str, list[int]]:
    """By subject: the codes of the recipients refused."""
    return {
        name(b"".join(envelope.content)): [refusal.code for refusal in receipt.refused.values()]
        for envelope, receipt in zip(envelopes, receipts, strict=True)
        if receipt
    }


def name(mail: bytes) -> str:
    """The subject of a mail, delivered or not."""
    return mail.split(b"Subject: ")[1].split()[0].decode()


@PORTS
@pytest.mark.parametrize("depth", [1, 8])
def test_each_mail_has_its_own_fate(postfix: Postfix, kind: str, depth: int) -> None:
    """Among refused senders, recipients, contents and sizes the good mails arrive once, with nobody else's parts."""
    mails = {
        "good1": an_envelope("good1"),
        "norcpt": an_envelope("norcpt", "nobody@corp.example"),
        "good2": an_envelope("good2"),
        "some": an_envelope("some", "a@corp.example", "nobody@corp.example", "later@corp.example"),
        "refused": an_envelope("refused"),
        "good3": an_envelope("good3"),
        "nosender": an_envelope("nosender", sender="bad@corp.example"),
        "good4": an_envelope("good4", sender="other@corp.example"),
        "huge": an_envelope("huge", size=4_000_000),
        "large": an_envelope("large", size=2_000_000),
        "largenorcpt": an_envelope("largenorcpt", "nobody@corp.example", size=2_000_000),
        "dots": an_envelope("dots", body=b".\r\n..\r\n.x\r\n"),
    }
    with a_relay(postfix.ports[kind], depth=depth) as relay:
        sent = relay.send_many(list(mails.values()))
    assert sent.outage is None
    assert fates(list(mails.values()), sent.receipts) == {each: [] for each in mails} | {
        "norcpt": [554],
        "some": [554, 450],
        "refused": [550],
        "nosender": [554],
        "huge": [552],
        "largenorcpt": [554],
    }
    delivered = postfix.delivered(7)
    assert Counter(map(name, delivered)) == Counter(["good1", "good2", "some", "good3", "good4", "large", "dots"])
    assert all(b"Return-Path: <other@" in mail for mail in delivered if name(mail) == "good4")
    assert all(mail.endswith(b"\n.\n..\n.x\n") for mail in delivered if name(mail) == "dots")


@PORTS
def test_hundreds_arrive_once(postfix: Postfix, kind: str) -> None:
    """Over two sessions with a deep pipeline every mail is delivered, none twice."""
    envelopes = [an_envelope(f"m{number}", size=3000) for number in range(200)]
    with a_relay(postfix.ports[kind], connections=2, depth=32) as relay:
        sent = relay.send_many(envelopes)
    assert sent.outage is None
    assert all(receipt and receipt.taken for receipt in sent.receipts)
    assert Counter(map(name, postfix.delivered(200))) == Counter(f"m{number}" for number in range(200))


def test_a_full_disk_is_an_outage(postfix: Postfix) -> None:
    """452 4.3.1 refuses nobody; what was taken beside it is kept."""
    with a_relay(postfix.ports["full"], depth=1) as relay:
        sent = relay.send_many([an_envelope("one", "full@corp.example"), an_envelope("two")])
    assert sent.receipts == [None, None]
    assert "452 4.3.1" in str(sent.outage)


def test_no_delayed_acknowledgement_holds_a_mail(postfix: Postfix) -> None:
    """One mail at a time costs no 40 ms of waiting for an acknowledgement."""
    with a_relay(postfix.ports["full"], depth=1) as relay:
        relay.send_many([an_envelope("first")])
        begun = time.monotonic()
        relay.send_many([an_envelope(f"m{number}", size=8000) for number in range(50)])
        assert (time.monotonic() - begun) / 50 < 0.03
    postfix.delivered(51)


def test_a_session_ended_by_a_reload_is_replaced(postfix: Postfix) -> None:
    """A session that Postfix has ended (``postfix reload``) is replaced without a word."""
    with a_relay(postfix.ports["full"]) as relay:
        assert relay.send_many([an_envelope("one")]).outage is None
        postfix._postfix("reload")
        time.sleep(0.5)
        assert relay.send_many([an_envelope("two")]).outage is None
        assert relay.probe("deploy@corp.example") is None
    assert Counter(map(name, postfix.delivered(2))) == Counter(["one", "two"])
