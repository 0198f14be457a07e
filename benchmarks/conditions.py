"""The cost of matching: `python -m benchmarks.conditions [--json]`.

The figures are per event, on one core, in one run. The baseline is decoding the event with orjson: the row, then the
properties. The matcher's figures include its own decoding of the row and the count of sampled-out pairs, because the
stream needs both. Each figure is the best of several rounds. The rounds are interleaved, so that a busy machine slows
both sides of a ratio alike.

The load (`benchmarks.conditions_load`): each evaluation has two sets of three filters, of all operators;
2 % of event × evaluation pairs match. As in a stream, prompt names, models, regions, plans and versions
repeat, while uuids, times, latencies, costs and token counts hardly do. The matcher has seen 2 000 other
events before, so that it remembers the values that repeat; the rows "first event" show it without any memory.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

import orjson

from benchmarks.conditions_load import evaluations, events, match_rates
from benchmarks.table import markdown
from conditions import Target, compile_matcher, decode_row
from conditions.interpreter import RowFields, interpret
from evaluators.generation import USUAL

LIMITS = {1: 1.2, 100: 2.0, 1000: 3.0}
ROUNDS = 15
BASELINE = "orjson: row, then properties"


@dataclass(frozen=True, slots=True)
class Figures:
    """All that was measured; times in microseconds for an event, ratios to the baseline."""

    event_bytes: int
    match_percent: float
    build_1000_ms: float
    us: dict[str, float]
    ratio: dict[str, float]
    limits: dict[str, float]


def _decode(event: bytes) -> None:
    orjson.loads(orjson.loads(event)["properties"])


def _match(targets: Sequence[Target]) -> Callable[[bytes], None]:
    match = compile_matcher(targets, carried=USUAL).match

    def run(event: bytes) -> None:
        len(match(decode_row(event)).sampled_out)

    return run


def _loop(targets: Sequence[Target]) -> Callable[[bytes], None]:
    def run(event: bytes) -> None:
        row = decode_row(event)
        fields = RowFields(row)
        for target in targets:
            interpret(target, fields)

    return run


def _each_alone(targets: Sequence[Target]) -> Callable[[bytes], None]:
    matches = [compile_matcher([target]).match for target in targets]

    def run(event: bytes) -> None:
        row = decode_row(event)
        for match in matches:
            match(row)

    return run


def _microseconds(work: Callable[[bytes], None], sample: Sequence[bytes]) -> float:
    began = time.perf_counter()
    for event in sample:
        work(event)
    return (time.perf_counter() - began) / len(sample) * 1e6


def _first_event(targets: Sequence[Target], sample: Sequence[bytes]) -> float:
    """Return the cost of the first event that a matcher meets: all values are new to it."""
    return median(_microseconds(_match(targets), [event]) for event in sample)


def _build_ms(targets: Sequence[Target]) -> float:
    began = time.perf_counter()
    compile_matcher(targets)
    return (time.perf_counter() - began) * 1e3


def measure() -> Figures:
    """Measure everything; takes about ten seconds."""
    seen, sample = events(2000), events(2000, seed=4)
    targets = evaluations(1000, seen[:500])
    names = {count: f"matcher, {count} evaluation{'s' * (count > 1)}" for count in LIMITS}
    cases: dict[str, Callable[[bytes], None]] = {BASELINE: _decode}
    cases |= {name: _match(targets[:count]) for count, name in names.items()}
    us = dict.fromkeys(cases, float("inf"))
    for work in cases.values():
        _microseconds(work, seen)
        _microseconds(work, seen)
    for _ in range(ROUNDS):
        for name, work in cases.items():
            us[name] = min(us[name], _microseconds(work, sample))
    for count, name in names.items():
        us[f"first event: {name}"] = _first_event(targets[:count], sample[:15])
    for name, slow in (("loop over 1000 matchers of one", _each_alone(targets)), ("interpreter, 1000", _loop(targets))):
        us[name] = min(_microseconds(slow, sample[:20]) for _ in range(3))
    rates = match_rates(targets, sample)
    return Figures(
        event_bytes=sum(map(len, sample)) // len(sample),
        match_percent=round(100 * sum(rates.values()) / len(rates), 2),
        build_1000_ms=min(_build_ms(targets) for _ in range(5)),
        us=us,
        ratio={name: value / us[BASELINE] for name, value in us.items()},
        limits={names[count]: limit for count, limit in LIMITS.items()},
    )


def main() -> None:
    """Print the table, or with `--json` the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    as_json = parser.parse_args().json
    figures = measure()
    if as_json:
        print(json.dumps(asdict(figures)))
        return
    rows = [
        (
            name,
            f"{us:.2f}" if us < 100 else f"{us:.0f}",
            f"{figures.ratio[name]:.2f}" if figures.ratio[name] < 100 else f"{figures.ratio[name]:.0f}",
            f"≤ {figures.limits[name]}" if name in figures.limits else "",
        )
        for name, us in figures.us.items()
    ]
    print(f"Events of {figures.event_bytes} bytes; {figures.match_percent} % of event × evaluation pairs match.\n")
    print(markdown(("per event, one core", "µs", "× baseline", "target"), rows))
    print(f"\nBuilding the matcher of 1 000 evaluations: {figures.build_1000_ms:.0f} ms (target: under 200).")


if __name__ == "__main__":
    main()
