"""Which addresses a team may make us call: `base_url`s of custom providers, Azure endpoints, webhooks, mail servers.

An address that a customer writes is called from inside the operator's network. Without a check it could reach a
cloud's metadata service, the loopback interface or a neighbour (server-side request forgery).

A host is read once: an IP address in its plain form, or a name in ASCII. A name in another script becomes ASCII by
IDNA 2008, which knows no look-alike digits, no invisible characters and no second kind of full stop.
"""

from __future__ import annotations

import ipaddress
import socket
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlsplit

import idna

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
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
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})
"""Bits 64 to 95 of an address that a host tunnels to the IPv4 address in its last bits (RFC 5214)."""
_NEVER_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        "::/96",  # IPv4-compatible: deprecated, and some stacks send it to the IPv4 address inside
        "64:ff9b:1::/48",  # NAT64 of one network for itself (RFC 8215): leads to whatever that network translates to
        "fec0::/10",  # site-local: deprecated, and still routed by old networks
        "3fff::/20",  # documentation (RFC 9637), which older releases of Python take for public
        "192.0.0.0/24",  # special purposes, such as dummy addresses
        "192.88.99.0/24",  # relays of 6to4, withdrawn
    )
)
"""Networks that some release of `ipaddress` calls global, and that nobody may call."""

_MAX_HOST_CHARS = 253
_MAX_LABEL_CHARS = 63
_NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")


class ForbiddenAddress(PermissionError):
    """An address that may not be called. The message says why and what an operator can allow, and names no IP address.

    It is a `PermissionError` so that code that knows nothing of this room can tell a refused connection from a
    failed one.
    """


class UnknownHost(ForbiddenAddress):
    """The name does not resolve now; it may a moment later."""


def resolve_host(host: str, port: int) -> list[str]:
    """Return the IP addresses of `host`. Blocks on DNS.

    Raises:
        OSError: the name does not resolve.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def check_url(url: str, *, allowed: Sequence[str], setting: str, resolve: Resolver = resolve_host) -> tuple[str, ...]:
    """Return the IP addresses that `url` stands for, if all of them may be called. Blocks on DNS.

    The answer is good for a message at the time a URL is stored. A call connects by `http.checked_transport`, which
    checks the addresses that it connects to.

    Args:
        allowed: host names and networks (`ollama.internal`, `10.0.0.0/8`) that may be called although they
            are not public.
        setting: the name of the setting that holds `allowed`, for the message.
        resolve: from a host and a port to its addresses.

    Raises:
        UnknownHost: its host does not resolve.
        ForbiddenAddress: it is not an http(s) URL, or its host is not public.
    """
    host, port = _host_and_port(url)
    return checked_addresses(host, port, allowed=allowed, setting=setting, resolve=resolve)


def checked_addresses(
    host: str, port: int, *, allowed: Sequence[str], setting: str, resolve: Resolver = resolve_host
) -> tuple[str, ...]:
    """Return the IP addresses of `host` to connect to, each once, if all of them may be called. Blocks on DNS.

    See `check_url` for arguments and errors.
    """
    host = plain_host(host)
    try:
        found = tuple(dict.fromkeys(resolve(host, port)))
    except (OSError, UnicodeError) as error:
        raise UnknownHost(f"The host {host!r} does not resolve; correct the name.") from error
    if not found:
        raise UnknownHost(f"The host {host!r} has no address; correct the name.")
    names, networks = _read_allowed(allowed)
    if host in names:
        return found
    for text in found:
        if not _may_be_called(ipaddress.ip_address(text.partition("%")[0]), networks):
            raise ForbiddenAddress(f"The host {host!r} is not a public address; an operator can allow it in {setting}.")
    return found


def allows_host(host: str, allowed: Sequence[str]) -> bool:
    """Return whether `allowed` names this host itself, so that its addresses are not checked."""
    try:
        return plain_host(host) in _read_allowed(allowed)[0]
    except ForbiddenAddress:
        return False


def plain_host(host: str) -> str:
    """Return `host` in the one form that is resolved, compared and connected to: lower-case ASCII.

    Raises:
        ForbiddenAddress: it is neither an IP address in its usual form nor a name that DNS can hold.
    """
    if any(unicodedata.category(char).startswith("N") and not char.isascii() for char in host[: _MAX_HOST_CHARS + 1]):
        raise ForbiddenAddress("The host holds digits of another script; write it with the digits 0 to 9.")
    name = host.lower().removesuffix(".")
    if not name or len(name) > _MAX_HOST_CHARS:
        raise ForbiddenAddress(f"The host must have 1 to {_MAX_HOST_CHARS} characters.")
    if not name.isascii():
        try:
            name = idna.encode(name, strict=True).decode("ascii")
        except idna.IDNAError as error:
            raise ForbiddenAddress("The host is not a valid domain name (IDNA 2008); correct the name.") from error
    if ":" in name or name.rpartition(".")[2].isdecimal() or _is_hexadecimal(name.rpartition(".")[2]):
        return _plain_address(name)
    if not all(0 < len(label) <= _MAX_LABEL_CHARS and _NAME_CHARS.issuperset(label) for label in name.split(".")):
        raise ForbiddenAddress("The host is not a valid domain name; correct the name.")
    return name


def _is_hexadecimal(label: str) -> bool:
    return label.startswith("0x") and all(char in "0123456789abcdef" for char in label[2:])


def _plain_address(text: str) -> str:
    """Return an IP address as `ipaddress` writes it. Other spellings (127.1, 2130706433, 0x7f.1) are refused."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise ForbiddenAddress("The host is not an IP address in its usual form, such as 192.0.2.1.") from error
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ForbiddenAddress("The host names a network interface; write the address without %.")
    return str(address)


def _host_and_port(url: str) -> tuple[str, int]:
    if any(char <= " " or char in "\\\x7f" for char in url):
        # Parsers disagree about these: one takes them out, another ends the host there.
        raise ForbiddenAddress("The URL holds white space, a control character or a backslash; correct it.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ForbiddenAddress("This is not a URL; write https://host/path.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ForbiddenAddress("This is not an http or https URL; write https://host/path.")
    if "@" in parts.netloc:
        raise ForbiddenAddress("A URL may hold no user name or password; they would be shown and logged.")
    return parts.hostname, port or (443 if parts.scheme == "https" else 80)


def _read_allowed(allowed: Sequence[str]) -> tuple[set[str], list[Network]]:
    names: set[str] = set()
    networks: list[Network] = []
    for entry in allowed:
        try:
            networks.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            names.add(entry.rstrip(".").lower())
    return names, networks


def _may_be_called(address: Address, networks: Sequence[Network]) -> bool:
    """Return whether an address, and the IPv4 address that it leads to, are public or allowed by the operator."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address in network for network in networks):
        return True
    inner = _leads_to(address)
    if inner is not None:
        return _may_be_called(inner, networks)
    return _is_public(address)


def _leads_to(address: Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that a gateway or tunnel makes of an IPv6 one (6to4, NAT64, ISATAP), or None."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64 or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.sixtofour
    return None


def _is_public(address: Address) -> bool:
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved or address.is_private or address in _METADATA)
        and not any(address in network for network in _NEVER_PUBLIC)
    )
