"""The error for a package of the extra `quality` that is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

INSTALL = "pip install 'gavel[quality]'"


class ExtraMissing(ImportError):
    """A statistic needs a package that is not installed; `package` names it."""

    def __init__(self, package: str) -> None:
        self.package = package
        super().__init__(f"{package} is not installed, and this statistic needs it; run {INSTALL}", name=package)


@contextmanager
def needs_extra() -> Iterator[None]:
    """Run imports of the extra's packages.

    Raises:
        ExtraMissing: one of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ExtraMissing((error.name or "a package").partition(".")[0]) from error
