from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage.clickhouse import DirectoryInUse, Unreachable, connect
from tests.services.clickhouse_http import ClickHouseFront

_HOLD = """
import sys, time
from storage.clickhouse import connect
client = connect(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def test_both_ways_answer_the_same(empty_dsn: str) -> None:
    """A value with quotes comes back as it was bound, in process and by HTTP."""
    client = connect(empty_dsn)
    client.database = "default"
    assert client.query("SELECT {a:String}, toInt64(7)", parameters={"a": "it's \\ 100%"}).result_rows == [
        ("it's \\ 100%", 7)
    ]
    client.close()


def test_a_directory_that_another_process_holds_is_named_with_that_process(tmp_path: Path) -> None:
    dsn = f"chdb://{tmp_path}/held"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, dsn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(DirectoryInUse) as error:
            connect(dsn)
        assert error.value.pid == holder.pid
        assert f"process {holder.pid}" in str(error.value)
    finally:
        holder.communicate()
    connect(dsn).close()


def test_a_process_that_was_killed_leaves_no_lock(tmp_path: Path) -> None:
    dsn = f"chdb://{tmp_path}/held"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, dsn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    holder.kill()
    holder.communicate()
    connect(dsn).close()


def test_a_second_directory_in_one_process_is_refused_with_the_first_ones_name(tmp_path: Path) -> None:
    client = connect(f"chdb://{tmp_path}/one")
    with pytest.raises(Unreachable, match="one directory per process") as error:
        connect(f"chdb://{tmp_path}/two")
    assert str(tmp_path / "one") in str(error.value)
    client.close()
    connect(f"chdb://{tmp_path}/two").close()


def test_a_directory_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unreachable, match="cannot be made"):
        connect(f"chdb://{tmp_path}/file/below")


def test_clients_of_one_directory_see_each_others_rows_and_may_be_used_by_many_threads(tmp_path: Path) -> None:
    dsn = f"chdb://{tmp_path}/shared"
    writer, reader = connect(dsn), connect(dsn)
    writer.command("CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a")

    def insert(number: int) -> None:
        writer.insert("t", [[number]], column_names=["a"], settings={"async_insert": 0})
        reader.query("SELECT count() FROM t")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(insert, range(8)))
    assert reader.query("SELECT sum(a) FROM t").result_rows == [(28,)]
    writer.close()
    reader.close()


def test_a_server_that_is_not_there_is_reported_without_the_password() -> None:
    with pytest.raises(Unreachable, match="no answer") as error:
        connect("http://gavel:s3cret@127.0.0.1:1/gavel", connect_timeout_s=1)
    cause: BaseException | None = error.value
    while cause is not None:
        assert "s3cret" not in str(cause)
        cause = cause.__cause__


def test_a_wrong_password_is_called_one(tmp_path: Path) -> None:
    with ClickHouseFront(tmp_path / "server", password="right") as front:
        with pytest.raises(Unreachable, match="password is not accepted") as error:
            connect(front.dsn.replace("right", "wr0ng"))
        assert "wr0ng" not in str(error.value)
        connect(front.dsn).close()
