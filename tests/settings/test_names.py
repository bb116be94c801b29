"""Names in the environment: a misspelt setting is told, a foreign variable is passed over."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.settings.names import KNOWN, check_keys, check_variables, is_service_link, nearest

FOREIGN = (Path(__file__).parent / "foreign.txt").read_text().split()


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_name(name: str) -> None:
    """What other programs, systemd, Kubernetes and CI put into an environment is no misspelt setting."""
    assert not list(check_variables([name]))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SMPT_HOST", "SMTP_HOST"),
        ("STMP_PASSWORD", "SMTP_PASSWORD"),
        ("SMTP_HOTS", "SMTP_HOST"),
        ("SMTP_FROM_ADRESS", "SMTP_FROM_ADDRESS"),
        ("SMTP_FROM", "SMTP_FROM_ADDRESS"),
        ("SMTP_HOST_NAME", "SMTP_HOST"),
        ("SMTP_HOST_PORT", "SMTP_PORT"),
        ("IMAP_HOST_NAME", "IMAP_HOST"),
        ("IMAP_PASWORD", "IMAP_PASSWORD"),
        ("SMTP_USERNAME", "SMTP_USER"),
        ("SMTP_TLS", "SMTP_ENABLE_TLS"),
        ("SMTP_STARTTLS", "SMTP_ENABLE_STARTTLS"),
        ("ENABLE_EMAIL_APPROVALS", "ENABLE_EMAIL_APPROVAL"),
        ("APPROVAL_TOKENKEY", "APPROVAL_TOKEN_KEY"),
        ("APROVAL_TRUST", "APPROVAL_TRUST"),
        ("QUARANTINE_RETENSION", "QUARANTINE_RETENTION"),
        ("EMAIL_REPLY_INTERVAL", "EMAIL_REPLY_PROCESS_INTERVAL"),
        ("APPROVAL_ADDRESS", "APPROVAL_REPLY_ADDRESS"),
        ("TRUSTED_AUTHSERVID", "TRUSTED_AUTHSERV_ID"),
        ("BROKER_URLS", "BROKER_URL"),
        ("TEMPLATE_DIR", "TEMPLATES_DIR"),
        ("RECIPIENTS_DOMAINS", "RECIPIENT_DOMAINS"),
        ("COUNTERSIGN_SMTP_HOST", "SMTP_HOST"),
        ("COUNTERSIGN_CONFG", "COUNTERSIGN_CONFIG"),
        ("SMTP_PASSWORD_FIEL", "SMTP_PASSWORD_FILE"),
    ],
)
def test_misspelt_name(name: str, meant: str) -> None:
    """A name that looks like ours is told with the nearest real one."""
    assert list(check_variables([name])) == [f"{name} is not a setting: did you mean {meant}?"]


def test_small_letters() -> None:
    """A setting in small letters would be passed over silently, so it is told."""
    assert list(check_variables(["smtp_host"])) == [
        "smtp_host: in the environment settings are written in capitals: SMTP_HOST"
    ]


def test_file_of_no_secret() -> None:
    """A file for what is no secret is told, with what can be read from one."""
    (line,) = check_variables(["LOGS_DIR_FILE"])

    assert line.startswith("LOGS_DIR_FILE: only secrets are read from files (SMTP_PASSWORD_FILE, ")


def test_every_setting_is_known() -> None:
    """No setting is taken for a misspelling of another."""
    assert not list(check_variables(KNOWN))


@given(st.sampled_from(KNOWN), st.data())
def test_one_letter_missing(name: str, data: st.DataObject) -> None:
    """A setting of nine letters or more with one letter missing is told, wherever it is missing."""
    place = data.draw(st.integers(0, len(name) - 1))
    misspelt = name[:place] + name[place + 1 :]

    told = list(check_variables([misspelt]))

    assert told or misspelt in {*KNOWN, "LOGLEVEL", "LOG_DIR", "LOG_HOST"} or len(name) < 9


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SMTP_SERVICE_HOST", "10.0.0.1"),
        ("SMTP_SERVICE_PORT", "25"),
        ("SMTP_SERVICE_PORT_SUBMISSION", "587"),
        ("SMTP_PORT", "tcp://10.0.0.1:25"),
        ("SMTP_PORT_25_TCP", "tcp://10.0.0.1:25"),
        ("SMTP_PORT_25_TCP_ADDR", "10.0.0.1"),
        ("SMTP_PORT_25_TCP_PORT", "25"),
        ("SMTP_PORT_25_TCP_PROTO", "tcp"),
        ("APPROVAL_API_PORT", "tcp://10.0.0.1:80"),
        ("COUNTERSIGN_METRICS_SERVICE_HOST", "10.0.0.1"),
    ],
)
def test_service_link(name: str, value: str) -> None:
    """What Kubernetes sets for a service named like a setting is not ours."""
    assert is_service_link(name, value)


@pytest.mark.parametrize(("name", "value"), [("SMTP_PORT", "587"), ("SMTP_HOST", "tcp://x"), ("SMTP_PORTS", "25")])
def test_no_service_link(name: str, value: str) -> None:
    """A setting that a person wrote is not taken for one of Kubernetes."""
    assert not is_service_link(name, value)


def test_keys() -> None:
    """In a file every unknown key is told, whatever it looks like, and so is a known one in capitals."""
    told = list(check_keys(["smtp_host", "smtp_password_file", "smtp", "SMTP_PORT", "countersign_config", "colour"]))

    assert [line.split(" is not a setting")[0] for line in told] == [
        "smtp",
        "SMTP_PORT",
        "countersign_config",
        "colour",
    ]
    assert told[1] == "SMTP_PORT is not a setting: did you mean smtp_port?"


@given(st.text())
def test_nearest_is_real(name: str) -> None:
    """Whatever the name, the one offered exists."""
    assert nearest(name) in KNOWN
