"""How a command finds the `gavel up` (or `gavel run`) whose embedded parts no other process can open.

The process writes `running.json` into `data_dir`: the addresses of its broker and of its ClickHouse front, with the
front's secret. Only its owner can read the file. The process locks the file for as long as it lives, and the kernel
releases the lock however the process ends, so a file without a lock is stale.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import IO, TYPE_CHECKING, Any

from cli.terminal import fail, settings_or_exit

if TYPE_CHECKING:
    from config.settings import Settings

_FILE = "running.json"
_READERS_LET_GO_S = 1.0
_STARTS_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Running:
    """A running process and the addresses of its parts; empty ones are not embedded.

    Attributes:
        kafka: `host:port` of the embedded broker.
        clickhouse: DSN of the front of the embedded ClickHouse. It holds a secret.
        api, events: URLs of the API and of the front door, where it serves them.
    """

    pid: int
    version: str
    kafka: str = ""
    clickhouse: str = ""
    api: str = ""
    events: str = ""


class AlreadyRunning(RuntimeError):
    """Another process uses the embedded parts of the same folder; the message says which."""


class StillStarting(RuntimeError):
    """The process cannot be reached yet."""


class RunningFile:
    """The file of this process."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / _FILE
        self._handle: IO[str] | None = None

    def claim(self) -> None:
        """Lock the file for this process.

        Raises:
            AlreadyRunning: another process has locked it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
        os.fchmod(handle.fileno(), 0o600)
        give_up = monotonic() + _READERS_LET_GO_S  # a command that looks holds the lock for a moment
        while not _lock(handle, fcntl.LOCK_EX):
            if monotonic() > give_up:
                pid = _content(handle).get("pid", "unknown")
                handle.close()
                raise AlreadyRunning(
                    f"process {pid} already runs on the embedded parts in {self._path.parent}; end it, or set "
                    "GAVEL_DATA_DIR to another folder"
                )
            sleep(0.05)
        handle.truncate(0)
        self._handle = handle

    def publish(self, running: Running) -> None:
        """Tell other commands the addresses. Call `claim` before."""
        if self._handle is None:
            raise RuntimeError("the file was not claimed")
        self._handle.seek(0)
        self._handle.truncate()
        json.dump(asdict(running), self._handle)
        self._handle.flush()

    def release(self) -> None:
        """Empty the file and let another process have it."""
        if self._handle is not None:
            self._handle.truncate(0)
            self._handle.close()
            self._handle = None


def find_running(data_dir: Path) -> Running | None:
    """Return the process that runs on the embedded parts in `data_dir`, or None. A stale file counts as none.

    Raises:
        StillStarting: the process has not published its addresses.
        PermissionError: the file belongs to another user.
    """
    try:
        handle = (data_dir / _FILE).open()
    except FileNotFoundError:
        return None
    with handle:
        if _lock(handle, fcntl.LOCK_SH):
            return None
        content = _content(handle)
    try:
        return Running(**content)
    except TypeError:  # it is starting, or ending, or of another release
        raise StillStarting(f"the process that runs on {data_dir} is starting or ending; try again") from None


def beside_or_exit(config: Path | None) -> Settings:
    """Return the settings by which a command reaches the embedded parts: those of the running process, if there is one.

    It exits with 2 if the settings are wrong.
    """
    settings = settings_or_exit(config)
    running = running_or_exit(settings)
    return settings if running is None else reached_through(settings, running)


def running_or_exit(settings: Settings) -> Running | None:
    """Return the process that runs on the embedded parts, or None. It waits for one that is starting."""
    give_up = monotonic() + _STARTS_WITHIN_S
    while True:
        try:
            return find_running(Path(settings.data_dir))
        except StillStarting as error:
            if monotonic() > give_up:
                fail(str(error))
        except PermissionError:
            fail(f"{settings.data_dir / _FILE} belongs to another user; run this command as the user of `gavel up`")
        sleep(0.2)


def reached_through(settings: Settings, running: Running) -> Settings:
    """Return settings whose embedded broker and ClickHouse are reached at the addresses of `running`."""
    from pydantic import SecretStr

    from storage.clickhouse.dsn import EmbeddedDsn, parse_dsn

    changes: dict[str, object] = {}
    if settings.kafka.is_embedded and running.kafka:
        at = {"bootstrap_servers": running.kafka, "group_protocol": "classic"}
        changes["kafka"] = settings.kafka.model_copy(update=at)
    embedded = isinstance(parse_dsn(settings.clickhouse.dsn.get_secret_value()), EmbeddedDsn)
    if embedded and running.clickhouse:
        dsn = SecretStr(running.clickhouse)
        changes["clickhouse"] = settings.clickhouse.model_copy(update={"dsn": dsn})
    return settings.model_copy(update=changes)


def _lock(handle: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _content(handle: IO[str]) -> dict[str, Any]:
    handle.seek(0)
    try:
        content = json.loads(handle.read(65_536))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
