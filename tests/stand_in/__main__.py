"""`python -m tests.stand_in`: run the stand-in provider until a signal."""

from __future__ import annotations

import argparse
import asyncio
import signal

from tests.stand_in.http import serve
from tests.stand_in.server import Settings, StandIn


async def run(port: int, settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; print the address once it can be called."""
    server = await serve(StandIn(settings).handle, port=port)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(address, flush=True)  # noqa: T201 - this command's result
    await ended.wait()
    server.close()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.stand_in", description="A stand-in for LLM providers.")
    parser.add_argument("--port", type=int, default=0, help="0 (default) picks a free one")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="of every answer")
    parser.add_argument("--jitter", type=float, default=0.0, metavar="SECONDS", help="at most this much more")
    given = parser.parse_args()
    asyncio.run(run(given.port, Settings(latency_s=given.latency, jitter_s=given.jitter)))


if __name__ == "__main__":
    main()
