"""All benchmarks, one after the other, each against its baseline in the same run.

    python -m benchmarks [NAME …] [--write]

With `--write` the tables replace the text between the marks in docs/performance.md. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
MARKS = ("<!-- benchmarks -->", "<!-- /benchmarks -->")
TITLES = {
    "stream": "The matcher role on a real Kafka",
    "latency": "From an event's send to its results",
    "conditions": "Conditions: one event against a team's evaluations",
    "hog": "Hog against the V8 virtual machine",
    "evaluators": "The ready evaluators on real generations",
    "judge": "Judges against a provider of 1 s latency",
    "sink": "The sink into chdb",
    "snapshot": "Definitions that change",
    "status": "What an operator sees",
    "api": "The HTTP API on SQLite",
    "reports": "Figures of a report in chdb",
    "console": "The console over ten million results in chdb",
    "labels": "Labels and trust over a million results in chdb",
    "trust": "Intervals: how often they hold the truth",
    "ingest": "The front door against a bare loop",
    "ingest_large": "Small requests beside bodies of 60 MB",
    "windows": "The live windows on a real Kafka",
    "clustering": "Clusters of 10 000 items",
}


def run(name: str) -> str:
    """Return the output of a benchmark.

    Raises:
        SystemExit: it failed.
    """
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"benchmarks.{name} ended with exit code {done.returncode}")
    return done.stdout.strip()


def main() -> None:
    """Parse the command line, run, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(TITLES)}; all by default")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in TITLES]
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; choose {', '.join(TITLES)}")
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"
    parts = [f"Printed by `make bench` ({machine}; broker, provider and baseline share the cores)."]
    for name in given.names or TITLES:
        print(f"… {name}", file=sys.stderr, flush=True)
        parts.append(f"## {TITLES[name]}\n\n`python -m benchmarks.{name}`\n\n{run(name)}")
        print(parts[-1] + "\n", flush=True)
    if given.write:
        begin, end = MARKS
        text = PAGE.read_text()
        block = "\n".join([begin, "\n\n".join(parts), end])
        PAGE.write_text(re.sub(f"{begin}.*{end}", lambda _: block, text, flags=re.DOTALL))


if __name__ == "__main__":
    main()
