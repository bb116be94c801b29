"""Our gateway's word is taken only where it is clear, its own, and not contradicted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reply_poller.lines import headers

from worker.reply_poller.authentication import FIELD, LONGEST, MOST_FIELDS, prove_dmarc, prove_exchange
from worker.reply_poller.reply import Headers

OURS = "mx.corp.example"
DOMAIN = "corp.example"
PASS = f"Authentication-Results: {OURS}; dmarc=pass header.from={DOMAIN}"
PROOF = f"dmarc=pass header.from={DOMAIN}"


def proof(*lines: str) -> str | None:
    """What our gateway's fields prove."""
    return prove_dmarc(headers(*lines), authserv_id=OURS, domain=DOMAIN)


def says(results: str) -> str:
    """A field of our gateway."""
    return f"Authentication-Results: {OURS}{results}"


@pytest.mark.parametrize(
    "results",
    [
        f"; dmarc=pass header.from={DOMAIN}",
        f"; dmarc=pass (p=NONE sp=NONE dis=NONE) header.from={DOMAIN}",
        f"; dkim=pass header.i=@{DOMAIN} header.b=hO4/+w==; dmarc=pass (p=REJECT) header.from={DOMAIN}",
        f"; spf=pass (x: domain of dana@{DOMAIN} designates 192.0.2.1) smtp.helo=x; dmarc=pass header.from={DOMAIN}",
        f";dkim=pass header.i=@{DOMAIN}; dmarc=pass(p=REJECT) header.from={DOMAIN};",
        f" 1; DMARC=Pass header.from={DOMAIN.upper()}",
        f'; dmarc/1 = pass (a (nested) comment\\)) header.from = "{DOMAIN}"',
        f'; dmarc=pass reason="2nd; dmarc=fail" policy.dmarc=none header.from={DOMAIN}',
        f"; dmarc=pass action=none header.from={DOMAIN}; compauth=pass reason=100",
        f'; spf=pass smtp.mailfrom="a b"@{DOMAIN}; dmarc=pass header.from={DOMAIN}',
        f"; dkim=fail header.d=list.example; spf=softfail smtp.mailfrom=; dmarc=pass header.from={DOMAIN}",
    ],
)
def test_gateways_are_understood(results: str) -> None:
    """The forms that RFC 8601 allows, and those that large providers write."""
    assert proof(says(results)) == PROOF
    assert proof(f'Authentication-Results: (ours) "{OURS.upper()}" {results}') == PROOF


SILENT = [
    "; none",
    '; dkim=fail reason="; dmarc=pass header.from=corp.example"',
    "; dkim=fail (; dmarc=pass header.from=corp.example)",
    "; spf=pass (dmarc=pass header.from=corp.example) smtp.mailfrom=corp.example",
    "; dkim.dmarc=pass header.from=corp.example",
    "; xdmarc=pass header.from=corp.example",
    "; arc=pass header.from=corp.example",
]
WRONG = [
    "; dmarc=pass",
    "; dmarc=pass header.from=evil.example",
    "; dmarc=pass header.from=sub.corp.example",
    "; dmarc=pass header.from=corp.example.evil.example",
    "; dmarc=pass header.from=dana@corp.example",
    "; dmarc=pass header.d=corp.example",
    "; dmarc=pass header.from=corp.example header.from=corp.example",
    "; dmarc=pass header.from=evil.example header.from=corp.example",
    "; dmarc=pass header.from=corp.example dmarc=fail",
    "; dmarc=pass header.from=corp.example; dmarc=fail header.from=corp.example",
    "; dmarc=fail header.from=corp.example; dmarc=pass header.from=corp.example",
    "; dmarc=pass header.from=corp.example; dmarc=pass header.from=evil.example",
    "; dkim=fail dmarc=pass header.from=corp.example",
    "; dmarc=fail (x) header.from=corp.example; none; dmarc=pass header.from=corp.example",
    "; none; dmarc=pass header.from=corp.example",
    "; dmarc=pass header.from=corp.example; spf",
    "; dmarc=pass header.from=corp.example;; spf=pass",
    "; dmarc=pass header.from=corp.example (",
    "; dmarc=pass header.from=corp.example )",
    '; dmarc=pass header.from=corp.example "',
    "; dmarc=pass header.from=corp.example \\",
    "; dmarc=pass header.from=corp.example\x00",
    "; dmarc=pass header.from=corp.example\rx=y",
    "; dmarc=pass header.from=\uff43orp.example",
    " 2; dmarc=pass header.from=corp.example",
    " x; dmarc=pass header.from=corp.example",
    "; dmarc=pass header.from=corp.example" + "; a=b" * LONGEST,
    "",
    ";",
    "; dmarc=fail header.from=corp.example",
    "; dmarc=bestguesspass header.from=corp.example",
    "; dmarc=(pass) fail header.from=corp.example",
    "; dmarc/2=pass header.from=corp.example",
]


@pytest.mark.parametrize("results", SILENT + WRONG)
def test_anything_but_a_clear_pass_proves_nothing(results: str) -> None:
    """Alone, or as the topmost of our gateway."""
    assert proof(says(results)) is None
    assert proof(says(results), PASS) is None


@pytest.mark.parametrize("results", WRONG)
def test_a_contradiction_below_undoes_a_pass(results: str) -> None:
    """So does what can't be read: it may be one."""
    assert proof(PASS, says(results)) is None


@pytest.mark.parametrize("results", SILENT)
def test_what_says_nothing_of_dmarc_undoes_nothing(results: str) -> None:
    """A gateway may write a field for each method."""
    assert proof(PASS, says(results)) == PROOF


@pytest.mark.parametrize(
    "name",
    [
        "mx.corp.example.evil.example",
        "xmx.corp.example",
        "mx.corp.example.",
        "corp.example",
        "mx.corp.example=x",
        "evil.example (mx.corp.example)",
        '"mx.corp.example"x',
        '""',
        "",
        "m\u212a.corp.example",
    ],
)
def test_only_our_gateway_counts(name: str) -> None:
    """Another's word proves nothing, and disturbs nothing either."""
    field = f"Authentication-Results: {name}; dmarc=pass header.from={DOMAIN}"

    assert proof(field) is None
    assert prove_dmarc(headers(field), authserv_id="", domain=DOMAIN) is None
    assert proof(field.replace("=pass", "=fail"), PASS, field.replace("=pass", "=fail")) == PROOF


def test_fields_of_other_names_prove_nothing() -> None:
    """ARC's and renamed ones can be written by anybody."""
    for name in ("ARC-Authentication-Results", "X-Authentication-Results", "Authentication-Results-Original"):
        assert proof(PASS.replace("Authentication-Results", name, 1)) is None


def test_the_topmost_of_ours_says_it() -> None:
    """Our gateway may write a field for each method below; above, nothing of ours may stand that does not say it."""
    spf = says("; spf=pass smtp.mailfrom=corp.example")

    assert proof(PASS, spf) == PROOF
    assert proof(PASS, says("; none")) == PROOF
    assert proof(spf, PASS) is None
    assert proof(*[PASS] * MOST_FIELDS) == PROOF
    assert proof(*[PASS] * (MOST_FIELDS + 1)) is None


def test_an_international_domain_is_one_domain() -> None:
    """Written as a person reads it, or as DNS does."""
    for written in ("münchen.example", "xn--mnchen-3ya.example", "XN--MNCHEN-3YA.example"):
        field = headers(says(f"; dmarc=pass header.from={written}"))
        assert prove_dmarc(field, authserv_id=OURS, domain="xn--mnchen-3ya.example") is not None


EXCHANGE = (
    "Authentication-Results: spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=corp.example; dkim=pass (signature was "
    "verified) header.d=corp.example;dmarc=pass action=none header.from=corp.example;compauth=pass reason=100"
)
TENANT = (
    "Authentication-Results: dkim=none (message not signed) header.d=none;dmarc=none action=none header.from=x.example;"
)


def test_exchange_online_is_understood() -> None:
    """Its topmost field without an authserv-id; the sender's tenant may have left one below."""
    assert prove_exchange(headers(EXCHANGE, TENANT), domain=DOMAIN) == PROOF
    assert prove_exchange(headers(TENANT, EXCHANGE), domain=DOMAIN) is None
    assert prove_exchange(headers(PASS), domain=DOMAIN) is None
    assert prove_exchange(headers(PASS, EXCHANGE), domain=DOMAIN) is None
    assert prove_exchange(headers(EXCHANGE), domain="evil.example") is None
    assert prove_exchange(headers(EXCHANGE.replace("dmarc=pass", "dmarc=fail")), domain=DOMAIN) is None
    assert prove_exchange(headers(EXCHANGE + "; dmarc=fail header.from=corp.example"), domain=DOMAIN) is None
    assert prove_exchange(headers(), domain=DOMAIN) is None


def test_an_internal_sender_of_exchange_is_proven() -> None:
    """By the one field that Exchange removes from what comes in from outside."""
    field = "X-MS-Exchange-Organization-AuthAs: Internal"

    assert prove_exchange(headers(field), domain=DOMAIN) == field
    assert prove_exchange(headers(field, field), domain=DOMAIN) is None
    assert prove_exchange(headers(field, field.replace("Internal", "Anonymous")), domain=DOMAIN) is None
    assert prove_exchange(headers(field.replace("Internal", "Anonymous")), domain=DOMAIN) is None
    assert prove_exchange(headers(field.replace("Organization", "CrossTenant")), domain=DOMAIN) is None
    assert proof(field) is None


RESULTS = ["dmarc", "pass", "fail", "header.from", "dmarc=fail", f"header.from={DOMAIN}", "spf=pass", "reason=", "none"]
PIECES = st.sampled_from([OURS, DOMAIN, "evil.example", *RESULTS, *'; ="\\()1/\t\x00é\udcff'])
VALUES = st.lists(st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=40), max_size=4)


@given(VALUES)
def test_without_a_genuine_pass_nothing_is_proven(values: list[str]) -> None:
    """No field raises; and none proves anything without our name, or without a pass."""
    for spoilt in ("pass", OURS):
        fields = [(FIELD, value.replace(spoilt, "mx.evil.example")) for value in values]
        assert prove_dmarc(Headers(tuple(fields)), authserv_id=OURS, domain=DOMAIN) is None
    fields = [(FIELD, value.replace("pass", "fail")) for value in values]
    assert prove_exchange(Headers(tuple(fields)), domain=DOMAIN) is None


@pytest.mark.parametrize("piece", ["a=b;", ";", "(", "()", '"', "\\", '"a" ', "a", " ", "=", '\\"', "é"])
@pytest.mark.parametrize("before", ["", "; ", " (", '; a="'])
@pytest.mark.timeout(5)
def test_long_fields_take_no_time(piece: str, before: str) -> None:
    """Nor do many."""
    value = (OURS + before + piece * LONGEST)[:LONGEST]

    assert prove_dmarc(Headers(((FIELD, value),) * MOST_FIELDS), authserv_id=OURS, domain=DOMAIN) is None
