"""The OpenAPI document that FastAPI derives from the routes, with the facts that it cannot know."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.http.errors import ErrorBody

_TEAM = {
    "name": "team_id",
    "in": "path",
    "required": True,
    "description": "Team (project or environment) of the API key.",
    "schema": {"type": "integer", "minimum": 1},
}
_ERRORS = {
    "400": "The request is refused; `attr` names the field.",
    "401": "No API key, or one that is not valid.",
    "403": "The API key lacks the scope.",
    "404": "There is no such thing in this team.",
    "413": "The body is too large.",
    "429": "Over the rate limit of the API key; see `Retry-After`.",
    "500": "A server error.",
    "503": "Something that the request needs does not answer.",
}
_STRICT = {
    "name": "strict",
    "in": "query",
    "required": False,
    "description": "1: refuse a body that holds a field which is not known here. Otherwise such fields are ignored.",
    "schema": {"type": "integer", "enum": [0, 1]},
}
_METHODS = ("get", "post", "put", "patch", "delete")


def describe(app: FastAPI) -> None:
    """Make `app` serve a document with our errors, our key and the team in every path."""

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            document = get_openapi(title=app.title, version="1", summary=app.summary, routes=app.routes)
            app.openapi_schema = _complete(document)
        return app.openapi_schema

    # FastAPI's documented way to change the document.
    app.openapi = openapi  # type: ignore[method-assign]  # how FastAPI lets an application replace it


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Error"] = ErrorBody.model_json_schema()
    for path, operations in document["paths"].items():
        for method in _METHODS:
            if method in operations:
                _complete_operation(operations[method], of_team="{team_id}" in path)
    return document


def _complete_operation(operation: dict[str, Any], *, of_team: bool) -> None:
    parameters = [p for p in operation.get("parameters", []) if p["name"] != "team_id"]
    of_every = ([_TEAM] if of_team else [], [_STRICT] if "requestBody" in operation else [])
    operation["parameters"] = [*of_every[0], *parameters, *of_every[1]]
    responses = operation["responses"]
    responses.pop("422", None)
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for status, text in _ERRORS.items():
        responses.setdefault(status, {"description": text, "content": error})
    if "405" in responses:
        responses["405"] = {"description": "This method is not allowed here.", "content": error}
