"""All benchmarks, one after the other, each against its baseline in the same run.

    python -m benchmarks [NAME …] [--readme]

With `--readme` the tables replace those between the marks in README.md. Run it on a quiet machine.
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

README = Path(__file__).resolve().parent.parent / "README.md"
MARKS = ("<!-- benchmarks -->", "<!-- /benchmarks -->")
TITLES = {
    "stream": "The matcher role on a real Kafka",
    "conditions": "Conditions: one event against a team's evaluations",
    "hog": "Hog against the V8 virtual machine",
    "judge": "Judges against a provider of 1 s latency",
    "sink": "The sink into chdb",
    "snapshot": "Definitions that change",
    "api": "The HTTP API on SQLite",
}


def run(name: str) -> str:
    """Return what a benchmark prints.

    Raises:
        SystemExit: it failed.
    """
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"benchmarks.{name} ended with exit code {done.returncode}")
    return done.stdout.strip()


def main() -> None:
    """Parse the command line, run, print, and write the README if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(TITLES)}; all by default")
    parser.add_argument("--readme", action="store_true", help="put the tables into README.md")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in TITLES]
    if unknown:
        parser.error(f"{unknown[0]} is no benchmark; there are {', '.join(TITLES)}")
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"
    parts = [f"Printed by `make bench` ({machine}; broker, provider and baseline share the cores)."]
    for name in given.names or TITLES:
        print(f"… {name}", file=sys.stderr, flush=True)
        parts.append(f"**{TITLES[name]}** (`python -m benchmarks.{name}`)\n\n{run(name)}")
        print(parts[-1] + "\n", flush=True)
    if given.readme:
        begin, end = MARKS
        text = README.read_text()
        block = "\n".join([begin, "\n\n".join(parts), end])
        README.write_text(re.sub(f"{begin}.*{end}", lambda _: block, text, flags=re.DOTALL))


if __name__ == "__main__":
    main()
