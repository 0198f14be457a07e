"""The steps of compose's profile `sample`, by the very commands, on `gavel up` instead of containers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import yaml

from config.settings import load_settings
from storage.sql.engine import open_store
from storage.sql.evaluations import Evaluations
from tests.services.cache import CHECKOUT
from tests.services.ports import accepts, free_ports
from tests.services.process import GuardedProcess
from tests.services.waiting import PATIENCE_S

_TEAM = 1
_GAVEL = """#!/bin/sh
exec {python} -c "import sys; from cli.main import main; sys.argv[0] = 'gavel'; main()" "$@"
"""


def test_the_sample_applies_the_examples_and_sends_every_generation(tmp_path: Path) -> None:
    compose: dict[str, Any] = yaml.safe_load((CHECKOUT / "compose.yaml").read_text())
    api, ingest, http, stand_in_port = free_ports(4)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(sys.executable)
    (programs / "gavel").write_text(_GAVEL.format(python=sys.executable))
    (programs / "gavel").chmod(0o755)
    env = {
        "PATH": f"{programs}:{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": str(CHECKOUT),
        "GAVEL_DATA_DIR": str(tmp_path / "data"),
        "GAVEL_API__PORT": str(api),
        "GAVEL_INGEST__PORT": str(ingest),
        "GAVEL_HTTP__PORT": str(http),
        "GAVEL_INGEST__DRAIN_S": "0",
        "SAMPLE_URL": f"http://127.0.0.1:{ingest}",
    }
    provider = [*compose["services"]["stand-in"]["entrypoint"][1:], "--host", "127.0.0.1", "--port", str(stand_in_port)]
    stand_in = GuardedProcess([sys.executable, *provider], log=tmp_path / "stand-in.log", env=env)
    up = GuardedProcess([programs / "gavel", "up", "--quiet"], log=tmp_path / "up.log", env=env)
    try:
        up.wait_until(lambda: _answers(f"http://127.0.0.1:{ingest}/readyz"), "gavel up")
        stand_in.wait_until(lambda: accepts(stand_in_port), "the stand-in")
        service = compose["services"]["sample"]
        (script,) = service["command"]
        command = [*service["entrypoint"], script.replace("$$", "$").replace("--rate 20", "--rate 2000")]
        done = subprocess.run(
            command, env={**os.environ, **env}, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        metrics = httpx2.get(f"http://127.0.0.1:{http}/metrics", timeout=PATIENCE_S).text
    finally:
        up.kill()
        stand_in.kill()
    files = (CHECKOUT / "examples/generations").glob("*.jsonl")
    generations = sum(1 for path in files for line in path.read_bytes().split(b"\n") if line.strip())
    assert done.stdout.splitlines()[-1].startswith(f"{generations} events sent in ")
    assert done.stdout.rstrip().endswith(", 0 lines not taken.")
    assert re.search(r'^gavel_ingest_events_total\{outcome="accepted"\} [1-9]', metrics, re.MULTILINE)
    assert not re.search(r'^gavel_ingest_events_total\{outcome="rejected"\} [1-9]', metrics, re.MULTILINE)
    store = open_store(load_settings(None, overrides={"data_dir": env["GAVEL_DATA_DIR"]}, environ={}))
    names = {each.name for each in Evaluations(store).each(_TEAM)}
    store.close()
    assert "Tone" in names, "the judges are among them"
    assert len(names) > 20


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=PATIENCE_S).status_code == 200
    except httpx2.HTTPError:
        return False
