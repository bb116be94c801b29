"""Settings that are valid alone and not together."""

import pytest

from worker.errors import SettingsError
from worker.settings import ConsumeSettings, PollSettings, Settings, read_settings

MAIL = {"SMTP_HOST": "mail.corp.example", "SMTP_FROM_ADDRESS": "deploy@corp.example"}
LOGIN = MAIL | {"SMTP_USER": "deploy", "SMTP_PASSWORD": "pw"}
APPROVAL = LOGIN | {
    "ENABLE_EMAIL_APPROVAL": "true",
    "IMAP_HOST": "imap.corp.example",
    "APPROVAL_TOKEN_KEY": "a" * 64,
    "TRUSTED_AUTHSERV_ID": "mx.corp.example",
}
OAUTH = MAIL | {"SMTP_AUTH": "oauth2", "SMTP_USER": "deploy", "OAUTH_CLIENT_ID": "id"}


def problems(environ: dict[str, str], kind: type[Settings] = ConsumeSettings) -> list[str]:
    """What is wrong with these settings; nothing where they can be used."""
    try:
        read_settings(environ, kind, is_terminal=False)
    except SettingsError as error:
        return str(error).split("\n")
    return []


def without(environ: dict[str, str], name: str) -> dict[str, str]:
    """The same variables but one."""
    return {key: value for key, value in environ.items() if key != name}


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        (MAIL, ConsumeSettings),
        (LOGIN, ConsumeSettings),
        (APPROVAL, ConsumeSettings),
        (APPROVAL, PollSettings),
        (MAIL | {"SMTP_HOST": "localhost", "SMTP_ENABLE_STARTTLS": "false"}, ConsumeSettings),
        (LOGIN | {"SMTP_ENABLE_STARTTLS": "false", "ALLOW_INSECURE_MAIL": "true"}, ConsumeSettings),
        (APPROVAL | {"IMAP_HOST": "127.0.0.1", "IMAP_ENABLE_STARTTLS": "false"}, PollSettings),
        (without(APPROVAL, "TRUSTED_AUTHSERV_ID") | {"APPROVAL_TRUST": "exchange"}, PollSettings),
        (without(APPROVAL, "TRUSTED_AUTHSERV_ID") | {"APPROVAL_TRUST": "address"}, PollSettings),
        (OAUTH | {"OAUTH_PROVIDER": "microsoft", "OAUTH_REFRESH_TOKEN": "r"}, ConsumeSettings),
        (
            OAUTH | {"OAUTH_PROVIDER": "microsoft", "OAUTH_CLIENT_SECRET": "s", "OAUTH_TENANT_ID": "t"},
            ConsumeSettings,
        ),
        (OAUTH | {"OAUTH_PROVIDER": "google", "OAUTH_CLIENT_SECRET": "s", "OAUTH_REFRESH_TOKEN": "r"}, ConsumeSettings),
        (OAUTH | {"OAUTH_PROVIDER": "https://login.example/token", "OAUTH_CLIENT_SECRET": "s"}, ConsumeSettings),
        ({"SMTP_USER": "deploy", "ENABLE_EMAIL_APPROVAL": "true"}, Settings),
    ],
)
def test_agreeing(environ: dict[str, str], kind: type[Settings]) -> None:
    """These go together; a command that sends nothing does not ask for what sending needs."""
    assert not problems(environ, kind)


@pytest.mark.parametrize("kind", [ConsumeSettings, PollSettings])
@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("IMAP_HOST", "IMAP_HOST (IMAP Host Name)"),
        ("APPROVAL_TOKEN_KEY", "APPROVAL_TOKEN_KEY"),
        ("TRUSTED_AUTHSERV_ID", "TRUSTED_AUTHSERV_ID"),
    ],
)
def test_approval_needs(kind: type[Settings], name: str, label: str) -> None:
    """With email approval the IMAP host, a key and the trusted gateway's name are needed, by both halves."""
    (line,) = problems(without(APPROVAL, name), kind)

    assert line.startswith(f"{label} is required")


@pytest.mark.parametrize("protocol", ["SMTP", "IMAP"])
def test_tls_and_starttls(protocol: str) -> None:
    """TLS from the first byte and STARTTLS exclude each other, also where the port switched TLS on."""
    explicit = {f"{protocol}_ENABLE_TLS": "true", f"{protocol}_ENABLE_STARTTLS": "true"}
    by_port = {f"{protocol}_PORT": "465" if protocol == "SMTP" else "993", f"{protocol}_ENABLE_STARTTLS": "true"}

    assert ["are both true" in line for line in problems(explicit, Settings)] == [True]
    assert ["are both true" in line for line in problems(by_port, Settings)] == [True]


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        (LOGIN | {"SMTP_ENABLE_STARTTLS": "false"}, ConsumeSettings),
        (MAIL | {"SMTP_ENABLE_STARTTLS": "false"}, ConsumeSettings),
        (MAIL | {"SMTP_PORT": "465", "SMTP_ENABLE_TLS": "false", "SMTP_ENABLE_STARTTLS": "false"}, ConsumeSettings),
        (APPROVAL | {"IMAP_ENABLE_STARTTLS": "false"}, PollSettings),
    ],
)
def test_unencrypted(environ: dict[str, str], kind: type[Settings]) -> None:
    """Neither a login nor a mail goes unencrypted to another host unless that is allowed."""
    (line,) = problems(environ, kind)

    assert line.endswith("turn one on, or set ALLOW_INSECURE_MAIL=true")


@pytest.mark.parametrize(
    ("name", "missing"), [("SMTP_USER", "SMTP_PASSWORD (SMTP Password)"), ("SMTP_PASSWORD", "SMTP_USER (SMTP User)")]
)
def test_half_a_login(name: str, missing: str) -> None:
    """A user without a password is an error, and the reverse."""
    assert problems(MAIL | {name: "x"}) == [f"{missing} is required with {name}"]


def test_oauth_without_user() -> None:
    """A token is for a user, so oauth2 needs one, but no password."""
    environ = without(OAUTH, "SMTP_USER") | {"OAUTH_PROVIDER": "microsoft", "OAUTH_REFRESH_TOKEN": "r"}

    assert problems(environ) == ["SMTP_USER (SMTP User) is required with SMTP_AUTH=oauth2"]


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, ["OAUTH_PROVIDER", "OAUTH_CLIENT_SECRET"]),
        ({"OAUTH_PROVIDER": "microsoft"}, ["OAUTH_CLIENT_SECRET", "OAUTH_TENANT_ID"]),
        ({"OAUTH_PROVIDER": "microsoft", "OAUTH_CLIENT_SECRET": "s"}, ["OAUTH_TENANT_ID"]),
        ({"OAUTH_PROVIDER": "google"}, ["OAUTH_CLIENT_SECRET", "OAUTH_REFRESH_TOKEN"]),
        ({"OAUTH_PROVIDER": "google", "OAUTH_CLIENT_SECRET": "s"}, ["OAUTH_REFRESH_TOKEN"]),
        ({"OAUTH_PROVIDER": "https://login.example/token"}, ["OAUTH_CLIENT_SECRET"]),
    ],
)
def test_oauth_needs(given: dict[str, str], missing: list[str]) -> None:
    """Each provider and grant asks for its own fields."""
    assert [line.split(" is required")[0] for line in problems(OAUTH | given)] == missing


def test_oauth_of_imap_alone() -> None:
    """Fields of oauth2 are asked for where only the mailbox uses it, once and only of the poller."""
    environ = APPROVAL | {"IMAP_AUTH": "oauth2", "OAUTH_PROVIDER": "google", "OAUTH_CLIENT_SECRET": "s"}

    assert [line.split(" is required")[0] for line in problems(environ, PollSettings)] == [
        "OAUTH_CLIENT_ID",
        "OAUTH_REFRESH_TOKEN",
    ]
    assert not problems(environ, ConsumeSettings)


def test_room_for_token() -> None:
    """31 characters before the separator leave room for a token of 32 within 64; one more does not."""
    fits = APPROVAL | {"APPROVAL_REPLY_ADDRESS": f"{'a' * 31}@corp.example"}
    too_long = APPROVAL | {"APPROVAL_REPLY_ADDRESS": f"{'a' * 32}@corp.example"}

    assert not problems(fits)
    assert ["may have 31 characters at most" in line for line in problems(too_long)] == [True]
    assert not problems(too_long | {"REPLY_SUBADDRESS": ""})


def test_room_of_the_default() -> None:
    """The From address has to have that room where it is the reply address, and only with approval."""
    sender = {"SMTP_FROM_ADDRESS": f"{'a' * 40}@corp.example"}

    assert ["APPROVAL_REPLY_ADDRESS" in line for line in problems(APPROVAL | sender)] == [True]
    assert not problems(MAIL | sender)


def test_common_word() -> None:
    """A word that approves and rejects, letter case and width aside, decides nothing."""
    environ = {"APPROVE_WORDS": "yes,OK", "REJECT_WORDS": "\uff4f\uff4b"}

    assert problems(environ, Settings) == ["APPROVE_WORDS and REJECT_WORDS have a word in common"]


@pytest.mark.parametrize("name", ["PROCESSED_FOLDER", "QUARANTINE_FOLDER"])
def test_same_folder(name: str) -> None:
    """A mail is never moved into the folder that it came from."""
    assert problems({name: "inbox"}, Settings) == [
        f"{name} and EMAIL_REPLY_FOLDER (Email Reply Folder) are the same folder"
    ]


def test_no_warning_under_dmarc() -> None:
    """The default trust needs no warning."""
    assert not read_settings(APPROVAL, PollSettings).settings.warnings()


@pytest.mark.parametrize(
    ("trust", "attack"), [("exchange", "past Exchange Online"), ("address", "writing the approver's")]
)
def test_warning(trust: str, attack: str) -> None:
    """The weaker kinds of trust are warned of with what an attacker could do, where replies decide at all."""
    settings = read_settings(APPROVAL | {"APPROVAL_TRUST": trust}, PollSettings).settings
    silent = read_settings(MAIL | {"APPROVAL_TRUST": trust}, ConsumeSettings).settings

    (warning,) = settings.warnings()
    assert attack in warning
    assert not silent.warnings()
