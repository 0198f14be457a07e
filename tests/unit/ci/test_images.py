"""The list of the image's packages, and the images pinned by digest."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.services.cache import CHECKOUT


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, CHECKOUT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LOCK = (CHECKOUT / "locks/runtime.txt").read_text()


def test_the_list_is_cyclonedx_and_names_every_package_of_the_lock_for_linux() -> None:
    text = script("make_sbom").sbom(LOCK)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = {each["name"]: each for each in json.loads(text)["components"]}
    pins = dict(re.findall(r"^([\w.-]+)==([\w.+!]+) \\$", LOCK, re.MULTILINE))
    assert {name: found[name]["version"] for name in pins} == pins
    assert "colorama" not in found, "it is installed on Windows only"
    assert len(found["orjson"]["hashes"]) == len(re.findall(r"--hash", LOCK.split("\norjson==")[1].split("# via")[0]))
    assert found["orjson"]["purl"].startswith("pkg:pypi/orjson@")


def test_the_same_lock_gives_the_same_list() -> None:
    assert script("make_sbom").sbom(LOCK) == script("make_sbom").sbom(LOCK)


DOCKER = """#!/bin/sh
echo "$4" >> "$ASKED"
[ "$4" = "$UNKNOWN" ] && { echo "not found" >&2; exit 1; }
echo "sha256:$(printf %s "$4" | sha256sum | cut -c1-64)"
"""


def loose(name: str) -> str:
    """Return a file of the checkout with images by their tags alone."""
    return re.sub(r"@sha256:[0-9a-f]{64}", "", (CHECKOUT / name).read_text())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    (tmp_path / ".ci").mkdir()
    shutil.copy(CHECKOUT / ".ci/pin_images.py", tmp_path / ".ci")
    for name in ("Dockerfile", "compose.yaml"):
        (tmp_path / name).write_text(loose(name))
    (tmp_path / "bin").mkdir()
    docker = tmp_path / "bin/docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    return tmp_path


def pin(folder: Path, *arguments: str, unknown: str = "") -> subprocess.CompletedProcess[str]:
    path = f"{folder}/bin:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "ASKED": str(folder / "asked"), "UNKNOWN": unknown}
    command = [sys.executable, folder / ".ci/pin_images.py", *arguments]
    return subprocess.run(command, env=env, check=False, capture_output=True, text=True)


def test_every_image_is_pinned_once_and_pinned_again_to_the_newest_digest(copy: Path) -> None:
    assert pin(copy, "--check").returncode == 1
    assert pin(copy).returncode == 0
    assert pin(copy, "--check").returncode == 0
    once = {name: (copy / name).read_text() for name in ("Dockerfile", "compose.yaml")}
    assert once["Dockerfile"].count("slim-bookworm@sha256:") == 2
    assert len(re.findall(r"image: \S+@sha256:[0-9a-f]{64}$", once["compose.yaml"], re.MULTILINE)) == 5
    assert "gavel:local@" not in once["compose.yaml"]
    assert pin(copy).returncode == 0
    assert {name: (copy / name).read_text() for name in once} == once
    asked = (copy / "asked").read_text().split()
    assert not [image for image in asked if "@" in image]
    without = re.sub(r"@sha256:[0-9a-f]{64}", "", once["compose.yaml"])
    assert without == loose("compose.yaml"), "nothing else is changed"


def test_nothing_is_changed_if_a_registry_does_not_know_an_image(copy: Path) -> None:
    done = pin(copy, unknown="postgres:17.6-alpine")
    assert done.returncode == 1
    assert done.stderr.strip() == "pin_images: postgres:17.6-alpine: not found; nothing was changed"
    for name in ("Dockerfile", "compose.yaml"):
        assert (copy / name).read_text() == loose(name)
