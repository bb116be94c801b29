"""Every setting with its type, its default, its FlexDeploy property and its meaning, as frozen models.

``Settings`` is what any command may read, and nothing in it is required. ``ConsumeSettings`` and ``PollSettings``
are the same with what sending and polling can't do without. The field's name in capitals is the variable. A field's
title is its property on FlexDeploy's page *Email Communications*, its description goes into ``docs/settings.md``.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from worker.events import Address, AttachLogs, Line
from worker.settings.values import (
    LOWER,
    Authorities,
    BrokerUrls,
    Count,
    Duration,
    Folder,
    Host,
    Hosts,
    Keys,
    Language,
    Mailbox,
    OptionalPort,
    Port,
    Provider,
    SecretUrl,
    Separator,
    ServerName,
    Size,
    StateUrl,
    Switch,
    Vocabulary,
)

SMTPS_PORT = 465
IMAPS_PORT = 993


def _same_as(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda valid: valid.get(name)


def _reply_address(valid: Mapping[str, Any]) -> Any:
    sender = valid.get("smtp_from_address")
    return sender.email if sender else None


def _derived(words: str) -> dict[str, Any]:
    # What the page and `countersign settings` say of a default that follows from other settings.
    return {"derived": words}


class Settings(BaseModel):
    """All settings. ``read_settings`` builds one, and has checked then that no two of them contradict."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    smtp_host: Host | None = Field(
        default=None,
        title="SMTP Host Name",
        description="Mail server that the mails are handed to.",
        json_schema_extra=_derived("required"),
    )
    smtp_port: Port = Field(default=25, title="SMTP Host Port", description="Its TCP port.")
    smtp_user: Line | None = Field(
        default=None, title="SMTP User", description="User to log in as; without one, no login."
    )
    smtp_password: SecretStr | None = Field(default=None, title="SMTP Password", description="Password of `SMTP_USER`.")
    smtp_from_address: Mailbox | None = Field(
        default=None,
        title="SMTP From Address",
        description="Sender of all mails; `Name <a@b>` is allowed.",
        json_schema_extra=_derived("required"),
    )
    smtp_enable_tls: Switch = Field(
        default_factory=lambda valid: valid.get("smtp_port") == SMTPS_PORT,
        description="TLS from the first byte; excludes STARTTLS.",
        json_schema_extra=_derived("true on port 465, else false"),
    )
    smtp_enable_starttls: Switch = Field(
        default_factory=lambda valid: not valid.get("smtp_enable_tls"),
        title="SMTP Enable STARTTLS",
        description="Encrypt before anything is sent; a server that does not offer it is an error, not a downgrade.",
        json_schema_extra=_derived("true (false where TLS is on)"),
    )
    enable_email_approval: Switch = Field(
        default=False,
        title="Enable Email Approval",
        description="Approvers decide by reply; without it approval mails only link to the approval, and `poll` exits"
        " with 2. True needs `IMAP_HOST`, `APPROVAL_TOKEN_KEY` and what `APPROVAL_TRUST` asks for.",
    )
    imap_host: Host | None = Field(
        default=None,
        title="IMAP Host Name",
        description="Mail server that holds the replies.",
        json_schema_extra=_derived("required with approval"),
    )
    imap_port: Port = Field(default=143, title="IMAP Host Port", description="Its TCP port.")
    imap_user: Line | None = Field(
        default_factory=_same_as("smtp_user"),
        title="IMAP User",
        description="User whose mailbox is read.",
        json_schema_extra=_derived("`SMTP_USER`"),
    )
    imap_password: SecretStr | None = Field(
        default_factory=_same_as("smtp_password"),
        title="IMAP Password",
        description="Password of `IMAP_USER`.",
        json_schema_extra=_derived("`SMTP_PASSWORD`"),
    )
    imap_enable_tls: Switch = Field(
        default_factory=lambda valid: valid.get("imap_port") == IMAPS_PORT,
        description="TLS from the first byte; excludes STARTTLS.",
        json_schema_extra=_derived("true on port 993, else false"),
    )
    imap_enable_starttls: Switch = Field(
        default_factory=lambda valid: not valid.get("imap_enable_tls"),
        title="IMAP Enable STARTTLS",
        description="Encrypt before anything is sent; a server that does not offer it is an error, not a downgrade.",
        json_schema_extra=_derived("true (false where TLS is on)"),
    )
    email_reply_folder: Line = Field(
        default="INBOX", title="Email Reply Folder", description="Folder that replies arrive in."
    )
    approval_reply_address: Address | None = Field(
        default_factory=_reply_address,
        title="Approval Reply Address",
        description="Address that approvers answer to; a group that the IMAP user is in works too.",
        json_schema_extra=_derived("address of `SMTP_FROM_ADDRESS`"),
    )
    email_reply_process_interval: Duration = Field(
        default=timedelta(minutes=5),
        title="Email Reply Process Interval",
        description="Time from one reading of the reply folder to the next.",
    )
    email_reply_process_count: Count = Field(
        default=30,
        title="Email Reply Process Count",
        description="Mails read in an interval at most, those read on IDLE included.",
    )
    attach_logs: Annotated[AttachLogs, LOWER] = Field(
        default="never",
        title="Attach Logs",
        description="`never`, `always` or `on_failure`; an event may narrow it, never widen it.",
    )

    broker_url: BrokerUrls = Field(
        default=(SecretUrl("amqp://guest:guest@localhost:5672/"),),
        description="RabbitMQ; several separated by `;` are tried in turn. `amqps://` verifies certificate and host"
        " name.",
    )
    allow_insecure_mail: Switch = Field(
        default=False,
        description="Let logins and mails cross an unencrypted connection to another host; loopback needs no leave.",
    )
    tls_ca_file: Folder | None = Field(
        default=None,
        description="Certificates (PEM) of the authorities to trust.",
        json_schema_extra=_derived("system store"),
    )
    smtp_auth: Annotated[Literal["password", "oauth2"], LOWER] = Field(
        default="password", description="How to log in to SMTP: `password` or `oauth2`."
    )
    imap_auth: Annotated[Literal["password", "oauth2"], LOWER] = Field(
        default="password", description="How to log in to IMAP: `password` or `oauth2`."
    )
    oauth_provider: Provider | None = Field(
        default=None,
        description="Who issues access tokens: `microsoft`, `google` or the `https` URL of a token endpoint.",
    )
    oauth_client_id: Line | None = Field(
        default=None, description="Client (application) id registered with the provider."
    )
    oauth_client_secret: SecretStr | None = Field(
        default=None, description="Its secret; needed by the client credentials grant, and by Google."
    )
    oauth_tenant_id: Line | None = Field(
        default=None, description="Directory (tenant) id at Microsoft; needed by the client credentials grant."
    )
    oauth_refresh_token: SecretStr | None = Field(
        default=None, description="Given: the refresh token grant; else the client credentials grant. Google needs it."
    )
    oauth_scope: Line | None = Field(
        default=None,
        description="Scopes to ask for, separated by blanks.",
        json_schema_extra=_derived("what the provider's mail needs"),
    )
    smtp_connections: Count = Field(default=2, description="Mail sessions held open.")
    smtp_pipeline_depth: Count = Field(
        default=8,
        description="Mails in flight on each session (approval mails: always 1); a cut connection can double what is"
        " in flight.",
    )
    email_reply_idle: Switch = Field(
        default=True,
        description="Read a reply when it arrives where the server has IDLE; the interval stays as a fallback.",
    )
    approval_token_key: Keys = Field(
        default=(),
        description="Secret that signs reply tokens: base64url of at least 32 bytes. Several separated by `,`: the"
        " first signs, all verify.",
        json_schema_extra=_derived("required with approval"),
    )
    approval_trust: Annotated[Literal["dmarc", "exchange", "address"], LOWER] = Field(
        default="dmarc",
        description="What proves a reply's sender beside the token: `dmarc` (the verdict of `TRUSTED_AUTHSERV_ID`),"
        " `exchange` (Exchange Online's form of it) or `address` (nothing more). The last two warn at each start.",
    )
    trusted_authserv_id: ServerName | None = Field(
        default=None, description="Name that our own gateway writes in Authentication-Results; `dmarc` needs it."
    )
    approve_words: Vocabulary = Field(
        default=("approve", "approved"), description="The only words that approve, in whatever language they are."
    )
    reject_words: Vocabulary = Field(
        default=("reject", "rejected"), description="The only words that reject, in whatever language they are."
    )
    reply_subaddress: Separator = Field(
        default="+",
        description="What separates the token in the reply address. Empty where the server has no sub-addressing: the"
        " token is then in the Message-ID and in the subject of the `mailto:` links.",
    )
    processed_folder: Line | None = Field(
        default=None,
        description="Folder that settled replies are moved to.",
        json_schema_extra=_derived("none: they are deleted"),
    )
    quarantine_folder: Line = Field(
        default="Quarantine", description="Folder that untrusted and unreadable mails are moved to."
    )
    quarantine_retention: Duration = Field(default=timedelta(days=30), description="How long a mail stays there.")
    reply_folder_is_ours: Switch = Field(
        default=False, description="Start the poller on a folder that holds mails not addressed to us."
    )
    templates_dir: Folder | None = Field(
        default=None,
        description="Folder of templates that replace the built-in ones of the same name; changes are picked up.",
        json_schema_extra=_derived("built-in"),
    )
    default_locale: Language = Field(default="en", description="Language of a mail whose event names none.")
    max_event_bytes: Size = Field(default=16 * 2**20, description="Size of a delivery's body at most.")
    max_attachment_bytes: Size = Field(
        default=18 * 2**20, description="Size of all attachments of a mail as sent at most, base64 counted."
    )
    logs_dir: Folder | None = Field(
        default=None, description="Folder that `file:` log references may point into; none: no such log."
    )
    log_hosts: Authorities | None = Field(
        default=None,
        description="Hosts that `https:` log references may point to, as `host` or `host:port`, separated by commas;"
        " none: no such log.",
    )
    recipient_domains: Hosts | None = Field(
        default=None, description="The only domains that mails go to, separated by commas; none: all."
    )
    reroute_all_to: Address | None = Field(
        default=None, description="Send every mail to this address instead (staging)."
    )
    state_url: StateUrl = Field(
        default=SecretUrl("sqlite:///journal.db"),
        description="The journal: what was sent, asked, decided. `postgresql+psycopg://…` where machines share it.",
        json_schema_extra=_derived(
            "`journal.db` in `$STATE_DIRECTORY`, else in `$XDG_STATE_HOME/countersign` (`~/.local/state/countersign`)"
        ),
    )
    state_retention: Duration = Field(default=timedelta(days=90), description="How long the journal remembers.")
    metrics_host: Host = Field(
        default="127.0.0.1", description="Address that `/metrics`, `/livez` and `/readyz` listen on."
    )
    metrics_port: OptionalPort = Field(default=0, description="Their TCP port; 0: off.")
    log_format: Annotated[Literal["console", "json"], LOWER] = Field(
        default="json",
        description="Form of the log lines: `console` or `json`.",
        json_schema_extra=_derived("`console` on a terminal, else `json`"),
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], LOWER] = Field(
        default="info", description="The least important log lines to write: `debug`, `info`, `warning` or `error`."
    )

    def warnings(self) -> list[str]:
        """A sentence for each choice that an attacker could use, for the log at each start."""
        if not self.enable_email_approval or self.approval_trust == "dmarc":
            return []
        return [_RISKS[self.approval_trust]]


class ConsumeSettings(Settings):
    """What `consume` needs: where mails are handed over, and who sends them."""

    smtp_host: Host
    smtp_from_address: Mailbox
    approval_reply_address: Address = Field(default_factory=_reply_address)


class PollSettings(ConsumeSettings):
    """What `poll` needs beside that: the mailbox. Email approval is enabled, and there is a key."""

    imap_host: Host
    imap_user: Line = Field(default_factory=_same_as("smtp_user"))


SECRETS = frozenset(
    {
        "smtp_password",
        "imap_password",
        "approval_token_key",
        "oauth_client_secret",
        "oauth_refresh_token",
        "broker_url",
        "state_url",
    }
)
"""What can also be read from the file that ``<NAME>_FILE`` names."""

_RISKS: dict[str, str] = {
    "exchange": "APPROVAL_TRUST=exchange: whoever can bring a mail into the reply mailbox past Exchange Online"
    " (a connector, a relay, another gateway) can forge its verdict and, with an approver's token, approve in that"
    " approver's name",
    "address": "APPROVAL_TRUST=address: nothing proves who sent a reply; who gets hold of an approval mail or its token"
    " (a forward, an archive, a delegate) can approve in the approver's name by writing the approver's address as From",
}

NAMES: tuple[str, ...] = tuple(Settings.model_fields)
"""The names of all settings in lower case, in the order of the page."""


def flexdeploy_property(name: str) -> str:
    """The setting's property on FlexDeploy's page; empty where it has none."""
    title = Settings.model_fields[name].title
    return title if title is not None else ""


def label(name: str) -> str:
    """The variable with its property: ``SMTP_HOST (SMTP Host Name)``."""
    title = flexdeploy_property(name)
    return f"{name.upper()} ({title})" if title else name.upper()


def derived_default(name: str) -> str:
    """In words what the default follows from; empty where it is a fixed value."""
    extra = Settings.model_fields[name].json_schema_extra
    return str(extra["derived"]) if isinstance(extra, dict) else ""
