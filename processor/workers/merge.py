"""The metrics of several workers as those of one process.

Counters and histograms are summed. A worker that ended keeps its share, because Prometheus takes a sum that falls for a
restart of the whole process and counts everything a second time. A gauge is the sum, the greatest or the least of the
workers' gauges, as its meaning asks for; those of a worker that ended are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock

from prometheus_client import Metric
from prometheus_client.samples import Exemplar, Sample

from processor.metric_catalogue import CATALOGUE
from processor.runtime.samples import Family, SampleLine

_SUMMED: frozenset[str] = frozenset(
    {"process_virtual_memory_bytes", "process_resident_memory_bytes", "process_open_fds"}
)
_SUMMED |= {name for name, each in CATALOGUE.items() if each.merge == "sum"}
_LEAST = frozenset(name for name, each in CATALOGUE.items() if each.merge == "least")

Add = Callable[[float, float], float]
_Key = tuple[str, tuple[tuple[str, str], ...]]
_ADDED = frozenset({"counter", "histogram", "summary"})


def _plus(one: float, other: float) -> float:
    return one + other


def adder(family: Family) -> Add:
    """Return how two values of a metric become one. A restart shows in the greatest `process_start_time_seconds`."""
    if family.kind in _ADDED or family.name in _SUMMED:
        return _plus
    return min if family.name in _LEAST else max


class MergedMetrics:
    """The sum over all workers that ever were; a collector for a registry of prometheus_client. Safe from any thread.

    Args:
        refresh: called before each look, to `update` the metrics of the living workers.
        own: returns the metrics of the supervisor itself.
    """

    def __init__(self, refresh: Callable[[], None], own: Callable[[], list[Family]]) -> None:
        self._refresh = refresh
        self._own = own
        self._living: dict[int, list[Family]] = {}
        self._ended: dict[str, dict[_Key, float]] = {}
        self._known: dict[str, Family] = {}
        self._lock = Lock()

    def born(self, worker: int) -> None:
        """Count a worker from now on. Each start is a worker of its own."""
        with self._lock:
            self._living[worker] = []

    def update(self, worker: int, families: list[Family]) -> None:
        """Take the newest metrics of a worker; those of one that ended are ignored."""
        with self._lock:
            if worker in self._living:
                self._living[worker] = families

    def retire(self, worker: int) -> None:
        """Keep the last counts of a worker that ended, and drop its gauges."""
        with self._lock:
            for family in self._living.pop(worker, []):
                if family.kind in _ADDED:
                    self._known.setdefault(family.name, family)
                    _add_lines(self._ended.setdefault(family.name, {}), family)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric once."""
        self._refresh()
        with self._lock:
            living = [self._own(), *self._living.values()]
            known = dict(self._known)
            merged = {name: dict(values) for name, values in self._ended.items()}
        for families in living:
            for family in families:
                known.setdefault(family.name, family)
                _add_lines(merged.setdefault(family.name, {}), family)
        shown = {
            _key(line): line.exemplar for each in living for family in each for line in family.lines if line.exemplar
        }
        for name, family in known.items():
            metric = Metric(name, family.help, family.kind)
            metric.samples = [
                Sample(key[0], dict(key[1]), value, None, Exemplar(*shown[key]) if key in shown else None)
                for key, value in merged[name].items()
            ]
            yield metric


def _add_lines(values: dict[_Key, float], family: Family) -> None:
    add = adder(family)
    for line in family.lines:
        key = _key(line)
        values[key] = add(values[key], line.value) if key in values else line.value


def _key(line: SampleLine) -> _Key:
    return line.name, tuple(line.labels.items())
