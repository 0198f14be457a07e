"""Hog against the V8 virtual machine, on the same programs and the same input, in one run.

    python -m benchmarks.hog [--without-node]

`hog_programs/` holds the programs, the input, the programs as bytecode and the script that times the reference
VM (`@posthog/hogvm` with cached RE2 patterns, under Node). They are copied to a temporary folder, where npm
installs the VM. Both sides are timed in turn, best of several rounds each, so that a busy machine hurts both.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import timeit
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evaluators.generation import Generation
from evaluators.hog import GenerationGlobals, HogEvaluator, compile_program

PROGRAMS = Path(__file__).parent / "hog_programs"
TARGETS = {"p1_length": 3.0, "p2_keywords": 3.0, "p4_pii": 1.0}
ROUNDS = 2
NODE_RUNS = {"p1_length": 100_000, "p2_keywords": 10_000, "p4_pii": 5_000}


def per_second(run: Callable[[], Any], seconds: float = 0.3) -> float:
    """Return executions per second: the best of five timings of about `seconds` each."""
    timer = timeit.Timer(run)
    once = timer.timeit(100) / 100
    number = max(1, int(seconds / once))
    return number / min(timer.repeat(5, number))


def node_per_second(folder: Path, name: str) -> float:
    """Return executions per second of the reference VM."""
    command = ["node", "tsvm.js", f"{name}.hoge", "g_text.json", str(NODE_RUNS[name])]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "RECACHE": "1"}, capture_output=True, text=True, check=True
    )
    return float(json.loads(done.stdout.strip().splitlines()[-1])["per_s"])


def install(folder: Path) -> None:
    """Copy the kit and install the reference VM."""
    shutil.copytree(PROGRAMS, folder, dirs_exist_ok=True)
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)


def compare(table: dict[str, Any], node: Path | None) -> None:
    print("| program | Gavel, per s | V8 VM, per s | ratio | target |\n|---|---:|---:|---:|---:|")
    for name, target in TARGETS.items():
        program = compile_program((PROGRAMS / f"{name}.hog").read_text())
        pairs = []
        for _ in range(ROUNDS):
            ours = per_second(lambda program=program: program.run(table))  # type: ignore[misc] # bound at once
            pairs.append((ours, node_per_second(node, name) if node else float("nan")))
        ours, theirs = max(p[0] for p in pairs), max(p[1] for p in pairs)
        print(f"| {name} | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.1f}x | {target:.0f}x |")


def generation(table: dict[str, Any]) -> Generation:
    return Generation("u-1", 1, "$ai_generation", "d", datetime(2026, 1, 1, tzinfo=UTC), table["properties"])


def rest(table: dict[str, Any]) -> None:
    """Print what it takes to compile, and to run ten programs on one event with and without sharing."""
    source = "\n".join("{\n" + (PROGRAMS / f"{name}.hog").read_text() + "}" for name in ("p1_length", "p2_keywords"))
    print(f"\nCompiling {len(source)} characters: {1e3 / per_second(lambda: compile_program(source)):.2f} ms")
    event = generation(table)
    evaluators = [
        HogEvaluator((PROGRAMS / "p1_length.hog").read_text().replace("2000", str(2000 + i)), allows_na=False)
        for i in range(10)
    ]

    def shared() -> None:
        one = GenerationGlobals(event)
        for evaluator in evaluators:
            evaluator.evaluate(event, time_limit_s=1.0, shared=one)

    def apart() -> None:
        for evaluator in evaluators:
            evaluator.evaluate(event, time_limit_s=1.0)

    print(f"Ten programs on one event: {1e6 / per_second(shared):.0f} us sharing its globals, ", end="")
    print(f"{1e6 / per_second(apart):.0f} us without")


def main() -> None:
    """Run the benchmark and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without-node", action="store_true", help="time only Gavel's side")
    options = parser.parse_args()
    table = json.loads((PROGRAMS / "g_text.json").read_text())
    if options.without_node:
        compare(table, None)
    elif shutil.which("node") is None or shutil.which("npm") is None:
        sys.exit("node and npm are needed to time the reference VM; --without-node times Gavel alone")
    else:
        with tempfile.TemporaryDirectory(prefix="hog-bench-") as folder:
            install(Path(folder))
            compare(table, Path(folder))
    rest(table)


if __name__ == "__main__":
    main()
