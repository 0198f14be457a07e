"""Hog against the V8 virtual machine, on the same programs and the same input, in one run.

    python -m benchmarks.hog [--json] [--without-node] [--reference FOLDER]

`hog_programs/` holds the programs, the input, the programs as bytecode and the script that times the reference
VM (`@posthog/hogvm` with cached RE2 patterns, under Node). They are copied to a temporary folder, where npm
installs the VM (`--reference` names a folder that has it already). Both sides take turns, best of several rounds
each, so that a busy machine hurts both. Without Node, npm or its registry, Gavel's side is timed alone.
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
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from evaluators.generation import Generation
from evaluators.hog import GenerationGlobals, HogEvaluator, compile_program

PROGRAMS = Path(__file__).parent / "hog_programs"
TARGETS = {"p1_length": 5.0, "p2_keywords": 5.0, "p4_pii": 2.0}
ROUNDS = 4
NODE_RUNS = {"p1_length": 50_000, "p2_keywords": 4_000, "p4_pii": 4_000}
INSTALL_TIMEOUT_S = 300.0
"""The native part of the VM's RE2 may have to be compiled, which takes longer: then use --reference."""


class NoReferenceError(Exception):
    """The reference VM can not be had here; the message says why."""


def per_second(run: Callable[[], Any], seconds: float = 0.2) -> float:
    """Return executions per second: the best of five timings of about `seconds` each."""
    timer = timeit.Timer(run)
    once = timer.timeit(100) / 100
    number = max(1, int(seconds / once))
    return number / min(timer.repeat(5, number))


def node_per_second(folder: Path, name: str) -> float:
    """Return executions per second of the reference VM: the best of five timings."""
    command = ["node", "tsvm.js", f"{name}.hoge", "g_text.json", str(NODE_RUNS[name])]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "RECACHE": "1"}, capture_output=True, text=True, check=True
    )
    return float(json.loads(done.stdout.strip().splitlines()[-1])["per_s"])


def install(folder: Path) -> None:
    """Install the reference VM. NoReferenceError if that is not possible here."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NoReferenceError("node and npm are not installed")
    command = ["npm", "install", "--no-audit", "--no-fund"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise NoReferenceError(f"npm install took longer than {INSTALL_TIMEOUT_S:g} s") from None
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise NoReferenceError(f"npm install failed: {said}") from None


def reference(installed: Path | None, folder: Path) -> Path:
    """Return a folder with the kit and the VM."""
    shutil.copytree(PROGRAMS, folder, dirs_exist_ok=True)
    if installed is None:
        install(folder)
    else:
        (folder / "node_modules").symlink_to((installed / "node_modules").resolve(), target_is_directory=True)
    return folder


def compare(table: dict[str, Any], node: Path | None) -> list[dict[str, Any]]:
    """Return the best figures of each program on both sides, which take turns."""
    programs = {name: compile_program((PROGRAMS / f"{name}.hog").read_text()) for name in TARGETS}
    ours = dict.fromkeys(TARGETS, 0.0)
    theirs = dict.fromkeys(TARGETS, 0.0)
    for _ in range(ROUNDS):
        for name, program in programs.items():
            ours[name] = max(ours[name], per_second(partial(program.run, table)))
            if node is not None:
                theirs[name] = max(theirs[name], node_per_second(node, name))
    return [
        {
            "program": name,
            "gavel_per_s": round(ours[name]),
            "v8_per_s": round(theirs[name]) if node else None,
            "ratio": round(ours[name] / theirs[name], 2) if node else None,
            "target": target,
        }
        for name, target in TARGETS.items()
    ]


def rest(table: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds to compile, and to run ten programs on one event with and without sharing."""
    source = "\n".join("{\n" + (PROGRAMS / f"{name}.hog").read_text() + "}" for name in ("p1_length", "p2_keywords"))
    event = Generation("u-1", 1, "$ai_generation", "d", datetime(2026, 1, 1, tzinfo=UTC), table["properties"])
    text = (PROGRAMS / "p1_length.hog").read_text()
    evaluators = [HogEvaluator(text.replace("2000", str(2000 + i)), allows_na=False) for i in range(10)]

    def shared() -> None:
        one = GenerationGlobals(event)
        for evaluator in evaluators:
            evaluator.evaluate(event, time_limit_s=1.0, shared=one)

    def apart() -> None:
        for evaluator in evaluators:
            evaluator.evaluate(event, time_limit_s=1.0)

    return {
        "source_chars": len(source),
        "compile_ms": round(1e3 / per_second(lambda: compile_program(source)), 2),
        "ten_programs_shared_us": round(1e6 / per_second(shared), 1),
        "ten_programs_apart_us": round(1e6 / per_second(apart), 1),
    }


def show(programs: list[dict[str, Any]], others: dict[str, Any]) -> None:
    """Print Markdown."""
    print("| program | Gavel, per s | V8 VM, per s | ratio | target |\n|---|---:|---:|---:|---:|")
    for row in programs:
        known = row["v8_per_s"] is not None
        theirs, ratio = (f"{row['v8_per_s']:,}", f"{row['ratio']:.1f}x") if known else ("not timed", "")
        print(f"| {row['program']} | {row['gavel_per_s']:,} | {theirs} | {ratio} | {row['target']:.0f}x |")
    print("\n| what | time | target |\n|---|---:|---:|")
    print(f"| compile {others['source_chars']} characters | {others['compile_ms']} ms | 5 ms |")
    print(f"| ten programs on one event, globals shared | {others['ten_programs_shared_us']} us | |")
    print(f"| ten programs on one event, each its own globals | {others['ten_programs_apart_us']} us | |")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of Markdown")
    parser.add_argument("--without-node", action="store_true", help="time only Gavel's side")
    parser.add_argument("--reference", type=Path, metavar="FOLDER", help="where the reference VM is installed already")
    options = parser.parse_args()
    table = json.loads((PROGRAMS / "g_text.json").read_text())
    with ExitStack() as stack:
        node: Path | None = None
        reason = "--without-node"
        if not options.without_node:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hog-bench-")))
            print("Installing the reference VM …", file=sys.stderr)
            try:
                node = reference(options.reference, folder)
            except NoReferenceError as error:
                reason = str(error)
        if node is None:
            print(f"The reference VM is not timed: {reason}.", file=sys.stderr)
        programs, others = compare(table, node), rest(table)
    if options.json:
        print(json.dumps({"programs": programs, **others, "reference": None if node is None else "@posthog/hogvm"}))
    else:
        show(programs, others)


if __name__ == "__main__":
    main()
