"""Makes `examples/generations/*.jsonl` again: real events of the real `posthog` SDK, talking to the stand-in provider.

Usage: `python examples/capture_generations.py [--seed N] [--into FOLDER]` (needs the development dependencies).
The same seed and the same versions of the SDKs give the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, this file's folder is on the path, and not the checkout

from posthog import Posthog

from examples.conversations.corpus import Conversation, conversations, embedded_texts
from examples.conversations.rows import NAMESPACE, Person, people, rows
from examples.conversations.talk import Talker
from examples.stand_in.client import StandInServer

SEED = 20260209
INTO = ROOT / "examples" / "generations"


@contextmanager
def capture_endpoint() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give the address of a server that takes the SDK's batches, and the list into which their events go."""
    events: list[dict[str, Any]] = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            events.extend(json.loads(body)["batch"])
            self.send_response(200)
            self.send_header("content-length", "15")
            self.end_headers()
            self.wfile.write(b'{"status":"Ok"}')

        def log_message(self, *_: object) -> None:
            """Say nothing about each request."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", events
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def capture(seed: int) -> list[tuple[str, dict[str, Any]]]:
    """Have all conversations; return every row with the wrapper it came through."""
    everybody, source = people(seed), random.Random(seed)
    provider, came_through = StandInServer(), list[str]()
    with capture_endpoint() as (address, events):
        posthog = Posthog("phc_capture", host=address, sync_mode=True)
        talker = Talker(posthog, provider.url)
        for number, (wrapper, have) in enumerate(_everything(talker, everybody, source, seed)):
            have(trace_id=str(uuid.uuid5(NAMESPACE, f"trace {number}")))
            came_through += [wrapper] * (len(events) - len(came_through))
        posthog.shutdown()
        talker.close()
        provider.close()
    return list(zip(came_through, rows(events, everybody, seed), strict=True))


def _everything(
    talker: Talker, everybody: list[Person], source: random.Random, seed: int
) -> Iterator[tuple[str, Callable[..., None]]]:
    texts = embedded_texts()
    for number, conversation in enumerate(conversations(seed)):
        person, session = source.choice(everybody).distinct_id, str(uuid.uuid5(NAMESPACE, f"session {number // 3}"))
        yield _wrapper(conversation), partial(talker.have, conversation, distinct_id=person, session_id=session)
        if number % 8 == 0:
            yield "openai_embeddings", partial(talker.embed, texts[number // 8 % len(texts)], distinct_id=person)


def _wrapper(conversation: Conversation) -> str:
    family = conversation.via.removesuffix("_stream")
    return {"chat": "openai_chat", "responses": "openai_responses"}.get(family, family)


def main() -> None:
    """Capture, and write one file for every wrapper."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--into", type=Path, default=INTO)
    given = parser.parse_args()
    files: dict[str, list[str]] = defaultdict(list)
    for wrapper, row in capture(given.seed):
        files[wrapper].append(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
    given.into.mkdir(parents=True, exist_ok=True)
    for wrapper, lines in sorted(files.items()):
        path = given.into / f"{wrapper}.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{len(lines):5} rows  {path.stat().st_size:9,} bytes  {path.name}")


if __name__ == "__main__":
    main()
