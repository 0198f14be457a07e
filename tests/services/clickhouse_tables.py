"""Gavel's tables for tests that do not test how they are made: made once per checkout, and copied.

`python -m tests.services.clickhouse_tables DIRECTORY` makes them in an empty directory of chdb.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import closing
from functools import cache
from hashlib import sha256
from pathlib import Path

import chdb

from storage.clickhouse import connect, load_migrations, migrate
from tests.services.cache import CHECKOUT, cache_folder, locked


def fill(directory: Path) -> Path:
    """Put the tables of this release, in the database `gavel`, into a directory that no ClickHouse has used yet.

    `gavel init` finds nothing to do there. Returns the directory.
    """
    shutil.copytree(_made(), directory, dirs_exist_ok=True, ignore=_of_the_first_place)
    return directory


@cache
def _made() -> Path:
    release = sha256("".join([chdb.__version__, *(each.checksum for each in load_migrations())]).encode()).hexdigest()
    folder = cache_folder("clickhouse-tables")
    made = folder / release[:16]
    with locked(folder / "making"):
        if not made.exists():
            unfinished = folder / "unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            argv = [sys.executable, "-m", "tests.services.clickhouse_tables", str(unfinished)]
            subprocess.run(argv, check=True, cwd=CHECKOUT)
            unfinished.rename(made)
    return made


def _of_the_first_place(folder: str, names: list[str]) -> list[str]:
    """Name what belongs to the directory in which the tables were made: the lock, and links to absolute paths."""
    return [name for name in names if name == "status" or (Path(folder) / name).is_symlink()]


if __name__ == "__main__":
    with closing(connect(f"chdb://{sys.argv[1]}?database=gavel")) as client:
        migrate(client)
