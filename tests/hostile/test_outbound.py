"""Addresses that a team writes to reach what only the operator's network should."""

from __future__ import annotations

import pytest

from config.outbound import ForbiddenAddress, check_url, checked_addresses
from tests.hostile.growth import assert_linear

PUBLIC = "93.184.216.34"


def resolved(*addresses: str) -> tuple[str, ...]:
    """Return the allowed addresses of a name that resolves to `addresses`."""
    return checked_addresses("x.example", 443, allowed=(), setting="s", resolve=lambda _host, _port: addresses)


@pytest.mark.parametrize(
    "address",
    [
        # private, special and metadata addresses of IPv4
        "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.31.0.1",
        "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16", "192.0.0.192", "100.100.100.200",
        # IPv6
        "::", "::1", "100::1", "2001:db8::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1",
        "fe80::1%eth0", "fec0::1", "feff::1", "ff02::1", "ff0e::1",
        # IPv4 addresses in the clothes of IPv6: mapped, compatible, 6to4, Teredo, NAT64 of everybody and of one network
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "::8.8.8.8", "2002:7f00:1::", "2002:a00:1::1",
        "2001:0:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe", "64:ff9b::127.0.0.1", "64:ff9b::a00:1",
        "64:ff9b:1::127.0.0.1", "64:ff9b:1:a00:0:100::", "64:ff9b:1:ffff::1",
        # and tunnelled within a site (ISATAP), with a local and with a global interface
        "2606:4700::5efe:7f00:1", "2606:4700:0:0:200:5efe:10.0.0.1",
    ],
)  # fmt: skip
def test_no_address_but_a_public_one_is_connected_to(address: str) -> None:
    with pytest.raises(ForbiddenAddress):
        resolved(address)
    with pytest.raises(ForbiddenAddress):
        resolved(PUBLIC, address)


@pytest.mark.parametrize(
    "address",
    [
        PUBLIC,
        "2606:4700:4700::1111",
        "64:ff9b::8.8.8.8",
        "::ffff:8.8.8.8",
        "2002:808:808::1",
        "2606:4700::5efe:808:808",
    ],
)
def test_public_addresses_are_connected_to(address: str) -> None:
    assert resolved(address) == (address,)


@pytest.mark.parametrize(
    "url",
    [
        # digits, full stops and letters that some libraries fold into ASCII
        "http://１２７.0.0.1/", "http://①②⑦.0.0.1/", "http://127。0。0。1/", "http://127．0.0.1/", "http://١٢٧.0.0.1/",
        "http://ｌｏｃａｌｈｏｓｔ/", "http://loc\u00adalhost/", "http://loca\u200blhost/",
        # spellings of IPv4 that the system's resolver reads and others do not
        "http://127.1/", "http://2130706433/", "http://0x7f.0.0.1/", "http://0x7f000001/", "http://0177.0.0.1/",
        "http://127.0.0.01/", "http://127.0.0.1.", "http://[::1]/", "http://[::ffff:7f00:1]/", "http://[fe80::1%25lo]/",
        # two parsers, two hosts
        "http://x.example\\@127.0.0.1/", "http://127.0.0.1\t.x.example/", "http://x.example\n/", "http://a@127.0.0.1/",
        "http://x.example@", "http://x.example#@127.0.0.1:99999/", "http:// x.example/", "http://x.exa mple/",
        # not a web address
        "gopher://x.example/", "file:///etc/passwd", "//x.example/", "http:///etc", "http://x..example/", "http://-/ /",
        "http://x.example:0x50/", "http://" + "a" * 64 + ".example/", "http://" + "a." * 200 + "example/",
        "http://xn--a/%00", "http://x.example%00.evil/", "http://x.example%2f@evil/", "http://[::1]x/",
    ],
)  # fmt: skip
def test_a_url_that_two_libraries_may_read_differently_is_refused(url: str) -> None:
    with pytest.raises(ForbiddenAddress):
        check_url(
            url, allowed=(), setting="s", resolve=lambda host, _port: [host if host[0].isdigit() else "127.0.0.1"]
        )


def test_what_the_message_says_holds_no_resolved_address() -> None:
    with pytest.raises(ForbiddenAddress) as refused:
        resolved("10.11.12.13")
    assert "10.11" not in str(refused.value)


@pytest.mark.parametrize("piece", ["a", "１", "a.", "xn--", "-", "ß", "\u0644", "0x", "["])
def test_long_hosts_are_refused_in_time_that_grows_with_their_length(piece: str) -> None:
    def refuse(url: str) -> None:
        with pytest.raises(ForbiddenAddress):
            check_url(url, allowed=(), setting="s", resolve=lambda _host, _port: [])

    assert_linear(refuse, lambda times: f"http://{piece * times}/", 10_000, piece)
