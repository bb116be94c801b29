"""OAuth 2.0 settings to an access token for SMTP and IMAP: asked for when needed, kept until shortly before it ends.

Client credentials (RFC 6749 4.4), or a refresh token where one is given (RFC 6749 6).
"""

import json
import ssl
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode

from worker.errors import OutageError

MICROSOFT = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
MICROSOFT_SCOPE = "https://outlook.office365.com/.default"
GOOGLE = "https://oauth2.googleapis.com/token"

ANSWER_SECONDS = 20.0
ANSWER_BYTES = 1_000_000
EARLY_SECONDS = 120.0
"""A token is replaced so long before it ends: no login begins with one that ends on the way."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Where to ask, and with what."""

    endpoint: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    scope: str | None = None

    @property
    def form(self) -> Mapping[str, str]:
        """The request's parameters (RFC 6749 4.4.2 and 6)."""
        kind = "refresh_token" if self.refresh_token else "client_credentials"
        fields = {
            "grant_type": kind,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "refresh_token": self.refresh_token,
            "scope": self.scope,
        }
        return {name: value for name, value in fields.items() if value}


def endpoint(provider: str, tenant: str | None) -> str:
    """The token URL of ``microsoft``, ``google``, or the one given."""
    if provider == "microsoft":
        return MICROSOFT.format(tenant=quote(tenant or "common", safe=""))
    return GOOGLE if provider == "google" else provider


def default_scope(provider: str, *, refreshing: bool) -> str | None:
    """What to ask for where ``OAUTH_SCOPE`` says nothing; a refresh token has its scope already."""
    return MICROSOFT_SCOPE if provider == "microsoft" and not refreshing else None


class TokenSource:
    """Call it for a valid access token. Threads may share one.

    Raises:
        OutageError: the provider is away, or refuses; the sentence holds its own words, never a secret.
    """

    def __init__(self, grant: Grant, ca_file: Path | None = None) -> None:
        self._grant = grant
        self._context = ssl.create_default_context(cafile=ca_file)
        self._token = ""
        self._until = 0.0
        self._refresh_token = grant.refresh_token
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """The token, a new one where the last is about to end."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._renew()
            return self._token

    def _renew(self) -> None:
        asked = time.monotonic()
        answer = self._ask()
        token = answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise OutageError(f"{self._grant.endpoint}: the answer holds no access_token")
        lifetime = _seconds(answer.get("expires_in"))
        self._token, self._until = token, asked + max(lifetime - EARLY_SECONDS, 0.0)
        # A provider that rotates refresh tokens ends the old one (RFC 6749 6).
        self._refresh_token = str(answer.get("refresh_token") or "") or self._refresh_token

    def _ask(self) -> Mapping[str, Any]:
        form = dict(self._grant.form)
        if self._refresh_token:
            form["refresh_token"] = self._refresh_token
        request = urllib.request.Request(  # noqa: S310 - the settings allow https, and http on loopback
            self._grant.endpoint, urlencode(form).encode(), {"Accept": "application/json"}
        )
        try:
            with urllib.request.urlopen(  # noqa: S310 - likewise
                request, timeout=ANSWER_SECONDS, context=self._context
            ) as response:
                return _parse(self._grant.endpoint, response.read(ANSWER_BYTES))
        except HTTPError as error:
            said = _parse(self._grant.endpoint, error.read(ANSWER_BYTES))
            words = said.get("error_description") or said.get("error") or error.reason
            first = next(iter(str(words).splitlines()), "") or f"status {error.code}"
            raise OutageError(f"{self._grant.endpoint}: {first[:300]}") from None
        except (URLError, OSError, HTTPException) as error:
            raise OutageError(f"{self._grant.endpoint}: {error}") from None


def _seconds(value: object) -> float:
    # Some providers write the number as text.
    try:
        return float(str(value))
    except ValueError:
        return 0.0


def _parse(where: str, body: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        raise OutageError(f"{where}: the answer is not JSON") from None
    return answer if isinstance(answer, dict) else {}
