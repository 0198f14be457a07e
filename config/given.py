"""Files that a person names: opened without waiting, and read up to a limit.

UnreadableFile   the path names nothing that can be read as a file, or the file is too large
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import cast

MAX_GIVEN_BYTES = 64 * 1024 * 1024
"""Largest file, or line of a file, that is read unless the caller has a lower limit."""

STANDARD_INPUT = Path("-")
"""The path by which a person means standard input."""

_KINDS = {
    stat.S_IFDIR: "is a folder; name a file",
    stat.S_IFIFO: "is a named pipe; name a regular file, or - for standard input",
    stat.S_IFSOCK: "is a socket; name a regular file",
    stat.S_IFCHR: "is a device; name a regular file, or - for standard input",
    stat.S_IFBLK: "is a device; name a regular file",
}


class UnreadableFile(ValueError):
    """A file that cannot be read.

    Attributes:
        path: as the person named it.
        problem: what is wrong and what to do.
    """

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


def read_given(path: Path, *, limit_bytes: int = MAX_GIVEN_BYTES) -> bytes:
    """Return the content of a regular file, or of standard input for `-`. Never waits for a writer of a pipe.

    Raises:
        UnreadableFile: the path does not name a regular file that may be read, or the file is over the limit.
    """
    with opened_given(path) as file:
        try:
            content = file.read(limit_bytes + 1)
        except OSError as error:
            raise UnreadableFile(path, f"cannot be read ({error.strerror}); correct the path") from None
    if len(content) > limit_bytes:
        raise UnreadableFile(path, f"is larger than {limit_bytes} bytes; name a file of at most that size")
    return content


def given_lines(path: Path, *, limit_bytes: int = MAX_GIVEN_BYTES) -> Iterator[bytes]:
    """Yield the lines of a regular file of any size, or of standard input for `-`.

    Raises:
        UnreadableFile: the path does not name a regular file that may be read, or a line is over the limit.
    """
    with opened_given(path) as file:
        number = 0
        try:
            while line := file.readline(limit_bytes + 1):
                number += 1
                if len(line) > limit_bytes:
                    raise UnreadableFile(path, f"line {number} is longer than {limit_bytes} bytes; split it")
                yield line
        except OSError as error:
            raise UnreadableFile(path, f"cannot be read ({error.strerror}); correct the path") from None


@contextmanager
def opened_given(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file, or standard input for `-`. Raises `UnreadableFile`; never waits for a writer of a pipe."""
    if path == STANDARD_INPUT:
        yield cast("BufferedReader", sys.stdin.buffer)
        return
    try:
        # Without O_NONBLOCK the call would wait until somebody opens a named pipe for writing.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableFile(path, f"cannot be read ({reason}); correct the path") from None
    kind = _KINDS.get(stat.S_IFMT(os.fstat(descriptor).st_mode))
    if kind is not None:
        os.close(descriptor)
        raise UnreadableFile(path, kind)
    with os.fdopen(descriptor, "rb") as file:
        yield file
