"""What `countersign settings` prints."""

from io import StringIO

from rich.console import Console

from worker.settings import Configuration, Settings, describe, read_settings, show_settings

SECRET = "hunter2-hunter2"


def a_configuration(**variables: str) -> Configuration[Settings]:
    """What these variables configure."""
    return read_settings({"HOME": "/h", **variables}, Settings, is_terminal=False)


def printed(configuration: Configuration[Settings], *, terminal: bool, width: int = 80) -> str:
    """What is printed, on a terminal of that width or into a pipe."""
    output = StringIO()
    show_settings(configuration, Console(file=output, force_terminal=terminal, width=width))
    return output.getvalue()


def values(configuration: Configuration[Settings]) -> dict[str, str]:
    """Each setting with the value that is shown."""
    return {row.name: row.value for row in describe(configuration)}


def test_a_row_a_setting() -> None:
    """Every setting has a row, with its property and where its value came from."""
    rows = {row.name: row.cells() for row in describe(a_configuration(SMTP_HOST="mail"))}

    assert list(rows) == [name.upper() for name in Settings.model_fields]
    assert rows["SMTP_HOST"] == ("SMTP_HOST", "mail", "environment", "SMTP Host Name")
    assert rows["SMTP_PORT"] == ("SMTP_PORT", "25", "default", "SMTP Host Port")
    assert rows["IMAP_USER"] == ("IMAP_USER", "none", "default: SMTP_USER", "IMAP User")


def test_values_as_written() -> None:
    """Values are shown as they could be written."""
    shown = values(
        a_configuration(
            EMAIL_REPLY_PROCESS_INTERVAL="90s",
            MAX_EVENT_BYTES="2048",
            EMAIL_REPLY_IDLE="no",
            SMTP_FROM_ADDRESS="Deploy <a@b.example>",
            RECIPIENT_DOMAINS="b.example,a.example",
            APPROVE_WORDS="yes, ja",
            REPLY_SUBADDRESS="",
        )
    )

    assert shown["EMAIL_REPLY_PROCESS_INTERVAL"] == "1m30s"
    assert shown["MAX_EVENT_BYTES"] == "2 KiB"
    assert shown["EMAIL_REPLY_IDLE"] == "false"
    assert shown["SMTP_FROM_ADDRESS"] == "Deploy <a@b.example>"
    assert shown["RECIPIENT_DOMAINS"] == "a.example,b.example"
    assert shown["APPROVE_WORDS"] == "yes,ja"
    assert shown["REPLY_SUBADDRESS"] == "(empty)"


def test_secrets_masked() -> None:
    """A secret that is set is eight stars, in a URL the password alone is masked, and one that isn't set is none."""
    shown = values(
        a_configuration(
            SMTP_USER="u",
            SMTP_PASSWORD=SECRET,
            APPROVAL_TOKEN_KEY="a" * 64,
            BROKER_URL=f"amqp://u:{SECRET}@one/;amqp://two/",
            STATE_URL=f"postgresql+psycopg://u:{SECRET}@h/d",
        )
    )

    assert shown["SMTP_PASSWORD"] == shown["IMAP_PASSWORD"] == shown["APPROVAL_TOKEN_KEY"] == "********"
    assert shown["OAUTH_CLIENT_SECRET"] == "none"
    assert shown["BROKER_URL"] == "amqp://u:***@one/;amqp://two/"
    assert shown["STATE_URL"] == "postgresql+psycopg://u:***@h/d"


def test_piped() -> None:
    """In a pipe each setting is one whole line, however narrow the console says it is."""
    folder = "/srv/[bold]" + "x" * 200

    output = printed(a_configuration(LOGS_DIR=folder), terminal=False, width=20)

    assert len(output.splitlines()) == len(Settings.model_fields) + 1
    assert folder in output
    assert "\x1b" not in output


def test_on_a_terminal() -> None:
    """On a terminal there is a table that folds a long value and loses none of it."""
    output = printed(a_configuration(LOGS_DIR="/srv/" + "x" * 200), terminal=True, width=100)

    assert output.count("x") >= 200
    assert "┃" in output
