"""`python -m examples.stand_in`: run the stand-in provider until a signal."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from examples.stand_in.http import serve
from examples.stand_in.server import Settings, StandIn


async def run(port: int, settings: Settings, *, host: str = "127.0.0.1", until_stdin_ends: bool = False) -> None:
    """Serve until SIGINT or SIGTERM, or until standard input ends. Print the address when the server accepts calls."""
    server = await serve(StandIn(settings).handle, port=port, host=host)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    if until_stdin_ends:
        asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    address = f"http://{host}:{server.sockets[0].getsockname()[1]}"
    print(address, flush=True)
    await ended.wait()
    server.close()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m examples.stand_in", description="A stand-in for LLM providers.")
    parser.add_argument("--port", type=int, default=0, help="0 (default) picks a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 in a container")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="of every answer")
    parser.add_argument("--jitter", type=float, default=0.0, metavar="SECONDS", help="at most this much more")
    parser.add_argument("--until-stdin-ends", action="store_true", help="end with the process that holds the other end")
    given = parser.parse_args()
    settings = Settings(latency_s=given.latency, jitter_s=given.jitter)
    asyncio.run(run(given.port, settings, host=given.host, until_stdin_ends=given.until_stdin_ends))


if __name__ == "__main__":
    main()
