"""Work that several readers ask for is done once, kept, and done again only where it must be."""

from __future__ import annotations

import threading

import pytest

from api.services.shared_work import SharedWork


def test_a_result_is_made_once_for_all_who_ask_at_the_same_time() -> None:
    work, made, begun, go_on = SharedWork(4), [], threading.Event(), threading.Event()
    found: list[str] = []

    def make() -> str:
        made.append(1)
        begun.set()
        go_on.wait()
        return "made"

    readers = [threading.Thread(target=lambda: found.append(work.get("key", make))) for _ in range(5)]
    for reader in readers:
        reader.start()
    begun.wait()
    go_on.set()
    for reader in readers:
        reader.join()
    assert (found, len(made)) == (["made"] * 5, 1)


def test_one_that_is_not_fresh_is_made_again_in_its_place() -> None:
    work = SharedWork(4)
    assert work.get("team", lambda: 1) == 1
    assert work.get("team", lambda: 2, lambda kept: kept == 1) == 1
    assert work.get("team", lambda: 2, lambda kept: kept == 2) == 2
    assert work.get("team", lambda: 3) == 2, "the older one is gone"


def test_an_error_reaches_who_asked_and_is_not_kept() -> None:
    work = SharedWork(4)
    with pytest.raises(ZeroDivisionError):
        work.get("key", lambda: 1 // 0)
    assert work.get("key", lambda: 1) == 1


def test_only_the_newest_are_kept() -> None:
    work = SharedWork(2)
    for key in "abc":
        work.get(key, lambda key=key: key)  # the default binds the key
    assert work.get("a", lambda: "again") == "again"
    assert work.get("c", lambda: "again") == "c"
