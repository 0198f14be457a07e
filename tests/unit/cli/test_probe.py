"""The image's health check asks the port that the container's command listens on."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cli import probe
from config.settings import load_settings


class _Alive(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/livez" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("command", "section"),
    [
        (["/opt/gavel/bin/python", "/opt/gavel/bin/gavel", "run", "--role", "judge"], "http"),
        (["/sbin/docker-init", "--", "gavel", "api"], "http"),
        (["gavel", "up"], "http"),
        (["gavel", "ingest", "--config", "x.yaml"], "ingest"),
        (["gavel", "run", "--role", "ingest", "--workers", "2"], "ingest"),
        (["sleep", "1"], "http"),
    ],
)
def test_the_port_follows_the_command(tmp_path: Path, command: list[str], section: str) -> None:
    (tmp_path / "cmdline").write_bytes("\0".join(command).encode() + b"\0")
    overrides = {"http": {"port": 1111}, "ingest": {"port": 2222}}
    settings = load_settings(environ={}, overrides=overrides)
    found = probe.port_of(probe.read_command(tmp_path / "cmdline"), settings)
    assert found == {"http": 1111, "ingest": 2222}[section]


@pytest.mark.parametrize("form", [["--config", "a.yaml"], ["--config=a.yaml"]])
def test_the_settings_file_of_the_command_is_read(form: list[str]) -> None:
    assert probe.config_of(["run", *form, "--role", "sink"]) == Path("a.yaml")
    assert probe.config_of(["run"]) is None


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (None, 1)])
def test_the_exit_code_tells_whether_it_lives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int | None, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_Alive, "status", status)
    with HTTPServer(("127.0.0.1", 0), _Alive) as server:
        monkeypatch.setenv("GAVEL_HTTP__PORT", str(server.server_port))
        if status is None:
            server.server_close()
            assert probe.main() == code
            return
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert probe.main() == code
        thread.join()
