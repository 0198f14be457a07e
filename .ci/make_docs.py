"""Write the pages of docs/ that are made from the code, or check them with `--check`.

    docs/configuration.md          the table of settings, from config/settings
    docs/evaluations.schema.json   the JSON Schema of definition files, from config/definitions.py
    docs/judges.md                 the table of providers, from evaluators/llm_judge/providers.py
    docs/metrics.md                the catalogue of processor/metric_catalogue/
    docs/sending-events.md         the tables of conventions, from ingest/otlp/conventions.py

`--check` writes nothing; it names the stale pages and exits with 1.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from config.documents import configuration_text, judges_text, schema_text
from ingest.otlp.tables import page_text as sending_events_text
from processor.metric_catalogue import catalogue_text

PAGES: dict[str, Callable[[str], str]] = {
    "docs/configuration.md": configuration_text,
    "docs/evaluations.schema.json": lambda _: schema_text(),
    "docs/judges.md": judges_text,
    "docs/metrics.md": lambda _: catalogue_text(),
    "docs/sending-events.md": sending_events_text,
}
"""Page → the function that returns its new text from the present one."""


def main(arguments: list[str]) -> int:
    """Write or check all pages; return the exit code."""
    stale = 0
    for name, make in PAGES.items():
        page = ROOT / name
        present = page.read_text(encoding="utf-8") if page.exists() else ""
        made = make(present)
        if made == present:
            continue
        stale += 1
        if arguments == ["--check"]:
            print(f"{name} is stale; run `make docs` and commit it", file=sys.stderr)
        else:
            page.write_text(made, encoding="utf-8")
            print(f"{name} is written")
    return 1 if stale and arguments == ["--check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
