"""Where a form may lead back to."""

from __future__ import annotations

import pytest

from console.preferences import own_address


@pytest.mark.parametrize(
    "address",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "/console/\\evil", "javascript:alert(1)", "",
     "/api/", "/console//evil.example/", "/console/\r\nSet-Cookie: a=b", "/console/é"],
)  # fmt: skip
def test_a_foreign_address_means_the_start_page(address: str) -> None:
    assert own_address(address) == "/console/"


@pytest.mark.parametrize("address", ["/console/1/", "/console/1/results/?q=https%3A%2F%2Fa&b=c"])
def test_an_address_of_the_console_is_kept(address: str) -> None:
    assert own_address(address) == address
