"""Archives are what every unzip reads, of the size they said, and what was taken back leaves no trace."""

import zipfile
from io import BytesIO
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.mail.archive import Archive, overhead

NOISE = Random(1).randbytes(60_000)

NAME = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=40)
MEMBERS = st.dictionaries(NAME, st.lists(st.binary(max_size=200), max_size=4), max_size=6)


def members(file: BytesIO) -> dict[str, bytes]:
    """What is in a zip file, after its check sums were verified."""
    with zipfile.ZipFile(file) as found:
        assert found.testzip() is None
        return {info.filename: found.read(info) for info in found.infolist()}


@given(wanted=MEMBERS)
@settings(deadline=None)
def test_members_are_read_back(wanted: dict[str, list[bytes]]) -> None:
    """Names and bytes survive; the size was known before."""
    file = BytesIO(b"what was there before" * 100)
    archive = Archive(file)

    packed = {name: archive.add(name, pieces, 10_000) for name, pieces in wanted.items()}

    assert bool(archive) == bool(wanted)
    assert archive.size == archive.finish() == len(file.getvalue())
    assert archive.size == 22 + sum(overhead(name) + (size or 0) for name, size in packed.items())
    assert members(file) == {name: b"".join(pieces) for name, pieces in wanted.items()}


@given(wanted=MEMBERS, refused=MEMBERS)
@settings(max_examples=50, deadline=None)
def test_what_did_not_fit_leaves_no_trace(wanted: dict[str, list[bytes]], refused: dict[str, list[bytes]]) -> None:
    """A member over its limit, one whose reading broke off and one taken back are as if they had never been."""
    clean, file = BytesIO(), BytesIO()
    for archive in (Archive(clean), Archive(file)):
        for name, pieces in wanted.items():
            archive.add(name, pieces, 10_000)
            for other in refused if archive._file is file else ():
                before = file.getvalue()
                assert archive.add(other, [NOISE], 200) is None
                assert file.getvalue() == before
                with pytest.raises(ZeroDivisionError):
                    archive.add(other, (NOISE[: 1 // size + 50_000] for size in (1, 0)), 99_000)
                assert file.getvalue() == before
                archive.add(other, refused[other], 10_000)
                archive.undo()
        archive.finish()

    assert file.getvalue() == clean.getvalue()


def test_the_limit_is_exact() -> None:
    """A member fits to the octet, and not with one octet less."""
    archive = Archive(BytesIO())
    size = archive.add("a", [b"0123456789"], 1000)
    assert size is not None

    assert archive.add("b", [b"0123456789"], size) == size
    assert archive.add("c", [b"0123456789"], size - 1) is None


def test_reading_stops_at_the_limit() -> None:
    """What does not fit is not read to its end."""
    pieces = iter([Random(1).randbytes(65536)] * 100)

    assert Archive(BytesIO()).add("a", pieces, 1) is None
    assert len(list(pieces)) > 90


def test_members_are_plain_files() -> None:
    """Unpacked by whatever system, a member is a file that its owner may write and all may read."""
    file = BytesIO()
    archive = Archive(file)
    archive.add("größe.log", [b"done"], 100)
    archive.finish()

    with zipfile.ZipFile(file) as found:
        (info,) = found.infolist()
    assert (info.external_attr >> 16, info.create_system, info.flag_bits) == (0o100644, 3, 0x800)
