"""A log is read from where it may lie, whole or not at all."""

import base64
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loghost import PIECE, LogHost, a_log_host

from worker.events import Log
from worker.mail.places import LogError, Places


def read(places: Places, log: Log, *, patience: float = 30.0) -> bytes:
    """All of a log."""
    return b"".join(places.pieces(log, time.monotonic() + patience))


def reason(places: Places, url: str) -> str:
    """Why that log is not read."""
    with pytest.raises(LogError) as error:
        read(places, Log(url=url))
    return error.value.reason


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogHost]:
    """A server with logs."""
    with a_log_host(tmp_path_factory.mktemp("ca")) as host:
        yield host


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """LOGS_DIR with a log in it, and one beside it."""
    folder = tmp_path / "logs"
    (folder / "48213").mkdir(parents=True)
    (folder / "48213" / "3 ü.log").write_bytes(b"done\n")
    (tmp_path / "secret").write_bytes(b"secret\n")
    return folder


class TestInline:
    """Logs in the event itself."""

    @given(text=st.text(max_size=50), times=st.sampled_from([1, 9999]))
    @settings(deadline=None)
    def test_text_is_read_as_utf_8(self, text: str, times: int) -> None:
        """A text of any length is its UTF-8."""
        assert read(Places(None, frozenset(), None), Log(text=text * times)) == (text * times).encode()

    @given(content=st.binary(max_size=50), times=st.sampled_from([1, 9999]), wrapped=st.booleans())
    @settings(deadline=None)
    def test_base64_is_decoded(self, content: bytes, times: int, wrapped: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
        """Base64 of any length, in one line or in many, is its bytes."""
        encode = base64.encodebytes if wrapped else base64.b64encode

        assert read(Places(None, frozenset(), None), Log(base64=encode(content * times).decode())) == content * times

    @pytest.mark.parametrize(
        "wrong",
        ["a", "aaa", "aa=a", "ä===", "aaaa=", "a-_a", "aaaa aaaa", "aaa=" + "a" * 70_000, "a" * 65_532 + "aaa=aaaa"],
    )
    def test_wrong_base64_is_unreadable(self, wrong: str) -> None:
        """What is not base64 is not guessed at."""
        with pytest.raises(LogError) as error:
            read(Places(None, frozenset(), None), Log(base64=wrong))

        assert error.value.reason == "unreadable"


class TestFiles:
    """Logs below LOGS_DIR."""

    @pytest.mark.parametrize("scheme", ["file://", "file:", "file://localhost", "FILE://"])
    def test_a_file_is_read(self, folder: Path, scheme: str) -> None:
        """Every form of RFC 8089 names a file; its name is percent-encoded."""
        log = Log.model_construct(url=f"{scheme}{folder}/48213/3%20%C3%BC.log")

        assert read(Places(folder, frozenset(), None), log) == b"done\n"

    def test_a_large_file_comes_in_pieces(self, folder: Path) -> None:
        """No piece is larger than 64 kB."""
        (folder / "large").write_bytes(b"0123456789" * 50_000)

        pieces = list(
            Places(folder, frozenset(), None).pieces(Log(url=f"file://{folder}/large"), time.monotonic() + 30)
        )

        assert b"".join(pieces) == b"0123456789" * 50_000
        assert max(map(len, pieces)) <= 64 * 1024

    @pytest.mark.parametrize(
        "path",
        [
            "{folder}/../secret",
            "{folder}/%2e%2e/secret",
            "{folder}/48213/%2E%2E%2F../secret",
            "{folder}/48213/../../secret",
            "{folder}2/secret",
            "{folder}",
            "{folder}/",
            "/etc/passwd",
            "//etc/passwd",
            "{folder}/48213/3%00.log",
            "{folder}/48213/3%20%C3%BC.log?x",
            "{folder}/48213/3%20%C3%BC.log#x",
            "48213/3%20%C3%BC.log",
        ],
    )
    def test_nothing_outside_the_folder_is_read(self, folder: Path, path: str) -> None:
        """A path that leaves the folder, or does not begin there, is not allowed."""
        assert reason(Places(folder, frozenset(), None), "file:" + path.format(folder=folder)) == "not_allowed"

    def test_another_hosts_file_is_not_allowed(self, folder: Path) -> None:
        """A file on another machine is none of ours."""
        assert reason(Places(folder, frozenset(), None), f"file://nas{folder}/48213/3%20%C3%BC.log") == "not_allowed"

    def test_no_link_is_followed(self, folder: Path, tmp_path: Path) -> None:
        """Neither a linked file nor a file in a linked folder is read, wherever the link points."""
        (folder / "link").symlink_to(tmp_path / "secret")
        (folder / "away").symlink_to(tmp_path)
        (folder / "inside").symlink_to(folder / "48213")
        places = Places(folder, frozenset(), None)

        assert reason(places, f"file://{folder}/link") == "not_allowed"
        assert reason(places, f"file://{folder}/away/secret") == "not_allowed"
        assert reason(places, f"file://{folder}/inside/3%20%C3%BC.log") == "not_allowed"

    def test_the_folder_itself_may_be_a_link(self, folder: Path, tmp_path: Path) -> None:
        """LOGS_DIR is the administrator's word, links and all."""
        (tmp_path / "mounted").symlink_to(folder)
        places = Places(tmp_path / "mounted", frozenset(), None)

        assert read(places, Log(url=f"file://{tmp_path}/mounted/48213/3%20%C3%BC.log")) == b"done\n"

    def test_only_regular_files_are_read(self, folder: Path) -> None:
        """A FIFO, a socket or a folder is not opened for reading, and nobody waits for it."""
        os.mkfifo(folder / "fifo")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(folder / "socket"))
            places = Places(folder, frozenset(), None)

            for name in ("fifo", "socket", "48213", "48213/3%20%C3%BC.log/x"):
                assert reason(places, f"file://{folder}/{name}") == "not_allowed"

    def test_nothing_stays_open(self, folder: Path) -> None:
        """Whether read or refused, a log leaves no file descriptor behind."""
        os.mkfifo(folder / "fifo")
        places = Places(folder, frozenset(), None)
        before = sorted(Path("/proc/self/fd").iterdir())

        read(places, Log(url=f"file://{folder}/48213/3%20%C3%BC.log"))
        next(places.pieces(Log(url=f"file://{folder}/48213/3%20%C3%BC.log"), time.monotonic() + 30))
        for name in ("fifo", "48213", "absent", "absent/too"):
            reason(places, f"file://{folder}/{name}")

        assert sorted(Path("/proc/self/fd").iterdir()) == before

    def test_what_is_not_there_is_unreadable(self, folder: Path) -> None:
        """A missing file or folder is no question of permission."""
        assert reason(Places(folder, frozenset(), None), f"file://{folder}/absent") == "unreadable"
        assert reason(Places(folder / "gone", frozenset(), None), f"file://{folder}/gone/x") == "unreadable"

    def test_without_a_folder_no_file_is_allowed(self) -> None:
        """LOGS_DIR is not set: no file is read."""
        assert reason(Places(None, frozenset(), None), "file:///etc/passwd") == "not_allowed"


class TestHosts:
    """Logs on LOG_HOSTS."""

    @pytest.mark.parametrize("path", ["log/it-is-done", "chunked/it-is-done"])
    def test_a_log_is_read(self, host: LogHost, path: str) -> None:
        """What a listed host answers is the log, however it is transferred."""
        assert read(Places(None, frozenset({host.name}), host.ca_file), Log(url=host.url(path))) == b"it-is-done"

    def test_a_large_log_comes_in_pieces(self, host: LogHost) -> None:
        """A large log is handed on as it arrives."""
        places = Places(None, frozenset({host.name}), host.ca_file)

        pieces = list(places.pieces(Log(url=host.url("huge/20")), time.monotonic() + 30))

        assert b"".join(pieces) == PIECE * 20
        assert max(map(len, pieces)) < 3 * 64 * 1024

    @pytest.mark.parametrize(
        "path", ["missing", "moved/log/secret", "cut/done", "chunkcut/done", "endless/done", "packed/done"]
    )
    def test_a_log_is_whole_or_unreadable(self, host: LogHost, path: str) -> None:
        """Another status, a redirect, an encoding, or an end that might be a cut: nothing is guessed, or followed."""
        host.asked.clear()

        assert reason(Places(None, frozenset({host.name}), host.ca_file), host.url(path)) == "unreadable"
        assert host.asked == [f"/{path}"]

    @pytest.mark.parametrize(
        "url",
        [
            "https://{name}.evil.example/log/x",
            "https://evil.example/log/x",
            "https://localhost/log/x",
            "https://localhost:1/log/x",
            "https://user@{name}/log/x",
            "https://user:password@{name}/log/x",
            "https://evil.example\\@{name}/log/x",
            "https://[::1/log/x",
            "https://localhost:99999/log/x",
            "https://localhost:x/log/x",
            "https:/log/x",
            "https:{name}/log/x",
        ],
    )
    def test_no_other_host_is_asked(self, host: LogHost, url: str) -> None:
        """Host and port have to be on the list, and nothing may stand before them."""
        host.asked.clear()

        assert reason(Places(None, frozenset({host.name}), host.ca_file), url.format(name=host.name)) == "not_allowed"
        assert not host.asked

    def test_the_usual_port_need_not_be_said(self) -> None:
        """``host`` on the list is port 443, said or not: both are allowed, and then can't be reached."""
        for name in ("127.0.0.1", "::1", "[::1]", "[::1]:443"):
            places = Places(None, frozenset({name}), None)
            bracketed = "127.0.0.1" if name == "127.0.0.1" else "[::1]"
            assert reason(places, f"https://{bracketed}/x") == "unreadable"
            assert reason(places, f"https://{bracketed}:443/x") == "unreadable"
            assert reason(places, f"https://{bracketed}:444/x") == "not_allowed"

    def test_the_hosts_letter_case_does_not_matter(self, host: LogHost) -> None:
        """Host names have no letter case."""
        log = Log(url=host.url("log/done").replace("localhost", "LOCALHOST"))

        assert read(Places(None, frozenset({host.name}), host.ca_file), log) == b"done"

    def test_a_path_is_sent_as_ascii(self, host: LogHost) -> None:
        """Letters that a request line can't hold are percent-encoded; what is encoded stays."""
        host.asked.clear()

        read(Places(None, frozenset({host.name}), host.ca_file), Log(url=host.url("log/größe%20x?q=ü")))

        assert host.asked == ["/log/gr%C3%B6%C3%9Fe%20x?q=%C3%BC"]

    def test_a_certificate_has_to_be_trusted(self, host: LogHost) -> None:
        """Without its authority the host is not believed."""
        host.asked.clear()

        assert reason(Places(None, frozenset({host.name}), None), host.url("log/done")) == "unreadable"
        assert not host.asked

    def test_patience_ends(self, host: LogHost) -> None:
        """A log that is still coming at the deadline is unreadable."""
        places = Places(None, frozenset({host.name}), host.ca_file)

        with pytest.raises(LogError):
            read(places, Log(url=host.url("huge/2000")), patience=0.2)
        with pytest.raises(LogError):
            read(places, Log(text="done"), patience=-1)
