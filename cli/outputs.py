"""The files that commands write: opened without waiting, and refused with one line that names the option."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path
from typing import NoReturn

from cli.terminal import fail
from processor.exit_codes import EXIT_USAGE


@contextmanager
def written_or_exit(path: Path, option: str, *, private: bool = False) -> Iterator[BufferedWriter]:
    """Open a file to write, and empty it. Never waits for a reader of a named pipe.

    Args:
        option: the option that names the file, for the message.
        private: whether a file that this creates can be read by its owner only.
    """
    try:
        # Without O_NONBLOCK the call would wait until somebody opens a named pipe for reading.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600 if private else 0o666)
    except (OSError, ValueError) as error:
        _refuse(path, option, error)
    with os.fdopen(descriptor, "wb") as file:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            fail(f"{option}: {path} is a named pipe; name a regular file", code=EXIT_USAGE)
        os.set_blocking(descriptor, True)
        try:
            yield file
            file.flush()
        except OSError as error:
            _refuse(path, option, error)


def _refuse(path: Path, option: str, error: Exception) -> NoReturn:
    reason = getattr(error, "strerror", None) or str(error)
    fail(f"{option}: {path} cannot be written ({reason}); name another file", code=EXIT_USAGE)
