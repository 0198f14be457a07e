"""One pipeline of three processes for the scenarios of a file: what each must survive is sent through the same one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from examples.stand_in.client import StandInServer
from tests.faults.pipeline import Pipeline, pipeline


@pytest.fixture(scope="module")
def gavel(kafka: str, stand_in_server: StandInServer) -> Iterator[Pipeline]:
    """A running pipeline; every test counts all that was ever sent through it."""
    stand_in_server.reset()
    with pipeline(kafka, stand_in_server.base_url) as made:
        made.start()
        made.send(20)
        made.check()
        yield made


@pytest.fixture(autouse=True)
def _normal_provider(stand_in_server: StandInServer) -> None:
    """Begin every test with a provider that works, without rules."""
    stand_in_server.reset()
