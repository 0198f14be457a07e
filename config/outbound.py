"""Which addresses a team may make us call: `base_url`s of custom providers and webhooks.

A URL that a customer writes is called from inside the operator's network. Without a check it could reach a
cloud's metadata service, the loopback interface or a neighbour (server-side request forgery).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Iterable[str]]

_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "168.63.129.16",  # Azure's host agent: a public address that only the platform answers
        "192.0.0.192",  # Oracle Cloud
        "100.100.100.200",  # Alibaba Cloud
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class ForbiddenAddress(ValueError):
    """A URL that may not be called. The message says why and what an operator can allow, and no resolved address."""


def resolve_host(host: str, port: int) -> list[str]:
    """Return the IP addresses of `host`. Blocks on DNS.

    Raises:
        OSError: the name does not resolve.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def check_url(url: str, *, allowed: Sequence[str], setting: str, resolve: Resolver = resolve_host) -> tuple[str, ...]:
    """Return the IP addresses that `url` stands for, if all of them may be called.

    A name can resolve to something else a moment later: a caller that connects must check again at the time
    of the call, or connect to an address that was returned here.

    Args:
        allowed: host names and networks (`ollama.internal`, `10.0.0.0/8`) that may be called although they
            are not public.
        setting: the name of the setting that holds `allowed`, for the message.
        resolve: from a host and a port to its addresses.

    Raises:
        ForbiddenAddress: it is no http(s) URL, its host does not resolve, or it is not public.
    """
    host, port = _host_and_port(url)
    names, networks = _read_allowed(allowed)
    try:
        found = tuple(resolve(host, port))
    except (OSError, UnicodeError) as error:
        raise ForbiddenAddress(f"The host {host!r} does not resolve; correct the name.") from error
    if host in names:
        return found
    for text in found:
        address = _unwrap(ipaddress.ip_address(text.partition("%")[0]))
        if not _is_public(address) and not any(address in network for network in networks):
            raise ForbiddenAddress(f"The host {host!r} is not a public address; an operator can allow it in {setting}.")
    return found


def _host_and_port(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ForbiddenAddress("This is not a URL; write https://host/path.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ForbiddenAddress("This is not an http or https URL; write https://host/path.")
    if parts.username is not None or parts.password is not None:
        raise ForbiddenAddress("A URL may hold no user name or password; they would be shown and logged.")
    return parts.hostname.rstrip(".").lower(), port or (443 if parts.scheme == "https" else 80)


def _read_allowed(
    allowed: Sequence[str],
) -> tuple[set[str], list[ipaddress.IPv4Network | ipaddress.IPv6Network]]:
    names: set[str] = set()
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    for entry in allowed:
        try:
            networks.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            names.add(entry.rstrip(".").lower())
    return names, networks


def _unwrap(address: Address) -> Address:
    """Return the IPv4 address inside an IPv6 one that only carries it."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: Address) -> bool:
    return address.is_global and not address.is_multicast and address not in _METADATA
