"""The snippets of docs/sending-events.md, run as they stand there, but for the token and the address."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.services.cache import CHECKOUT

FOLDER = Path(__file__).parent
_PAGE = CHECKOUT / "docs" / "sending-events.md"
_SNIPPET = re.compile(r"<!-- snippet: ([a-z-]+) -->\n```(\w+)\n(.*?)```\n", re.DOTALL)
_TOKEN, _ADDRESS = "gvt_…", "http://127.0.0.1:4318"
_LITELLM = FOLDER / "litellm.txt"


@dataclass(frozen=True)
class Snippet:
    """One block of the page and the language of its fence."""

    name: str
    language: str
    text: str

    def run(self, folder: Path, token: str, address: str, provider: str) -> subprocess.CompletedProcess[str]:
        """Run it in `folder` against a front door, with OpenAI's address being `provider`."""
        assert _TOKEN in self.text
        assert _ADDRESS in self.text
        text = self.text.replace(_TOKEN, token).replace(_ADDRESS, address)
        env = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTHON"))} | {
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": provider,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        return subprocess.run(
            self._command(folder, text), cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
        )

    def _command(self, folder: Path, text: str) -> list[str]:
        if self.language == "sh":
            return ["sh", "-c", text.replace("curl ", "curl -sS --fail-with-body ", 1)]
        if self.language == "js":
            script = FOLDER / "node_modules" / f".{self.name}.mjs"  # node looks for packages from there
            script.write_text(text)
            return ["node", str(script)]
        script = folder / "snippet.py"  # under the name of an SDK it would hide the SDK
        script.write_text(text)
        return [litellm_python() if self.name == "litellm" else sys.executable, str(script)]


def snippets() -> dict[str, Snippet]:
    """Return the snippets of the page by name."""
    found = _SNIPPET.findall(_PAGE.read_text(encoding="utf-8"))
    return {name: Snippet(name, language, text) for name, language, text in found}


def install_node_packages() -> None:
    """Install the packages of the lock file beside this module."""
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"npm could not install the SDKs:\n{done.stdout}{done.stderr}"


def litellm_python() -> str:
    """Return the interpreter of an environment with LiteLLM alone, made once for each content of its lock.

    LiteLLM refuses versions of packages that the other tests need, so it cannot share their environment.
    """
    digest = hashlib.sha256(_LITELLM.read_bytes()).hexdigest()[:12]
    folder = CHECKOUT / ".cache" / "litellm" / f"{sys.version_info[0]}.{sys.version_info[1]}-{digest}"
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _call([sys.executable, "-m", "venv", "--clear", str(folder)])
            _call([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile",
                   "--require-hashes", "-r", str(_LITELLM)])  # fmt: skip
            (folder / "complete").touch()
    return str(python)


def _call(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
