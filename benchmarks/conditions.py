"""What matching costs: `python -m benchmarks.conditions [--json]`.

Per event, on one core, in one run: decoding the event with orjson (row, then properties) is the baseline;
the matcher's figures include its own decoding of the row. Best of several rounds, all rounds interleaved,
so that a busy machine slows both sides of a ratio alike.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence

import orjson

from benchmarks.conditions_load import evaluations, events, match_rates
from benchmarks.table import markdown
from conditions import Target, compile_matcher, decode_row
from conditions.interpreter import Fields, interpret

LIMITS = {1: 1.2, 100: 2.0, 1000: 3.0}
ROUNDS = 15


def _decode(event: bytes) -> None:
    orjson.loads(orjson.loads(event)["properties"])


def _match(targets: Sequence[Target]) -> Callable[[bytes], None]:
    match = compile_matcher(targets).match
    return lambda event: None if match(decode_row(event)) else None


def _loop(targets: Sequence[Target]) -> Callable[[bytes], None]:
    def run(event: bytes) -> None:
        row = decode_row(event)
        fields = Fields(row)
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


def _build_ms(targets: Sequence[Target]) -> float:
    began = time.perf_counter()
    compile_matcher(targets)
    return (time.perf_counter() - began) * 1e3


def measure() -> dict[str, object]:
    """Return all figures; times in microseconds for an event."""
    sample = events(2000)
    targets = evaluations(1000, sample[:500])
    cases: dict[str, Callable[[bytes], None]] = {"orjson": _decode}
    for count in LIMITS:
        cases[str(count)] = _match(targets[:count])
    best = dict.fromkeys(cases, float("inf"))
    for work in cases.values():  # a stream is long: what is remembered of values is warm
        _microseconds(work, sample)
    for _ in range(ROUNDS):
        for name, work in cases.items():
            best[name] = min(best[name], _microseconds(work, sample))
    for name, slow in (
        ("1000, a loop over matchers of one", _each_alone(targets)),
        ("1000, interpreter", _loop(targets)),
    ):
        best[name] = min(_microseconds(slow, sample[:20]) for _ in range(3))
    rates = match_rates(targets, sample)
    return {
        "event_bytes": sum(map(len, sample)) // len(sample),
        "match_percent": round(100 * sum(rates.values()) / len(rates), 2),
        "build_1000_ms": min(_build_ms(targets) for _ in range(5)),
        "us": best,
        "ratio": {name: value / best["orjson"] for name, value in best.items()},
    }


def main() -> None:
    """Print the table, or with `--json` the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    figures = measure()
    if parser.parse_args().json:
        print(json.dumps(figures))
        return
    us, ratio = figures["us"], figures["ratio"]
    rows = [("orjson: row, then properties", f"{us['orjson']:.2f}", "1.00", "")]
    for count, limit in LIMITS.items():
        rows.append(
            (f"matcher, {count} evaluations", f"{us[str(count)]:.2f}", f"{ratio[str(count)]:.2f}", f"≤ {limit}")
        )
    for name in list(us)[len(LIMITS) + 1 :]:
        rows.append((name, f"{us[name]:.0f}", f"{ratio[name]:.0f}", ""))
    print(
        f"Events of {figures['event_bytes']} bytes; {figures['match_percent']} % of event × evaluation pairs match.\n"
    )
    print(markdown(("per event, one core", "µs", "× baseline", "target"), rows))
    print(f"\nBuilding the matcher of 1 000 evaluations: {figures['build_1000_ms']:.0f} ms (target: under 200).")


if __name__ == "__main__":
    main()
