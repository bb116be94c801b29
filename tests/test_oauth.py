"""Access tokens from a real HTTP server: asked for once, renewed in time, and refused in words."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from worker.errors import OutageError
from worker.oauth import Grant, TokenSource, default_scope, endpoint


class Provider(ThreadingHTTPServer):
    """A token endpoint that notes what it was asked and answers what it was told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Endpoint)
        self.asked: list[dict[str, list[str]]] = []
        self.status = 200
        self.answer: Any = {"access_token": "t-1", "expires_in": 3600}

    @property
    def url(self) -> str:
        """The token endpoint."""
        return f"http://127.0.0.1:{self.server_port}/token"


class _Endpoint(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        """Answer a token request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(parse_qs(body.decode()))
        answer = (
            self.server.answer if isinstance(self.server.answer, bytes) else json.dumps(self.server.answer).encode()
        )
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A running token endpoint."""
    server = Provider()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def source(provider: Provider, **more: Any) -> TokenSource:
    """A token source at that provider."""
    return TokenSource(Grant(provider.url, "client", **more))


def test_client_credentials_are_asked_once(provider: Provider) -> None:
    """The token is kept while it lasts."""
    tokens = source(provider, client_secret="s", scope="mail")
    assert [tokens(), tokens()] == ["t-1", "t-1"]
    assert provider.asked == [
        {"grant_type": ["client_credentials"], "client_id": ["client"], "client_secret": ["s"], "scope": ["mail"]}
    ]


def test_a_token_is_renewed_before_it_ends(provider: Provider) -> None:
    """One with a minute left is not used for a login that may take as long."""
    provider.answer = {"access_token": "short", "expires_in": 60}
    tokens = source(provider, client_secret="s")
    tokens()
    provider.answer = {"access_token": "next", "expires_in": 3600}
    assert [tokens(), tokens()] == ["next", "next"]


def test_a_rotated_refresh_token_is_used_next(provider: Provider) -> None:
    """The old one ended with the answer that brought the new one."""
    provider.answer = {"access_token": "a", "expires_in": 0, "refresh_token": "r-2"}
    tokens = source(provider, refresh_token="r-1")
    tokens()
    tokens()
    assert [asked["refresh_token"] for asked in provider.asked] == [["r-1"], ["r-2"]]


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (400, {"error": "invalid_client", "error_description": "AADSTS7000215: secret\r\nTrace"}, "AADSTS7000215"),
        (401, {"error": "invalid_grant"}, "invalid_grant"),
        (503, b"<html>", "not JSON"),
        (200, {"token_type": "Bearer"}, "no access_token"),
        (200, [], "no access_token"),
    ],
)
def test_a_refusal_is_an_outage_in_its_own_words(provider: Provider, status: int, answer: Any, said: str) -> None:
    """The provider's description, in one line, without our secret."""
    provider.status, provider.answer = status, answer
    with pytest.raises(OutageError, match=said) as caught:
        source(provider, client_secret="hush")()
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_provider_that_is_away_is_an_outage() -> None:
    """The endpoint is named."""
    with pytest.raises(OutageError, match=r"127\.0\.0\.1:1/token"):
        TokenSource(Grant("http://127.0.0.1:1/token", "client"))()


def test_the_providers_are_known() -> None:
    """Microsoft by tenant, Google, and anybody's URL."""
    assert endpoint("microsoft", "t/../x") == "https://login.microsoftonline.com/t%2F..%2Fx/oauth2/v2.0/token"
    assert endpoint("google", None) == "https://oauth2.googleapis.com/token"
    assert endpoint("https://id.corp.example/token", None) == "https://id.corp.example/token"
    assert default_scope("microsoft", refreshing=False) == "https://outlook.office365.com/.default"
    assert default_scope("google", refreshing=True) is None
