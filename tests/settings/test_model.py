"""The fields of the model: defaults that follow from others, what is taken, what is refused."""

import base64

import pytest

from worker.errors import SettingsError
from worker.events import Person
from worker.settings import ConsumeSettings, PollSettings, Settings, read_settings

REQUIRED = {"SMTP_HOST": "mail.corp.example", "SMTP_FROM_ADDRESS": "deploy@corp.example"}
SECRET = "hunter2-hunter2-hunter2"
APPROVAL = {
    "ENABLE_EMAIL_APPROVAL": "true",
    "IMAP_HOST": "imap.corp.example",
    "APPROVAL_TOKEN_KEY": base64.urlsafe_b64encode(bytes(range(32))).decode(),
    "TRUSTED_AUTHSERV_ID": "mx.corp.example",
    "SMTP_USER": "deploy",
    "SMTP_PASSWORD": "hunter2-hunter2",
}


def consume(**variables: str) -> ConsumeSettings:
    """The settings of a consumer with what is required, and these variables."""
    return read_settings(REQUIRED | variables, ConsumeSettings, is_terminal=False).settings


def poll(**variables: str) -> PollSettings:
    """The settings of a poller with what is required, and these variables."""
    return read_settings(REQUIRED | APPROVAL | variables, PollSettings, is_terminal=False).settings


def test_defaults_that_follow() -> None:
    """The mailbox's login and the reply address follow from what is set for sending."""
    settings = poll(SMTP_FROM_ADDRESS="Deployments <deploy@corp.example>")

    assert settings.smtp_from_address == Person(name="Deployments", email="deploy@corp.example")
    assert settings.approval_reply_address == "deploy@corp.example"
    assert settings.imap_user == "deploy"
    assert settings.imap_password is not None
    assert settings.imap_password.get_secret_value() == "hunter2-hunter2"


def test_defaults_that_are_overruled() -> None:
    """What is set for the mailbox itself wins over what follows."""
    settings = poll(IMAP_USER="reader", IMAP_PASSWORD="other", APPROVAL_REPLY_ADDRESS="approvals@corp.example")

    assert (settings.imap_user, settings.approval_reply_address) == ("reader", "approvals@corp.example")
    assert settings.imap_password is not None
    assert settings.imap_password.get_secret_value() == "other"


@pytest.mark.parametrize(
    ("port", "tls", "starttls"), [("25", False, True), ("465", True, False), ("587", False, True), ("993", False, True)]
)
def test_encryption_of_smtp(port: str, tls: bool, starttls: bool) -> None:  # noqa: FBT001 - the table's columns
    """TLS from the first byte is on at port 465, STARTTLS everywhere else."""
    settings = consume(SMTP_PORT=port)

    assert (settings.smtp_enable_tls, settings.smtp_enable_starttls) == (tls, starttls)


@pytest.mark.parametrize(
    ("port", "tls", "starttls"), [("143", False, True), ("993", True, False), ("465", False, True)]
)
def test_encryption_of_imap(port: str, tls: bool, starttls: bool) -> None:  # noqa: FBT001 - the table's columns
    """TLS from the first byte is on at port 993, STARTTLS everywhere else."""
    settings = poll(IMAP_PORT=port)

    assert (settings.imap_enable_tls, settings.imap_enable_starttls) == (tls, starttls)


def test_tls_on_another_port() -> None:
    """TLS that is switched on turns STARTTLS off."""
    settings = consume(SMTP_PORT="2525", SMTP_ENABLE_TLS="yes")

    assert (settings.smtp_enable_tls, settings.smtp_enable_starttls) == (True, False)


def test_lists() -> None:
    """Words, domains and hosts are separated by commas."""
    settings = consume(
        APPROVE_WORDS="approve, genehmigt", RECIPIENT_DOMAINS="Corp.example,@bücher.example", LOG_HOSTS="l1"
    )

    assert settings.approve_words == ("approve", "genehmigt")
    assert settings.recipient_domains == frozenset({"corp.example", "xn--bcher-kva.example"})
    assert settings.log_hosts == frozenset({"l1"})


def test_no_subaddress() -> None:
    """An empty separator is a value of its own: the server has no sub-addressing."""
    assert consume(REPLY_SUBADDRESS="").reply_subaddress == ""
    assert consume().reply_subaddress == "+"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SMTP_HOST", "mail:25"),
        ("SMTP_HOST", "smtp://mail"),
        ("SMTP_HOST", "-mail"),
        ("SMTP_PORT", "65536"),
        ("SMTP_PORT", "٢٥"),
        ("SMTP_FROM_ADDRESS", "Name <a@b>\nBcc: x"),
        ("SMTP_FROM_ADDRESS", "Na\tme <a@b.example>"),
        ("SMTP_FROM_ADDRESS", "Name <a@b.example> rest"),
        ("SMTP_USER", "a\x00b"),
        ("SMTP_PASSWORD", "line\n"),
        ("SMTP_PASSWORD", "\udcff"),
        ("EMAIL_REPLY_FOLDER", "IN\rBOX"),
        ("EMAIL_REPLY_PROCESS_COUNT", "0"),
        ("APPROVE_WORDS", "approve it"),
        ("APPROVE_WORDS", "approve:"),
        ("APPROVE_WORDS", ","),
        ("REPLY_SUBADDRESS", "a"),
        ("REPLY_SUBADDRESS", "++"),
        ("OAUTH_PROVIDER", "http://login.example/token"),
        ("OAUTH_PROVIDER", "okta"),
        ("RECIPIENT_DOMAINS", "corp example"),
        ("RECIPIENT_DOMAINS", "a..b"),
        ("REROUTE_ALL_TO", "Staging <a@b.example>"),
        ("DEFAULT_LOCALE", "english!"),
        ("TRUSTED_AUTHSERV_ID", "mx; dmarc=pass"),
        ("LOG_LEVEL", "loud"),
        ("METRICS_PORT", "-1"),
        ("STATE_RETENTION", "90"),
    ],
)
def test_wrong_value(name: str, value: str) -> None:
    """A value that is not of its kind is one line that names its setting."""
    with pytest.raises(SettingsError) as caught:
        read_settings({name: value}, Settings)

    assert str(caught.value).startswith((f"{name}: ", f"{name} ("))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("SMTP_HOST", "[::1]", "::1"),
        ("SMTP_HOST", " mail.corp.example\n", "mail.corp.example"),
        ("LOG_LEVEL", "WARNING", "warning"),
        ("APPROVAL_TRUST", "Exchange", "exchange"),
        ("OAUTH_PROVIDER", "Microsoft", "microsoft"),
        ("OAUTH_PROVIDER", "http://127.0.0.1:8080/token", "http://127.0.0.1:8080/token"),
        ("SMTP_FROM_ADDRESS", '"Deploy, Prod" <a@b.example>', "name='Deploy, Prod' email='a@b.example'"),
        ("REPLY_SUBADDRESS", "-", "-"),
        ("METRICS_PORT", "0", "0"),
    ],
)
def test_forgiving_value(name: str, value: str, shown: str) -> None:
    """What can be meant in one way only is taken."""
    assert str(getattr(read_settings({name: value}, Settings).settings, name.lower())) == shown


def test_no_secret_in_repr() -> None:
    """Settings that end up in a traceback or log show no secret."""
    settings = poll(
        OAUTH_CLIENT_SECRET=SECRET,
        OAUTH_REFRESH_TOKEN=SECRET,
        BROKER_URL=f"amqp://u:{SECRET}@h/",
        STATE_URL=f"postgresql+psycopg://u:{SECRET}@h/d",
        IMAP_PASSWORD=SECRET,
    )

    assert SECRET not in f"{settings!r}{settings}"
