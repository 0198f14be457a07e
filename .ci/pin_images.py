"""Pin every image of Dockerfile and compose.yaml by its digest: `pin_images.py [--check]`.

It asks the registries with `docker buildx imagetools inspect`, so it needs Docker and a network. The tag stays in front
of the digest for people. Nothing is written unless every digest was found. `--check` asks nobody; it names the images
that are not pinned and exits with 1.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = ("Dockerfile", "compose.yaml")
IMAGE = re.compile(r"^(FROM |    image: )([\w./-]+:[\w.-]+)(@sha256:[0-9a-f]{64})?(?=\s|$)", re.MULTILINE)
BUILT_HERE = "gavel:local"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(image: str) -> str:
    """Return the digest of a tag for all its platforms. Exit with 1 if the registry does not say it."""
    command = ["docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)  # noqa: S603  # commands of this file
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SystemExit(f"pin_images: {image}: {error}; nothing was changed") from error
    found = DIGEST.search(done.stdout)
    if done.returncode or found is None:
        reason = done.stderr.strip() or "the answer has no digest"
        raise SystemExit(f"pin_images: {image}: {reason}; nothing was changed")
    return found[0]


def main(arguments: list[str]) -> int:
    """Pin, or check that all is pinned; return the exit code."""
    texts = {name: (ROOT / name).read_text() for name in FILES}
    images = [found for text in texts.values() for found in IMAGE.finditer(text) if found[2] != BUILT_HERE]
    if arguments == ["--check"]:
        loose = sorted({found[2] for found in images if not found[3]})
        for image in loose:
            print(f"{image} is not pinned by digest; run `make pin-images`", file=sys.stderr)
        return 1 if loose else 0
    digests = {image: digest_of(image) for image in sorted({found[2] for found in images})}

    def pinned(found: re.Match[str]) -> str:
        return f"{found[1]}{found[2]}@{digests[found[2]]}" if found[2] in digests else found[0]

    for name, text in texts.items():
        (ROOT / name).write_text(IMAGE.sub(pinned, text))
    for image, digest in digests.items():
        print(f"{image}@{digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
