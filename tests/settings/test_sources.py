"""Environment, files and TOML to settings: who wins, what is refused, and that no secret is told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.settings import ConsumeSettings, PollSettings, Settings, read_settings

REQUIRED = {"SMTP_HOST": "mail.corp.example", "SMTP_FROM_ADDRESS": "deploy@corp.example"}
SECRET = "hunter2-hunter2-hunter2"


def refused(variables: dict[str, str], kind: type[Settings] = Settings) -> list[str]:
    """The lines of the error that these variables cause."""
    with pytest.raises(SettingsError) as caught:
        read_settings(variables, kind, is_terminal=False)
    return str(caught.value).split("\n")


def a_file(folder: Path, name: str, content: str) -> str:
    """The path of a new file."""
    path = folder / name
    path.write_text(content)
    return str(path)


def test_nothing_is_required_of_all() -> None:
    """A command that only talks to the broker runs with an empty environment."""
    settings = read_settings({}, Settings).settings

    assert settings.smtp_host is None
    assert [url.get_secret_value() for url in settings.broker_url] == ["amqp://guest:guest@localhost:5672/"]


def test_required() -> None:
    """What a consumer can't do without is named with its FlexDeploy property."""
    assert refused({}, ConsumeSettings) == [
        "SMTP_HOST (SMTP Host Name) is required",
        "SMTP_FROM_ADDRESS (SMTP From Address) is required",
    ]


def test_required_to_poll() -> None:
    """A poller has to have a mailbox, and approval enabled."""
    assert refused(REQUIRED, PollSettings) == [
        "IMAP_HOST (IMAP Host Name) is required",
        "IMAP_USER (IMAP User) is required to poll",
        "IMAP_PASSWORD (IMAP Password) is required to poll with IMAP_AUTH=password",
        "ENABLE_EMAIL_APPROVAL (Enable Email Approval) is false: there are no replies to poll for",
    ]


@pytest.mark.parametrize("name", ["SMTP_USER", "PROCESSED_FOLDER", "SMTP_PORT", "LOG_LEVEL", "SMTP_PASSWORD_FILE"])
def test_empty_is_none(name: str) -> None:
    """What compose makes of a variable that nobody set counts as not there."""
    assert read_settings({name: ""}, Settings).sources == read_settings({}, Settings).sources


def test_empty_misspelt_name() -> None:
    """A misspelt name is told although nothing stands behind it: its owner meant it to be empty elsewhere."""
    assert refused({"SMPT_USER": ""}) == ["SMPT_USER is not a setting: did you mean SMTP_USER?"]


def test_precedence(tmp_path: Path) -> None:
    """The environment wins over the secret's file, that over TOML, and that over the default."""
    config = a_file(tmp_path, "c.toml", 'smtp_password = "toml"\nimap_password = "toml"\noauth_client_secret = "toml"')
    environ = {
        "COUNTERSIGN_CONFIG": config,
        "SMTP_USER": "u",
        "SMTP_PASSWORD": "environment",
        "SMTP_PASSWORD_FILE": "/nowhere",
        "IMAP_PASSWORD_FILE": a_file(tmp_path, "secret", "file\r\n"),
    }

    configuration = read_settings(environ, Settings)

    found = (
        configuration.settings.smtp_password,
        configuration.settings.imap_password,
        configuration.settings.oauth_client_secret,
    )
    assert [secret and secret.get_secret_value() for secret in found] == ["environment", "file", "toml"]
    assert [configuration.sources[name] for name in ("smtp_password", "imap_password", "smtp_port")] == [
        "environment",
        f"file {tmp_path}/secret",
        "default",
    ]
    assert configuration.sources["oauth_client_secret"] == config


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("SMTP_PASSWORD", "x y"),
        ("IMAP_PASSWORD", " x "),
        ("APPROVAL_TOKEN_KEY", "a" * 64),
        ("OAUTH_CLIENT_SECRET", "x"),
        ("OAUTH_REFRESH_TOKEN", "x"),
        ("BROKER_URL", "amqp://file/"),
        ("STATE_URL", "sqlite:////file/journal.db"),
    ],
)
def test_secret_files(tmp_path: Path, name: str, content: str) -> None:
    """Every secret can stand in a file, whose last line break does not count."""
    path = a_file(tmp_path, "secret", content + "\n")

    from_file = read_settings({f"{name}_FILE": path, "HOME": "/h"}, Settings)

    assert from_file.settings == read_settings({name: content, "HOME": "/h"}, Settings).settings
    assert from_file.sources[name.lower()] == f"file {path}"


def test_unusable_files(tmp_path: Path) -> None:
    """A secret's file that can't be used is told without its path, and the secret is not called missing as well."""
    (tmp_path / "binary").write_bytes(b"\xff")
    environ = REQUIRED | {
        "SMTP_USER": "u",
        "SMTP_PASSWORD_FILE": SECRET,
        "IMAP_PASSWORD_FILE": a_file(tmp_path, "empty", "\n"),
        "OAUTH_CLIENT_SECRET_FILE": "/dev/zero",
        "STATE_URL_FILE": f"{tmp_path}/binary",
    }

    assert refused(environ, ConsumeSettings) == [
        "SMTP_PASSWORD (SMTP Password): the file named by SMTP_PASSWORD_FILE can't be read: No such file or directory",
        "IMAP_PASSWORD (IMAP Password): the file named by IMAP_PASSWORD_FILE is empty",
        "OAUTH_CLIENT_SECRET: the file named by OAUTH_CLIENT_SECRET_FILE is too large",
        "STATE_URL: the file named by STATE_URL_FILE is not UTF-8",
    ]


def test_toml_types(tmp_path: Path) -> None:
    """Numbers, switches and lists of TOML are read as they are."""
    config = a_file(
        tmp_path,
        "c.toml",
        'smtp_port = 587\nenable_email_approval = false\nmax_event_bytes = 1000\nsmtp_from_address = "a@b.example"\n'
        'reject_words = ["no", "nein"]\nbroker_url = ["amqp://one/", "amqp://two/"]\nreply_subaddress = ""\n'
        f'smtp_host = "m"\nimap_password_file = "{a_file(tmp_path, "secret", "pw")}"',
    )

    settings = read_settings({"COUNTERSIGN_CONFIG": config}, ConsumeSettings).settings

    assert (settings.smtp_port, settings.max_event_bytes, settings.reply_subaddress) == (587, 1000, "")
    assert settings.reject_words == ("no", "nein")
    assert [url.get_secret_value() for url in settings.broker_url] == ["amqp://one/", "amqp://two/"]
    assert settings.imap_password is not None


def test_toml_refused(tmp_path: Path) -> None:
    """Unknown keys, tables, fractions and numbers without a unit are refused, each on a line of its own."""
    config = a_file(
        tmp_path,
        "c.toml",
        "email_reply_process_interval = 300\nsmtp_prot = 25\nsmtp_port = 2.5\nimap_port = true\n[imap_host]\nname = 1",
    )

    assert refused({"COUNTERSIGN_CONFIG": config}) == [
        f"{config}: smtp_prot is not a setting: did you mean smtp_port?",
        "SMTP_PORT (SMTP Host Port): a text, a whole number, true, false or a list of texts is expected",
        "IMAP_HOST (IMAP Host Name): a text, a whole number, true, false or a list of texts is expected",
        "IMAP_PORT (IMAP Host Port): write a whole number in digits",
        "EMAIL_REPLY_PROCESS_INTERVAL (Email Reply Process Interval): a number alone has no unit: write 300s or 5m",
    ]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"smtp_host", "is not TOML: "), (b"\xff", "is not UTF-8"), (None, "can't be read: No such")],
)
def test_unusable_toml(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    """A file that can't be read is the only complaint: nothing is called missing that may stand in it."""
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)

    (line,) = refused({"COUNTERSIGN_CONFIG": str(path)}, ConsumeSettings)

    assert line.startswith(f"COUNTERSIGN_CONFIG: {path} {complaint}")


BROKER_FORM = (
    "each URL is amqp://user:password@host:5672/vhost or amqps://…, several separated by ;"
    " (special characters in a password percent-encoded)"
)


def test_all_at_once() -> None:
    """A misspelt name, wrong values, a missing one and a contradiction are told in one error."""
    environ = {
        "SMPT_HOST": "mail",
        "SMTP_FROM_ADDRESS": "Deployments",
        "SMTP_PORT": "0",
        "ATTACH_LOGS": "sometimes",
        "EMAIL_REPLY_PROCESS_INTERVAL": "300",
        "ENABLE_EMAIL_APPROVAL": "true",
        "APPROVAL_TRUST": "address",
        "IMAP_HOST": "imap:993",
        "BROKER_URL": "localhost",
        "SMTP_USER": "deploy",
    }

    assert refused(environ, ConsumeSettings) == [
        "SMPT_HOST is not a setting: did you mean SMTP_HOST?",
        "SMTP_HOST (SMTP Host Name) is required",
        "SMTP_PORT (SMTP Host Port): a whole number from 1 to 65535 is expected",
        "SMTP_FROM_ADDRESS (SMTP From Address): not an email address of the form local@domain",
        "IMAP_HOST (IMAP Host Name): a host name or IP address alone is expected, without port, scheme or path",
        "EMAIL_REPLY_PROCESS_INTERVAL (Email Reply Process Interval): a number alone has no unit: write 300s or 5m",
        "ATTACH_LOGS (Attach Logs): should be 'never', 'on_failure' or 'always'",
        f"BROKER_URL: {BROKER_FORM}",
        "SMTP_PASSWORD (SMTP Password) is required with SMTP_USER",
        "APPROVAL_TOKEN_KEY is required with ENABLE_EMAIL_APPROVAL=true: make one with `openssl rand -hex 32`",
    ]


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"STATE_DIRECTORY": "/var/lib/countersign:/var/lib/two"}, "sqlite:////var/lib/countersign/journal.db"),
        ({"XDG_STATE_HOME": "/state", "HOME": "/home/u"}, "sqlite:////state/countersign/journal.db"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "sqlite:////h/.local/state/countersign/journal.db"),
        ({"HOME": "/home/u"}, "sqlite:////home/u/.local/state/countersign/journal.db"),
        ({"STATE_DIRECTORY": "/x", "STATE_URL": "postgresql+psycopg://h/d"}, "postgresql+psycopg://h/d"),
    ],
)
def test_journal_place(environ: dict[str, str], url: str) -> None:
    """The journal is where systemd says, else where XDG says, unless it is set."""
    assert read_settings(environ, Settings).settings.state_url.get_secret_value() == url


@pytest.mark.parametrize(("is_terminal", "form"), [(True, "console"), (False, "json")])
def test_log_format(is_terminal: bool, form: str) -> None:  # noqa: FBT001 - the table's columns
    """Logs are for a person on a terminal, for a machine elsewhere."""
    assert read_settings({}, Settings, is_terminal=is_terminal).settings.log_format == form
    assert read_settings({"LOG_FORMAT": "json"}, Settings, is_terminal=is_terminal).settings.log_format == "json"


def test_service_named_smtp() -> None:
    """The variables that Kubernetes sets for a service named smtp change nothing."""
    links = {
        "SMTP_SERVICE_HOST": "10.0.0.1",
        "SMTP_PORT": "tcp://10.0.0.1:25",
        "SMTP_PORT_25_TCP": "tcp://10.0.0.1:25",
        "SMTP_PORT_25_TCP_PORT": "25",
        "METRICS_PORT": "tcp://10.0.0.2:80",
    }

    assert read_settings(links, Settings).sources == read_settings({}, Settings).sources


def test_no_secret_in_a_toml_error(tmp_path: Path) -> None:
    """A secret without quotes makes a TOML file wrong, and is not repeated."""
    config = a_file(tmp_path, "c.toml", f"smtp_password = {SECRET}\n")

    assert SECRET not in "\n".join(refused({"COUNTERSIGN_CONFIG": config}))


@pytest.mark.parametrize(
    "environ",
    [
        {"SMTP_PASSWORD": f"{SECRET}\n"},
        {"APPROVAL_TOKEN_KEY": SECRET},
        {"BROKER_URL": f"amqp://u:{SECRET}/x@h/"},
        {"STATE_URL": f"postgres://u:{SECRET}@h/d"},
        {"OAUTH_PROVIDER": f"https://u:{SECRET}@login.example/"},
        {"SMTP_PORT": SECRET, "SMTP_HOST": f"{SECRET}:25", "ATTACH_LOGS": SECRET, "SMTP_FROM_ADDRESS": SECRET},
    ],
)
def test_no_secret_in_errors(environ: dict[str, str]) -> None:
    """An error never repeats what was written, wherever a secret was put by mistake."""
    assert SECRET not in "\n".join(refused(environ))


NAMES = [*(name.upper() for name in Settings.model_fields), "SMTP_PASSWORD_FILE", "COUNTERSIGN_CONFIG"]


@given(
    st.dictionaries(
        st.sampled_from(NAMES) | st.text(), st.text() | st.sampled_from(["true", "oauth2", "25", "5m", "a@b.example"])
    ),
    st.sampled_from([Settings, ConsumeSettings, PollSettings]),
)
def test_any_environment(environ: dict[str, str], kind: type[Settings]) -> None:
    """Whatever the environment holds, there are settings or lines of complaint, none of them empty."""
    try:
        read_settings(environ, kind, is_terminal=False)
    except SettingsError as error:
        lines = str(error).split("\n")
        assert all(lines)
