"""The soak: every fault at random under load, and then the count. `python -m tests.faults.soak --minutes N --seed S`.

Rounds of faults follow one another. After each, everything is let go well again, and every expected result id must be
in Kafka (read committed) and in ClickHouse exactly once. The record says what was done and what was counted; exit code
1 says that a count was wrong.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from examples.stand_in.client import StandInServer
from tests.faults.pipeline import ROLES, Pipeline, pipeline
from tests.faults.test_kill import NTH
from tests.services.kafka import KafkaServer
from tests.services.postgres import fresh_database
from tests.services.shared import shared_server
from tests.services.tcp_proxy import TcpProxy

ROUND_S = 75.0
SETTLE_S = 180.0
EVENTS_PER_S = 8
PROVIDER_FAULTS = ("rate_limited", "server_error", "hang", "cut", "malformed", "html", "not_json", "truncated")
CLICKHOUSE_CODES = (252, 241, 210, 202)
"""Too many parts, memory limit, network error, too many queries."""

SHOWN = Console(stderr=True)


@dataclass
class SoakRecord:
    """The faults that were injected, and the counts."""

    seed: int
    minutes: float
    faults: list[dict[str, Any]] = field(default_factory=list)
    counts: list[dict[str, Any]] = field(default_factory=list)
    processes_ended: dict[str, int] = field(default_factory=dict)
    provider_calls: int = 0
    dead_letters: dict[str, int] = field(default_factory=dict)
    poison_sent: int = 0
    problems: dict[str, int] = field(default_factory=dict)


class Soak:
    """One soak over one pipeline."""

    def __init__(
        self, gavel: Pipeline, broker: KafkaServer, kafka: TcpProxy, store: TcpProxy, provider: StandInServer, seed: int
    ) -> None:
        self._gavel, self._broker, self._kafka, self._store, self._provider = gavel, broker, kafka, store, provider
        self._random = random.Random(seed)
        self._started_s = time.monotonic()
        self._loading = threading.Event()
        self._idle = threading.Event()
        self._ended = False
        self._extra = 0
        self.record = SoakRecord(seed, 0.0)
        self._faults: list[Callable[[], str]] = [
            self._kill_a_role,
            self._kill_a_role,
            self._kill_at_a_step,
            self._kill_at_a_step,
            self._kill_at_a_step,
            self._sigterm_a_role,
            self._freeze_a_role,
            self._kill_the_broker,
            self._freeze_the_broker,
            self._cut_kafka,
            self._stall_kafka,
            self._clickhouse_refuses,
            self._clickhouse_cuts,
            self._clickhouse_hangs,
            self._kill_clickhouse,
            self._provider_fails,
            self._provider_fails,
            self._store_is_down,
            self._poison,
            self._a_member_joins_and_leaves,
            self._a_member_joins_and_leaves,
        ]

    # -- faults: each does it, heals it, and says what it was -----------------------------------------

    def _role(self) -> str:
        return self._random.choice(ROLES)

    def _pause(self, least: float, most: float) -> float:
        seconds = self._random.uniform(least, most)
        time.sleep(seconds)
        return seconds

    def _kill_a_role(self) -> str:
        role = self._role()
        self._gavel.processes[role].kill()
        return f"kill -9 {role}"

    def _kill_at_a_step(self) -> str:
        role = self._role()
        step = self._random.choice([step for step in NTH if role == "sink" or step != "mid_insert"])
        times = self._random.randint(1, 4)
        self._gavel.arm(role, step, times)
        return f"kill -9 {role} {step.replace('_', ' ')} ({times}.)"

    def _sigterm_a_role(self) -> str:
        role = self._role()
        return f"SIGTERM {role}: exit code {self._gavel.processes[role].restart()}"

    def _freeze_a_role(self) -> str:
        role = self._role()
        self._gavel.processes[role].freeze()
        seconds = self._pause(2.0, 12.0)
        self._gavel.processes[role].thaw()
        return f"freeze {role} for {seconds:.0f} s"

    def _kill_the_broker(self) -> str:
        self._broker.kill()
        seconds = self._pause(1.0, 15.0)
        self._broker.start()
        return f"kill -9 the broker, down for {seconds:.0f} s"

    def _freeze_the_broker(self) -> str:
        self._broker.freeze()
        seconds = self._pause(1.0, 8.0)
        self._broker.thaw()
        return f"freeze the broker for {seconds:.0f} s"

    def _cut_kafka(self) -> str:
        times = self._random.randint(1, 5)
        for _ in range(times):
            self._kafka.cut()
            self._pause(0.05, 0.6)
        return f"cut all connections to Kafka, {times} times"

    def _stall_kafka(self) -> str:
        self._kafka.stall()
        seconds = self._pause(1.0, 10.0)
        self._kafka.resume()
        return f"stall all connections to Kafka for {seconds:.0f} s"

    def _clickhouse_refuses(self) -> str:
        code, times = self._random.choice(CLICKHOUSE_CODES), self._random.randint(1, 6)
        self._gavel.clickhouse.fail(refuse_code=code, refuse_times=times)
        return f"ClickHouse refuses {times} inserts with code {code}"

    def _clickhouse_cuts(self) -> str:
        times = self._random.randint(1, 4)
        self._gavel.clickhouse.fail(cut_times=times)
        return f"ClickHouse stores {times} inserts and cuts the connection"

    def _clickhouse_hangs(self) -> str:
        self._gavel.clickhouse.fail(slow_s=6.0)
        seconds = self._pause(5.0, 9.0)
        self._gavel.clickhouse.fail()
        return f"ClickHouse answers inserts after the time limit, for {seconds:.0f} s"

    def _kill_clickhouse(self) -> str:
        self._gavel.clickhouse.kill()
        seconds = self._pause(1.0, 10.0)
        self._gavel.clickhouse.start()
        return f"kill -9 ClickHouse, down for {seconds:.0f} s"

    def _provider_fails(self) -> str:
        action = self._random.choice(PROVIDER_FAULTS)
        self._provider.script({"action": action})
        seconds = self._pause(1.0, 8.0)
        self._heal_the_provider()
        return f"provider: {action.replace('_', ' ')}, for {seconds:.0f} s"

    def _heal_the_provider(self) -> None:
        self.record.provider_calls += self._provider.stats()["received"]
        self._provider.reset()
        self._provider.settings(latency_s=0.05, jitter_s=0.1)

    def _store_is_down(self) -> str:
        self._store.refuse()
        role = self._role()
        killed = self._random.random() < 0.5
        if killed:
            self._gavel.processes[role].kill()
        seconds = self._pause(1.0, 10.0)
        self._store.resume()
        return f"store down for {seconds:.0f} s" + (f", kill -9 {role} meanwhile" if killed else "")

    def _poison(self) -> str:
        count = self._random.randint(10, 60)
        self._gavel.poison(count)
        return f"{count} poison messages in a burst"

    def _a_member_joins_and_leaves(self) -> str:
        self._extra += 1
        name = f"{self._role()}-{self._extra}"
        self._gavel.start(name)
        seconds = self._pause(4.0, 12.0)
        if self._random.random() < 0.5:
            self._gavel.remove(name)
            return f"{name} joins, dies by kill -9 after {seconds:.0f} s and stays away"
        codes = self._gavel.stop(name)
        return f"{name} joins, leaves after {seconds:.0f} s with exit code {codes[name]}"

    # -- the run --------------------------------------------------------------------------------------

    def run(self, minutes: float) -> SoakRecord:
        """Run rounds until the time is over."""
        self.record.minutes = minutes
        sender = threading.Thread(target=self._send, name="load", daemon=True)
        sender.start()
        while not self.record.problems and time.monotonic() - self._started_s < minutes * 60:
            self._round(min(ROUND_S, minutes * 60))
        self._ended = True
        self._loading.set()
        sender.join()
        self._gavel.stop()
        ended = Counter(
            f"{name.partition('-')[0]}: exit code {code}{f' ({why})' if why else ''}"
            for name, code, why in self._gavel.exits()
        )
        self.record.processes_ended = dict(sorted(ended.items()))
        self._heal_the_provider()
        return self.record

    def _send(self) -> None:
        while not self._ended:
            if not self._loading.wait(0.1):
                self._idle.set()
                continue
            self._idle.clear()
            self._gavel.send(1, over_s=1 / EVENTS_PER_S)

    def _round(self, seconds: float) -> None:
        self._loading.set()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            fault = self._random.choice(self._faults)
            at_s = time.monotonic() - self._started_s
            what = fault()
            self._pause(0.5, 5.0)
            self.record.faults.append({"at_s": round(at_s, 1), "fault": what})
            SHOWN.print(f"[dim]{at_s:7.1f} s[/dim]  {what}")
        self._loading.clear()
        self._idle.clear()
        self._idle.wait(10)
        self._count()

    def _count(self) -> None:
        self._gavel.disarm()
        self._gavel.clickhouse.fail()
        started = time.monotonic()
        count = self._gavel.settle(limit_s=SETTLE_S)
        letters = Counter(headers["gavel.error.class"] for headers in self._gavel.dead_letters())
        problems = count.problems
        if letters != Counter({"decode": self._gavel.poisoned} if self._gavel.poisoned else {}):
            problems["dead_letters"] = abs(letters.total() - self._gavel.poisoned) or 1
        entry = {
            "at_s": round(started - self._started_s, 1),
            "settled_s": round(time.monotonic() - started, 1),
            "events": self._gavel.sent,
            "expected": count.expected,
            "kafka": count.kafka,
            "clickhouse": count.clickhouse,
            "events_twice": count.events_twice,
            "problems": problems,
        }
        self.record.counts.append(entry)
        self.record.dead_letters, self.record.poison_sent = dict(letters), self._gavel.poisoned
        self.record.problems = problems
        SHOWN.print(f"[{'red' if problems else 'green'}]counted[/] {entry}")
        if problems:
            SHOWN.print(self._gavel.tell(count), markup=False)


def show(record: SoakRecord) -> None:
    """Print the record as tables on stderr and as JSON on stdout."""
    done = Counter(_kind(each["fault"]) for each in record.faults)
    faults = Table("fault", "times", title=f"Seed {record.seed}, {record.minutes:g} minutes")
    for kind, times in sorted(done.items()):
        faults.add_row(kind, str(times))
    SHOWN.print(faults)
    counts = Table("at s", "events", "expected", "Kafka", "ClickHouse", "wrong", title="Counted")
    for each in record.counts:
        cells = (each["at_s"], each["events"], each["expected"], each["kafka"], each["clickhouse"], each["problems"])
        counts.add_row(*map(str, cells))
    SHOWN.print(counts)
    print(json.dumps({**asdict(record), "fault_kinds": dict(sorted(done.items()))}, indent=1))  # noqa: T201 - the result


def _kind(fault: str) -> str:
    words = "".join(letter for letter in fault.partition(":")[0].partition(",")[0] if not letter.isdigit())
    return " ".join(words.replace("()", "").replace("(.)", "").split())


def main() -> int:
    """Run a soak; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with ExitStack() as stack:
        kafka, store = stack.enter_context(TcpProxy()), stack.enter_context(TcpProxy())
        broker = stack.enter_context(KafkaServer(advertised_port=kafka.port, killed=True))
        kafka.forward_to(broker.proxied_port)
        direct = stack.enter_context(fresh_database(stack.enter_context(shared_server("postgres"))))
        store.forward_to(int(direct.rpartition(":")[2].partition("/")[0]))
        dsn = direct.rpartition(":")[0] + f":{store.port}/" + direct.rpartition("/")[2]
        provider = StandInServer("--latency", "0.05", "--jitter", "0.1")
        stack.callback(provider.close)
        gavel = stack.enter_context(
            pipeline(broker.bootstrap_servers, provider.base_url, through=kafka.address, store_dsn=dsn)
        )
        gavel.start()
        record = Soak(gavel, broker, kafka, store, provider, given.seed).run(given.minutes)
    show(record)
    return 1 if record.problems else 0


if __name__ == "__main__":
    sys.exit(main())
