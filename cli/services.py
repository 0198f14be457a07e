"""The services of the API, for commands that do what an endpoint does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cli.terminal import fail, opened_store, settings_or_exit
from processor.exit_codes import EXIT_FAILED, EXIT_USAGE

if TYPE_CHECKING:
    from api.services.resources import Services
    from storage.sql.api_keys import ApiKey

_ABSENT = frozenset({"does_not_exist", "not_found"})


@contextmanager
def opened_services(config: Path | None, team: int) -> Iterator[tuple[Services, ApiKey]]:
    """Yield the services of the API with a caller of the command line.

    A refusal ends the command: with 2 if nothing has the given id, and with 1 for any other reason.
    """
    from datetime import UTC, datetime

    from api.http.errors import ApiError
    from api.services.resources import open_services
    from storage.sql.api_keys import ALL_SCOPES, ApiKey

    settings = settings_or_exit(config)
    caller = ApiKey(0, team, "cli", "", "", frozenset({ALL_SCOPES}), datetime.now(UTC))
    with opened_store(settings) as database:
        services = open_services(settings, database)
        try:
            yield services, caller
        except ApiError as error:
            code = EXIT_USAGE if error.code in _ABSENT else EXIT_FAILED
            fail(f"{error.attr}: {error.detail}" if error.attr else error.detail, code=code)
        finally:
            services.close()
