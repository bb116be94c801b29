"""Settings to the problems between them: what is missing for what is wanted, and what contradicts."""

from collections.abc import Iterator
from dataclasses import dataclass
from unicodedata import normalize

from worker.reply_token import TOKEN_LENGTH
from worker.settings.model import ConsumeSettings, PollSettings, Settings, label
from worker.settings.values import is_loopback

LONGEST_LOCAL_PART = 64
"""RFC 5321, 4.5.3.1.1, in octets."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A sentence for a person, and the settings that it is about."""

    names: tuple[str, ...]
    sentence: str


def find_problems(kind: type[Settings], chosen: Settings) -> Iterator[Problem]:
    """What keeps these settings, each valid alone, from being used as ``kind``."""
    yield from _encryption(chosen, "smtp")
    yield from _encryption(chosen, "imap")
    yield from _vocabulary(chosen)
    yield from _folders(chosen)
    if issubclass(kind, ConsumeSettings):
        yield from _privacy(chosen, "smtp")
        yield from _smtp_login(chosen)
        yield from _approval(chosen)
    if issubclass(kind, PollSettings):
        yield from _privacy(chosen, "imap")
        yield from _imap_login(chosen)
        yield from _enabled(chosen)
    if _uses_oauth(kind, chosen):
        yield from _oauth(chosen)


def _missing(name: str, reason: str) -> Problem:
    return Problem((name,), f"{label(name)} is required {reason}")


def _encryption(chosen: Settings, protocol: str) -> Iterator[Problem]:
    tls, starttls = f"{protocol}_enable_tls", f"{protocol}_enable_starttls"
    if getattr(chosen, tls) and getattr(chosen, starttls):
        yield Problem(
            (tls, starttls, f"{protocol}_port"),
            f"{label(starttls)} and {label(tls)} are both true: one of them has to be false"
            f" (TLS is on by default on port {465 if protocol == 'smtp' else 993})",
        )


def _privacy(chosen: Settings, protocol: str) -> Iterator[Problem]:
    host, tls, starttls = f"{protocol}_host", f"{protocol}_enable_tls", f"{protocol}_enable_starttls"
    name = getattr(chosen, host)
    encrypted = getattr(chosen, tls) or getattr(chosen, starttls)
    if name and not encrypted and not chosen.allow_insecure_mail and not is_loopback(name):
        yield Problem(
            (host, tls, starttls, f"{protocol}_port", "allow_insecure_mail"),
            f"{label(starttls)} and {label(tls)} are both false: logins and mails would cross the network unencrypted;"
            " turn one on, or set ALLOW_INSECURE_MAIL=true",
        )


def _vocabulary(chosen: Settings) -> Iterator[Problem]:
    approving, rejecting = ({_folded(word) for word in words} for words in (chosen.approve_words, chosen.reject_words))
    if approving & rejecting:
        yield Problem(("approve_words", "reject_words"), "APPROVE_WORDS and REJECT_WORDS have a word in common")


def _folded(word: str) -> str:
    return normalize("NFKC", normalize("NFKC", word).casefold())


def _folders(chosen: Settings) -> Iterator[Problem]:
    # A mail that is moved into the folder it came from is read again, for ever.
    for name in ("processed_folder", "quarantine_folder"):
        folder = getattr(chosen, name)
        if folder is not None and _same_folder(folder, chosen.email_reply_folder):
            yield Problem(
                (name, "email_reply_folder"), f"{label(name)} and {label('email_reply_folder')} are the same folder"
            )


def _same_folder(one: str, other: str) -> bool:
    # INBOX alone is case-insensitive (RFC 9051, 5.1).
    return one == other or one.upper() == other.upper() == "INBOX"


def _smtp_login(chosen: Settings) -> Iterator[Problem]:
    if chosen.smtp_auth == "oauth2":
        if chosen.smtp_user is None:
            yield _missing("smtp_user", "with SMTP_AUTH=oauth2")
    elif chosen.smtp_user is not None and chosen.smtp_password is None:
        yield Problem(("smtp_user", "smtp_password"), f"{label('smtp_password')} is required with SMTP_USER")
    elif chosen.smtp_user is None and chosen.smtp_password is not None:
        yield Problem(("smtp_user", "smtp_password"), f"{label('smtp_user')} is required with SMTP_PASSWORD")


def _imap_login(chosen: Settings) -> Iterator[Problem]:
    if chosen.imap_user is None:
        yield Problem(("imap_user", "smtp_user"), f"{label('imap_user')} is required to poll")
    if chosen.imap_auth == "password" and chosen.imap_password is None:
        yield Problem(
            ("imap_password", "smtp_password"), f"{label('imap_password')} is required to poll with IMAP_AUTH=password"
        )


def _enabled(chosen: Settings) -> Iterator[Problem]:
    if not chosen.enable_email_approval:
        yield Problem(
            ("enable_email_approval",), f"{label('enable_email_approval')} is false: there are no replies to poll for"
        )


def _approval(chosen: Settings) -> Iterator[Problem]:
    if not chosen.enable_email_approval:
        return
    if chosen.imap_host is None:
        yield _missing("imap_host", "with ENABLE_EMAIL_APPROVAL=true")
    if not chosen.approval_token_key:
        yield _missing("approval_token_key", "with ENABLE_EMAIL_APPROVAL=true: make one with `openssl rand -hex 32`")
    if chosen.approval_trust == "dmarc" and chosen.trusted_authserv_id is None:
        yield _missing("trusted_authserv_id", "with APPROVAL_TRUST=dmarc")
    yield from _room_for_token(chosen)


def _room_for_token(chosen: Settings) -> Iterator[Problem]:
    if chosen.approval_reply_address is None or not chosen.reply_subaddress:
        return
    local_part = chosen.approval_reply_address.rpartition("@")[0]
    room = LONGEST_LOCAL_PART - TOKEN_LENGTH - len(chosen.reply_subaddress)
    if len(local_part.encode()) > room:
        yield Problem(
            ("approval_reply_address", "smtp_from_address", "reply_subaddress"),
            f"{label('approval_reply_address')}: what stands before the @ may have {room} characters at most, so that"
            f" the token fits behind it; or leave REPLY_SUBADDRESS empty",
        )


def _uses_oauth(kind: type[Settings], chosen: Settings) -> bool:
    sending = issubclass(kind, ConsumeSettings) and chosen.smtp_auth == "oauth2"
    return sending or (issubclass(kind, PollSettings) and chosen.imap_auth == "oauth2")


def _oauth(chosen: Settings) -> Iterator[Problem]:
    for name, reason in _oauth_needs(chosen):
        if getattr(chosen, name) is None:
            yield Problem((name, "oauth_provider", "oauth_refresh_token"), f"{label(name)} is required {reason}")


def _oauth_needs(chosen: Settings) -> Iterator[tuple[str, str]]:
    yield "oauth_provider", "with oauth2"
    yield "oauth_client_id", "with oauth2"
    if chosen.oauth_provider == "google":
        yield "oauth_client_secret", "with OAUTH_PROVIDER=google"
        yield "oauth_refresh_token", "with OAUTH_PROVIDER=google"
    elif chosen.oauth_refresh_token is None:
        yield "oauth_client_secret", "with oauth2 unless there is an OAUTH_REFRESH_TOKEN"
        if chosen.oauth_provider == "microsoft":
            yield "oauth_tenant_id", "with OAUTH_PROVIDER=microsoft unless there is an OAUTH_REFRESH_TOKEN"
