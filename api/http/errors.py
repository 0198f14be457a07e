"""The errors that clients see: `{type, code, detail, attr}`, whatever failed.

ApiError
├── NotAuthenticated  401
├── PermissionDenied  403
├── NotFound          404
├── MethodNotAllowed  405
├── Conflict          409
├── TooLarge          413
├── Throttled         429
├── Unavailable       503
└── Invalid           400
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from storage.sql.engine import StoreUnavailable

log = structlog.get_logger("gavel.api")


class ErrorBody(BaseModel):
    """The body of every response that is not a success."""

    model_config = ConfigDict(title="Error")

    type: str
    code: str
    detail: str
    attr: str | None = None


class ApiError(Exception):
    """A request that cannot be served: `status` and the fields of the body.

    `attr` is the field at fault, nested names joined by `__`. `headers` are added to the response.
    """

    status = 500
    type = "server_error"
    code = "error"
    detail = "A server error occurred."

    def __init__(
        self,
        detail: str | None = None,
        *,
        code: str | None = None,
        attr: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.detail = detail if detail is not None else type(self).detail
        self.code = code if code is not None else type(self).code
        self.attr = attr
        self.headers = dict(headers or {})
        super().__init__(self.detail)

    def response(self) -> JSONResponse:
        """Return the response that tells the client."""
        body = {"type": self.type, "code": self.code, "detail": self.detail, "attr": self.attr}
        return JSONResponse(body, self.status, headers=self.headers)


class Invalid(ApiError):
    """400: the request is understood and refused; `attr` names the field."""

    status, type, code = 400, "validation_error", "invalid_input"


class NotAuthenticated(ApiError):
    """401: no key, or one that is unknown, revoked or expired (a client cannot tell which)."""

    status, type, code = 401, "authentication_error", "not_authenticated"
    detail = "Send a personal API key: Authorization: Bearer <key>. `gavel keys create` makes one."

    def __init__(self, detail: str | None = None, *, code: str | None = None) -> None:
        super().__init__(detail, code=code, headers={"WWW-Authenticate": "Bearer"})


class PermissionDenied(ApiError):
    """403: the key is good but lacks the scope."""

    status, type, code = 403, "authentication_error", "permission_denied"


class NotFound(ApiError):
    """404: there is no such thing in this team; another team's objects look the same."""

    status, type, code, detail = 404, "invalid_request", "not_found", "Not found."


class MethodNotAllowed(ApiError):
    """405: the path exists, the method does not."""

    status, type, code = 405, "invalid_request", "method_not_allowed"


class HardDelete(MethodNotAllowed):
    """405: a DELETE of an object that is only marked as deleted."""

    detail = 'Hard delete is not allowed. Send PATCH {"deleted": true}.'

    def __init__(self) -> None:
        super().__init__(headers={"Allow": "GET, PUT, PATCH"})


class Conflict(ApiError):
    """409 or 412: somebody else changed it first, or it is in a state that does not allow this."""

    status, type, code = 409, "invalid_request", "conflict"


class PreconditionFailed(Conflict):
    """412: `If-Match` names another version than the stored one."""

    status, code = 412, "version_conflict"


class TooLarge(ApiError):
    """413: the body is over the limit."""

    status, type, code = 413, "invalid_request", "request_too_large"


class Throttled(ApiError):
    """429: over the rate limit of the key; `Retry-After` says when."""

    status, type, code = 429, "throttled_error", "throttled"

    def __init__(self, wait_s: float) -> None:
        seconds = max(1, round(wait_s + 0.5))
        detail = f"Request was throttled. Expected available in {seconds} seconds."
        super().__init__(detail, headers={"Retry-After": str(seconds)})


class Unavailable(ApiError):
    """503: something that the request needs (ClickHouse, Kafka, the judge) does not answer."""

    status, type, code = 503, "server_error", "service_unavailable"


_CODES = {
    "missing": ("required", "This field is required."),
    "extra_forbidden": ("unknown_field", "This field is not known here; see /api/docs for what is."),
    "string_too_long": ("max_length", None),
    "too_long": ("max_length", None),
    "too_short": ("min_length", None),
    "literal_error": ("invalid_choice", None),
    "enum": ("invalid_choice", None),
    "json_invalid": ("parse_error", None),
    "model_attributes_type": ("parse_error", "Send a JSON object, with Content-Type: application/json."),
}


def invalid_from(errors: Sequence[Mapping[str, Any]]) -> Invalid:
    """Return the first of pydantic's `errors` as the API tells it."""
    first = errors[0]
    kind = first["type"]
    code, detail = _CODES.get(kind, ("invalid_input", None))
    if kind == "string_too_short":
        code, detail = "blank", "This field may not be blank."
    elif first.get("input", ...) is None and kind != "missing":
        code, detail = "null", "This field may not be null."
    location = [str(part) for part in first["loc"]]
    if kind == "json_invalid":
        # The position inside the text is not a field.
        return Invalid(f"The body is not JSON: {first.get('ctx', {}).get('error', first['msg'])}", code=code)
    message = detail or str(first["msg"]).removeprefix("Value error, ")
    return Invalid(message, code=code, attr="__".join(location) or None)


def install(app: FastAPI) -> None:
    """Make `app` answer every failure in our shape."""

    @app.exception_handler(ApiError)
    def _api_error(_request: Request, error: ApiError) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    def _validation_error(_request: Request, error: RequestValidationError) -> JSONResponse:
        if any(e["loc"][:1] == ("path",) for e in error.errors()):
            # An id that cannot be one names nothing here.
            return NotFound().response()
        found = [{**e, "loc": e["loc"][1:]} for e in error.errors()]
        return invalid_from(found).response()

    @app.exception_handler(HTTPException)
    def _http_error(request: Request, error: HTTPException) -> JSONResponse:
        return from_status(error.status_code, request.method, error.headers).response()

    @app.exception_handler(StoreUnavailable)
    def _store_away(_request: Request, error: StoreUnavailable) -> JSONResponse:
        return store_unavailable(error).response()


def from_status(status: int, method: str, headers: Mapping[str, str] | None = None) -> ApiError:
    """Return our error for one that the framework raised itself."""
    if status == 404:
        return NotFound(headers=headers)
    if status == 405:
        return MethodNotAllowed(f'Method "{method}" not allowed.', headers=headers)
    if status == 413:
        return TooLarge(headers=headers)
    error = ApiError("The request could not be served.", headers=headers)
    error.status, error.type, error.code = status, "invalid_request" if status < 500 else "server_error", "error"
    return error


def store_unavailable(error: StoreUnavailable) -> Unavailable:
    """Return the answer to a client while the store is away; the log says why."""
    log.error("store_failed", error=str(error))
    return Unavailable("The store does not answer; try again later.", code="store_unavailable")


def as_api_error(error: Exception) -> ApiError | None:
    """Return the answer to a client about `error`, or None for an error that nobody foresaw."""
    if isinstance(error, ApiError):
        return error
    return store_unavailable(error) if isinstance(error, StoreUnavailable) else None
