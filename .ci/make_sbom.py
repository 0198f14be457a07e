"""Write the packages of the image as a CycloneDX document: `make_sbom.py LOCK TARGET`.

The lock is what the image installs. A package whose marker does not hold on Linux is left out. The same lock gives the
same bytes.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PLATFORM = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
}


def image_python() -> str:
    """Return the version of Python in the image."""
    found = re.search(r"^FROM python:(\d+\.\d+\.\d+)-", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit("make_sbom: the Dockerfile names no full version of Python; correct its FROM line")
    return found[1]


def components(lock: str, python: str) -> list[Component]:
    """Return the packages that a lock installs in the image, with the hashes of their files."""
    environment = {**PLATFORM, "python_full_version": python, "python_version": python.rpartition(".")[0]}
    found = []
    for entry in re.findall(r"^[a-zA-Z0-9][^\n\\]*(?:\\\n[^\n\\]*)*", lock, re.MULTILINE):
        text = " ".join(part.strip().rstrip("\\").strip() for part in entry.splitlines())
        requirement, *hashes = text.split(" --hash=sha256:")
        parsed = Requirement(requirement.strip())
        if parsed.marker is not None and not parsed.marker.evaluate(environment):
            continue
        (pin,) = parsed.specifier
        url = PackageURL("pypi", name=parsed.name.lower(), version=pin.version)
        found.append(
            Component(
                name=parsed.name,
                version=pin.version,
                type=ComponentType.LIBRARY,
                purl=url,
                bom_ref=str(url),
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each.strip()) for each in hashes],
            )
        )
    return found


def sbom(lock: str) -> str:
    """Return the document of a lock as JSON."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    bom = Bom(
        components=components(lock, image_python()),
        metadata=BomMetaData(
            component=Component(name="gavel", version=version, type=ComponentType.APPLICATION, bom_ref="gavel")
        ),
        serial_number=uuid5(NAMESPACE_URL, lock),
    )
    bom.register_dependency(bom.metadata.component, bom.components)  # it was set above
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    # The time of the making would make two documents of one lock differ.
    return re.sub(r'\n *"timestamp": "[^"]*",?(?=\n)', "", text).replace(",\n }", "\n }") + "\n"


def main(arguments: list[str]) -> int:
    """Write the document, and return the exit code."""
    lock, target = map(Path, arguments)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(sbom(lock.read_text()))
    print(f"{target} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
