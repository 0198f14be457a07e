"""The API's latency beside readers of the console: alone, beside them, and beside readers of another instance.

The readers run in a process of their own. The third series is the floor of the machine: the same readers use the same
cores there, but the pages are made by another `gavel api`. The three series take turns, so that they see the same
machine, and the spread over the turns shows its noise.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from multiprocessing.synchronize import Event
from statistics import median

PACE_S = 5.0
"""How long a viewer reads a page before the next one."""
REQUESTS, TURNS = 250, 8
_BETWEEN_S = 0.02
IDLE_S = 1.0


class Client:
    """One client with a connection, which is opened anew after a pause, because the server closes idle ones."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = headers
        self._last = 0.0

    def get(self, path: str) -> tuple[float, bytes]:
        """Return the milliseconds until the whole answer was there, and its body."""
        started = time.perf_counter()
        if started - self._last > IDLE_S:
            self._connection.close()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        self._last = time.perf_counter()
        took = (self._last - started) * 1000
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:300]!r}")
        return took, body


@dataclass(frozen=True, slots=True)
class Series:
    """Times of the API's answers, in ms, one list per turn."""

    turns: list[list[float]]

    def at(self, share: float) -> float:
        """Return the time below which `share` of all answers lie."""
        return at_share([each for turn in self.turns for each in turn], share)

    def of_turns(self, share: float) -> list[float]:
        """Return the same for each turn."""
        return [at_share(turn, share) for turn in self.turns]


def time_beside(
    api: Client, path: str, readers: Mapping[str, tuple[int, Sequence[str]]], pages: Sequence[str], turns: int = TURNS
) -> dict[str, Series]:
    """Return the API's times alone and beside each group of readers, by turns.

    Args:
        readers: by the name of the series: the port that they read from, and the cookies of their sessions.
    """
    time_api(api, path)
    found: dict[str, list[list[float]]] = {"alone": [], **{name: [] for name in readers}}
    for _ in range(turns):
        found["alone"].append(time_api(api, path))
        for name, (port, cookies) in readers.items():
            with reading(port, cookies, pages):
                found[name].append(time_api(api, path))
    return {name: Series(each) for name, each in found.items()}


def time_api(api: Client, path: str) -> list[float]:
    """Return the times of requests one after the other, in ms; they are spread over time, as those of clients are."""
    taken = []
    for _ in range(REQUESTS):
        taken.append(api.get(path)[0])
        time.sleep(_BETWEEN_S)
    return taken


@contextmanager
def reading(port: int, cookies: Sequence[str], pages: Sequence[str]) -> Iterator[None]:
    """Let readers open pages from a process of their own, until the end of the block. All have begun at its start."""
    spawn = multiprocessing.get_context("spawn")
    done = spawn.Event()
    process = spawn.Process(target=_read_all, args=(port, cookies, pages, done))
    process.start()
    try:
        time.sleep(PACE_S + 1)
        yield
    finally:
        done.set()
        process.join()
    if process.exitcode:
        raise RuntimeError("the readers failed; their error is above")


def _read_all(port: int, cookies: Sequence[str], pages: Sequence[str], done: Event) -> None:
    failed: list[BaseException] = []

    def read(place: int) -> None:
        viewer = Client(port, {"Cookie": cookies[place]})
        done.wait(PACE_S * place / len(cookies))
        try:
            while not done.is_set():
                viewer.get(pages[place % len(pages)])
                place += 1
                done.wait(PACE_S)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=read, args=(place,)) for place in range(len(cookies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    raise SystemExit(1 if failed else 0)


def at_share(taken: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie."""
    return sorted(taken)[int(len(taken) * share)]


def lines(found: dict[str, Series]) -> list[tuple[str, ...]]:
    """Return the rows of a table: p50, p95, the move of p95 against the time alone, and p95 of single turns."""
    alone = found["alone"].at(0.95)
    rows: list[tuple[str, ...]] = []
    for name, series in found.items():
        turns = series.of_turns(0.95)
        moved = [mine / theirs - 1 for mine, theirs in zip(turns, found["alone"].of_turns(0.95), strict=True)]
        rows.append(
            (
                name,
                f"{series.at(0.5):.2f}",
                f"{series.at(0.95):.2f}",
                f"{series.at(0.95) / alone - 1:+.0%}",
                f"{median(moved):+.0%}",
                f"{min(turns):.1f} to {max(turns):.1f}",
            )
        )
    return rows
