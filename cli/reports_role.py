"""The reports role as the processes of `gavel run` and `gavel up` have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reports.role import ReportsRole, RoleParts


def build_reports_role(parts: RoleParts) -> ReportsRole:
    """Return the role, with the figures of trust that the API computes.

    The API's package is loaded here, because processes without this role do not need it.
    """
    from api.services.trust.for_reports import trust_for_reports
    from reports.role import build_reports

    return build_reports(parts, trust=trust_for_reports)
