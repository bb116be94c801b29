"""The model to ``docs/settings.md``: every setting, and how they are written."""

from collections.abc import Iterable, Iterator

from pydantic_core import PydanticUndefined

from worker.settings.model import NAMES, SECRETS, Settings, derived_default, flexdeploy_property
from worker.settings.table import show_value
from worker.settings.values import SecretUrl

EXAMPLE = """\
smtp_host = "mail.corp.example"
smtp_port = 587
smtp_user = "deployments"
smtp_password_file = "/run/secrets/smtp-password"
smtp_from_address = "Deployments <deployments@corp.example>"
attach_logs = "on_failure"
max_attachment_bytes = "10 MiB"

enable_email_approval = true
imap_host = "mail.corp.example"
imap_port = 993
email_reply_process_interval = "2m"
trusted_authserv_id = "mx.corp.example"
approval_token_key_file = "/run/secrets/approval-token-key"
approve_words = ["approve", "approved", "genehmigt"]

broker_url = ["amqp://user@rabbit-1.corp.example/", "amqp://user@rabbit-2.corp.example/"]
"""
"""A TOML file that the page shows."""

_HEAD = """\
<!-- Written by `python -m worker.settings`; a test fails where it is not current. -->
# Settings

Environment variables without a prefix, named after the properties of FlexDeploy's page *Email Communications*. The \
same names in lower case work in a TOML file. They are read once, at start; `countersign settings` prints the \
effective ones, where each came from, secrets masked.

What is wrong is told all at once, one line each, and the exit status is 2: a value that can't be read, two settings \
that contradict, a required one that is missing (with its FlexDeploy property), and a name that looks like ours but \
is not one (`SMPT_HOST`), with the nearest real one. Other programs' variables, and those that Kubernetes sets for \
services (`SMTP_PORT=tcp://10.0.0.1:25`), are passed over.
"""

_SOURCES = """\
## Where a value comes from

The first of these that has one:

1. the environment: `SMTP_HOST`
2. for a secret, the file named by `<NAME>_FILE`, without the line break at its end: {files}
3. the TOML file named by `COUNTERSIGN_CONFIG`: `smtp_host`; tables and unknown keys are refused
4. the default

An empty value counts as none, except for `REPLY_SUBADDRESS`, where empty has a meaning. Blanks around a value are \
cut, but not around a secret. Control characters are refused everywhere.

```toml
{example}```
"""

_NOTATION = """\
## How a value is written

| kind | written as |
|---|---|
| switch | `true` or `false`; also `1`/`0`, `yes`/`no`, `on`/`off` |
| duration | `300s`, `5m`, `2h`, `30d`, or `1h30m`; a number alone is refused: write `300s` or `5m` |
| size | `16 MiB`, `18MiB`, `500 kB`, or a number alone for bytes |
| list | separated by `,` (`BROKER_URL`: by `;`); in TOML a list of texts works too |
| key | base64url of at least 32 bytes, padding optional: `openssl rand -hex 32` writes one |
"""

_RULES = """\
## What goes together

- `consume` needs `SMTP_HOST` and `SMTP_FROM_ADDRESS`; `poll` needs these, `ENABLE_EMAIL_APPROVAL=true`, and a login \
for IMAP. Commands that only talk to the broker need neither. `demo` reads no settings.
- `SMTP_USER` and `SMTP_PASSWORD` come together, unless `SMTP_AUTH=oauth2`.
- TLS (`SMTP_ENABLE_TLS`, `IMAP_ENABLE_TLS`) and STARTTLS exclude each other. Where both are off, and the server is \
not on loopback, `ALLOW_INSECURE_MAIL=true` is needed.
- `ENABLE_EMAIL_APPROVAL=true` needs `IMAP_HOST`, `APPROVAL_TOKEN_KEY`, and with `APPROVAL_TRUST=dmarc` \
`TRUSTED_AUTHSERV_ID`. Before the `@` of the reply address there has to be room for `REPLY_SUBADDRESS` and \
a token of 32 characters, within the 64 that RFC 5321 allows.
- `oauth2` needs `OAUTH_PROVIDER` and `OAUTH_CLIENT_ID`; for Google `OAUTH_CLIENT_SECRET` and `OAUTH_REFRESH_TOKEN`; \
else either `OAUTH_REFRESH_TOKEN` or `OAUTH_CLIENT_SECRET`, the latter at Microsoft with `OAUTH_TENANT_ID`.
- No word is in both `APPROVE_WORDS` and `REJECT_WORDS`; neither `PROCESSED_FOLDER` nor `QUARANTINE_FOLDER` is the \
reply folder.
"""


def settings_page() -> str:
    """The whole page in Markdown."""
    files = ", ".join(f"`{name.upper()}_FILE`" for name in NAMES if name in SECRETS)
    return "\n".join(
        (
            _HEAD,
            "## FlexDeploy's properties\n",
            *_flexdeploy_table(),
            "",
            "## Ours beside them\n",
            *_table(name for name in NAMES if not flexdeploy_property(name)),
            "",
            _SOURCES.format(files=files, example=EXAMPLE),
            _NOTATION,
            _RULES.rstrip("\n"),
            "",
        )
    )


def _flexdeploy_table() -> Iterator[str]:
    yield "| FlexDeploy property | variable | default | meaning |"
    yield "|---|---|---|---|"
    for name in NAMES:
        if title := flexdeploy_property(name):
            yield f"| {title} {_row(name)}"


def _table(names: Iterable[str]) -> Iterator[str]:
    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    yield from map(_row, names)


def _row(name: str) -> str:
    return f"| `{name.upper()}` | {_default(name)} | {Settings.model_fields[name].description} |"


def _default(name: str) -> str:
    if derived := derived_default(name):
        return derived
    default = Settings.model_fields[name].default
    if default is None or default is PydanticUndefined:
        return "none"
    # The broker's default password is public: it is what RabbitMQ has when it is installed.
    urls = [item.get_secret_value() for item in default if isinstance(item, SecretUrl)] if name == "broker_url" else []
    return f"`{';'.join(urls) or show_value(name, default)}`"
