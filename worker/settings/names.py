"""The names of environment variables and TOML keys to complaints: which ones look like ours and are not.

A container's environment holds much that is foreign: that must start, while a misspelt setting must not.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from difflib import SequenceMatcher, get_close_matches

from worker.settings.model import NAMES, SECRETS, flexdeploy_property

CONFIG = "COUNTERSIGN_CONFIG"
FILE_SUFFIX = "_FILE"
SECRET_FILES = tuple(f"{name.upper()}{FILE_SUFFIX}" for name in NAMES if name in SECRETS)
KNOWN = (*(name.upper() for name in NAMES), *SECRET_FILES, CONFIG)

_PREFIXES = ("SMTP_", "IMAP_", "APPROVAL_", "EMAIL_REPLY_", "REPLY_", "QUARANTINE_")
"""What begins so in a mail worker's environment is meant for it."""

_FOREIGN = frozenset({"LOG_DIR", "LOG_HOST", "LOGLEVEL"})
"""One letter from ours, and common with other programs; what they miss here is said elsewhere, or harmless."""

_SIMILAR = 0.88
"""One letter wrong, missing, doubled or swapped in nine."""

# SMTP_HOST_NAME: the name of FlexDeploy's property, written as a variable.
_SPELLINGS = {name: name for name in KNOWN} | {
    flexdeploy_property(name).upper().replace(" ", "_"): name.upper() for name in NAMES if flexdeploy_property(name)
}

_SERVICE = re.compile(r"[A-Z][A-Z0-9_]*_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?")
_SERVICE_PORT = re.compile(r"[A-Z][A-Z0-9_]*?_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?")
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://.*")


def is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes set that variable for a service: one named ``smtp`` makes ``SMTP_PORT=tcp://10.0.0.1:25``."""
    if _SERVICE.fullmatch(name):
        return True
    match = _SERVICE_PORT.fullmatch(name)
    return bool(match and (match[3] or _SERVICE_URL.fullmatch(value)))


def check_variables(names: Iterable[str]) -> Iterator[str]:
    """A sentence for each environment variable that looks like a setting and is none."""
    for name in sorted(names):
        if name not in KNOWN and name not in _FOREIGN:
            yield from _check_variable(name)


def _check_variable(name: str) -> Iterator[str]:
    upper = name.upper()
    bare = upper.removeprefix("COUNTERSIGN_")
    if upper in KNOWN:
        yield f"{name}: in the environment settings are written in capitals: {upper}"
    elif upper.endswith(FILE_SUFFIX) and upper.removesuffix(FILE_SUFFIX) in KNOWN:
        yield f"{name}: only secrets are read from files ({', '.join(SECRET_FILES)})"
    elif upper.startswith(_PREFIXES) or any(get_close_matches(each, _SPELLINGS, 1, _SIMILAR) for each in (upper, bare)):
        yield f"{name} is not a setting: did you mean {nearest(bare)}?"


def check_keys(keys: Iterable[str]) -> Iterator[str]:
    """A sentence for each key of a TOML file that is no setting."""
    allowed = [name for name in _SPELLINGS if name != CONFIG]
    for key in keys:
        if key == CONFIG.lower() or key.upper() not in KNOWN or not key.islower():
            yield f"{key} is not a setting: did you mean {nearest(key.upper(), allowed).lower()}?"


def nearest(name: str, among: Collection[str] = tuple(_SPELLINGS)) -> str:
    """The real name that this one was most likely meant to be."""
    return _SPELLINGS[max(among, key=lambda known: _likeness(name, known))]


def _likeness(name: str, known: str) -> tuple[bool, int, float]:
    # Whole words count more than letters: SMTP_TLS is SMTP_ENABLE_TLS, though SMTP_HOST has more letters of it.
    ratio = SequenceMatcher(None, name, known).ratio()
    return ratio >= _SIMILAR, len(set(name.split("_")) & set(known.split("_"))), ratio
