"""Files that commands write: one that cannot be written ends a command with one line, and none can hang."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from cli.outputs import written_or_exit


def in_a_missing_folder(path: Path) -> None:
    path.parent.rmdir()


NOT_WRITABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pipe without a reader": (os.mkfifo, "No such device or address"),
    "a folder": (Path.mkdir, "Is a directory"),
    "a missing folder": (in_a_missing_folder, "No such file or directory"),
}


@pytest.mark.parametrize(("make", "reason"), NOT_WRITABLE.values(), ids=NOT_WRITABLE)
def test_what_cannot_be_written_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], None], reason: str
) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "out"
    make(path)
    with pytest.raises(typer.Exit) as ended, written_or_exit(path, "--output"):
        pytest.fail("the file was opened")
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == f"gavel: --output: {path} cannot be written ({reason}); name another file\n"


def test_a_pipe_with_a_reader_is_refused_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(typer.Exit), written_or_exit(path, "--html"):
            pytest.fail("the file was opened")
    finally:
        os.close(reader)
    assert capsys.readouterr().err == f"gavel: --html: {path} is a named pipe; name a regular file\n"


def test_a_full_disk_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), written_or_exit(Path("/dev/full"), "--output") as file:
        file.write(b"x" * 100_000)
    assert "/dev/full cannot be written (No space left on device)" in capsys.readouterr().err


@pytest.mark.parametrize(("private", "mode"), [(True, 0o600), (False, 0o644)])
def test_a_file_is_emptied_and_written(tmp_path: Path, private: bool, mode: int) -> None:
    path = tmp_path / "out"
    before = os.umask(0o022)
    try:
        with written_or_exit(path, "--output", private=private) as file:
            file.write(b"a longer text")
        with written_or_exit(path, "--output", private=private) as file:
            file.write(b"short")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"short"
    assert path.stat().st_mode & 0o777 == mode
