"""The relay against a scripted server: what is sent, and what is reported of each mail."""

import time
from collections.abc import Iterator

import pytest
from mail.envelopes import Octets, a_relay, an_envelope, some
from mail.scripted import ALL, BARE, NO_CHUNKING, Play, Scripted, at

from worker.mail.relay import Envelope, Receipt, Refusal

EVERY_KIND = pytest.mark.parametrize("offers", [ALL, NO_CHUNKING, BARE], ids=["chunking", "pipelining", "bare"])


@EVERY_KIND
def test_every_mail_arrives_as_it_is(offers: tuple[str, ...]) -> None:
    """Content, sender and recipients of each mail are the server's, and each is reported taken."""
    envelopes = [an_envelope(f"m{number}", f"a{number}@x.example", "b@x.example", size=3000) for number in range(20)]
    with Scripted(offers=offers) as server, a_relay(server.port) as relay:
        sent = relay.send_many(envelopes)
    assert sent.outage is None
    assert sent.receipts == [Receipt(envelope.recipients, {}) for envelope in envelopes]
    assert [mail.content for mail in server.transactions] == [b"".join(each.content) for each in envelopes]
    assert [tuple(mail.recipients) for mail in server.transactions] == [each.recipients for each in envelopes]
    assert {mail.sender for mail in server.transactions} == {"deploy@corp.example"}
    assert server.connections == 1


@EVERY_KIND
def test_the_empty_sender_is_sent_as_such(offers: tuple[str, ...]) -> None:
    """An answer leaves with MAIL FROM:<> (RFC 3834), alone or between mails with a sender; a probe may name it, too."""
    envelopes = [an_envelope("one"), an_envelope("two", sender=""), an_envelope("three")]
    with Scripted(offers=offers) as server, a_relay(server.port) as relay:
        assert relay.probe("") is None
        sent = relay.send_many(envelopes)
    assert sent.outage is None
    assert [mail.sender for mail in server.transactions] == ["deploy@corp.example", "", "deploy@corp.example"]


@EVERY_KIND
def test_a_large_mail_is_streamed(offers: tuple[str, ...]) -> None:
    """A mail over the size that is joined in memory arrives octet by octet, whatever its chunks are."""
    envelopes = [an_envelope("before"), an_envelope("large", size=3_000_000, chunk=70_001), an_envelope("after")]
    with Scripted(offers=offers) as server, a_relay(server.port) as relay:
        sent = relay.send_many(envelopes)
    assert [receipt and receipt.taken for receipt in sent.receipts] == [each.recipients for each in envelopes]
    assert [mail.content for mail in server.transactions] == [b"".join(each.content) for each in envelopes]


class Pieces(Octets):
    """Content cut in front of each dot."""

    def __iter__(self) -> Iterator[bytes]:
        """The octets; each chunk but the first begins with a dot."""
        first, *others = self.octets.split(b".")
        return iter([first, *(b"." + other for other in others)])


@pytest.mark.parametrize("size", [0, 1_200_000])
@pytest.mark.parametrize("kind", [Octets, Pieces])
@pytest.mark.parametrize("offers", [NO_CHUNKING, BARE], ids=["pipelining", "bare"])
def test_a_line_that_begins_with_a_dot_survives(offers: tuple[str, ...], kind: type[Octets], size: int) -> None:
    """Behind DATA a dot at the start of a line is doubled, also where a chunk begins with it."""
    octets = b"Subject: dots\r\n\r\n.\r\n..x\r\n.y\r\nz.\r\n.\r\n" + b"0123456\r\n" * (size // 9)
    envelope = Envelope("deploy@corp.example", ("a@x.example",), kind(octets))
    with Scripted(offers=offers) as server, a_relay(server.port) as relay:
        assert relay.send_many([envelope]).outage is None
    assert server.transactions[0].content == octets


@EVERY_KIND
def test_a_refused_recipient_is_refused_alone(offers: tuple[str, ...]) -> None:
    """Where some recipients are taken and others refused, each has its own fate and its own words."""
    plays = {"b@": Play(b"550-5.1.1 no such\r\n550 5.1.1 user\r\n"), "c@": Play(b"450 4.2.0 greylisted\r\n")}
    envelopes = [an_envelope("one", "a@x.example", "b@x.example", "c@x.example"), an_envelope("two")]

    def choose(verb: str, line: str) -> Play:
        return next((play for start, play in plays.items() if verb == "RCPT" and start in line), Play())

    with Scripted(choose, offers) as server, a_relay(server.port) as relay:
        sent = relay.send_many(envelopes)
    first, second = sent.receipts
    assert first == Receipt(
        ("a@x.example",),
        {"b@x.example": Refusal(550, "5.1.1 no such user"), "c@x.example": Refusal(450, "4.2.0 greylisted")},
    )
    assert first is not None
    assert [refusal.permanent for refusal in first.refused.values()] == [True, False]
    assert second == Receipt(("two@corp.example",), {})
    assert sent.outage is None


@EVERY_KIND
@pytest.mark.parametrize("code", [b"450", b"550"])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "content"])
def test_a_refusal_at_any_command_is_of_that_mail_alone(offers: tuple[str, ...], verb: str, code: bytes) -> None:
    """4yz and 5yz at each command refuse that mail with that code, and the mails around it are taken."""
    content = "BDAT" if offers == ALL else "."
    verb = content if verb == "content" else verb
    if verb == "DATA" and offers == ALL:
        pytest.skip("with CHUNKING there is no DATA")
    choose = at(verb, Play(code + b" 5.6.0 no\r\n"), after=1)
    with Scripted(choose, offers) as server, a_relay(server.port) as relay:
        sent = relay.send_many(some(4))
    refused = Receipt((), {"m1@corp.example": Refusal(int(code), "5.6.0 no")})
    assert [sent.receipts[number] for number in (0, 2, 3)] == [
        Receipt((f"m{number}@corp.example",), {}) for number in (0, 2, 3)
    ]
    assert sent.receipts[1] == refused
    assert sent.outage is None
    assert (server.taken(), server.connections) == (["m0", "m2", "m3"], 1)


@EVERY_KIND
def test_nothing_of_a_failed_mail_is_left_for_the_next(offers: tuple[str, ...]) -> None:
    """Behind a failure the transaction is reset before the next mail, whose sender and recipients are its own."""
    envelopes = [an_envelope(f"m{n}", "a@x.example", f"b{n}@x.example", sender=f"s{n}@corp.example") for n in range(6)]
    choose = at("RCPT", Play(b"550 5.1.1 no\r\n"), containing="b", times=3)
    with Scripted(choose, offers) as server, a_relay(server.port) as relay:
        relay.send_many(envelopes)
    for number, mail in enumerate(server.transactions):
        assert mail.sender == f"s{number}@corp.example"
        assert mail.recipients == ["a@x.example"] + ([f"b{number}@x.example"] if number > 2 else [])


def test_the_commands_of_several_mails_go_out_together() -> None:
    """With CHUNKING nothing is waited for: mails behind one that is answered late are there already."""
    seen: list[int] = []

    def choose(verb: str, _line: str) -> Play:
        seen.append(len(server.commands))
        return Play(delay=0.2) if verb == "MAIL" and len(seen) < 5 else Play()

    with Scripted(choose) as server, a_relay(server.port, depth=8) as relay:
        begun = time.monotonic()
        relay.send_many(some(8))
    assert time.monotonic() - begun < 0.5
    assert server.commands[1:9] == [
        "MAIL FROM:<deploy@corp.example> SIZE=23",
        "RCPT TO:<m0@corp.example>",
        "BDAT 23 LAST",
        "RSET",
        "MAIL FROM:<deploy@corp.example> SIZE=23",
        "RCPT TO:<m1@corp.example>",
        "BDAT 23 LAST",
        "RSET",
    ]


def test_invited_though_every_recipient_was_refused() -> None:
    """RFC 2920: a 354 behind refused recipients is answered with a lone dot, and nobody gets the mail."""
    choose = at("RCPT", Play(b"550 5.1.1 no\r\n"))
    with Scripted(choose, NO_CHUNKING) as server, a_relay(server.port) as relay:
        sent = relay.send_many(some(2))
    assert sent.receipts == [
        Receipt((), {"m0@corp.example": Refusal(550, "5.1.1 no")}),
        Receipt(("m1@corp.example",), {}),
    ]
    assert server.taken() == ["m1"]


@pytest.mark.parametrize("offers", [ALL, NO_CHUNKING], ids=["chunking", "pipelining"])
@pytest.mark.parametrize("reply", [b"552 5.3.4 too big\r\n", b"421 4.3.2 down\r\n"])
def test_an_answer_in_the_middle_of_a_large_mail_is_heard(offers: tuple[str, ...], reply: bytes) -> None:
    """A server that answers before it has read all is not written to any more."""
    verb = "BDAT" if offers == ALL else "."
    large = an_envelope("large", size=40_000_000)
    with Scripted(at(verb, Play(reply, early=True)), offers) as server, a_relay(server.port) as relay:
        sent = relay.send_many([large, an_envelope("small")])
    if reply.startswith(b"552"):
        assert sent.outage is None
        assert sent.receipts[0] == Receipt((), {"large@corp.example": Refusal(552, "5.3.4 too big")})
        assert server.taken() == ["small"]
    else:
        assert sent.receipts == [None, None]


class Failing(Octets):
    """Content whose file fails, or ends early, behind some octets."""

    def __iter__(self) -> Iterator[bytes]:
        """Half of it."""
        yield self.octets[: len(self.octets) // 2]
        if self.smtputf8:
            raise OSError("the disk is gone")


@EVERY_KIND
@pytest.mark.parametrize("size", [100, 2_000_000])
@pytest.mark.parametrize("breaks", [False, True])
def test_content_that_cannot_be_read_fails_alone(offers: tuple[str, ...], size: int, *, breaks: bool) -> None:
    """A mail whose content fails or has another length is for now; nothing of it is taken, the others are."""
    offers = (*offers, "SMTPUTF8")
    broken = Envelope("deploy@corp.example", ("x@corp.example",), Failing(b"y" * size, smtputf8=breaks))
    with Scripted(offers=offers) as server, a_relay(server.port) as relay:
        sent = relay.send_many([an_envelope("one"), broken, an_envelope("two")])
    assert sent.outage is None
    assert sent.receipts[1] is not None
    refusal = sent.receipts[1].refused["x@corp.example"]
    assert (refusal.code, refusal.permanent) == (451, False)
    assert server.taken() == ["one", "two"]


def test_a_mail_over_the_announced_size_is_refused_here() -> None:
    """SIZE: 552 5.3.4 without a word to the server; with a fitting size the command declares it."""
    with Scripted(offers=("SIZE 1000",)) as server, a_relay(server.port) as relay:
        sent = relay.send_many([an_envelope("large", size=2000), an_envelope("small")])
    assert sent.receipts[0] is not None
    refusal = sent.receipts[0].refused["large@corp.example"]
    assert (refusal.code, refusal.text[:5], refusal.permanent) == (552, "5.3.4", True)
    assert "MAIL FROM:<deploy@corp.example> SIZE=26" in server.commands
    assert not any("large" in command for command in server.commands)


def test_without_a_limit_nothing_is_refused_here() -> None:
    """RFC 1870: SIZE alone, or SIZE 0, announces no limit."""
    for offer in ("SIZE", "SIZE 0"):
        with Scripted(offers=(offer,)) as server, a_relay(server.port) as relay:
            assert relay.send_many([an_envelope("large", size=20_000)]).receipts[0] == Receipt(("large@corp.example",))


def test_utf8_is_declared_where_it_is_needed() -> None:
    """SMTPUTF8 and 8BITMIME stand behind MAIL for content or addresses in UTF-8, and only there."""
    envelopes = [an_envelope("a"), an_envelope("b", smtputf8=True), an_envelope("c", "jürgen@corp.example")]
    with Scripted() as server, a_relay(server.port) as relay:
        relay.send_many(envelopes)
    assert [line for line in server.commands if line.startswith("MAIL")] == [
        "MAIL FROM:<deploy@corp.example> SIZE=22",
        "MAIL FROM:<deploy@corp.example> SIZE=22 BODY=8BITMIME SMTPUTF8",
        "MAIL FROM:<deploy@corp.example> SIZE=22 BODY=8BITMIME SMTPUTF8",
    ]
    assert server.transactions[2].recipients == ["jürgen@corp.example"]


def test_utf8_that_the_server_does_not_take_is_refused_here() -> None:
    """553 5.6.7: for the whole mail where its content needs it, else for the recipients that do."""
    envelopes = [an_envelope("b", smtputf8=True), an_envelope("c", "jürgen@corp.example", "dana@corp.example")]
    with Scripted(offers=BARE) as server, a_relay(server.port) as relay:
        sent = relay.send_many(envelopes)
    first, second = sent.receipts
    assert first is not None
    assert second is not None
    assert (first.taken, first.refused["b@corp.example"].code) == ((), 553)
    assert first.refused["b@corp.example"].text.startswith("5.6.7")
    assert (second.taken, list(second.refused)) == (("dana@corp.example",), ["jürgen@corp.example"])


@pytest.mark.parametrize(
    "address", ["a@x.example>\r\nRCPT TO:<evil@x.example", "a@x.example> NOTIFY=NEVER", "a\0@x", "a b@x"]
)
def test_an_address_cannot_carry_a_command(address: str) -> None:
    """An address that would end its command is refused here."""
    with Scripted() as server, a_relay(server.port) as relay:
        sent = relay.send_many([an_envelope("one", address), an_envelope("two", sender=address), an_envelope("three")])
    assert server.taken() == ["three"]
    assert sent.receipts[0] == Receipt((), {address: Refusal(553, sent.receipts[0].refused[address].text)})  # type: ignore[union-attr]
    assert not any("evil" in command or "NOTIFY" in command for command in server.commands)
