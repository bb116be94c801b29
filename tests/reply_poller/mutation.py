"""A mail and a seed to a mail that is damaged in a few places, as bytes or as parts and tags."""

from random import Random

# Of the structure of mails; none holds a word that decides.
TOKENS = (
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b"--b\r\n",
    b"--b--\r\n",
    b"\r\n--b\r\nContent-Type: text/html\r\n\r\n",
    b"Content-Type: text/plain; charset=utf-16\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Disposition: attachment\r\n",
    b"Content-Type: message/rfc822\r\n\r\n",
    b"> ",
    b">",
    b"-- \r\n",
    b"________________________________\r\n",
    b"<div hidden>",
    b"</div>",
    b"<blockquote>",
    b"</blockquote>",
    b"<style>",
    b"</style>",
    b"<!--",
    b"-->",
    b"<![if !mso]>",
    b' style="display:none"',
    b"<table><tr><td>",
    b"&nbsp;",
    b"&#8238;",
    b"=\r\n",
    b"=?utf-8?q?",
    b"\0",
    b"\xff",
    b"\xe2\x80\xae",
    b"\x1b$B",
    b"{",
    b"}",
    b'"',
    b"'",
)
MOST_PLACES = 4
LONGEST_SLICE = 200


def mutate(raw: bytes, seed: int) -> bytes:
    """The mail with up to four damages; the same for the same seed."""
    random = Random(seed)
    for _ in range(random.randint(1, MOST_PLACES)):
        raw = random.choice((_flip, _insert, _cut, _repeat, _swap))(raw, random)
    return raw


def _flip(raw: bytes, random: Random) -> bytes:
    place = random.randrange(len(raw) or 1)
    return raw[:place] + bytes([random.randrange(256)]) + raw[place + 1 :]


def _insert(raw: bytes, random: Random) -> bytes:
    place = random.randint(0, len(raw))
    return raw[:place] + random.choice(TOKENS) + raw[place:]


def _cut(raw: bytes, random: Random) -> bytes:
    place = random.randint(0, len(raw))
    return raw[:place] + raw[place + random.randint(1, LONGEST_SLICE) :]


def _repeat(raw: bytes, random: Random) -> bytes:
    place, other = random.randint(0, len(raw)), random.randint(0, len(raw))
    return raw[:place] + raw[other : other + random.randint(1, LONGEST_SLICE)] + raw[place:]


def _swap(raw: bytes, random: Random) -> bytes:
    lines = raw.split(b"\n")
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)
