"""Files that a person names are read without waiting and up to a limit; anything else is refused with its kind."""

from __future__ import annotations

import io
import os
import socket
import sys
from pathlib import Path

import pytest

from config.given import STANDARD_INPUT, UnreadableFile, given_lines, read_given


def refusal(path: Path, limit_bytes: int = 1000) -> str:
    with pytest.raises(UnreadableFile) as caught:
        read_given(path, limit_bytes=limit_bytes)
    with pytest.raises(UnreadableFile) as of_lines:
        list(given_lines(path, limit_bytes=limit_bytes))
    assert caught.value.path == of_lines.value.path == path
    return str(caught.value)


def test_a_regular_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one\ntwo")
    assert read_given(path, limit_bytes=7) == b"one\ntwo"
    assert list(given_lines(path, limit_bytes=4)) == [b"one\n", b"two"]


def test_a_file_and_a_line_over_the_limit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one\ntwo")
    with pytest.raises(UnreadableFile, match="is larger than 6 bytes"):
        read_given(path, limit_bytes=6)
    with pytest.raises(UnreadableFile, match="line 1 is longer than 3 bytes"):
        list(given_lines(path, limit_bytes=3))


def test_a_sparse_file_of_a_gigabyte_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(2**30)
    assert f"{path}: " in refusal(path)


def test_what_is_not_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    # A socket's path has at most 107 characters, which a test's folder may exceed.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert "cannot be read" in refusal(Path("socket"))
    assert "is a named pipe" in refusal(tmp_path / "pipe")
    assert "is a folder" in refusal(tmp_path)
    assert "is a device" in refusal(Path("/dev/zero"))
    assert "cannot be read (No such file or directory)" in refusal(tmp_path / "missing")
    assert "cannot be read" in refusal(Path("a" * 5000))
    assert "cannot be read" in refusal(Path("\x00"))


def test_a_file_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The superuser may read any file, so the system's answer to everybody else is given by hand."""

    def denied(path: object, flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", denied)
    assert "cannot be read (Permission denied)" in refusal(tmp_path / "a")


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\n\ntwo\n")))
    assert list(given_lines(STANDARD_INPUT)) == [b"one\n", b"\n", b"two\n"]
