"""The secret key of a store that is a file of this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.settings import Settings

_FILE = "secret_key"


def with_local_secret_key(settings: Settings) -> Settings:
    """Return settings by which provider keys can be stored.

    Where no `secret_keys` are set and the store is a file in `data_dir`, a key beside that file encrypts them. It is
    made here once, and only its owner can read it. A store on a server needs `secret_keys`, which all processes share.
    """
    from pydantic import SecretStr

    folder = Path(settings.data_dir)
    if settings.secret_keys or not settings.store.dsn.get_secret_value().startswith(f"sqlite:///{folder.absolute()}/"):
        return settings
    return settings.model_copy(update={"secret_keys": (SecretStr(_key_in(folder / _FILE)),)})


def _key_in(path: Path) -> str:
    from cryptography.fernet import Fernet

    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent, encoding="ascii") as made:  # readable by its owner only
            made.write(Fernet.generate_key().decode() + "\n")
            made.flush()
            with suppress(FileExistsError):  # another command was faster, and its key is the one
                os.link(made.name, path)
    return path.read_text(encoding="ascii").strip()
