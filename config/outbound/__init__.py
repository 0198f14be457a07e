"""Calls to addresses that a team writes: which may be called, and connections that reach only those.

- `addresses` decides whether a host may be called;
- `http` and `smtp` connect to the address that was checked, so a name that resolves differently a moment later, or
  differently in another library, gains nothing.
"""

from config.outbound.addresses import ForbiddenAddress, allows_host, check_url, checked_addresses, resolve_host

__all__ = ["ForbiddenAddress", "allows_host", "check_url", "checked_addresses", "resolve_host"]
