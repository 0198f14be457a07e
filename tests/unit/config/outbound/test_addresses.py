from __future__ import annotations

import pytest

from config.outbound import ForbiddenAddress, check_url

PUBLIC = "93.184.216.34"


def _resolver(*addresses: str):
    return lambda host, port: list(addresses)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "2002:7f00:1::",
        "64:ff9b::a9fe:a9fe",
    ],
)
def test_an_address_that_is_not_public_is_refused_even_behind_a_public_name(address: str) -> None:
    with pytest.raises(ForbiddenAddress, match=r"judge\.allowed_hosts"):
        check_url("https://llm.example.com/v1", allowed=(), setting="judge.allowed_hosts", resolve=_resolver(address))


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    with pytest.raises(ForbiddenAddress):
        check_url("https://x.example/", allowed=(), setting="s", resolve=_resolver(PUBLIC, "10.0.0.1"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://2130706433/", "http://0x7f.1/", "http://[::1]/"])
def test_loopback_is_refused_however_it_is_written(url: str) -> None:
    with pytest.raises(ForbiddenAddress):
        check_url(url, allowed=(), setting="s")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x.example/",
        "file:///etc/passwd",
        "https://",
        "https://user:pw@x.example/",
        "http://x:99999/",
        "http://[/",
    ],
)
def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    with pytest.raises(ForbiddenAddress):
        check_url(url, allowed=(), setting="s", resolve=_resolver(PUBLIC))


def test_a_public_address_passes_and_is_returned_to_connect_to() -> None:
    assert check_url("https://x.example/", allowed=(), setting="s", resolve=_resolver(PUBLIC)) == (PUBLIC,)


def test_an_operator_can_allow_a_host_or_a_network() -> None:
    private = _resolver("10.0.0.7")
    assert check_url("http://ollama.internal:11434/v1", allowed=("Ollama.internal",), setting="s", resolve=private)
    assert check_url("http://other.internal/", allowed=("10.0.0.0/8",), setting="s", resolve=private)
    with pytest.raises(ForbiddenAddress):
        check_url("http://other.internal/", allowed=("ollama.internal", "192.168.0.0/16"), setting="s", resolve=private)


def test_a_name_that_does_not_resolve_is_refused_and_the_message_says_so() -> None:
    def fail(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(ForbiddenAddress, match="does not resolve"):
        check_url("https://nowhere.invalid/", allowed=(), setting="s", resolve=fail)
