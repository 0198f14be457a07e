"""The steps of the Dockerfile run one by one in an empty folder, and their product runs without the checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.services.cache import CHECKOUT
from tests.services.ports import free_ports
from tests.services.waiting import PATIENCE_S

BIN = Path(sys.executable).parent


def run(*command: str | Path, **options: Any) -> str:
    """Run a command; fail with its output if it fails."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, check=False, capture_output=True, text=True, **options
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def stages() -> list[list[str]]:
    """Return the Dockerfile's instructions, continuation lines joined, one list for each stage."""
    text = (CHECKOUT / "Dockerfile").read_text().replace("\\\n", " ")
    found: list[list[str]] = []
    for line in (line.strip() for line in text.splitlines()):
        if line.startswith("FROM "):
            found.append([])
        if line and not line.startswith("#") and found:
            found[-1].append(line)
    return found


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    run(BIN / "hadolint", CHECKOUT / "Dockerfile")


def test_the_final_image_is_slim_unprivileged_and_gets_signals_itself() -> None:
    build, final = stages()
    assert {stage[0].split()[1].partition("@")[0] for stage in (build, final)} == {"python:3.11.14-slim-bookworm"}
    assert "USER 10001:10001" in final
    assert 'ENTRYPOINT ["gavel"]' in final  # the exec form: no shell between SIGTERM and gavel
    assert not [line for line in final if re.search(r"\b(pip|apt-get|gcc)\b", line)]
    assert [line for line in final if line.startswith("COPY")] == ["COPY --from=build /opt/gavel /opt/gavel"]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment that the image ships, made in an empty folder by the first stage's own COPY and RUN lines."""
    root = tmp_path_factory.mktemp("image")
    source = root / "src"
    source.mkdir()
    for line in stages()[0]:
        instruction, _, rest = line.partition(" ")
        if instruction == "COPY":
            copy_into(source, *rest.split())
        elif instruction == "RUN":
            step = re.sub(r"(?<!\w)/(opt|dist)\b", rf"{root}/\1", rest)
            step = re.sub(r"^python |(?<=&& )python ", f"{sys.executable} ", step)
            run("bash", "-euo", "pipefail", "-c", step, cwd=source, env=clean_environment())
        else:
            assert instruction in {"FROM", "WORKDIR"}, f"this test does not know how to do: {line}"
    return root / "opt" / "gavel"


def copy_into(source: Path, *names_and_target: str) -> None:
    """Do what COPY does: files go into a folder (`target/`), a folder's contents become the target."""
    *names, target = names_and_target
    for name in names:
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, source / target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            (source / target).mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, source / target)


def clean_environment(**extra: str) -> dict[str, str]:
    """Return what a container starts with, and what package clients need to find their registry."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.lower().startswith(("pip_", "http", "ssl", "no_proxy"))
    }
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), **kept, **extra}


def test_the_shipped_environment_has_no_build_tools(shipped: Path) -> None:
    listing = "import importlib.metadata as m; print([d.name for d in m.distributions()])"
    names = run(shipped / "bin/python", "-c", listing, cwd="/", env=clean_environment())
    assert "'gavel'" in names
    assert not {"pip", "setuptools", "wheel", "pytest"} & set(re.findall(r"'([^']+)'", names))


def test_every_shipped_module_imports_with_what_is_shipped(shipped: Path) -> None:
    """Nothing that runs in the image needs a package or a file that only a checkout has."""
    code = """
import importlib, pkgutil
for room in ("conditions", "evaluators", "config", "processor", "api"):
    package = importlib.import_module(room)
    assert "site-packages" in package.__file__, package.__file__
    for module in pkgutil.walk_packages(package.__path__, room + "."):
        if ".migrations." not in module.name:  # Alembic loads those by path
            importlib.import_module(module.name)
"""
    run(shipped / "bin/python", "-W", "error::SyntaxWarning", "-c", code, cwd="/", env=clean_environment())
    assert "run" in run(shipped / "bin/gavel", "--help", cwd="/", env=clean_environment())


def test_the_health_check_sees_a_role_and_sigterm_ends_it_in_order(shipped: Path, kafka: str, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    own = f"image-{uuid.uuid4().hex[:8]}"
    topics = ("events", "results", "tasks", "parked", "dead_letters")
    environment = clean_environment(
        GAVEL_KAFKA__BOOTSTRAP_SERVERS=kafka,
        GAVEL_KAFKA__GROUP_PREFIX=own,
        GAVEL_DATA_DIR=str(tmp_path),
        GAVEL_HTTP__PORT=str(port),
        **{f"GAVEL_KAFKA__TOPICS__{topic.upper()}": f"{own}-{topic}" for topic in topics},
    )
    run(BIN / "gavel", "init", cwd=tmp_path, env=environment)  # the image has no chdb, which this test uses here
    (check,) = [line for line in stages()[1] if line.startswith("HEALTHCHECK")]
    command = json.loads(check[check.index("CMD ") + 4 :])
    command = [str(shipped / "bin/python"), *command[1:]]
    role = subprocess.Popen(
        [shipped / "bin/gavel", "run", "--role", "matcher"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE
    )
    with role:
        try:
            deadline = time.monotonic() + PATIENCE_S
            while subprocess.run(command, check=False, capture_output=True, env=environment, cwd=tmp_path).returncode:
                assert role.poll() is None, role.stderr and role.stderr.read().decode()
                assert time.monotonic() < deadline, "the health check never succeeded"
                time.sleep(0.2)
            role.send_signal(signal.SIGTERM)
            _, errors = role.communicate(timeout=PATIENCE_S)
            assert role.returncode == 0, errors.decode()
        finally:
            role.kill()
