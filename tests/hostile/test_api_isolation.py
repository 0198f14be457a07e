"""One team's requests, however slow, do not hold up another team's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.serve import ApiServer
from config.settings import load_settings
from tests.api.conftest import Api
from tests.services.waiting import PATIENCE_S

REQUESTS = 60
"""More than there are threads for requests."""


class HangingProvider:
    """Takes connections and never answers, until it is closed."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self.held: list[socket.socket] = []
        self.some = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                self.held.append(self._socket.accept()[0])
                self.some.set()

    def close(self) -> None:
        with suppress(OSError):  # it is closed already
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for each in self.held:
            each.close()


@pytest.fixture
def hanging() -> Iterator[HangingProvider]:
    found = HangingProvider()
    yield found
    found.close()


@pytest.fixture
def server(session_api: Api, clickhouse_dsn: str, tmp_path: Path) -> Iterator[ApiServer]:
    overrides: dict[str, Any] = {
        "data_dir": str(tmp_path),
        "clickhouse": {"dsn": clickhouse_dsn},
        "api": {"port": 0, "slow_requests": 6, "slow_requests_per_team": 4, "slow_requests_per_key": 3},
        "judge": {"allowed_hosts": ["127.0.0.1"]},
    }
    found = ApiServer(load_settings(environ={}, overrides=overrides), session_api.services.database)
    found.start()
    yield found
    found.stop()


def test_validations_that_hang_hold_up_no_other_request(
    session_api: Api, server: ApiServer, hanging: HangingProvider
) -> None:
    base = f"http://127.0.0.1:{server.port}/api/projects"
    hostile = {"Authorization": session_api.http.headers["Authorization"]}
    colleague = {"Authorization": f"Bearer {session_api.key('*')}"}
    other_team = session_api.team + 500_000
    other = {"Authorization": f"Bearer {session_api.key('*', team=other_team)}"}
    body = {"provider": "custom", "api_key": "sk-hang-0123456789", "base_url": hanging.url}

    def validate(_number: int) -> int:
        path = f"{base}/{session_api.team}/llm_analytics/provider_key_validations/"
        return httpx2.post(path, json=body, headers=hostile, timeout=PATIENCE_S).status_code

    with ThreadPoolExecutor(REQUESTS) as clients:
        answers = [clients.submit(validate, number) for number in range(REQUESTS)]
        try:
            assert hanging.some.wait(PATIENCE_S)
            # All these requests are answered while the provider holds the first one, which it releases only below.
            for headers, team in ((other, other_team), (colleague, session_api.team), (hostile, session_api.team)):
                for _ in range(3):
                    assert (
                        httpx2.get(f"{base}/{team}/evaluations/", headers=headers, timeout=PATIENCE_S).status_code
                        == 200
                    )
            tested = httpx2.post(
                f"{base}/{other_team}/evaluations/test_hog/",
                json={"source": "return true"},
                headers=other,
                timeout=PATIENCE_S,
            )
            assert tested.status_code == 200
            assert len(hanging.held) <= 3, "one key has no more of them in progress than it may have"
            assert not all(answer.done() for answer in answers)
        finally:
            hanging.close()
        statuses = {answer.result() for answer in answers}
    assert statuses == {200, 429}
