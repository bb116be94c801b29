"""Whose mail it is, by the fields that name its recipients."""

import time

import pytest

from worker.reply_poller.recipients import is_for

ADDRESS = "approvals@corp.example"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (b"To: approvals@corp.example", True),
        (b"To: Approvals <APPROVALS@Corp.Example>", True),
        (b"Cc: dana@corp.example,approvals+abc@corp.example", True),
        (b"To: dana@corp.example,\r\n approvals+abc@corp.example", True),
        (b"Delivered-To: approvals+@corp.example", True),
        (b"To: approvals@corp.example.", True),
        (b"To: \xe4\xf6 <approvals@corp.example>", True),
        (b"", False),
        (b"To: dana@corp.example", False),
        (b"To: my-approvals@corp.example", False),
        (b"To: my.approvals@corp.example", False),
        (b"To: approvals-old@corp.example", False),
        (b"To: approvals@corp.example.evil", False),
        (b"To: approvals@corp-example", False),
        (b"To: approvals@notcorp.example", False),
        (b"To: approvals+a b@corp.example", False),
        (b"To: approvals+<x>@corp.example", False),
        (b"To: approvals+a@b@corp.example", False),
    ],
)
def test_ours_is_the_address_and_what_is_below_it(fields: bytes, *, expected: bool) -> None:
    """Letter case aside it is ours or a sub-address of ours, and nothing that merely holds it."""
    assert is_for(ADDRESS, "+", fields) is expected


def test_without_sub_addresses_it_is_the_address_alone() -> None:
    """Where the server has none, what looks like one is another's address."""
    assert is_for(ADDRESS, "", b"To: approvals@corp.example")
    assert not is_for(ADDRESS, "", b"To: approvals+x@corp.example")


def test_hostile_fields_cost_no_time() -> None:
    """64 kB made to look like beginnings of our address are looked through at once."""
    hostile = (b"(approvals+" * 6600)[:65536]
    started = time.perf_counter()
    assert not is_for(ADDRESS, "+", hostile)
    assert time.perf_counter() - started < 1.0
